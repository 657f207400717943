//! Where the arithmetic of a step is done: the one seam between the training loop and a processor.
//!
//! A step's limit follows from the steps before it, so a backend clips by itself: it needs nothing from the host
//! between forward pass and update, and hands the losses over when everything has been enqueued.

pub mod cpu;
#[cfg(feature = "wgpu")]
pub mod wgpu;

use std::ops::Range;
use std::sync::Arc;

use alrc_kernel::Limits;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::comm::Communicator;
use crate::config::Config;
use crate::loss::ImageLoss;
use crate::model::Network;
use crate::optim::Optimizer;
use crate::tensor::{Buffer, Tensor};

/// Which backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics processor of any make, by way of Vulkan, Metal or Direct3D 12.
    Wgpu,
}

impl BackendKind {
    /// Refuses more ranks than the backend can serve: gradients that stay on a device are not summed over ranks.
    pub fn permit(self, ranks: usize) -> Result<(), BackendError> {
        if self == Self::Wgpu && ranks > 1 { Err(BackendError::SeveralRanks { ranks }) } else { Ok(()) }
    }
}

/// Why a backend cannot be used, or can no longer be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackendError {
    /// The program was built without it.
    #[error(
        "invalid value 'wgpu' for '--backend': this program was built without the feature `wgpu`; build it with \
         `cargo build --release --features wgpu`, or use `--backend cpu`"
    )]
    NotBuilt,
    /// Several ranks were to train together.
    #[error(
        "invalid value 'wgpu' for '--backend': of {ranks} processes that train together each must use `--backend cpu`; \
         start one process alone to use a graphics processor"
    )]
    SeveralRanks {
        /// How many.
        ranks: usize,
    },
    /// There is no adapter.
    #[error(
        "invalid value 'wgpu' for '--backend': no graphics adapter was found; install a Vulkan driver (on Debian \
         without a GPU: mesa-vulkan-drivers and libvulkan1), or use `--backend cpu`"
    )]
    NoAdapter,
    /// No adapter has this name.
    #[error("invalid value '{name}' for '--adapter': no adapter is called so; present: {present}")]
    UnknownAdapter {
        /// What was asked for.
        name: String,
        /// What there is.
        present: String,
    },
    /// The adapter gives no device.
    #[error("{adapter} cannot be opened: {problem}; choose another --adapter, or use `--backend cpu`")]
    Refused {
        /// Its name.
        adapter: String,
        /// What it says.
        problem: String,
    },
    /// A buffer would be larger than the adapter permits.
    #[error(
        "the {buffer} need {size} bytes; the adapter permits {permitted} in one buffer: choose a smaller --width, \
         another --adapter, or `--backend cpu`"
    )]
    LimitTooSmall {
        /// What it is for.
        buffer: &'static str,
        /// Bytes needed.
        size: u64,
        /// Bytes permitted.
        permitted: u64,
    },
    /// The adapter's memory is full.
    #[error(
        "the adapter's memory is full; choose a smaller --batch-size or --width, or close other programs, and go on \
         from the last checkpoint with --resume"
    )]
    OutOfMemory,
    /// The device is gone.
    #[error("the device was lost ({0}); go on from the last checkpoint with --resume")]
    Lost(String),
    /// Anything else.
    #[error("the device failed: {0}; go on from the last checkpoint with --resume")]
    Failed(String),
}

impl BackendError {
    /// Whether the user can mend it with other options.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::OutOfMemory | Self::Lost(_) | Self::Failed(_))
    }
}

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

    /// Begins a step on `images` of its batch, with a gradient of zero.
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
