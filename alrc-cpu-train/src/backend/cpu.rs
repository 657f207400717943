//! The processor.

use std::ops::Range;

use alrc_kernel::Limits;
use rayon::prelude::*;

use super::{Backend, BackendError};
use crate::config::Config;
use crate::data::SIZE;
use crate::loss::{ImageLoss, Loss};
use crate::model::{Activations, CHANNELS, Gradients, Network};
use crate::optim::Optimizer;
use crate::tensor::{Buffer, Tensor};

/// Most images that go through the network together.
const GROUP: usize = 16;

/// Buffers of one group of images.
pub struct Cpu {
    loss: Loss,
    batch_size: usize,
    activations: Activations,
    gradients: Gradients,
    targets: Tensor,
    parameter_gradients: Buffer,
    losses: Vec<ImageLoss>,
}

impl Cpu {
    /// Room for the groups of `config`'s batches.
    pub fn new(config: &Config, network: &Network) -> Self {
        let group = config.batch_size.min(GROUP);
        Self {
            loss: config.loss,
            batch_size: config.batch_size,
            activations: network.activations(group),
            gradients: network.gradients(group),
            targets: Tensor::zeros(group, SIZE, CHANNELS),
            parameter_gradients: network.layout().zeros(),
            losses: Vec::new(),
        }
    }

    /// The loss of every image of the group.
    fn group_losses(&self, group: usize) -> Vec<ImageLoss> {
        let loss =
            |image| self.loss.of_image(self.activations.output().image(image), self.targets.image(image));
        (0..group).into_par_iter().map(loss).collect()
    }

    /// Writes the gradient of the batch's mean clipped loss with respect to the network's output.
    fn differentiate_losses(&mut self, losses: &[ImageLoss], limits: Option<Limits<f32>>) {
        for (image, &loss) in losses.iter().enumerate() {
            let gradient = self.gradients.output.image_mut(image);
            let value = loss.value as f32;
            if value.is_finite() {
                let scale = limits.map_or(1.0, |limits| limits.clip(value).scale);
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
        self.batch_size.min(GROUP)
    }

    fn batch_mut(&mut self) -> [&mut Tensor; 2] {
        [&mut self.activations.input, &mut self.targets]
    }

    fn accumulate(
        &mut self,
        network: &Network,
        parameters: &[f32],
        images: Range<usize>,
        limits: Option<Limits<f32>>,
    ) -> Result<(), BackendError> {
        if images.start == 0 {
            self.parameter_gradients.fill(0.0);
            self.losses.clear();
        }
        let group = images.len();
        network.forward(parameters, group, &mut self.activations);
        let losses = self.group_losses(group);
        self.differentiate_losses(&losses, limits);
        let (gradients, arena) = (&mut self.gradients, &mut self.parameter_gradients);
        network.backward(parameters, group, &self.activations, gradients, arena);
        self.losses.extend(losses);
        Ok(())
    }

    fn update(
        &mut self,
        step: u64,
        learning_rate: f32,
        parameters: &mut [f32],
        optimizer: &mut Optimizer,
    ) -> Result<(), BackendError> {
        optimizer.update(step, learning_rate, parameters, &self.parameter_gradients);
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
