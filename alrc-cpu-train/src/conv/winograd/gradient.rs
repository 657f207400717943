//! The gradient of the weights: dU = sum over tiles of V' dM in each frequency, then dW = G' dU G.
//!
//! Some images at a time are transformed, bands of them in parallel; then the products are computed, each piece of
//! work all tiles for one frequency and one panel of outputs. So no sum is divided between threads, and its order is
//! that of the images.

use rayon::prelude::*;

use super::grid::Grid;
use super::tiles::{self, Source};
use super::weights::{self, transformed_len};
use super::{FREQUENCIES, Images, TILE};
use crate::conv::Shape;
use crate::conv::workspace::Workspace;
use crate::simd::Simd;
use crate::simd::product::{Left, Product, Right};

/// Tiles of a band, which is also the length of a segment of the products' inner dimension.
const BAND_TILES: usize = 16;

/// Images whose transformed values are held at a time.
const IMAGES: usize = 4;

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
    let images = input.values.len() / (grid.size.pixels() * shape.in_channels);
    let band_rows = grid.band_rows(BAND_TILES);
    let capacity = band_rows * grid.columns;
    let held = IMAGES.min(images) * grid.rows.div_ceil(band_rows);
    let (inputs, outputs) = (shape.in_channels.div_ceil(S::PANEL), shape.out_channels.div_ceil(S::PANEL));
    let [v_len, m_len] = [inputs, outputs].map(|panels| FREQUENCIES * panels * capacity * S::PANEL);
    let [v, m, bias_sums, transformed] =
        workspace.lend([held * v_len, held * m_len, held * shape.out_channels, transformed_len::<S>(shape)]);

    for first in (0..images).step_by(IMAGES) {
        let bands: Vec<_> = grid.bands(first..(first + IMAGES).min(images), band_rows).collect();
        let segments = bands.len();
        bands
            .into_par_iter()
            .zip(v.par_chunks_exact_mut(v_len))
            .zip(m.par_chunks_exact_mut(m_len))
            .zip(bias_sums.par_chunks_exact_mut(shape.out_channels))
            .with_max_len(1)
            .for_each(|(((band, v), m), bias_sums)| {
                let input = input.image(grid, band.image);
                let gradient = output_gradient.image(grid, band.image);
                simd.run(
                    #[inline(always)]
                    || {
                        tiles::transform_input(simd, grid, band.rows.clone(), input, capacity, v);
                        tiles::transform_output_gradient(
                            simd,
                            grid,
                            band.rows.clone(),
                            gradient,
                            capacity,
                            m,
                        );
                        let last_row = (band.rows.end * TILE).min(grid.size.height);
                        let pixels = band.rows.start * TILE * grid.size.width..last_row * grid.size.width;
                        sum_pixels(simd, gradient, pixels, bias_sums);
                    },
                );
            });
        transformed.par_chunks_exact_mut(inputs * S::PANEL * S::PANEL).enumerate().for_each(
            |(index, sums)| {
                let (frequency, output) = (index / outputs, index % outputs);
                for (input, sums) in sums.chunks_exact_mut(S::PANEL * S::PANEL).enumerate() {
                    simd.product(Product {
                        rows: S::PANEL,
                        segments,
                        depth: capacity,
                        a: Left {
                            values: &v[(frequency * inputs + input) * capacity * S::PANEL..],
                            row: 1,
                            segment: v_len,
                            depth: S::PANEL,
                        },
                        b: Right {
                            values: &m[(frequency * outputs + output) * capacity * S::PANEL..],
                            segment: m_len,
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

/// The sum over pixels.
#[inline(always)]
fn sum_pixels<S: Simd>(simd: S, source: Source<'_>, pixels: std::ops::Range<usize>, sums: &mut [f32]) {
    for channel in (0..source.channels).step_by(S::LANES) {
        let mut sum = simd.splat(0.0);
        for pixel in pixels.clone() {
            sum = simd.add(sum, source.load(simd, pixel, channel));
        }
        simd.store(sum, &mut sums[channel..]);
    }
}
