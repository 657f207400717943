//! The network as a sequence of kernels: forward pass, losses and their clipping, backward pass.

use wgpu::Buffer;

use super::convolution::{Backward, Forward, Layer, Method, Planner, Scratch};
use super::device::{Dispatch, Gpu};
use super::kernels::Kernels;
use crate::backend::BackendError;
use crate::conv::Algorithm;
use crate::data::{CHANNELS, SIZE};
use crate::model::{BLOCKS, Block, Network};

/// The buffers of the parameters and of one group of images.
pub(super) struct Buffers {
    pub(super) parameters: Buffer,
    pub(super) parameter_gradients: Buffer,
    pub(super) input: Buffer,
    pub(super) targets: Buffer,
    /// Limits of the step's clipping: the struct `Clipping` of `loss.wgsl`.
    pub(super) clipping: Buffer,
    /// Raw loss of each image.
    pub(super) losses: Buffer,
    /// 1 for each image whose loss is not finite.
    dropped: Buffer,
    /// Of each layer.
    outputs: Vec<Buffer>,
    masks: Vec<Buffer>,
    /// Gradients of activations: that of layer i's input is in number i % 3. Three suffice, as a residual block needs
    /// those of its input, its middle and its output.
    gradients: [Buffer; 3],
    scratch: Scratch,
}

/// The layers of `network` for `images` images.
pub(super) fn layers(network: &Network, algorithm: Algorithm, images: usize) -> Vec<Layer> {
    let parts = network.layout().parts().iter().step_by(2);
    let layers = network.shapes().zip(parts).map(|((shape, has_relu), part)| Layer {
        method: Method::choose(algorithm, shape),
        shape,
        size: SIZE,
        images,
        weights: part.range.start,
        has_relu,
    });
    layers.collect()
}

impl Buffers {
    pub(super) fn new(
        gpu: &Gpu,
        network: &Network,
        algorithm: Algorithm,
        images: usize,
    ) -> Result<Self, BackendError> {
        let layers = layers(network, algorithm, images);
        let pixels = images * SIZE.pixels();
        let widest = layers.iter().map(|layer| layer.shape.in_channels.max(layer.shape.out_channels)).max();
        let gradient = || gpu.buffer("gradients of activations", pixels * widest.unwrap_or_default());
        let outputs = layers.iter().map(|layer| gpu.buffer("activations", pixels * layer.shape.out_channels));
        let masks = layers.iter().map(|layer| gpu.buffer("masks", layer.mask_len()));
        Ok(Self {
            parameters: gpu.buffer("parameters", network.layout().len())?,
            parameter_gradients: gpu.buffer("gradients of parameters", network.layout().len())?,
            input: gpu.buffer("input", pixels * CHANNELS)?,
            targets: gpu.buffer("targets", pixels * CHANNELS)?,
            clipping: gpu.uniform(&[0; 4]),
            losses: gpu.buffer("losses", images)?,
            dropped: gpu.buffer("dropped images", images)?,
            outputs: outputs.collect::<Result<_, _>>()?,
            masks: masks.collect::<Result<_, _>>()?,
            gradients: [gradient()?, gradient()?, gradient()?],
            scratch: Scratch::new(gpu, &layers)?,
        })
    }

    /// The network's output, `[images, height, width, 3]`.
    pub(super) fn output(&self) -> &Buffer {
        self.input_of(self.outputs.len())
    }

    fn input_of(&self, layer: usize) -> &Buffer {
        layer.checked_sub(1).map_or(&self.input, |previous| &self.outputs[previous])
    }

    fn gradient_of_input(&self, layer: usize) -> &Buffer {
        &self.gradients[layer % 3]
    }

    /// The kernels that bring the first `images` images, whose input and target are there, through the network and add
    /// their gradients to those of the parameters.
    pub(super) fn plan(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        network: &Network,
        algorithm: Algorithm,
        images: usize,
    ) -> Vec<Dispatch> {
        let layers = layers(network, algorithm, images);
        let mut planner = Planner { gpu, kernels, scratch: &self.scratch, plan: Vec::new() };
        for block in BLOCKS {
            match block {
                Block::Plain(layer) => self.forward(&mut planner, &layers, layer, None),
                Block::Residual(a, b) => {
                    self.forward(&mut planner, &layers, a, None);
                    self.forward(&mut planner, &layers, b, Some(self.input_of(a)));
                }
            }
        }
        let gradient = self.gradient_of_input(layers.len());
        let operands = [self.output(), &self.targets, gradient, &self.losses, &self.dropped];
        planner.push(&kernels.loss_and_gradient, &self.clipping, &operands, [images as u32, 1, 1]);
        self.clear_dropped(&mut planner, &layers);
        for block in BLOCKS.into_iter().rev() {
            match block {
                Block::Plain(layer) => self.backward(&mut planner, &layers, layer, None),
                Block::Residual(a, b) => {
                    self.backward(&mut planner, &layers, b, None);
                    self.backward(&mut planner, &layers, a, Some(self.gradient_of_input(b + 1)));
                }
            }
        }
        planner.plan
    }

    fn forward(&self, planner: &mut Planner<'_>, layers: &[Layer], index: usize, skip: Option<&Buffer>) {
        let pass = Forward {
            input: self.input_of(index),
            parameters: &self.parameters,
            skip,
            mask: &self.masks[index],
            output: &self.outputs[index],
        };
        planner.forward(layers[index], &pass);
    }

    fn backward(
        &self,
        planner: &mut Planner<'_>,
        layers: &[Layer],
        index: usize,
        skip_gradient: Option<&Buffer>,
    ) {
        let pass = Backward {
            input: self.input_of(index),
            parameters: &self.parameters,
            mask: &self.masks[index],
            output_gradient: self.gradient_of_input(index + 1),
            input_gradient: (index > 0).then(|| self.gradient_of_input(index)),
            skip_gradient,
            parameter_gradients: &self.parameter_gradients,
        };
        planner.backward(layers[index], &pass);
    }

    /// Makes the images whose loss is not finite contribute nothing to any gradient of a parameter.
    fn clear_dropped(&self, planner: &mut Planner<'_>, layers: &[Layer]) {
        for (index, layer) in layers.iter().enumerate() {
            let uniform = planner.gpu.uniform(&layer.constants_of_input());
            let operands = [&self.dropped, self.input_of(index)];
            planner.push(&planner.kernels.clear_dropped, &uniform, &operands, [layer.images as u32, 1, 1]);
        }
    }
}
