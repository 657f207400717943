//! The supersampling network: ten convolutions, three residual blocks.
//!
//! For a trunk of width W: `conv_in` 5x5 3->W/2, `conv_up` 3x3 W/2->W, `res1`..`res3` of two 3x3 W->W each with the
//! skip connection added after the second ReLU, `conv_down` 3x3 W->W/2, `conv_out` 5x5 W/2->3 without ReLU.

use crate::config::Config;
use crate::conv::{self, Algorithm, Backward, Convolution, Forward, InputGradient, Shape, Workspace};
use crate::data::{CHANNELS, SIZE};
use crate::parameters::Layout;
use crate::random::{Purpose, Random};
use crate::simd::InstructionSet;
use crate::tensor::{Buffer, ImageSize, Tensor, zeros};

/// Steps of the forward pass; the numbers are those of layers.
pub(crate) const BLOCKS: [Block; 7] = [
    Block::Plain(0),
    Block::Plain(1),
    Block::Residual(2, 3),
    Block::Residual(4, 5),
    Block::Residual(6, 7),
    Block::Plain(8),
    Block::Plain(9),
];

#[derive(Clone, Copy)]
pub(crate) enum Block {
    /// One layer.
    Plain(usize),
    /// Two layers and a connection that skips them.
    Residual(usize, usize),
}

/// A layer of the network.
struct Layer {
    name: &'static str,
    shape: Shape,
    relu: bool,
    convolution: Box<dyn Convolution>,
}

/// The network, without its parameters.
pub struct Network {
    layers: Vec<Layer>,
    layout: Layout,
    size: ImageSize,
}

/// What a forward pass leaves for the backward pass, for a number of images.
pub struct Activations {
    /// The input, `[images, height, width, 3]`.
    pub input: Tensor,
    outputs: Vec<Tensor>,
    masks: Vec<Vec<u8>>,
}

/// Gradients of activations: the backward pass needs that of one layer's output, and room for those of its input and
/// of the input of the layer before.
pub struct Gradients {
    /// The gradient of what has been reached; to begin with, of the network's output, `[images, height, width, 3]`.
    pub current: Buffer,
    next: Buffer,
    skipped: Buffer,
}

impl Network {
    /// The network with a trunk of `width` channels (even) for images of `size`.
    pub fn new(width: usize, size: ImageSize, algorithm: Algorithm, set: InstructionSet) -> Self {
        let half = width / 2;
        let layer = |name, kernel, in_channels, out_channels| {
            let shape = Shape { kernel, in_channels, out_channels };
            let convolution = conv::choose(algorithm, set, shape);
            Layer { name, shape, relu: name != "conv_out", convolution }
        };
        let layers = vec![
            layer("conv_in", 5, CHANNELS, half),
            layer("conv_up", 3, half, width),
            layer("res1_a", 3, width, width),
            layer("res1_b", 3, width, width),
            layer("res2_a", 3, width, width),
            layer("res2_b", 3, width, width),
            layer("res3_a", 3, width, width),
            layer("res3_b", 3, width, width),
            layer("conv_down", 3, width, half),
            layer("conv_out", 5, half, CHANNELS),
        ];
        let layout = Layout::new(layers.iter().map(|layer| (layer.name, layer.shape)));
        Self { layers, layout, size }
    }

    /// The network that `config` describes.
    ///
    /// # Panics
    /// Where `config` is not valid.
    pub fn of(config: &Config) -> Self {
        let set = config.instruction_set().expect("a valid configuration");
        Self::new(config.width, SIZE, config.conv, set)
    }

    /// Where each parameter lies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Name and implementation of every layer.
    pub fn implementations(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.layers.iter().map(|layer| (layer.name, layer.convolution.name()))
    }

    /// Shape of every layer, and whether it has a ReLU.
    pub fn shapes(&self) -> impl Iterator<Item = (Shape, bool)> {
        self.layers.iter().map(|layer| (layer.shape, layer.relu))
    }

    /// Multiplications and additions of a training step on one image, counted as direct convolution: a forward pass
    /// and two gradients, but for the first layer's input.
    pub fn flop(&self) -> f64 {
        let forward: f64 = self.layers.iter().map(|layer| layer.shape.flop(self.size)).sum();
        3.0 * forward - self.layers[0].shape.flop(self.size)
    }

    /// Starting parameters: weights uniform within +-sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010), biases 0.
    pub fn initial_parameters(&self, seed: u64) -> Buffer {
        let mut arena = self.layout.zeros();
        for (index, layer) in self.layers.iter().enumerate() {
            let Shape { kernel, in_channels, out_channels } = layer.shape;
            let fans = (kernel * kernel * (in_channels + out_channels)) as f32;
            let bound = (6.0 / fans).sqrt();
            let mut random = Random::new(seed, Purpose::Weights, index as u64);
            self.layout.layer_mut(index, &mut arena).0.fill_with(|| random.between(-bound, bound));
        }
        arena
    }

    /// Room for the activations of `images` images.
    pub fn activations(&self, images: usize) -> Activations {
        let output = |layer: &Layer| Tensor::zeros(images, self.size, layer.shape.out_channels);
        Activations {
            input: Tensor::zeros(images, self.size, CHANNELS),
            outputs: self.layers.iter().map(output).collect(),
            masks: self.layers.iter().map(|layer| vec![0; self.mask_len(layer, images)]).collect(),
        }
    }

    /// Room for the gradients of the activations of `images` images.
    pub fn gradients(&self, images: usize) -> Gradients {
        let buffer = || zeros(images * self.size.pixels() * self.most_channels());
        Gradients { current: buffer(), next: buffer(), skipped: buffer() }
    }

    /// Values that an image takes in [`activations`](Self::activations) and [`gradients`](Self::gradients), together
    /// with its target.
    pub fn values_per_image(&self) -> usize {
        let outputs: usize = self.layers.iter().map(|layer| layer.shape.out_channels).sum();
        self.size.pixels() * (2 * CHANNELS + outputs + 3 * self.most_channels())
    }

    /// The channels of the layer that has the most.
    fn most_channels(&self) -> usize {
        self.layers.iter().map(|layer| layer.shape.out_channels).max().unwrap_or(CHANNELS)
    }

    fn mask_len(&self, layer: &Layer, images: usize) -> usize {
        images * self.size.pixels() * layer.shape.mask_bytes()
    }

    /// Computes the output of the first `images` images of `activations.input`.
    pub fn forward(
        &self,
        parameters: &[f32],
        images: usize,
        activations: &mut Activations,
        workspace: &mut Workspace,
    ) {
        for block in BLOCKS {
            let layers = match block {
                Block::Plain(layer) => vec![(layer, None)],
                Block::Residual(a, b) => vec![(a, None), (b, Some(a))],
            };
            for (layer, skip_from) in layers {
                self.forward_layer(parameters, layer, skip_from, images, activations, workspace);
            }
        }
    }

    /// Computes the output of one layer; adds the input of layer `skip_from`.
    fn forward_layer(
        &self,
        parameters: &[f32],
        index: usize,
        skip_from: Option<usize>,
        images: usize,
        activations: &mut Activations,
        workspace: &mut Workspace,
    ) {
        let layer = &self.layers[index];
        let (weights, bias) = self.layout.layer(index, parameters);
        let (earlier, output) = activations.outputs.split_at_mut(index);
        let input_of = |index: usize| {
            let tensor = if index == 0 { &activations.input } else { &earlier[index - 1] };
            tensor.images(0..images)
        };
        let mask_len = self.mask_len(layer, images);
        let pass = Forward {
            size: self.size,
            input: input_of(index),
            weights,
            bias,
            skip: skip_from.map(input_of),
            mask: layer.relu.then_some(&mut activations.masks[index][..mask_len]),
            output: output[0].images_mut(0..images),
        };
        layer.convolution.forward(pass, workspace);
    }

    /// Adds to `parameter_gradients` what the first `images` images, whose output's gradient is `gradients.current`,
    /// contribute. Layers are finished from the last to the first: after each, `finished_from` is called with where
    /// it starts in the arena, and with the arena, which has come to its result from there on.
    #[expect(clippy::too_many_arguments, reason = "what to differentiate, where to, and who waits for it")]
    pub fn backward(
        &self,
        parameters: &[f32],
        images: usize,
        activations: &Activations,
        gradients: &mut Gradients,
        parameter_gradients: &mut [f32],
        workspace: &mut Workspace,
        mut finished_from: impl FnMut(usize, &[f32]),
    ) {
        let mut layer = |index: usize,
                         output_gradient: &[f32],
                         skip: Option<&[f32]>,
                         gradient: &mut [f32]| {
            let layer = &self.layers[index];
            let len = |channels: usize| images * self.size.pixels() * channels;
            let (inputs, outputs) = (len(layer.shape.in_channels), len(layer.shape.out_channels));
            let (weight_gradient, bias_gradient) = self.layout.layer_mut(index, parameter_gradients);
            let input_gradient =
                InputGradient { skip: skip.map(|skip| &skip[..inputs]), gradient: &mut gradient[..inputs] };
            let pass = Backward {
                size: self.size,
                input: activations.input_of(index).images(0..images),
                weights: self.layout.layer(index, parameters).0,
                mask: layer.relu.then_some(&activations.masks[index][..self.mask_len(layer, images)]),
                output_gradient: &output_gradient[..outputs],
                input_gradient: (index > 0).then_some(input_gradient),
                weight_gradient,
                bias_gradient,
            };
            layer.convolution.backward(pass, workspace);
            finished_from(self.layout.layer_range(index).start, parameter_gradients);
        };
        let Gradients { current, next, skipped } = gradients;
        for block in BLOCKS.into_iter().rev() {
            match block {
                Block::Plain(index) => layer(index, current, None, next),
                Block::Residual(a, b) => {
                    std::mem::swap(current, skipped);
                    layer(b, skipped, None, current);
                    layer(a, current, Some(skipped), next);
                }
            }
            std::mem::swap(current, next);
        }
    }
}

impl Activations {
    /// The network's output, `[images, height, width, 3]`.
    pub fn output(&self) -> &Tensor {
        &self.outputs[self.outputs.len() - 1]
    }

    fn input_of(&self, layer: usize) -> &Tensor {
        layer.checked_sub(1).map_or(&self.input, |previous| &self.outputs[previous])
    }

    /// Makes image `index` contribute nothing to any gradient of a parameter, whatever it holds: zero times NaN
    /// would be NaN.
    pub fn clear_image(&mut self, index: usize) {
        self.input.image_mut(index).fill(0.0);
        for output in &mut self.outputs {
            output.image_mut(index).fill(0.0);
        }
    }
}
