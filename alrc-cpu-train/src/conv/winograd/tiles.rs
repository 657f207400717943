//! Between images and the transformed domain.
//!
//! A band in the transformed domain is `[FREQUENCIES, panels, tiles, PANEL]`: for each frequency, for each panel of
//! channels, a matrix with a row a tile, which is how the products want to read it. Channels that fill up
//! the last panel are zero. [`Layout`] has the numbers.
//!
//! Images come from memory, and go there: while a tile is transformed, the pixels of the tile below it are fetched, so
//! that they are at hand by the time that the row of tiles is done. A window that cannot be read as it is, since it
//! reaches over the edge, or a ReLU's mask lies over it, or it lacks channels that a panel has room for, is copied to a
//! patch, which stays in the first-level cache.

use super::grid::Grid;
use super::transform::{Input, Output, OutputGradient, Transform, both_ways};
use super::{FREQUENCIES, TILE, WINDOW};
use crate::conv::finish::Destination;
use crate::conv::images::Source;
use crate::simd::{Simd, strided};
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
    /// From one panel to the next.
    pub(super) panel: usize,
    /// From one frequency to the next.
    pub(super) frequency: usize,
}

impl Layout {
    pub(super) fn new<S: Simd>(channels: usize, tiles: usize) -> Self {
        let panels = channels.div_ceil(S::PANEL);
        let panel = tiles * S::PANEL;
        Self { panels, panel, frequency: panels * panel + SPACING }
    }

    /// Values of a band.
    pub(super) fn len(self) -> usize {
        FREQUENCIES * self.frequency
    }
}

/// Values of the patch that the transforms of images with so many channels need.
pub(super) fn patch_len<S: Simd>(channels: usize) -> usize {
    WINDOW * WINDOW * channels.next_multiple_of(S::PANEL)
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
    patch: &mut [f32],
) {
    to_frequencies(simd, Input, grid, rows, 0, source, layout, band, patch, None);
}

/// Writes dM = A dY A' for panel `panel` of the tiles of `rows` to `band`, a band of that panel alone, and adds the sums
/// over dY's pixels to `pixel_sums`, `[PANEL]`.
#[expect(clippy::too_many_arguments, reason = "as its counterpart, of which panel, and the sums")]
#[inline(always)]
pub(super) fn transform_output_gradient<S: Simd>(
    simd: S,
    grid: Grid,
    rows: Range<usize>,
    panel: usize,
    source: Source<'_>,
    layout: Layout,
    band: &mut [f32],
    patch: &mut [f32],
    pixel_sums: &mut [f32],
) {
    let first_channel = panel * S::PANEL;
    to_frequencies(
        simd,
        OutputGradient,
        grid,
        rows,
        first_channel,
        source,
        layout,
        band,
        patch,
        Some(pixel_sums),
    );
}

/// Transforms for each tile the window of `SIDE` x `SIDE` pixels around it, and of it as many channels as `layout` has
/// room for, from `first_channel` on. `patch` is room for a window.
#[expect(clippy::too_many_arguments, reason = "the one loop under both transforms")]
#[inline(always)]
fn to_frequencies<S: Simd, T: Transform<SIDE, WINDOW>, const SIDE: usize>(
    simd: S,
    transform: T,
    grid: Grid,
    rows: Range<usize>,
    first_channel: usize,
    source: Source<'_>,
    layout: Layout,
    band: &mut [f32],
    patch: &mut [f32],
    mut pixel_sums: Option<&mut [f32]>,
) {
    let channels = layout.panels * S::PANEL;
    let before = (SIDE - TILE) / 2;
    for (tile, (row, column)) in grid.tiles(rows).enumerate() {
        let (top, left) = ((row * TILE).wrapping_sub(before), (column * TILE).wrapping_sub(before));
        let window = source.window::<S, SIDE>(simd, grid.size, top, left, first_channel, channels, patch);
        for channel in (0..channels).step_by(S::LANES) {
            let frequencies = both_ways(
                simd,
                transform,
                #[inline(always)]
                |right| {
                    let column = window.column(simd, right, channel);
                    if right >= SIDE - TILE {
                        for down in SIDE..SIDE + TILE {
                            let (row, column) = (top.wrapping_add(down), left.wrapping_add(right));
                            source.prefetch(grid.size, row, column, first_channel + channel);
                        }
                    }
                    if let Some(sums) = &mut pixel_sums {
                        let sums = &mut sums[channel..channel + S::LANES];
                        simd.store(
                            column.iter().fold(simd.load(sums), |sum, &pixel| simd.add(sum, pixel)),
                            sums,
                        );
                    }
                    column
                },
            );
            let place = channel / S::PANEL * layout.panel + tile * S::PANEL + channel % S::PANEL;
            for (down, &values) in frequencies.iter().enumerate() {
                let first = down * WINDOW * layout.frequency + place;
                strided::store(simd, values, band, first, layout.frequency);
            }
        }
    }
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
    let ImageSize { height, width } = grid.size;
    let first_row = rows.start * TILE;
    let channels = panel * S::PANEL..destination.channels.min((panel + 1) * S::PANEL);
    for (tile, (row, column)) in grid.tiles(rows).enumerate() {
        let (top, left) = (row * TILE, column * TILE);
        for channel in channels.clone().step_by(S::LANES) {
            let place = tile * S::PANEL + channel % S::PANEL;
            let values = both_ways(
                simd,
                Output,
                #[inline(always)]
                |column| {
                    let first = column * layout.frequency + place;
                    strided::load(simd, frequencies, first, WINDOW * layout.frequency)
                },
            );
            for (down, &values) in values.iter().enumerate() {
                let pixel = (top + down - first_row) * width + left;
                if top + down >= height {
                    // Below the image.
                } else if left + TILE <= width {
                    destination.prefetch(TILE, pixel + TILE * width, channel);
                    destination.store(simd, pixel, channel, values);
                } else {
                    for (right, &value) in values[..width - left].iter().enumerate() {
                        destination.store(simd, pixel + right, channel, [value]);
                    }
                }
            }
        }
    }
}
