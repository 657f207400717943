//! Convolutions of stride 1 with zero ("SAME") padding: the one seam between the network and its arithmetic.
//!
//! A [`Convolution`] does two things: a forward pass with bias, ReLU and skip connection fused in, and a backward
//! pass that yields the gradients of its input, weights and bias. [`mod@reference`] says in plain loops what these
//! mean, for any float type; every other implementation is tested against it.
//!
//! Layouts, for N images of H x W pixels:
//!
//! | buffer | shape |
//! | --- | --- |
//! | input, input gradient | `[N, H, W, in_channels]` |
//! | output, output gradient, skip | `[N, H, W, out_channels]` |
//! | weights, weight gradient | `[kernel, kernel, in_channels, out_channels]` |
//! | bias, bias gradient | `[out_channels]` |
//! | mask | `[N, H, W, ceil(out_channels / 8)]` bytes, bit c % 8 of byte c / 8 for channel c |
//!
//! The order of no sum depends on how many threads there are, so that every result has the same bits on any number of
//! them. Sums over images may be split between pieces of work: these are cut by the shapes alone, and added in their
//! order.

pub mod direct;
mod finish;
pub mod gemm;
mod images;
mod mask;
pub mod reference;
pub mod winograd;
mod workspace;

use serde::{Deserialize, Serialize};

pub use mask::passed;
pub use workspace::Workspace;

use crate::simd::{InstructionSet, with_token};
use crate::tensor::ImageSize;

/// Which implementation computes the convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// The fastest for each layer.
    #[default]
    Auto,
    /// Winograd's algorithm where the kernel is 3x3, direct elsewhere.
    Winograd,
    /// Every product of the definition; in 3x3 layers by the library `matrixmultiply`, which chooses its instructions
    /// itself.
    Direct,
    /// Plain loops on one thread: slow, the standard by which the others are judged.
    Reference,
}

/// What does not change from call to call: a square kernel of odd size between two numbers of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows and columns of the kernel, odd.
    pub kernel: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
}

impl Shape {
    /// Number of weights.
    pub fn weights(self) -> usize {
        self.kernel * self.kernel * self.in_channels * self.out_channels
    }

    /// Pixels by which the kernel reaches over its centre.
    pub fn reach(self) -> usize {
        self.kernel / 2
    }

    /// Bytes of the ReLU mask of one pixel.
    pub fn mask_bytes(self) -> usize {
        self.out_channels.div_ceil(8)
    }

    /// The weights turned by 180 degrees, `[kernel, kernel, out_channels, in_channels]`: those with which the input
    /// gradient is a convolution of the output gradient.
    fn turn(self, weights: &[f32]) -> Vec<f32> {
        let (inputs, outputs) = (self.in_channels, self.out_channels);
        let mut turned = Vec::with_capacity(weights.len());
        for tap in weights.chunks_exact(inputs * outputs).rev() {
            for output in 0..outputs {
                turned.extend((0..inputs).map(|input| tap[input * outputs + output]));
            }
        }
        turned
    }

    /// Multiplications and additions of one pass over one image, counted as direct convolution.
    pub fn flop(self, size: ImageSize) -> f64 {
        2.0 * self.weights() as f64 * size.pixels() as f64
    }
}

/// Operands of a forward pass: output = skip + relu(input * weights + bias).
///
/// See the [module](self) for layouts.
#[derive(Debug)]
pub struct Forward<'a, T = f32> {
    /// Size of every image.
    pub size: ImageSize,
    /// Input.
    pub input: &'a [T],
    /// Weights.
    pub weights: &'a [T],
    /// Bias.
    pub bias: &'a [T],
    /// Added after the ReLU, if there is a skip connection.
    pub skip: Option<&'a [T]>,
    /// Receives where the ReLU let its argument pass; without it there is no ReLU.
    pub mask: Option<&'a mut [u8]>,
    /// Receives the output.
    pub output: &'a mut [T],
}

/// Operands of a backward pass over at least one image. See the [module](self) for layouts.
#[derive(Debug)]
pub struct Backward<'a, T = f32> {
    /// Size of every image.
    pub size: ImageSize,
    /// Input of the forward pass.
    pub input: &'a [T],
    /// Weights of the forward pass.
    pub weights: &'a [T],
    /// Mask of the forward pass, if it had a ReLU.
    pub mask: Option<&'a [u8]>,
    /// Gradient of the output.
    pub output_gradient: &'a [T],
    /// Where the gradient of the input goes, if it is wanted.
    pub input_gradient: Option<InputGradient<'a, T>>,
    /// The gradient of the weights is added to this.
    pub weight_gradient: &'a mut [T],
    /// The gradient of the bias is added to this.
    pub bias_gradient: &'a mut [T],
}

/// Where a backward pass puts the gradient of its input.
#[derive(Debug)]
pub struct InputGradient<'a, T = f32> {
    /// Added to it, if the input also goes round the layer through a skip connection.
    pub skip: Option<&'a [T]>,
    /// Receives the gradient.
    pub gradient: &'a mut [T],
}

/// One convolution layer's arithmetic.
pub trait Convolution: Send + Sync {
    /// Computes the output.
    fn forward(&self, pass: Forward<'_>, workspace: &mut Workspace);

    /// Computes the gradients.
    fn backward(&self, pass: Backward<'_>, workspace: &mut Workspace);

    /// The name of the implementation, for `info`.
    fn name(&self) -> String;
}

/// The implementation of `algorithm` for a layer of `shape`.
pub fn choose(algorithm: Algorithm, set: InstructionSet, shape: Shape) -> Box<dyn Convolution> {
    match algorithm {
        Algorithm::Reference => Box::new(reference::Reference::new(shape)),
        Algorithm::Auto | Algorithm::Winograd if shape.kernel == 3 => {
            with_token!(set, |simd| Box::new(winograd::Winograd::new(simd, shape)))
        }
        Algorithm::Direct if shape.kernel == 3 => Box::new(gemm::Gemm::new(shape)),
        _ => with_token!(set, |simd| Box::new(direct::Direct::new(simd, shape))),
    }
}
