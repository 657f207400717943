//! Between images and the transformed domain.
//!
//! A band in the transformed domain is `[FREQUENCIES, panels, tiles, PANEL]`: for each frequency, for each panel of
//! channels, a matrix with a row a tile, which is how the products want to read it. Channels and tiles that fill up
//! the last panel or band are zero. [`Layout`] has the numbers.

use super::grid::Grid;
use super::transform::{Input, Output, OutputGradient, Transform, both_ways};
use super::{FREQUENCIES, TILE, WINDOW};
use crate::conv::finish::Destination;
use crate::conv::images::Source;
use crate::simd::Simd;
use crate::tensor::{ALIGNMENT, ImageSize};
use std::ops::Range;

/// Floats left free after each frequency: a cache line. Without them the 36 frequencies of a tile would often lie a
/// power of two apart, in the same few lines of the first-level cache, and drive each other out.
pub(super) const SPACING: usize = ALIGNMENT / size_of::<f32>();

/// How a band lies in the transformed domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Panels of channels.
    pub(super) panels: usize,
    /// Tiles for which there is room.
    pub(super) tiles: usize,
    /// From one panel to the next.
    pub(super) panel: usize,
    /// From one frequency to the next.
    pub(super) frequency: usize,
}

impl Layout {
    pub(super) fn new<S: Simd>(channels: usize, tiles: usize) -> Self {
        let panels = channels.div_ceil(S::PANEL);
        let panel = tiles * S::PANEL;
        Self { panels, tiles, panel, frequency: panels * panel + SPACING }
    }

    /// Values of a band.
    pub(super) fn len(self) -> usize {
        FREQUENCIES * self.frequency
    }
}

/// Writes V = B' d B for the tiles of `rows` to `band`.
#[inline(always)]
pub(super) fn transform_input<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    source: Source<'_>,
    layout: Layout,
    band: &mut [f32],
    strip: &mut [f32],
) {
    to_frequencies(simd, grid, rows, 1, source, layout, band, strip, Input);
}

/// Writes dM = A dY A' for the tiles of `rows` to `band`.
#[inline(always)]
pub(super) fn transform_output_gradient<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    source: Source<'_>,
    layout: Layout,
    band: &mut [f32],
    strip: &mut [f32],
) {
    to_frequencies(simd, grid, rows, 0, source, layout, band, strip, OutputGradient);
}

/// Transforms for each tile the window of `SIDE` x `SIDE` pixels that starts `before` pixels above and left of it.
///
/// The columns of a whole row of tiles are transformed first, those that windows share only once, and put into `strip`,
/// `[WINDOW, columns, channels]`; then, for each tile, the rows of what came out.
#[expect(clippy::too_many_arguments, reason = "the one loop under both transforms")]
#[inline(always)]
fn to_frequencies<S: Simd, T: Transform<SIDE, WINDOW> + Copy, const SIDE: usize>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    before: usize,
    source: Source<'_>,
    layout: Layout,
    band: &mut [f32],
    strip: &mut [f32],
    _: T,
) {
    let ImageSize { width, height } = grid.size;
    let columns = grid.columns * TILE + SIDE - TILE;
    let channels = layout.panels * S::PANEL;
    let strip = &mut strip[..WINDOW * columns * channels];
    let zero = simd.splat(0.0);
    for (index, row) in rows.clone().enumerate() {
        let top = row * TILE;
        for column in 0..columns {
            for channel in (0..channels).step_by(S::LANES) {
                let mut window = [zero; SIDE];
                for (down, value) in window.iter_mut().enumerate() {
                    let (row, column) = ((top + down).wrapping_sub(before), column.wrapping_sub(before));
                    if row < height && column < width {
                        *value = source.load(simd, row * width + column, channel);
                    }
                }
                for (down, value) in T::apply(simd, window).into_iter().enumerate() {
                    let at = (down * columns + column) * channels + channel;
                    simd.store(value, &mut strip[at..at + S::LANES]);
                }
            }
        }
        for column in 0..grid.columns {
            for channel in (0..channels).step_by(S::LANES) {
                let place = channel / S::PANEL * layout.panel + channel % S::PANEL;
                let tile = place + (index * grid.columns + column) * S::PANEL;
                for down in 0..WINDOW {
                    let mut window = [zero; SIDE];
                    for (right, value) in window.iter_mut().enumerate() {
                        let at = (down * columns + column * TILE + right) * channels + channel;
                        *value = simd.load(&strip[at..at + S::LANES]);
                    }
                    for (right, value) in T::apply(simd, window).into_iter().enumerate() {
                        let at = (down * WINDOW + right) * layout.frequency + tile;
                        simd.store(value, &mut band[at..at + S::LANES]);
                    }
                }
            }
        }
    }
    let tiles = rows.len() * grid.columns;
    if tiles < layout.tiles {
        for frequency in band.chunks_exact_mut(layout.frequency) {
            for panel in frequency[..layout.panels * layout.panel].chunks_exact_mut(layout.panel) {
                panel[tiles * S::PANEL..].fill(0.0);
            }
        }
    }
}

/// Values of the strip that the transforms of images with so many channels need.
pub(super) fn strip_len<S: Simd>(grid: Grid, channels: usize) -> usize {
    WINDOW * (grid.columns * TILE + WINDOW - TILE) * channels.next_multiple_of(S::PANEL)
}

/// Y = A' M A for panel `panel` of the tiles of `rows`; `frequencies` is a band of that panel alone.
#[inline(always)]
pub(super) fn transform_output<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    panel: usize,
    layout: Layout,
    frequencies: &[f32],
    destination: &mut Destination<'_>,
) {
    let first_row = rows.start * TILE;
    let channels = panel * S::PANEL..destination.channels.min((panel + 1) * S::PANEL);
    for (index, (row, column)) in grid.tiles(rows).enumerate() {
        for channel in channels.clone().step_by(S::LANES) {
            let place = index * S::PANEL + channel % S::PANEL;
            let values = both_ways(
                simd,
                Output,
                #[inline(always)]
                |down, right| {
                    let at = (down * WINDOW + right) * layout.frequency + place;
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
