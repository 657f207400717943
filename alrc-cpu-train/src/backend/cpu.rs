//! The processor.

use std::ops::Range;
use std::sync::Arc;

use alrc_kernel::Limits;
use rayon::prelude::*;
use tracing::debug_span;

use super::{Backend, BackendError};
use crate::comm::fixed_order::PieceSums;
use crate::comm::{Communicator, GradientSum, Single};
use crate::config::{Config, SumOrder};
use crate::conv::Workspace;
use crate::data::{CHANNELS, SIZE};
use crate::loss::{ImageLoss, Loss};
use crate::model::{Activations, Gradients, Network};
use crate::optim::Optimizer;
use crate::parameters::Layout;
use crate::simd::InstructionSet;
use crate::tensor::{Buffer, Tensor};

/// Most images that go through the network together. Larger batches go through in groups, so that memory does not
/// grow with the batch; this is possible because a step's limit is known before its losses.
pub(crate) const GROUP: usize = 16;

/// Buffers of one group of images, and the gradient, which is summed over all ranks.
pub struct Cpu {
    loss: Loss,
    batch_size: usize,
    sum_order: SumOrder,
    set: InstructionSet,
    activations: Activations,
    gradients: Gradients,
    targets: Tensor,
    parameter_gradients: Buffer,
    workspace: Workspace,
    layout: Layout,
    communicator: Arc<dyn Communicator>,
    sum: GradientSum,
    /// Of the step under way: its images, its limits, the losses so far, and the pieces of a sum in fixed order.
    images: Range<usize>,
    limits: Option<Limits<f32>>,
    losses: Vec<ImageLoss>,
    pieces: Option<PieceSums>,
}

impl Cpu {
    /// Room for the groups of `config`'s batches, on a rank of its own.
    ///
    /// # Panics
    /// Where `config` is not valid.
    pub fn new(config: &Config, network: &Network) -> Self {
        let group = config.batch_size.min(GROUP);
        let communicator = Arc::new(Single);
        Self {
            loss: config.loss,
            batch_size: config.batch_size,
            sum_order: config.sum_order,
            set: config.instruction_set().expect("a valid configuration"),
            activations: network.activations(group),
            gradients: network.gradients(group),
            targets: Tensor::zeros(group, SIZE, CHANNELS),
            parameter_gradients: network.layout().zeros(),
            workspace: Workspace::default(),
            layout: network.layout().clone(),
            sum: GradientSum::new(communicator.clone(), network.layout(), false),
            communicator,
            images: 0..0,
            limits: None,
            losses: Vec::new(),
            pieces: None,
        }
    }

    /// The loss of every image of the group.
    fn group_losses(&self, group: usize) -> Vec<ImageLoss> {
        let loss =
            |image| self.loss.of_image(self.activations.output().image(image), self.targets.image(image));
        (0..group).into_par_iter().map(loss).collect()
    }

    /// Writes the gradient of the batch's mean clipped loss with respect to the network's output.
    fn differentiate_losses(&mut self, losses: &[ImageLoss]) {
        let gradients = self.gradients.current.chunks_exact_mut(self.targets.image_len());
        for (image, (&loss, gradient)) in losses.iter().zip(gradients).enumerate() {
            let value = loss.value as f32;
            if value.is_finite() {
                let scale = self.limits.map_or(1.0, |limits| limits.clip(value).scale);
                let factor = f64::from(scale) / self.batch_size as f64;
                let (output, target) = (self.activations.output().image(image), self.targets.image(image));
                self.loss.gradient(loss, factor, output, target, gradient);
            } else {
                gradient.fill(0.0);
                self.activations.clear_image(image);
            }
        }
    }
}

impl Backend for Cpu {
    fn group(&self) -> usize {
        self.sum_order.piece().unwrap_or(GROUP)
    }

    fn join(&mut self, communicator: Arc<dyn Communicator>, overlap: bool) -> Result<(), BackendError> {
        self.sum = GradientSum::new(Arc::clone(&communicator), &self.layout, overlap);
        self.communicator = communicator;
        Ok(())
    }

    fn batch_mut(&mut self) -> [&mut Tensor; 2] {
        [&mut self.activations.input, &mut self.targets]
    }

    fn begin(&mut self, images: Range<usize>, limits: Option<Limits<f32>>) -> Result<(), BackendError> {
        self.images = images;
        self.limits = limits;
        self.losses.clear();
        self.pieces = self.sum_order.piece().map(|_| PieceSums::new(self.batch_size));
        debug_span!("zero gradient").in_scope(|| self.parameter_gradients.fill(0.0));
        Ok(())
    }

    fn accumulate(
        &mut self,
        network: &Network,
        parameters: &[f32],
        group: Range<usize>,
    ) -> Result<(), BackendError> {
        let images = group.len();
        let is_last = group.end == self.images.end;
        debug_span!("forward").in_scope(|| {
            network.forward(parameters, images, &mut self.activations, &mut self.workspace);
        });
        let losses = debug_span!("loss").in_scope(|| {
            let losses = self.group_losses(images);
            self.differentiate_losses(&losses);
            losses
        });
        let backward = debug_span!("backward").entered();
        network.backward(
            parameters,
            images,
            &self.activations,
            &mut self.gradients,
            &mut self.parameter_gradients,
            &mut self.workspace,
            |start, gradient| {
                if is_last && self.pieces.is_none() {
                    self.sum.finished_from(start, gradient);
                }
            },
        );
        drop(backward);
        self.losses.extend(losses);
        if let Some(pieces) = &mut self.pieces {
            pieces.add(group.start, &self.parameter_gradients);
            self.parameter_gradients.fill(0.0);
        }
        Ok(())
    }

    fn update(
        &mut self,
        step: u64,
        learning_rate: f32,
        parameters: &mut [f32],
        optimizer: &mut Optimizer,
    ) -> Result<(), BackendError> {
        match self.pieces.take() {
            Some(pieces) => {
                pieces.complete(&*self.communicator, &self.layout, &mut self.parameter_gradients);
            }
            None => self.sum.complete(&mut self.parameter_gradients),
        }
        let _span = debug_span!("optimizer").entered();
        optimizer.update(self.set, step, learning_rate, parameters, &self.parameter_gradients);
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<ImageLoss>, BackendError> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn upload(&mut self, _: &[f32], _: &Optimizer) -> Result<(), BackendError> {
        Ok(())
    }

    fn fetch(&mut self, _: &mut Buffer, _: &mut Optimizer) -> Result<(), BackendError> {
        Ok(())
    }

    fn parameter_gradients(&self) -> &[f32] {
        &self.parameter_gradients
    }

    fn sample(&self, index: usize) -> [&[f32]; 3] {
        [
            self.activations.input.image(index),
            self.activations.output().image(index),
            self.targets.image(index),
        ]
    }
}
