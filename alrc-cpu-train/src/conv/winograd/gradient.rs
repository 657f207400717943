//! The gradient of the weights: dU = sum over tiles of V' dM in each frequency, then dW = G' dU G.
//!
//! The images of a group are gone through one after the other by one thread, which transforms a band of the input, keeps
//! it in its second-level cache, and for each of its panels of outputs transforms that part of the output's gradient and
//! adds the products of all frequencies to the group's sums, which stream by. So V and dM never leave the core, and no
//! group's sum is divided between threads.
//!
//! How many groups there are depends on the number of images alone, and so do the bits. If there are fewer groups than
//! threads, several threads share the panels of a group, each transforming the input for itself. The gradient of the
//! input is mostly computed at the same time, so half of the threads are taken to be busy with that.

use std::ops::Range;

use rayon::prelude::*;

use super::FREQUENCIES;
use super::grid::Grid;
use super::tiles::{self, Layout, SPACING};
use super::weights;
use crate::conv::Shape;
use crate::conv::images::Images;
use crate::conv::workspace::with_scratch;
use crate::simd::Simd;
use crate::simd::product::{Left, Order, Product, Right};

/// Most tiles of a band, unless a row has more, which is the length of the products' inner dimension: the longer, the
/// more rarely the sums stream by; but V should stay in the second-level cache. At 128 channels it takes 1.2 MB, and dM
/// 0.3 MB.
const BAND_TILES: usize = 64;

/// Images of a group at least, where there are as many: the more, the less it matters that the groups' sums are added in
/// the end; the fewer, the more threads share the work.
const GROUP_IMAGES: usize = 4;

/// A layer and its operands.
#[derive(Clone, Copy)]
pub(super) struct WeightGradient<'a, S> {
    pub(super) simd: S,
    pub(super) shape: Shape,
    pub(super) grid: Grid,
    pub(super) input: Images<'a>,
    pub(super) output_gradient: Images<'a>,
}

impl<S: Simd> WeightGradient<'_, S> {
    /// Lengths of the groups' sums for the weights and for the bias.
    pub(super) fn lens(self) -> [usize; 2] {
        let groups = self.groups().len();
        let weights = weights::transformed_len::<S>(self.shape.in_channels, self.shape.out_channels);
        [groups * weights, groups * self.panels() * S::PANEL]
    }

    /// Adds the gradients of weights and bias; `sums` and `bias_sums` are memory of the lengths that [`lens`](Self::lens)
    /// tells.
    pub(super) fn add(
        self,
        sums: &mut [f32],
        bias_sums: &mut [f32],
        weight_gradient: &mut [f32],
        bias_gradient: &mut [f32],
    ) {
        let (panels, panel_len) = (self.panels(), weights::panel_len::<S>(self.shape.in_channels));
        let groups: Vec<_> = self.groups().collect();
        let pieces_of_group = rayon::current_num_threads().div_ceil(2 * groups.len());
        let piece_panels = panels.div_ceil(pieces_of_group);
        groups
            .into_par_iter()
            .zip(sums.par_chunks_exact_mut(panels * panel_len))
            .zip(bias_sums.par_chunks_exact_mut(panels * S::PANEL))
            .for_each(|((images, sums), bias_sums)| {
                let pieces = sums
                    .par_chunks_mut(piece_panels * panel_len)
                    .zip(bias_sums.par_chunks_mut(piece_panels * S::PANEL));
                pieces.enumerate().for_each(|(piece, (sums, bias_sums))| {
                    self.sum(images.clone(), piece * piece_panels, sums, bias_sums);
                });
            });
        for sums in bias_sums.chunks_exact(panels * S::PANEL) {
            for (gradient, sum) in bias_gradient.iter_mut().zip(sums) {
                *gradient += sum;
            }
        }
        weights::add_weight_gradient(self.simd, self.shape, sums, weight_gradient);
    }

    /// Panels of outputs.
    fn panels(self) -> usize {
        self.shape.out_channels.div_ceil(S::PANEL)
    }

    /// The images of each group.
    fn groups(self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let images = self.input.count(self.grid.size);
        debug_assert!(images > 0, "a backward pass is over at least one image");
        let groups = (images / GROUP_IMAGES).max(1);
        (0..groups).map(move |group| images * group / groups..images * (group + 1) / groups)
    }

    /// Writes the sums over `images` for the panels of outputs from `first_panel` on.
    fn sum(self, images: Range<usize>, first_panel: usize, sums: &mut [f32], bias_sums: &mut [f32]) {
        let Self { simd, shape, grid, .. } = self;
        let panel_len = weights::panel_len::<S>(shape.in_channels);
        bias_sums.fill(0.0);
        let band_rows = grid.band_rows(BAND_TILES);
        let layouts = |tiles| [shape.in_channels, S::PANEL].map(|channels| Layout::new::<S>(channels, tiles));
        let [v_len, m_len] = layouts(band_rows * grid.columns).map(Layout::len);
        let patch_len = tiles::patch_len::<S>(shape.in_channels);
        with_scratch([v_len, m_len, patch_len, S::PANEL], |[v, m, patch, pixel_sums]| {
            for (index, band) in grid.bands(images, band_rows).enumerate() {
                let tiles = band.rows.len() * grid.columns;
                let [inputs, outputs] = layouts(tiles);
                let input = self.input.image(grid.size, band.image);
                let output_gradient = self.output_gradient.image(grid.size, band.image);
                let rows = || band.rows.clone();
                simd.run(
                    #[inline(always)]
                    || tiles::transform_input(simd, grid, rows(), input, inputs, v, patch),
                );
                let panels = sums.chunks_exact_mut(panel_len).zip(bias_sums.chunks_exact_mut(S::PANEL));
                for (panel, (sums, bias_sums)) in (first_panel..).zip(panels) {
                    pixel_sums.fill(0.0);
                    simd.run(
                        #[inline(always)]
                        || {
                            tiles::transform_output_gradient(
                                simd,
                                grid,
                                rows(),
                                panel,
                                output_gradient,
                                outputs,
                                m,
                                patch,
                                pixel_sums,
                            );
                        },
                    );
                    // Band by band, so that no sum has many terms.
                    for (sum, band_sum) in bias_sums.iter_mut().zip(&*pixel_sums) {
                        *sum += band_sum;
                    }
                    add_products(simd, tiles, index > 0, (inputs, v), (outputs, m), sums);
                }
            }
        });
    }
}

/// Adds V' dM of the first `tiles` tiles, of each frequency and one panel of outputs, to `sums`, or writes it there.
fn add_products<S: Simd>(
    simd: S,
    tiles: usize,
    accumulate: bool,
    (inputs, v): (Layout, &[f32]),
    (outputs, m): (Layout, &[f32]),
    sums: &mut [f32],
) {
    let (matrix, block) = (sums.len() / FREQUENCIES, S::PANEL * S::PANEL);
    let panels = inputs.panels;
    // While a panel of inputs is multiplied, the next, its sums, and a part of the next dM are fetched.
    let v_of = |index: usize| {
        &v[index / panels * inputs.frequency + index % panels * inputs.panel..][..inputs.panel]
    };
    let part = outputs.panel / panels;
    let last = FREQUENCIES * panels - 1;
    for index in 0..=last {
        let (frequency, input) = (index / panels, index % panels);
        let (c, rest) = sums[frequency * matrix + input * block..].split_at_mut(block);
        let next_c = if input + 1 < panels { 0 } else { SPACING };
        let next_m = (frequency + 1) * outputs.frequency + input * part;
        simd.product(Product {
            rows: S::PANEL,
            segments: 1,
            depth: tiles,
            a: Left { values: v_of(index), order: Order::Depths(S::PANEL), segment: 0 },
            b: Right { values: &m[frequency * outputs.frequency..][..outputs.panel], segment: 0 },
            c,
            accumulate,
            next: [
                v_of((index + 1).min(last)),
                rest.get(next_c..next_c + block).unwrap_or_default(),
                m.get(next_m..next_m + part).unwrap_or_default(),
            ],
        });
    }
}
