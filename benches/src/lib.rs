//! What benchmarks of convolutions share: the layers of the published network, with operands for their passes.

use alrc_cpu_train::conv::{
    self, Algorithm, Backward, Convolution, Forward, InputGradient, Shape, Workspace,
};
use alrc_cpu_train::simd::InstructionSet;
use alrc_cpu_train::tensor::ImageSize;

/// Size of the images.
pub const SIZE: ImageSize = ImageSize { height: 32, width: 32 };

/// The different layers of the published network.
pub const LAYERS: [(&str, Shape); 5] = [
    ("conv_in", Shape { kernel: 5, in_channels: 3, out_channels: 64 }),
    ("conv_up", Shape { kernel: 3, in_channels: 64, out_channels: 128 }),
    ("residual", Shape { kernel: 3, in_channels: 128, out_channels: 128 }),
    ("conv_down", Shape { kernel: 3, in_channels: 128, out_channels: 64 }),
    ("conv_out", Shape { kernel: 5, in_channels: 64, out_channels: 3 }),
];

/// Values between -1 and 1 without structure.
pub fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|index| (index.wrapping_mul(2_654_435_761) as f32) / 2.0_f32.powi(31) - 1.0).collect()
}

/// Has all that is computed from here on computed by the thread that calls, which must stay the only one to do so.
///
/// # Panics
/// Where it is too late.
pub fn use_one_thread() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().expect("nothing has been computed yet");
}

/// A layer, and operands for its passes.
pub struct Layer {
    convolution: Box<dyn Convolution>,
    input: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    mask: Vec<u8>,
    output: Vec<f32>,
    output_gradient: Vec<f32>,
    input_gradient: Vec<f32>,
    weight_gradient: Vec<f32>,
    bias_gradient: Vec<f32>,
    workspace: Workspace,
}

impl Layer {
    /// The layer of `shape` with a batch of `images` images.
    pub fn new(set: InstructionSet, shape: Shape, images: usize) -> Self {
        let pixels = images * SIZE.pixels();
        let (inputs, outputs) = (pixels * shape.in_channels, pixels * shape.out_channels);
        Self {
            convolution: conv::choose(Algorithm::Auto, set, shape),
            input: values(inputs),
            weights: values(shape.weights()),
            bias: values(shape.out_channels),
            mask: vec![0xff; pixels * shape.mask_bytes()],
            output: vec![0.0; outputs],
            output_gradient: values(outputs),
            input_gradient: vec![0.0; inputs],
            weight_gradient: vec![0.0; shape.weights()],
            bias_gradient: vec![0.0; shape.out_channels],
            workspace: Workspace::default(),
        }
    }

    /// The forward pass.
    pub fn forward(&mut self) {
        let pass = Forward {
            size: SIZE,
            input: &self.input,
            weights: &self.weights,
            bias: &self.bias,
            skip: None,
            mask: Some(&mut self.mask),
            output: &mut self.output,
        };
        self.convolution.forward(pass, &mut self.workspace);
    }

    /// The backward pass: the gradient of the weights, and of the input if it is wanted.
    pub fn backward(&mut self, with_input: bool) {
        let input_gradient = InputGradient { skip: None, gradient: &mut self.input_gradient };
        let pass = Backward {
            size: SIZE,
            input: &self.input,
            weights: &self.weights,
            mask: Some(&self.mask),
            output_gradient: &self.output_gradient,
            input_gradient: with_input.then_some(input_gradient),
            weight_gradient: &mut self.weight_gradient,
            bias_gradient: &mut self.bias_gradient,
        };
        self.convolution.backward(pass, &mut self.workspace);
    }
}
