//! Training: one step after the other.

use std::ops::Range;
use std::sync::Arc;

use alrc_kernel::{Alrc, BatchSums, Limits};
use rayon::prelude::*;

use crate::comm::fixed_order::{PIECE, PieceSums};
use crate::comm::{Communicator, GradientSum, Single};
use crate::config::{Config, SumOrder};
use crate::conv::Workspace;
use crate::data::sampler::Sampler;
use crate::data::{Dataset, SIDE, preprocess};
use crate::loss::ImageLoss;
use crate::model::{Activations, CHANNELS, Gradients, Network};
use crate::optim::Optimizer;
use crate::random::{Purpose, Random};
use crate::tensor::{Buffer, ImageSize, Tensor};

/// Size of every image.
const SIZE: ImageSize = ImageSize { height: SIDE, width: SIDE };

/// Most images that go through the network together. Larger batches go through in groups, so that memory does not
/// grow with the batch; this is possible because a step's limit is known before its losses.
const GROUP: usize = 16;

/// A network in training.
pub struct Trainer {
    /// The configuration.
    pub config: Config,
    /// The network.
    pub network: Network,
    /// Its parameters.
    pub parameters: Buffer,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The clipping, if it is on.
    pub alrc: Option<Alrc<f32>>,
    /// Steps done.
    pub step: u64,
    dataset: Arc<Dataset>,
    sampler: Sampler,
    activations: Activations,
    gradients: Gradients,
    targets: Tensor,
    parameter_gradients: Buffer,
    workspace: Workspace,
    communicator: Arc<dyn Communicator>,
    gradient_sum: GradientSum,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// Number of the step, from 0.
    pub step: u64,
    /// Mean of the losses after clipping, over the images whose loss is finite; NaN where there is none.
    pub loss: f64,
    /// The same before clipping.
    pub unclipped_loss: f64,
    /// The limit; none where clipping is off, and during the warm-up.
    pub limit: Option<f32>,
    /// Images whose loss was clipped.
    pub clipped: u64,
    /// Images whose loss was NaN or infinite; they contributed no gradient.
    pub non_finite: u64,
    /// The learning rate.
    pub learning_rate: f32,
    /// Of each image: the raw loss, the loss before clipping, and the scale of its gradient.
    pub images: Vec<ImageRecord>,
}

/// What one step did with one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageRecord {
    /// 25 mean(|error|^p).
    pub raw_loss: f64,
    /// The same after the square-root rule, before clipping.
    pub unclipped_loss: f64,
    /// The loss after clipping.
    pub loss: f32,
    /// Factor of its gradient.
    pub scale: f32,
}

impl Trainer {
    /// A network before its first step, on at least one image.
    ///
    /// # Panics
    /// Where `config` is not valid.
    pub fn new(config: Config, dataset: impl Into<Arc<Dataset>>) -> Self {
        let dataset = dataset.into();
        let set = config.instruction_set().expect("a valid configuration");
        let network = Network::new(config.width, SIZE, config.conv, set);
        let parameters = network.initial_parameters(config.seed);
        let group = config.batch_size.min(GROUP);
        let communicator = Arc::new(Single);
        Self {
            optimizer: Optimizer::new(config.optimizer, parameters.len()),
            alrc: config.alrc().and_then(|alrc| Alrc::new(alrc).ok()),
            step: 0,
            sampler: Sampler::new(config.order, config.seed, dataset.records.len()),
            activations: network.activations(group),
            gradients: network.gradients(group),
            targets: Tensor::zeros(group, SIZE, CHANNELS),
            parameter_gradients: network.layout().zeros(),
            workspace: Workspace::default(),
            gradient_sum: GradientSum::new(communicator.clone(), network.layout(), false),
            communicator,
            config,
            dataset,
            network,
            parameters,
        }
    }

    /// Makes this one of several ranks that train together; all must be in the same state. With `overlap`, gradients
    /// are summed while the backward pass goes on.
    pub fn join(&mut self, communicator: Arc<dyn Communicator>, overlap: bool) {
        self.gradient_sum = GradientSum::new(Arc::clone(&communicator), self.network.layout(), overlap);
        self.communicator = communicator;
    }

    /// One step: forward, loss, clipping, backward, update. Each rank takes a part of the batch; all return the same.
    pub fn step(&mut self) -> StepRecord {
        let batch_size = self.config.batch_size;
        let limits = self.alrc.map(|alrc| alrc.limits());
        let part = self.part();
        let most = self.most_in_group();
        let mut losses = Vec::with_capacity(part.len());
        let mut pieces = (self.config.sum_order == SumOrder::Fixed).then(|| PieceSums::new(batch_size));

        self.parameter_gradients.fill(0.0);
        for first in part.clone().step_by(most) {
            let group = most.min(part.end - first);
            let is_last_group = first + group == part.end;
            self.load(self.step * batch_size as u64 + first as u64, group);
            self.network.forward(&self.parameters, group, &mut self.activations, &mut self.workspace);
            let group_losses = self.losses(group);
            self.differentiate_losses(&group_losses, &clip(&group_losses, limits).0);
            self.network.backward(
                &self.parameters,
                group,
                &self.activations,
                &mut self.gradients,
                &mut self.parameter_gradients,
                &mut self.workspace,
                |start, gradient| {
                    if is_last_group && pieces.is_none() {
                        self.gradient_sum.finished_from(start, gradient);
                    }
                },
            );
            losses.extend(group_losses);
            if let Some(pieces) = &mut pieces {
                pieces.add(first, &self.parameter_gradients);
                self.parameter_gradients.fill(0.0);
            }
        }
        match pieces {
            Some(pieces) => {
                let layout = self.network.layout();
                pieces.complete(&*self.communicator, layout, &mut self.parameter_gradients);
            }
            None => self.gradient_sum.complete(&mut self.parameter_gradients),
        }

        // Every rank has the losses of the whole batch, in its order: the same state on all, however many they are.
        let (images, sums) = clip(&self.gather(&losses), limits);
        if let Some(alrc) = &mut self.alrc {
            alrc.update(&sums);
        }
        let learning_rate =
            self.config.schedule.learning_rate(self.config.learning_rate, self.step, batch_size);
        self.optimizer.update(self.step, learning_rate, &mut self.parameters, &self.parameter_gradients);

        let record = StepRecord::new(self.step, limits, &sums, learning_rate, images);
        self.step += 1;
        record
    }

    /// The images of a batch that are this rank's: equal parts but for one image, larger ones first, so that rank 0
    /// always has one. In a fixed order, the same with pieces instead of images.
    fn part(&self) -> Range<usize> {
        let (rank, ranks) = (self.communicator.rank(), self.communicator.size());
        let (batch_size, unit) = (self.config.batch_size, self.unit());
        let start = |rank: usize| batch_size.min(unit * (rank * batch_size.div_ceil(unit)).div_ceil(ranks));
        start(rank)..start(rank + 1)
    }

    /// The images that stay together on one rank.
    fn unit(&self) -> usize {
        match self.config.sum_order {
            SumOrder::Fast => 1,
            SumOrder::Fixed => PIECE,
        }
    }

    /// The most images that go through the network together.
    fn most_in_group(&self) -> usize {
        match self.config.sum_order {
            SumOrder::Fast => GROUP,
            SumOrder::Fixed => PIECE,
        }
    }

    /// The losses of the whole batch, from those of this rank's part.
    fn gather(&self, losses: &[ImageLoss]) -> Vec<ImageLoss> {
        let own: Vec<u8> = losses.iter().flat_map(|loss| loss.raw.to_le_bytes()).collect();
        let all = self.communicator.gather(&own);
        let raw = all.iter().flat_map(|part| part.as_chunks().0);
        raw.map(|&raw| ImageLoss::of_raw(f64::from_le_bytes(raw))).collect()
    }

    /// The gradient of the last step's mean clipped loss, of the whole batch, in the layout of the parameters.
    pub fn parameter_gradients(&self) -> &[f32] {
        &self.parameter_gradients
    }

    /// The images.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Whether training can go on from here: no parameter, and no moment of the optimiser, is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        let moments = self.optimizer.moments();
        [&self.parameters].into_iter().chain(moments).all(|values| values.iter().all(|x| x.is_finite()))
    }

    /// Images in the last group of a step on this rank, which must have one.
    pub fn last_group(&self) -> usize {
        (self.part().len() - 1) % self.most_in_group() + 1
    }

    /// Input, output and target of image `index` of the last step's last group, `[rows, columns, channels]`.
    pub fn sample(&self, index: usize) -> [&[f32]; 3] {
        [
            self.activations.input.image(index),
            self.activations.output().image(index),
            self.targets.image(index),
        ]
    }

    /// Brings `group` images, from sample number `first` of the run on, into the network's form.
    fn load(&mut self, first: u64, group: usize) {
        let chosen: Vec<_> =
            (first..first + group as u64).map(|sample| (sample, self.sampler.image(sample))).collect();
        let image_len = self.targets.image_len();
        let inputs = self.activations.input.images_mut(0..group).par_chunks_exact_mut(image_len);
        let targets = self.targets.images_mut(0..group).par_chunks_exact_mut(image_len);
        chosen.into_par_iter().zip(inputs).zip(targets).for_each(|(((sample, image), input), target)| {
            preprocess::unpack(&self.dataset.records[image], target);
            if self.config.augment.is_on() {
                preprocess::augment(
                    target,
                    &mut Random::new(self.config.seed, Purpose::Augmentation, sample),
                );
            }
            preprocess::standardize(target);
            preprocess::degrade(target, input);
        });
    }

    /// The loss of every image of the group.
    fn losses(&self, group: usize) -> Vec<ImageLoss> {
        let loss = |image| {
            self.config.loss.of_image(self.activations.output().image(image), self.targets.image(image))
        };
        (0..group).into_par_iter().map(loss).collect()
    }

    /// Writes the gradient of the batch's mean clipped loss with respect to the network's output.
    fn differentiate_losses(&mut self, losses: &[ImageLoss], records: &[ImageRecord]) {
        let gradients = self.gradients.current.chunks_exact_mut(self.targets.image_len());
        for (image, ((&loss, record), gradient)) in losses.iter().zip(records).zip(gradients).enumerate() {
            if (loss.value as f32).is_finite() {
                let factor = f64::from(record.scale) / self.config.batch_size as f64;
                let (output, target) = (self.activations.output().image(image), self.targets.image(image));
                self.config.loss.gradient(loss, factor, output, target, gradient);
            } else {
                gradient.fill(0.0);
                self.activations.clear_image(image);
            }
        }
    }
}

/// Clips losses; without limits, only drops those that are not finite.
fn clip(losses: &[ImageLoss], limits: Option<Limits<f32>>) -> (Vec<ImageRecord>, BatchSums<f32>) {
    let unclipped: Vec<f32> = losses.iter().map(|loss| loss.value as f32).collect();
    let (mut clipped, mut scales) = (unclipped.clone(), vec![1.0; unclipped.len()]);
    let mut sums = BatchSums::default();
    match limits {
        Some(limits) => sums = limits.clip_batch(&unclipped, &mut clipped, &mut scales),
        None => {
            for (clipped, scale) in clipped.iter_mut().zip(&mut scales) {
                if !clipped.is_finite() {
                    (*clipped, *scale) = (0.0, 0.0);
                    sums.non_finite += 1;
                }
            }
        }
    }
    let values = losses.iter().zip(clipped.into_iter().zip(scales));
    let records = values.map(|(image, (loss, scale))| ImageRecord {
        raw_loss: image.raw,
        unclipped_loss: image.value,
        loss,
        scale,
    });
    (records.collect(), sums)
}

impl StepRecord {
    fn new(
        step: u64,
        limits: Option<Limits<f32>>,
        sums: &BatchSums<f32>,
        learning_rate: f32,
        images: Vec<ImageRecord>,
    ) -> Self {
        let finite = || images.iter().filter(|image| (image.unclipped_loss as f32).is_finite());
        let mean = |sum: f64| sum / finite().count() as f64;
        Self {
            step,
            loss: mean(finite().map(|image| f64::from(image.loss)).sum()),
            unclipped_loss: mean(finite().map(|image| image.unclipped_loss).sum()),
            limit: limits.map(|limits| limits.upper()).filter(|&limit| limit < f32::MAX),
            clipped: sums.clipped,
            non_finite: sums.non_finite,
            learning_rate,
            images,
        }
    }

    /// Whether no image of the step had a finite loss.
    pub fn is_lost(&self) -> bool {
        self.non_finite == self.images.len() as u64
    }
}
