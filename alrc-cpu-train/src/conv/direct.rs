//! Direct convolution: every product of the definition, for kernels that are not 3x3.
//!
//! In an image with zeros around it, the part of a row that a row of the kernel covers is contiguous, and the next
//! pixel's lies `channels` further on. So a row of outputs is a [`product`](crate::simd::product) that needs no other
//! copy of its input: its rows are pixels, its inner dimension runs over the kernel. The gradient of the weights is
//! one too, with the inner dimension running over pixels.
//!
//! The products' columns are channels of the output, by the panel. Where the output has so few that most of a panel
//! would be idle, as at the network's end, the sides are exchanged:
//!
//! * A convolution takes `[pixels, in] x [in, taps out]` first and adds up what belongs to each pixel then.
//! * The gradient of the weights slides the output gradient over the input, which yields it turned by 180 degrees.

mod gather;
mod gradient;
mod padded;
mod slide;

use rayon::prelude::*;

use super::images::{Images, Output};
use super::workspace::{Workspace, with_scratch};
use super::{Backward, Convolution, Forward, InputGradient, Shape};
use crate::simd::Simd;
use crate::tensor::ImageSize;
use padded::Padded;

/// Rows of an image in one piece of work.
const BAND: usize = 16;

/// A direct convolution on instruction set `S`.
#[derive(Clone, Copy, Debug)]
pub struct Direct<S> {
    simd: S,
    shape: Shape,
}

impl<S: Simd> Direct<S> {
    /// For layers of `shape`.
    pub fn new(simd: S, shape: Shape) -> Self {
        Self { simd, shape }
    }
}

impl<S: Simd> Convolution for Direct<S> {
    fn forward(&self, pass: Forward<'_>, workspace: &mut Workspace) {
        let input = Images { channels: self.shape.in_channels, values: pass.input, masks: None };
        let output = Output {
            channels: self.shape.out_channels,
            bias: Some(pass.bias),
            skip: pass.skip,
            masks: pass.mask,
            values: pass.output,
        };
        convolve(self.simd, self.shape, pass.size, input, pass.weights, output, workspace);
    }

    fn backward(&self, pass: Backward<'_>, workspace: &mut Workspace) {
        let shape = self.shape;
        let input = Images { channels: shape.in_channels, values: pass.input, masks: None };
        let output_gradient =
            Images { channels: shape.out_channels, values: pass.output_gradient, masks: pass.mask };
        gradient::add_to_weights(
            self.simd,
            shape,
            pass.size,
            input,
            output_gradient,
            pass.weight_gradient,
            workspace,
        );
        gradient::add_to_bias(self.simd, pass.size, output_gradient, pass.bias_gradient);
        if let Some(InputGradient { skip, gradient }) = pass.input_gradient {
            let turned = shape.turn(pass.weights);
            let shape = Shape { in_channels: shape.out_channels, out_channels: shape.in_channels, ..shape };
            let output =
                Output { channels: shape.out_channels, bias: None, skip, masks: None, values: gradient };
            convolve(self.simd, shape, pass.size, output_gradient, &turned, output, workspace);
        }
    }

    fn name(&self) -> String {
        format!("direct, {}", S::NAME)
    }
}

/// Whether a panel of so many channels would be mostly idle.
fn is_narrow<S: Simd>(channels: usize) -> bool {
    channels < S::PANEL / 2
}

/// Convolves images, band by band.
fn convolve<S: Simd>(
    simd: S,
    shape: Shape,
    size: ImageSize,
    input: Images<'_>,
    weights: &[f32],
    output: Output<'_>,
    workspace: &mut Workspace,
) {
    let narrow = is_narrow::<S>(shape.out_channels);
    let packed = if narrow {
        gather::pack::<S>(shape, weights, workspace)
    } else {
        slide::pack::<S>(shape, weights, workspace)
    };
    let bands = size.height.div_ceil(BAND);
    output.bands(size, BAND).into_par_iter().enumerate().with_max_len(1).for_each(|(index, destination)| {
        let first = index % bands * BAND;
        let rows = first..(first + BAND).min(size.height);
        let source = input.image(size, index / bands);
        with_scratch([Padded::len(shape, size, BAND)], |[values]| {
            let padded = Padded::new(simd, shape.reach(), size, rows, source, values);
            if narrow {
                gather::convolve(simd, shape, padded, packed, destination);
            } else {
                slide::convolve(simd, shape, padded, packed, destination);
            }
        });
    });
}

/// Fills panels of a product's right operand, `[panels, rows, PANEL]`, and zeros where they have more columns.
fn pack_panels<S: Simd>(
    rows: usize,
    columns: usize,
    value: impl Fn(usize, usize) -> f32,
    workspace: &mut Workspace,
) -> &[f32] {
    let [panels] = workspace.lend([columns.div_ceil(S::PANEL) * rows * S::PANEL]);
    for (panel, values) in panels.chunks_exact_mut(rows * S::PANEL).enumerate() {
        for (row, values) in values.chunks_exact_mut(S::PANEL).enumerate() {
            for (column, to) in (panel * S::PANEL..).zip(values) {
                *to = if column < columns { value(row, column) } else { 0.0 };
            }
        }
    }
    panels
}
