//! Convolution as matrix products by a library: every product of the definition, on every processor.
//!
//! * Forward: the neighbourhood of each pixel becomes a row of a matrix (`im2col`), which is multiplied by the
//!   weights, `[pixels, k k in] x [k k in, out]`. A piece of work is a band of rows of one image.
//! * Input gradient: the same with the output gradient in place of the input and with the weights turned by 180
//!   degrees and transposed.
//! * Weight gradient: for each tap of the kernel, the shifted input transposed times the output gradient,
//!   `[in, pixels] x [pixels, out]`, summed over the images in order. A piece of work is a tap.

use std::ops::Range;

use rayon::prelude::*;

use super::images::bands_mut;
use super::workspace::{Workspace, with_scratch};
use super::{Backward, Convolution, Forward, InputGradient, Shape, passed};
use crate::tensor::ImageSize;

/// Rows of an image in one piece of work.
const BAND: usize = 8;

/// A convolution by matrix products.
#[derive(Clone, Copy, Debug)]
pub struct Gemm {
    shape: Shape,
}

impl Gemm {
    /// For layers of `shape`.
    pub fn new(shape: Shape) -> Self {
        Self { shape }
    }
}

impl Convolution for Gemm {
    fn forward(&self, pass: Forward<'_>, _: &mut Workspace) {
        let Forward { size, input, weights, bias, skip, mask, output } = pass;
        let (channels, mask_bytes) = (self.shape.out_channels, self.shape.mask_bytes());
        let masks: Vec<Option<&mut [u8]>> = match mask {
            Some(mask) => bands_mut(mask, size, mask_bytes, BAND).map(Some).collect(),
            None => bands_mut(output, size, channels, BAND).map(|_| None).collect(),
        };
        let outputs: Vec<_> = bands_mut(output, size, channels, BAND).collect();
        outputs.into_par_iter().zip(masks).enumerate().for_each(|(index, (output, mask))| {
            let band = Band::new(index, size);
            multiply_neighbourhoods(self.shape, size, &band, input, weights, 0.0, output);
            let skip = skip.map(|skip| &skip[band.pixels().start * channels..][..output.len()]);
            finish(output, bias, mask, skip);
        });
    }

    fn backward(&self, pass: Backward<'_>, _: &mut Workspace) {
        let shape = self.shape;
        let masked;
        let output_gradient = match pass.mask {
            Some(mask) => {
                masked = apply_mask(shape, pass.output_gradient, mask);
                &masked
            }
            None => pass.output_gradient,
        };
        if let Some(InputGradient { skip, gradient }) = pass.input_gradient {
            let beta = if let Some(skip) = skip {
                gradient.copy_from_slice(skip);
                1.0
            } else {
                0.0
            };
            input_gradient(shape, pass.size, output_gradient, pass.weights, beta, gradient);
        }
        rayon::join(
            || weight_gradient(shape, pass.size, pass.input, output_gradient, pass.weight_gradient),
            || {
                for dy in output_gradient.chunks_exact(shape.out_channels) {
                    add(pass.bias_gradient, dy);
                }
            },
        );
    }

    fn name(&self) -> String {
        "matrix products (matrixmultiply)".to_owned()
    }
}

/// A band of rows of one image, numbered through the batch.
struct Band {
    image: usize,
    rows: Range<usize>,
    size: ImageSize,
}

impl Band {
    fn new(index: usize, size: ImageSize) -> Self {
        let per_image = size.height.div_ceil(BAND);
        let first = index % per_image * BAND;
        Self { image: index / per_image, rows: first..(first + BAND).min(size.height), size }
    }

    /// The pixels of the band, numbered through the batch.
    fn pixels(&self) -> Range<usize> {
        let first = self.image * self.size.pixels();
        first + self.rows.start * self.size.width..first + self.rows.end * self.size.width
    }
}

/// output = beta output + neighbourhoods of the band in `input` x `weights`.
fn multiply_neighbourhoods(
    shape: Shape,
    size: ImageSize,
    band: &Band,
    input: &[f32],
    weights: &[f32],
    beta: f32,
    output: &mut [f32],
) {
    let taps = shape.kernel * shape.kernel;
    let pixels = band.pixels().len();
    let row_len = taps * shape.in_channels;
    with_scratch([pixels * row_len], |[columns]| {
        for tap in 0..taps {
            gather_tap(shape, size, band, tap, input, &mut columns[tap * shape.in_channels..], row_len);
        }
        multiply(
            Matrix { data: columns, rows: pixels, columns: row_len, row_stride: row_len, column_stride: 1 },
            Matrix::row_major(weights, row_len, shape.out_channels),
            beta,
            output,
        );
    });
}

/// Writes, for every pixel of `band`, the channels of its neighbour under `tap` (zero outside the image) to `out`,
/// where a pixel takes `stride` values.
fn gather_tap(
    shape: Shape,
    size: ImageSize,
    band: &Band,
    tap: usize,
    input: &[f32],
    out: &mut [f32],
    stride: usize,
) {
    let channels = shape.in_channels;
    let image = &input[band.image * size.pixels() * channels..][..size.pixels() * channels];
    let (down, right) = (tap / shape.kernel, tap % shape.kernel);
    let mut pixels = out.chunks_mut(stride).map(|pixel| &mut pixel[..channels]);
    for row in band.rows.clone() {
        let row = (row + down).checked_sub(shape.reach()).filter(|&row| row < size.height);
        for (column, pixel) in (0..size.width).zip(&mut pixels) {
            let column = (column + right).checked_sub(shape.reach()).filter(|&column| column < size.width);
            match (row, column) {
                (Some(row), Some(column)) => {
                    pixel.copy_from_slice(&image[(row * size.width + column) * channels..][..channels]);
                }
                _ => pixel.fill(0.0),
            }
        }
    }
}

/// Bias, ReLU and its mask, skip connection.
fn finish(output: &mut [f32], bias: &[f32], mask: Option<&mut [u8]>, skip: Option<&[f32]>) {
    for pixel in output.chunks_exact_mut(bias.len()) {
        add(pixel, bias);
    }
    if let Some(mask) = mask {
        let pixels = output.chunks_exact_mut(bias.len()).zip(mask.chunks_exact_mut(bias.len().div_ceil(8)));
        for (pixel, mask) in pixels {
            for (eight, bits) in pixel.chunks_mut(8).zip(mask) {
                *bits = 0;
                for (channel, value) in eight.iter_mut().enumerate() {
                    // Written so that a NaN passes: it must reach the loss to be noticed.
                    let stopped = *value <= 0.0;
                    *bits |= u8::from(!stopped) << channel;
                    *value = if stopped { 0.0 } else { *value };
                }
            }
        }
    }
    if let Some(skip) = skip {
        add(output, skip);
    }
}

/// The output gradient where the ReLU let its argument pass, else zero.
fn apply_mask(shape: Shape, output_gradient: &[f32], mask: &[u8]) -> Vec<f32> {
    let channels = shape.out_channels;
    let mut masked = vec![0.0; output_gradient.len()];
    masked
        .par_chunks_exact_mut(channels)
        .with_min_len(64)
        .zip(output_gradient.par_chunks_exact(channels))
        .zip(mask.par_chunks_exact(shape.mask_bytes()))
        .for_each(|((masked, dy), mask)| {
            for (channel, (masked, &dy)) in masked.iter_mut().zip(dy).enumerate() {
                *masked = if passed(mask, channel) { dy } else { 0.0 };
            }
        });
    masked
}

/// out = beta out + gradient of the input.
fn input_gradient(
    shape: Shape,
    size: ImageSize,
    output_gradient: &[f32],
    weights: &[f32],
    beta: f32,
    out: &mut [f32],
) {
    let turned = shape.turn(weights);
    let shape = Shape { in_channels: shape.out_channels, out_channels: shape.in_channels, ..shape };
    let bands: Vec<_> = bands_mut(out, size, shape.out_channels, BAND).collect();
    bands.into_par_iter().enumerate().for_each(|(index, out)| {
        multiply_neighbourhoods(shape, size, &Band::new(index, size), output_gradient, &turned, beta, out);
    });
}

/// Adds the gradient of the weights to `out`.
fn weight_gradient(shape: Shape, size: ImageSize, input: &[f32], output_gradient: &[f32], out: &mut [f32]) {
    let (inputs, outputs, pixels) = (shape.in_channels, shape.out_channels, size.pixels());
    out.par_chunks_exact_mut(inputs * outputs).enumerate().for_each(|(tap, out)| {
        with_scratch([pixels * inputs], |[shifted]| {
            for (image, dy) in output_gradient.chunks_exact(pixels * outputs).enumerate() {
                let whole = Band { image, rows: 0..size.height, size };
                gather_tap(shape, size, &whole, tap, input, shifted, inputs);
                multiply(
                    Matrix {
                        data: shifted,
                        rows: inputs,
                        columns: pixels,
                        row_stride: 1,
                        column_stride: inputs,
                    },
                    Matrix::row_major(dy, pixels, outputs),
                    1.0,
                    out,
                );
            }
        });
    });
}

/// sum += values
fn add(sum: &mut [f32], values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}

/// A matrix in a slice: element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Panics where an element would lie outside the slice.
    fn check(&self) {
        let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
        assert!(last < self.data.len(), "matrix reaches outside its slice");
    }
}

/// c = beta c + a b, where `c` is row-major.
fn multiply(a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "inner sizes of a product differ");
    assert_eq!(a.rows * b.columns, c.len(), "size of a product");
    a.check();
    b.check();
    // SAFETY: the checks above show that every element of a, b and c that the sizes and strides address lies
    // inside its slice; c is borrowed mutably, so it overlaps neither a nor b.
    unsafe {
        matrixmultiply::sgemm(
            a.rows,
            a.columns,
            b.columns,
            1.0,
            a.data.as_ptr(),
            a.row_stride as isize,
            a.column_stride as isize,
            b.data.as_ptr(),
            b.row_stride as isize,
            b.column_stride as isize,
            beta,
            c.as_mut_ptr(),
            b.columns as isize,
            1,
        );
    }
}
