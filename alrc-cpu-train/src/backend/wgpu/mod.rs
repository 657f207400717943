//! A graphics processor of any make, by way of WGSL kernels.
//!
//! Parameters, optimiser state and activations stay on the device. A step enqueues everything, forward pass, clipping,
//! backward pass and update, before it waits once, for the losses of its images: the limit of the clipping is known
//! before they are, so the device needs only that number. The host computes the same clipping from the losses, to move
//! the state of ALRC and to report it.
//!
//! 3x3 layers use Winograd's F(4x4, 3x3) and matrix products (`winograd.wgsl`, `gemm.wgsl`), 5x5 layers plain loops
//! (`direct.wgsl`); `--conv direct` and `--conv reference` use plain loops everywhere. Every sum is in a fixed order
//! and nothing is added by atomics, so that results have the same bits run after run on one adapter. All arithmetic is
//! f32; a loss beyond the range of f32 counts as infinite.

mod convolution;
mod device;
mod kernels;
mod layer;
mod network;
mod template;

use std::ops::Range;
use std::sync::Arc;

use ::wgpu::Buffer as DeviceBuffer;
use alrc_kernel::Limits;

pub use convolution::Method;
pub use device::{Gpu, adapter_names};
pub use layer::WgpuConvolution;

use self::convolution::padded;
use self::device::{Dispatch, grid, opening};
use self::kernels::Kernels;
use self::network::Buffers;
use super::{Backend, BackendError, BackendKind};
use crate::comm::Communicator;
use crate::config::Config;
use crate::data::{CHANNELS, SIZE};
use crate::loss::ImageLoss;
use crate::model::Network;
use crate::optim::{Adam, Optimizer, OptimizerKind};
use crate::tensor::{Buffer, Tensor};

/// Most images that go through the network together, if a buffer may be large enough.
const GROUP: usize = 64;

/// Bytes of the largest buffer, the transformed tiles, for each image and channel: 36 points of 64 tiles.
const BYTES_PER_CHANNEL: u64 = 4 * 36 * 64;

/// Images that go through the network together, where a buffer may have `max_buffer` bytes.
fn group(config: &Config, max_buffer: u64) -> usize {
    let permitted = max_buffer / (BYTES_PER_CHANNEL * padded(config.width) as u64);
    config.batch_size.min(GROUP).min(permitted.max(1) as usize)
}

/// A network on a device.
pub struct Wgpu {
    gpu: Gpu,
    power: u32,
    batch_size: usize,
    group: usize,
    buffers: Buffers,
    moments: Vec<DeviceBuffer>,
    /// Raw losses of the step's batch.
    losses: DeviceBuffer,
    /// Kernels for a whole group, and for what is left of the batch.
    whole: Vec<Dispatch>,
    rest: Vec<Dispatch>,
    /// The optimiser's kernel and its constants.
    update: Dispatch,
    step: DeviceBuffer,
    /// What the host has of the last group.
    input: Tensor,
    targets: Tensor,
    output: Tensor,
    parameter_gradients: Buffer,
}

impl Wgpu {
    /// `network` on the adapter that `config` names.
    pub fn new(config: &Config, network: &Network) -> Result<Self, BackendError> {
        let _opening = opening();
        let gpu = Gpu::open(config.adapter.as_deref())?;
        let kernels = Kernels::new(&gpu);
        let group = group(config, gpu.max_buffer());
        let buffers = Buffers::new(&gpu, network, config.conv, group)?;
        let parameters = network.layout().len();
        let names: &[_] = match config.optimizer {
            OptimizerKind::Adam => &["first moment", "second moment"],
            OptimizerKind::Sgd => &[],
        };
        let moments: Vec<_> =
            names.iter().map(|name| gpu.buffer(name, parameters)).collect::<Result<_, _>>()?;
        let step = gpu.uniform(&[0; 4]);
        let optimizer = if moments.is_empty() { &kernels.sgd } else { &kernels.adam };
        let mut operands = vec![&buffers.parameter_gradients, &buffers.parameters];
        operands.extend(&moments);
        let update = gpu.dispatch(optimizer, &step, &operands, grid(parameters));
        let image = || Tensor::zeros(group, SIZE, CHANNELS);
        let wgpu = Self {
            power: config.loss.power() as u32,
            batch_size: config.batch_size,
            group,
            losses: gpu.buffer("losses", config.batch_size)?,
            whole: buffers.plan(&gpu, &kernels, network, config.conv, group),
            rest: match config.batch_size % group {
                0 => Vec::new(),
                rest => buffers.plan(&gpu, &kernels, network, config.conv, rest),
            },
            buffers,
            moments,
            update,
            step,
            input: image(),
            targets: image(),
            output: image(),
            parameter_gradients: network.layout().zeros(),
            gpu,
        };
        wgpu.gpu.check()?;
        Ok(wgpu)
    }

    /// What makes the device fail as if it had been lost, for tests.
    #[doc(hidden)]
    pub fn device_loss(&self) -> impl Fn() + use<> {
        let device = self.gpu.device.clone();
        move || device.destroy()
    }
}

impl Backend for Wgpu {
    fn group(&self) -> usize {
        self.group
    }

    fn join(&mut self, communicator: Arc<dyn Communicator>, _: bool) -> Result<(), BackendError> {
        BackendKind::Wgpu.permit(communicator.size())
    }

    fn batch_mut(&mut self) -> [&mut Tensor; 2] {
        [&mut self.input, &mut self.targets]
    }

    /// All images of a batch are on one rank.
    fn begin(&mut self, _: Range<usize>, limits: Option<Limits<f32>>) -> Result<(), BackendError> {
        self.gpu.clear(&self.buffers.parameter_gradients);
        let (limit, mean) = limits.map_or((f32::MAX, 0.0), |limits| (limits.upper(), limits.mean()));
        let clipping = [limit.to_bits(), mean.to_bits(), (self.batch_size as f32).to_bits(), self.power];
        self.gpu.write(&self.buffers.clipping, &clipping);
        self.gpu.check()
    }

    fn accumulate(&mut self, _: &Network, _: &[f32], group: Range<usize>) -> Result<(), BackendError> {
        let images = group.len();
        self.gpu.write(&self.buffers.input, self.input.images(0..images));
        self.gpu.write(&self.buffers.targets, self.targets.images(0..images));
        self.gpu.submit(if images == self.group { &self.whole } else { &self.rest });
        self.gpu.copy(&self.buffers.losses, &self.losses, group.start, images);
        self.gpu.check()
    }

    fn update(
        &mut self,
        step: u64,
        learning_rate: f32,
        parameters: &mut [f32],
        optimizer: &mut Optimizer,
    ) -> Result<(), BackendError> {
        let (rate, root_correction) = match optimizer {
            Optimizer::Sgd => (learning_rate, 0.0),
            Optimizer::Adam { .. } => {
                let adam = Adam::new(step, learning_rate);
                (adam.rate, adam.root_correction)
            }
        };
        let constants = [rate.to_bits(), root_correction.to_bits(), parameters.len() as u32, 0];
        self.gpu.write(&self.step, &constants);
        self.gpu.submit(std::slice::from_ref(&self.update));
        self.gpu.check()
    }

    fn losses(&mut self) -> Result<Vec<ImageLoss>, BackendError> {
        let mut raw = vec![0.0; self.batch_size];
        self.gpu.read(&self.losses, &mut raw)?;
        Ok(raw.into_iter().map(|raw| ImageLoss::of_raw(raw.into())).collect())
    }

    fn upload(&mut self, parameters: &[f32], optimizer: &Optimizer) -> Result<(), BackendError> {
        self.gpu.write(&self.buffers.parameters, parameters);
        for (buffer, moment) in self.moments.iter().zip(optimizer.moments()) {
            self.gpu.write(buffer, moment);
        }
        self.gpu.check()
    }

    fn fetch(&mut self, parameters: &mut Buffer, optimizer: &mut Optimizer) -> Result<(), BackendError> {
        self.gpu.read(&self.buffers.parameters, parameters)?;
        for (buffer, moment) in self.moments.iter().zip(optimizer.moments_mut()) {
            self.gpu.read(buffer, moment)?;
        }
        self.gpu.read(&self.buffers.parameter_gradients, &mut self.parameter_gradients)?;
        self.gpu.read(self.buffers.output(), self.output.images_mut(0..self.group))
    }

    fn parameter_gradients(&self) -> &[f32] {
        &self.parameter_gradients
    }

    fn sample(&self, index: usize) -> [&[f32]; 3] {
        [self.input.image(index), self.output.image(index), self.targets.image(index)]
    }
}

#[cfg(test)]
mod tests {
    use super::convolution::Scratch;
    use super::*;
    use crate::conv::Algorithm;

    /// What the least of adapters permits in a buffer suffices for any width whose transformed weights fit, whatever the
    /// batch.
    #[test]
    fn buffers_fit() {
        let max_buffer = 128 << 20;
        for width in (2..=960).step_by(2) {
            for batch_size in [1, 3, 64, 100] {
                for conv in [Algorithm::Auto, Algorithm::Reference] {
                    let config = Config { width, batch_size, conv, ..Config::default() };
                    let layers = network::layers(&Network::of(&config), conv, group(&config, max_buffer));
                    let largest = Scratch::lens(&layers).into_iter().max().unwrap();
                    assert!(4 * largest as u64 <= max_buffer, "{config:?}");
                }
            }
        }
    }
}
