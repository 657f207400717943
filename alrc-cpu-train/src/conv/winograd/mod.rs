//! Winograd's F(4x4, 3x3): 3x3 convolutions with a quarter of the multiplications.
//!
//! # Arithmetic
//!
//! Convolving is multiplying polynomials, and a polynomial is known by its values at enough points. In one dimension
//! four outputs of a kernel of three need six values (Lavin and Gray 2015, arXiv 1509.09308): with d the six inputs,
//! g the three weights and m the products,
//!
//! ```text
//! v = B' d     u = G g     m = v u, value by value     y = A' m
//! ```
//!
//! In two dimensions each transform acts on columns and on rows, V = B' d B for example. Summed over channels, each of
//! the 36 values (*frequencies* here) of all tiles is a matrix product, M = V U, `[tiles, in] x [in, out]`: all the time
//! that multiplying takes is spent in [`product`](crate::simd::product). The gradients are the transposes of the same
//! maps: dM = A dY A', dU = sum over tiles of V' dM, dW = G' dU G; and the input's gradient is a convolution of the
//! output's with weights turned by 180 degrees.
//!
//! # Points
//!
//! 0, +-1/sqrt(2), +-sqrt(2), infinity, and not the customary +-1, +-2: their powers stay near 1, which makes the largest
//! error three to five times smaller. `transform.rs` has the formulas.
//!
//! # Memory
//!
//! * A piece of work is a band: some rows of tiles of one image, so many that what is transformed stays in the
//!   second-level cache together with the products of one panel of outputs. Transformed weights, computed once a pass,
//!   stream by; while a product is computed, the operands of the next are fetched.
//! * In the gradient of the weights the sums stream by in place of the weights, and a piece of work is some panels of
//!   outputs in a group of images.
//!
//! # Threads
//!
//! Pieces are claimed by whichever thread is free. In the passes over images no value depends on how tiles are grouped,
//! so bands may be smaller where there are many threads. The gradient of the weights is summed over the images of a
//! group in their order, for each panel of outputs by one thread, and then over the groups, whose number depends on
//! that of the images alone. So the bits do not depend on the number of threads. The memory does: at 128 channels a
//! thread takes at most 1.5 MB for a band; a group takes 2.4 MB. Batches of 16 and more, of which 16 images are in a
//! pass at a time, give 64 threads with AVX-512 16 pieces of the weights' gradient of a layer of 128 channels and 64
//! bands beside them; smaller ones give them less than enough.

mod gradient;
mod grid;
mod tiles;
mod transform;
mod weights;

use rayon::prelude::*;

use super::finish::Destination;
use super::images::{Images, Output, Source};
use super::workspace::{Workspace, with_scratch};
use super::{Backward, Convolution, Forward, InputGradient, Shape};
use crate::simd::Simd;
use crate::simd::product::{Left, Order, Product, Right};
use gradient::WeightGradient;
use grid::{Band, Grid};
use tiles::{Layout, SPACING};
#[cfg(feature = "wgpu")]
pub(crate) use weights::NOISE;

/// Side of a tile of the output.
const TILE: usize = 4;

/// Side of the kernel.
const KERNEL: usize = 3;

/// Side of the window of the input that a tile of the output depends on.
const WINDOW: usize = TILE + KERNEL - 1;

/// Values of a transformed tile.
const FREQUENCIES: usize = WINDOW * WINDOW;

/// Most tiles of a band in a convolution: they and what they are multiplied with stay in the second-level cache.
const BAND_TILES: usize = 32;

/// A 3x3 convolution on instruction set `S`.
#[derive(Clone, Copy, Debug)]
pub struct Winograd<S> {
    simd: S,
    shape: Shape,
}

impl<S: Simd> Winograd<S> {
    /// For layers of `shape`, whose kernel must be 3x3.
    pub fn new(simd: S, shape: Shape) -> Self {
        assert_eq!(shape.kernel, KERNEL, "kernel of a Winograd convolution");
        Self { simd, shape }
    }
}

impl<S: Simd> Convolution for Winograd<S> {
    fn forward(&self, pass: Forward<'_>, workspace: &mut Workspace) {
        let [transformed] =
            workspace.lend([weights::transformed_len::<S>(self.shape.in_channels, self.shape.out_channels)]);
        weights::transform_weights(self.simd, self.shape, pass.weights, transformed);
        let input = Images { channels: self.shape.in_channels, values: pass.input, masks: None };
        let output = Output {
            channels: self.shape.out_channels,
            bias: Some(pass.bias),
            skip: pass.skip,
            masks: pass.mask,
            values: pass.output,
        };
        convolve(self.simd, Grid::new(pass.size), input, transformed, output);
    }

    fn backward(&self, pass: Backward<'_>, workspace: &mut Workspace) {
        let Self { simd, shape } = *self;
        let grid = Grid::new(pass.size);
        let input = Images { channels: shape.in_channels, values: pass.input, masks: None };
        let output_gradient =
            Images { channels: shape.out_channels, values: pass.output_gradient, masks: pass.mask };
        let weight_gradient = WeightGradient { simd, shape, grid, input, output_gradient };
        let [sums, bias_sums] = weight_gradient.lens();
        let turned = weights::transformed_len::<S>(shape.out_channels, shape.in_channels);
        let [sums, bias_sums, transformed] = workspace.lend([sums, bias_sums, turned]);
        // The gradient of the input comes in small pieces, which whoever has finished the large ones may take.
        rayon::join(
            || weight_gradient.add(sums, bias_sums, pass.weight_gradient, pass.bias_gradient),
            || {
                if let Some(InputGradient { skip, gradient }) = pass.input_gradient {
                    weights::transform_turned_weights(simd, shape, pass.weights, transformed);
                    let channels = shape.in_channels;
                    let output = Output { channels, bias: None, skip, masks: None, values: gradient };
                    convolve(simd, grid, output_gradient, transformed, output);
                }
            },
        );
    }

    fn name(&self) -> String {
        format!("Winograd F(4x4, 3x3), {}", S::NAME)
    }
}

/// Convolves images with transformed weights, band by band.
fn convolve<S: Simd>(simd: S, grid: Grid, input: Images<'_>, transformed: &[f32], output: Output<'_>) {
    let images = input.count(grid.size);
    // A band for every thread, if there are rows enough; which tiles share a band does not change their values.
    let tiles = images * grid.rows * grid.columns / rayon::current_num_threads();
    let band_rows = grid.band_rows(tiles.min(BAND_TILES));
    let bands: Vec<_> =
        grid.bands(0..images, band_rows).zip(output.bands(grid.size, band_rows * TILE)).collect();
    bands.into_par_iter().with_max_len(1).for_each(|(band, destination)| {
        let source = input.image(grid.size, band.image);
        convolve_band(simd, grid, band, source, transformed, destination);
    });
}

/// Convolves one band: V = B' d B, then for each panel of outputs M = V U and Y = A' M A.
fn convolve_band<S: Simd>(
    simd: S,
    grid: Grid,
    band: Band,
    source: Source<'_>,
    transformed: &[f32],
    mut destination: Destination<'_>,
) {
    let tiles = band.rows.len() * grid.columns;
    let (inputs, outputs) = (Layout::new::<S>(source.channels, tiles), Layout::new::<S>(S::PANEL, tiles));
    let matrix = weights::matrix_len::<S>(source.channels);
    with_scratch([inputs.len(), outputs.len(), tiles::patch_len::<S>(source.channels)], |[v, m, patch]| {
        simd.run(
            #[inline(always)]
            || tiles::transform_input(simd, grid, band.rows.clone(), source, inputs, v, patch),
        );
        let v_of = |frequency| &v[frequency * inputs.frequency..][..inputs.panels * inputs.panel];
        let u_of = |index| &transformed[index * matrix..][..matrix - SPACING];
        for panel in 0..destination.channels.div_ceil(S::PANEL) {
            for (frequency, m) in m.chunks_exact_mut(outputs.frequency).enumerate() {
                let index = panel * FREQUENCIES + frequency;
                simd.product(Product {
                    rows: tiles,
                    segments: inputs.panels,
                    depth: S::PANEL,
                    a: Left { values: v_of(frequency), order: Order::Rows(S::PANEL), segment: inputs.panel },
                    b: Right { values: u_of(index), segment: S::PANEL * S::PANEL },
                    c: m,
                    accumulate: false,
                    next: [
                        v_of((frequency + 1) % FREQUENCIES),
                        u_of((index + 1) % (transformed.len() / matrix)),
                        &[],
                    ],
                });
            }
            simd.run(
                #[inline(always)]
                || {
                    tiles::transform_output(
                        simd,
                        grid,
                        band.rows.clone(),
                        panel,
                        outputs,
                        m,
                        &mut destination,
                    );
                },
            );
        }
    });
}
