//! Where the arithmetic of a step is done: the one seam between the training loop and a processor.
//!
//! A step's limit follows from the steps before it, so a backend clips by itself: it needs nothing from the host
//! between forward pass and update, and hands the losses over when everything has been enqueued.

pub mod cpu;
mod error;
mod kind;
#[cfg(feature = "wgpu")]
pub mod wgpu;

use std::ops::Range;
use std::sync::Arc;

use alrc_kernel::Limits;
pub use error::BackendError;
pub use kind::BackendKind;

use crate::comm::Communicator;
use crate::config::Config;
use crate::loss::ImageLoss;
use crate::model::Network;
use crate::optim::Optimizer;
use crate::tensor::{Buffer, Tensor};

/// Where the arithmetic of a step is done.
///
/// A step is [`begin`](Self::begin), [`accumulate`](Self::accumulate) for each group of its images,
/// [`update`](Self::update), and [`losses`](Self::losses). Parameters and optimiser are the host's: a backend with memory
/// of its own takes them over with [`upload`](Self::upload), and [`fetch`](Self::fetch) brings them back.
pub trait Backend: Send {
    /// Most images that go through the network together. Larger batches go through in groups, so that memory does not
    /// grow with the batch.
    fn group(&self) -> usize;

    /// Makes this the backend of one of several ranks, which sum their gradients, with `overlap` while the backward pass
    /// goes on. An error if it cannot.
    fn join(&mut self, communicator: Arc<dyn Communicator>, overlap: bool) -> Result<(), BackendError>;

    /// Where input and target of the next group go, `[images, height, width, 3]` each.
    fn batch_mut(&mut self) -> [&mut Tensor; 2];

    /// Begins a step on `images` of its batch, with a gradient of zero. `limits` are of a clipping
    /// as [`Config::alrc`] makes it: from above alone, scaled by the ratio, skipping losses that are not finite.
    fn begin(&mut self, images: Range<usize>, limits: Option<Limits<f32>>) -> Result<(), BackendError>;

    /// Forward pass, losses, clipping, backward pass for the next images of the step; they are the first of
    /// [`batch_mut`](Self::batch_mut).
    fn accumulate(
        &mut self,
        network: &Network,
        parameters: &[f32],
        group: Range<usize>,
    ) -> Result<(), BackendError>;

    /// Moves the parameters against the gradient, summed over all ranks.
    fn update(
        &mut self,
        step: u64,
        learning_rate: f32,
        parameters: &mut [f32],
        optimizer: &mut Optimizer,
    ) -> Result<(), BackendError>;

    /// The losses of the step's images on this rank.
    fn losses(&mut self) -> Result<Vec<ImageLoss>, BackendError>;

    /// Takes over what the host has changed.
    fn upload(&mut self, parameters: &[f32], optimizer: &Optimizer) -> Result<(), BackendError>;

    /// Brings parameters, optimiser, the last gradient and the last group's output to the host.
    fn fetch(&mut self, parameters: &mut Buffer, optimizer: &mut Optimizer) -> Result<(), BackendError>;

    /// The gradient of the last step that was brought to the host, in the layout of the parameters.
    fn parameter_gradients(&self) -> &[f32];

    /// Input, output and target of image `index` of the last group, `[rows, columns, channels]`.
    fn sample(&self, index: usize) -> [&[f32]; 3];
}

/// The backend that `config` names, for `network`.
pub fn open(config: &Config, network: &Network) -> Result<Box<dyn Backend>, BackendError> {
    match config.backend {
        BackendKind::Cpu => Ok(Box::new(cpu::Cpu::new(config, network))),
        #[cfg(feature = "wgpu")]
        BackendKind::Wgpu => Ok(Box::new(wgpu::Wgpu::new(config, network)?)),
        #[cfg(not(feature = "wgpu"))]
        BackendKind::Wgpu => Err(BackendError::NotBuilt),
    }
}

/// The names of the graphics adapters; none without the feature `wgpu`.
pub fn adapters() -> Vec<String> {
    #[cfg(feature = "wgpu")]
    return wgpu::adapter_names();
    #[cfg(not(feature = "wgpu"))]
    Vec::new()
}
