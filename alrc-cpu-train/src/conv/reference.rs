//! Convolution in plain loops, for any float type: the oracle of every other implementation.

use num_traits::Float;

use super::{Backward, Convolution, Forward, InputGradient, Shape, Workspace, passed};
use crate::tensor::ImageSize;

/// The oracle as a [`Convolution`] of `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    shape: Shape,
}

impl Reference {
    /// The oracle for `shape`.
    pub fn new(shape: Shape) -> Self {
        Self { shape }
    }
}

impl Convolution for Reference {
    fn forward(&self, pass: Forward<'_>, _: &mut Workspace) {
        forward(self.shape, pass);
    }

    fn backward(&self, pass: Backward<'_>, _: &mut Workspace) {
        backward(self.shape, pass);
    }

    fn name(&self) -> String {
        "reference".to_owned()
    }
}

/// Forward pass; see [`Forward`].
///
/// A NaN passes the ReLU, so that it reaches the loss and is noticed there.
pub fn forward<T: Float>(shape: Shape, pass: Forward<'_, T>) {
    let Forward { size, input, weights, bias, skip, mut mask, output } = pass;
    let channels = shape.out_channels;
    for (pixel, out) in output.chunks_exact_mut(channels).enumerate() {
        out.copy_from_slice(bias);
        for (tap, neighbour) in neighbours(shape, size, pixel) {
            let x = &input[neighbour * shape.in_channels..][..shape.in_channels];
            for (&x, row) in x.iter().zip(tap_weights(shape, weights, tap).chunks_exact(channels)) {
                for (out, &w) in out.iter_mut().zip(row) {
                    *out = *out + x * w;
                }
            }
        }
        if let Some(mask) = mask.as_deref_mut() {
            let mask = &mut mask[pixel * shape.mask_bytes()..][..shape.mask_bytes()];
            mask.fill(0);
            for (channel, out) in out.iter_mut().enumerate() {
                if *out <= T::zero() {
                    *out = T::zero();
                } else {
                    mask[channel / 8] |= 1 << (channel % 8);
                }
            }
        }
        if let Some(skip) = skip {
            for (out, &skip) in out.iter_mut().zip(&skip[pixel * channels..]) {
                *out = *out + skip;
            }
        }
    }
}

/// Backward pass; see [`Backward`].
pub fn backward<T: Float>(shape: Shape, pass: Backward<'_, T>) {
    let Backward {
        size,
        input,
        weights,
        mask,
        output_gradient,
        input_gradient,
        weight_gradient,
        bias_gradient,
    } = pass;
    let channels = shape.out_channels;
    let mut input_gradient = input_gradient.map(|InputGradient { skip, gradient }| {
        match skip {
            Some(skip) => gradient.copy_from_slice(skip),
            None => gradient.fill(T::zero()),
        }
        gradient
    });
    let mut dy = vec![T::zero(); channels];
    for (pixel, output_gradient) in output_gradient.chunks_exact(channels).enumerate() {
        dy.copy_from_slice(output_gradient);
        if let Some(mask) = mask {
            let mask = &mask[pixel * shape.mask_bytes()..][..shape.mask_bytes()];
            for (channel, dy) in dy.iter_mut().enumerate() {
                if !passed(mask, channel) {
                    *dy = T::zero();
                }
            }
        }
        for (db, &dy) in bias_gradient.iter_mut().zip(&dy) {
            *db = *db + dy;
        }
        for (tap, neighbour) in neighbours(shape, size, pixel) {
            let x = &input[neighbour * shape.in_channels..][..shape.in_channels];
            let dw = &mut weight_gradient[tap * shape.in_channels * channels..];
            for (&x, dw) in x.iter().zip(dw.chunks_exact_mut(channels)) {
                for (dw, &dy) in dw.iter_mut().zip(&dy) {
                    *dw = *dw + x * dy;
                }
            }
            if let Some(dx) = input_gradient.as_deref_mut() {
                let dx = &mut dx[neighbour * shape.in_channels..][..shape.in_channels];
                for (dx, row) in dx.iter_mut().zip(tap_weights(shape, weights, tap).chunks_exact(channels)) {
                    *dx = row.iter().zip(&dy).fold(*dx, |sum, (&w, &dy)| sum + w * dy);
                }
            }
        }
    }
}

/// The weights of one tap, `[in_channels, out_channels]`.
fn tap_weights<T>(shape: Shape, weights: &[T], tap: usize) -> &[T] {
    let len = shape.in_channels * shape.out_channels;
    &weights[tap * len..][..len]
}

/// The pixels inside the image that the kernel meets when centred on `pixel`, each with the number of its tap.
fn neighbours(shape: Shape, size: ImageSize, pixel: usize) -> impl Iterator<Item = (usize, usize)> {
    let (kernel, reach) = (shape.kernel, shape.reach());
    let image = pixel / size.pixels();
    let (row, column) = (pixel % size.pixels() / size.width, pixel % size.width);
    (0..kernel * kernel).filter_map(move |tap| {
        let row = (row + tap / kernel).checked_sub(reach).filter(|&row| row < size.height)?;
        let column = (column + tap % kernel).checked_sub(reach).filter(|&column| column < size.width)?;
        Some((tap, image * size.pixels() + row * size.width + column))
    })
}
