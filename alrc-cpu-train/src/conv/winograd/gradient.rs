//! The gradient of the weights: dU = sum over tiles of V' dM in each frequency, then dW = G' dU G.
//!
//! Some images at a time are transformed, bands of them in parallel; then the products are computed, each piece of
//! work all tiles for one frequency and one panel of outputs. So no sum is divided between threads, and its order is
//! that of the images; but for the gradient of the bias, which each band has a part of, added in the bands' order.
//! How many images are held at a time changes no sum: [`images_held`].

use rayon::prelude::*;

use super::TILE;
use super::grid::Grid;
use super::tiles::{self, Layout};
use super::weights::{self, transformed_len};
use crate::conv::Shape;
use crate::conv::images::Images;
use crate::conv::workspace::{Workspace, with_scratch};
use crate::simd::Simd;
use crate::simd::product::{Left, Product, Right};

/// Tiles of a band, which is also the length of a segment of the products' inner dimension.
const BAND_TILES: usize = 16;

/// How many images' transformed values are held at a time: as few as give each thread two bands to transform.
///
/// They are written once and read soon after, and should be in the caches still. On two cores whose third-level cache
/// others use, too, holding four images instead of one took 1.6 times as long.
fn images_held(images: usize, bands_of_image: usize) -> usize {
    (2 * rayon::current_num_threads()).div_ceil(bands_of_image).min(images)
}

/// Adds the gradients of weights and bias.
#[expect(clippy::too_many_arguments, reason = "two operands, two results and how to compute them")]
pub(super) fn add<S: Simd>(
    simd: S,
    shape: Shape,
    grid: Grid,
    input: Images<'_>,
    output_gradient: Images<'_>,
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
    workspace: &mut Workspace,
) {
    let images = input.count(grid.size);
    let band_rows = grid.band_rows(BAND_TILES);
    let tiles = band_rows * grid.columns;
    let bands_of_image = grid.rows.div_ceil(band_rows);
    let held = images_held(images, bands_of_image);
    let [inputs, outputs] = [shape.in_channels, shape.out_channels].map(|c| Layout::new::<S>(c, tiles));
    let [v, m, bias_sums, transformed] = workspace.lend([
        held * bands_of_image * inputs.len(),
        held * bands_of_image * outputs.len(),
        held * bands_of_image * shape.out_channels,
        transformed_len::<S>(shape.in_channels, shape.out_channels),
    ]);

    for first in (0..images).step_by(held) {
        let bands: Vec<_> = grid.bands(first..(first + held).min(images), band_rows).collect();
        let segments = bands.len();
        bands
            .into_par_iter()
            .zip(v.par_chunks_exact_mut(inputs.len()))
            .zip(m.par_chunks_exact_mut(outputs.len()))
            .zip(bias_sums.par_chunks_exact_mut(shape.out_channels))
            .with_max_len(1)
            .for_each(|(((band, v), m), bias_sums)| {
                let input = input.image(grid.size, band.image);
                let gradient = output_gradient.image(grid.size, band.image);
                with_scratch(
                    [tiles::strip_len::<S>(shape.in_channels.max(shape.out_channels))],
                    |[strip]| {
                        simd.run(
                            #[inline(always)]
                            || {
                                let rows = || band.rows.clone();
                                tiles::transform_input(simd, grid, rows(), input, inputs, v, strip);
                                tiles::transform_output_gradient(
                                    simd,
                                    grid,
                                    rows(),
                                    gradient,
                                    outputs,
                                    m,
                                    strip,
                                );
                                let last_row = (band.rows.end * TILE).min(grid.size.height);
                                let pixels =
                                    band.rows.start * TILE * grid.size.width..last_row * grid.size.width;
                                gradient.sum_pixels(simd, pixels, bias_sums);
                            },
                        );
                    },
                );
            });
        transformed.par_chunks_exact_mut(weights::matrix_len::<S>(shape.in_channels)).enumerate().for_each(
            |(index, sums)| {
                let (frequency, output) = (index / outputs.panels, index % outputs.panels);
                for (input, sums) in sums.chunks_exact_mut(S::PANEL * S::PANEL).enumerate() {
                    simd.product(Product {
                        rows: S::PANEL,
                        segments,
                        depth: tiles,
                        a: Left {
                            values: &v[frequency * inputs.frequency + input * inputs.panel..],
                            row: 1,
                            segment: inputs.len(),
                            depth: S::PANEL,
                        },
                        b: Right {
                            values: &m[frequency * outputs.frequency + output * outputs.panel..],
                            segment: outputs.len(),
                        },
                        c: sums,
                        accumulate: first > 0,
                    });
                }
            },
        );
        for sums in bias_sums[..segments * shape.out_channels].chunks_exact(shape.out_channels) {
            for (gradient, sum) in bias_gradient.iter_mut().zip(sums) {
                *gradient += sum;
            }
        }
    }
    weights::add_weight_gradient(simd, shape, transformed, weight_gradient);
}
