//! Between images and the transformed domain.
//!
//! A band in the transformed domain is `[FREQUENCIES, panels, tiles, PANEL]`: for each frequency, for each panel of
//! channels, a matrix with a row a tile, which is how the products want to read it. Channels and tiles that fill up
//! the last panel or band are zero.

use super::grid::Grid;
use super::transform::{Input, Output, OutputGradient, Transform, both_ways};
use super::{FREQUENCIES, TILE, WINDOW};
use crate::conv::finish::Destination;
use crate::conv::mask;
use crate::simd::Simd;
use std::ops::Range;

/// An image to be transformed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) channels: usize,
    /// `[height, width, channels]`.
    pub(super) image: &'a [f32],
    /// Where it is to be read as it is; elsewhere it is taken to be zero.
    pub(super) mask: Option<&'a [u8]>,
}

impl Source<'_> {
    /// A vector of channels of a pixel.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S, pixel: usize, channel: usize) -> S::Vector {
        let end = (pixel + 1) * self.channels;
        let values = simd.load(&self.image[(pixel * self.channels + channel).min(end)..end]);
        match self.mask {
            Some(mask) => {
                let bytes = self.channels.div_ceil(8);
                simd.keep(mask::read::<S>(&mask[pixel * bytes..][..bytes], channel), values)
            }
            None => values,
        }
    }
}

/// Writes V = B' d B for the tiles of `rows` to `band`, which has room for `capacity` tiles.
#[inline(always)]
pub(super) fn transform_input<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    source: Source<'_>,
    capacity: usize,
    band: &mut [f32],
) {
    to_frequencies(simd, grid, rows, 1, source, capacity, band, Input);
}

/// Writes dM = A dY A' for the tiles of `rows` to `band`, which has room for `capacity` tiles.
#[inline(always)]
pub(super) fn transform_output_gradient<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    source: Source<'_>,
    capacity: usize,
    band: &mut [f32],
) {
    to_frequencies(simd, grid, rows, 0, source, capacity, band, OutputGradient);
}

/// Transforms for each tile the window of `SIDE` x `SIDE` pixels that starts `before` pixels above and left of it.
#[expect(clippy::too_many_arguments, reason = "the one loop under both transforms")]
#[inline(always)]
fn to_frequencies<S: Simd, T: Transform<SIDE, 6> + Copy, const SIDE: usize>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    before: usize,
    source: Source<'_>,
    capacity: usize,
    band: &mut [f32],
    transform: T,
) {
    let panels = source.channels.div_ceil(S::PANEL);
    let (width, height) = (grid.size.width, grid.size.height);
    let zero = simd.splat(0.0);
    let tiles = rows.len() * grid.columns;
    for (index, (row, column)) in grid.tiles(rows).enumerate() {
        let (top, left) = (row * TILE, column * TILE);
        let inside =
            top >= before && left >= before && top - before + SIDE <= height && left - before + SIDE <= width;
        for channel in (0..panels * S::PANEL).step_by(S::LANES) {
            let frequencies = if inside {
                let corner = (top - before) * width + left - before;
                both_ways(
                    simd,
                    transform,
                    #[inline(always)]
                    |down, right| source.load(simd, corner + down * width + right, channel),
                )
            } else {
                both_ways(
                    simd,
                    transform,
                    #[inline(always)]
                    |down, right| {
                        let (row, column) =
                            ((top + down).wrapping_sub(before), (left + right).wrapping_sub(before));
                        if row < height && column < width {
                            source.load(simd, row * width + column, channel)
                        } else {
                            zero
                        }
                    },
                )
            };
            let (panel, lane) = (channel / S::PANEL, channel % S::PANEL);
            let place = (panel * capacity + index) * S::PANEL + lane;
            for (down, values) in frequencies.into_iter().enumerate() {
                for (right, value) in values.into_iter().enumerate() {
                    let at = (down * WINDOW + right) * panels * capacity * S::PANEL + place;
                    simd.store(value, &mut band[at..at + S::LANES]);
                }
            }
        }
    }
    let matrices = band[..FREQUENCIES * panels * capacity * S::PANEL].chunks_exact_mut(capacity * S::PANEL);
    for matrix in matrices {
        matrix[tiles * S::PANEL..].fill(0.0);
    }
}

/// Y = A' M A for panel `panel` of the tiles of `rows`; M is `[FREQUENCIES, tiles, PANEL]`.
#[inline(always)]
pub(super) fn transform_output<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    panel: usize,
    frequencies: &[f32],
    destination: &mut Destination<'_>,
) {
    let first_row = rows.start * TILE;
    let stride = rows.len() * grid.columns * S::PANEL;
    let channels = panel * S::PANEL..destination.channels.min((panel + 1) * S::PANEL);
    for (index, (row, column)) in grid.tiles(rows).enumerate() {
        for channel in channels.clone().step_by(S::LANES) {
            let place = index * S::PANEL + channel % S::PANEL;
            let values = both_ways(
                simd,
                Output,
                #[inline(always)]
                |down, right| {
                    let at = (down * WINDOW + right) * stride + place;
                    simd.load(&frequencies[at..at + S::LANES])
                },
            );
            let (top, left) = (row * TILE, column * TILE);
            for (row, values) in (top..grid.size.height).zip(values) {
                for (column, value) in (left..grid.size.width).zip(values) {
                    destination.store(simd, (row - first_row) * grid.size.width + column, channel, value);
                }
            }
        }
    }
}
