//! One layer on its own, with its operands on the host: how the kernels are compared with those of the processor.

use std::sync::Arc;

use ::wgpu::Buffer as DeviceBuffer;

use super::convolution::{Backward as Gradients, Forward as Pass, Layer, Method, Planner, Scratch};
use super::device::Gpu;
use super::kernels::{Kernels, TILE};
use crate::backend::BackendError;
use crate::conv::{Backward, Forward, InputGradient, Shape};
use crate::tensor::ImageSize;

/// One layer on a device.
pub struct WgpuConvolution {
    gpu: Arc<Gpu>,
    kernels: Arc<Kernels>,
    method: Method,
    shape: Shape,
}

impl WgpuConvolution {
    /// Layers of each method and shape on one device.
    pub fn series(gpu: Gpu, layers: impl IntoIterator<Item = (Method, Shape)>) -> impl Iterator<Item = Self> {
        let kernels = Arc::new(Kernels::new(&gpu));
        let gpu = Arc::new(gpu);
        layers.into_iter().map(move |(method, shape)| Self {
            gpu: Arc::clone(&gpu),
            kernels: Arc::clone(&kernels),
            method,
            shape,
        })
    }

    /// Forward pass; see [`Forward`].
    pub fn forward(&self, pass: Forward<'_>) -> Result<(), BackendError> {
        let gpu = &*self.gpu;
        let layer = self.layer(pass.size, pass.input.len(), pass.mask.is_some());
        let input = self.upload(pass.input)?;
        let parameters = self.upload(&[pass.weights, pass.bias].concat())?;
        let skip = pass.skip.map(|skip| self.upload(skip)).transpose()?;
        let mask = gpu.buffer("mask", layer.mask_len())?;
        let output = gpu.buffer("output", pass.output.len())?;
        let scratch = Scratch::new(gpu, &[layer])?;
        let mut planner = Planner { gpu, kernels: &self.kernels, scratch: &scratch, plan: Vec::new() };
        planner.forward(
            layer,
            &Pass {
                input: &input,
                parameters: &parameters,
                skip: skip.as_ref(),
                mask: &mask,
                output: &output,
            },
        );
        gpu.submit(&planner.plan);
        if let Some(bits) = pass.mask {
            let mut words = vec![0.0; layer.mask_len()];
            gpu.read(&mask, &mut words)?;
            bits.fill(0);
            self.each_bit(&layer, |word, bit, byte, channel| {
                bits[byte] |= ((words[word].to_bits() >> bit & 1) as u8) << (channel % 8);
            });
        }
        gpu.read(&output, pass.output)
    }

    /// Backward pass; see [`Backward`].
    pub fn backward(&self, pass: Backward<'_>) -> Result<(), BackendError> {
        let gpu = &*self.gpu;
        let layer = self.layer(pass.size, pass.input.len(), pass.mask.is_some());
        let input = self.upload(pass.input)?;
        let parameters = self.upload(&[pass.weights, &vec![0.0; self.shape.out_channels]].concat())?;
        let output_gradient = self.upload(pass.output_gradient)?;
        let gradients = self.upload(&[&*pass.weight_gradient, &*pass.bias_gradient].concat())?;
        let mask = gpu.buffer("mask", layer.mask_len())?;
        // Without a ReLU everything passes.
        let mut words = vec![if pass.mask.is_some() { 0 } else { u32::MAX }; layer.mask_len()];
        if let Some(bits) = pass.mask {
            self.each_bit(&layer, |word, bit, byte, channel| {
                words[word] |= u32::from(bits[byte] >> (channel % 8) & 1) << bit;
            });
        }
        gpu.write(&mask, &words);
        let (input_gradient, skip) = match pass.input_gradient {
            Some(InputGradient { skip, gradient }) => {
                (Some(gradient), skip.map(|skip| self.upload(skip)).transpose()?)
            }
            None => (None, None),
        };
        let on_device = gpu.buffer("gradient of the input", pass.input.len())?;
        let scratch = Scratch::new(gpu, &[layer])?;
        let mut planner = Planner { gpu, kernels: &self.kernels, scratch: &scratch, plan: Vec::new() };
        planner.backward(
            layer,
            &Gradients {
                input: &input,
                parameters: &parameters,
                mask: &mask,
                output_gradient: &output_gradient,
                input_gradient: input_gradient.is_some().then_some(&on_device),
                skip_gradient: skip.as_ref(),
                parameter_gradients: &gradients,
            },
        );
        gpu.submit(&planner.plan);
        let mut arena = vec![0.0; pass.weight_gradient.len() + pass.bias_gradient.len()];
        gpu.read(&gradients, &mut arena)?;
        let (weights, bias) = arena.split_at(pass.weight_gradient.len());
        pass.weight_gradient.copy_from_slice(weights);
        pass.bias_gradient.copy_from_slice(bias);
        input_gradient.map_or(Ok(()), |gradient| gpu.read(&on_device, gradient))
    }

    fn upload(&self, values: &[f32]) -> Result<DeviceBuffer, BackendError> {
        let buffer = self.gpu.buffer("operand", values.len())?;
        self.gpu.write(&buffer, values);
        Ok(buffer)
    }

    fn layer(&self, size: ImageSize, input_len: usize, has_relu: bool) -> Layer {
        Layer {
            method: self.method,
            shape: self.shape,
            size,
            images: input_len / (size.pixels() * self.shape.in_channels),
            weights: 0,
            has_relu,
        }
    }

    /// For each pixel and channel: word and bit of the device's mask, byte of the host's mask, and the channel.
    fn each_bit(&self, layer: &Layer, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let ImageSize { height, width } = layer.size;
        for pixel in 0..layer.images * height * width {
            let (row, column) = (pixel / width % height, pixel % width);
            let tile = (pixel / (width * height) * height.div_ceil(TILE) + row / TILE) * width.div_ceil(TILE)
                + column / TILE;
            for channel in 0..self.shape.out_channels {
                let word = tile * self.shape.out_channels + channel;
                let byte = pixel * self.shape.mask_bytes() + channel / 8;
                visit(word, row % TILE * TILE + column % TILE, byte, channel);
            }
        }
    }
}
