//! Winograd's F(4x4, 3x3): 3x3 convolutions with a quarter of the multiplications.

mod gradient;
mod grid;
mod tiles;
mod transform;
mod weights;

use rayon::prelude::*;

use super::finish::Destination;
use super::workspace::{Workspace, with_scratch};
use super::{Backward, Convolution, Forward, InputGradient, Shape};
use crate::simd::Simd;
use crate::simd::product::{Left, Product, Right};
use grid::{Band, Grid};
use tiles::Source;
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
        let [transformed] = workspace.lend([weights::transformed_len::<S>(self.shape)]);
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
        let grid = Grid::new(pass.size);
        let input = Images { channels: self.shape.in_channels, values: pass.input, masks: None };
        let output_gradient =
            Images { channels: self.shape.out_channels, values: pass.output_gradient, masks: pass.mask };
        gradient::add(
            self.simd,
            self.shape,
            grid,
            input,
            output_gradient,
            pass.weight_gradient,
            pass.bias_gradient,
            workspace,
        );
        if let Some(InputGradient { skip, gradient }) = pass.input_gradient {
            let [transformed] = workspace.lend([weights::transformed_len::<S>(self.shape)]);
            weights::transform_turned_weights(self.simd, self.shape, pass.weights, transformed);
            let channels = self.shape.in_channels;
            let output = Output { channels, bias: None, skip, masks: None, values: gradient };
            convolve(self.simd, grid, output_gradient, transformed, output);
        }
    }

    fn name(&self) -> String {
        format!("Winograd F(4x4, 3x3), {}", S::NAME)
    }
}

/// A batch of images to be read.
#[derive(Clone, Copy, Debug)]
struct Images<'a> {
    channels: usize,
    /// `[images, height, width, channels]`.
    values: &'a [f32],
    /// Where they are to be read as they are; elsewhere they are taken to be zero.
    masks: Option<&'a [u8]>,
}

impl<'a> Images<'a> {
    fn image(self, grid: Grid, index: usize) -> Source<'a> {
        let pixels = grid.size.pixels();
        let (values, bytes) = (pixels * self.channels, pixels * self.channels.div_ceil(8));
        Source {
            channels: self.channels,
            image: &self.values[index * values..][..values],
            mask: self.masks.map(|masks| &masks[index * bytes..][..bytes]),
        }
    }
}

/// A batch of images to be written; see [`Destination`].
#[derive(Debug)]
struct Output<'a> {
    channels: usize,
    bias: Option<&'a [f32]>,
    skip: Option<&'a [f32]>,
    masks: Option<&'a mut [u8]>,
    values: &'a mut [f32],
}

/// Convolves images with transformed weights, band by band.
fn convolve<S: Simd>(simd: S, grid: Grid, input: Images<'_>, transformed: &[f32], output: Output<'_>) {
    let Output { channels, bias, skip, masks, values } = output;
    let images = values.len() / (grid.size.pixels() * channels);
    // Enough bands for every thread to get some; which tiles share a band does not change their values.
    let tiles = images * grid.rows * grid.columns / (2 * rayon::current_num_threads());
    let band_rows = grid.band_rows(tiles.min(BAND_TILES));
    let mut masks = masks.map(|masks| grid.bands_mut(masks, channels.div_ceil(8), band_rows));
    let mut first = 0;
    let bands: Vec<_> = grid
        .bands(0..images, band_rows)
        .zip(grid.bands_mut(values, channels, band_rows))
        .map(|(band, output)| {
            let skip = skip.map(|skip| &skip[first..][..output.len()]);
            first += output.len();
            let mask = masks.as_mut().and_then(Iterator::next);
            (band, Destination { channels, bias, skip, mask, output })
        })
        .collect();
    bands.into_par_iter().with_max_len(1).for_each(|(band, destination)| {
        let source = input.image(grid, band.image);
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
    let (segments, padded) = (source.channels.div_ceil(S::PANEL), source.channels.next_multiple_of(S::PANEL));
    let (matrix, strip) = (tiles * S::PANEL, padded * S::PANEL);
    with_scratch([FREQUENCIES * segments * matrix, FREQUENCIES * matrix], |[v, m]| {
        simd.run(
            #[inline(always)]
            || tiles::transform_input(simd, grid, band.rows.clone(), source, tiles, v),
        );
        for (panel, u) in transformed.chunks_exact(FREQUENCIES * strip).enumerate() {
            let operands = v.chunks_exact(segments * matrix).zip(u.chunks_exact(strip));
            for ((v, u), m) in operands.zip(m.chunks_exact_mut(matrix)) {
                simd.product(Product {
                    rows: tiles,
                    segments,
                    depth: S::PANEL,
                    a: Left { values: v, row: S::PANEL, segment: matrix, depth: 1 },
                    b: Right { values: u, segment: S::PANEL * S::PANEL },
                    c: m,
                    accumulate: false,
                });
            }
            simd.run(
                #[inline(always)]
                || tiles::transform_output(simd, grid, band.rows.clone(), panel, m, &mut destination),
            );
        }
    });
}
