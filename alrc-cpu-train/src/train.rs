//! Training: one step after the other.

use std::ops::Range;
use std::sync::Arc;

use alrc_kernel::{Alrc, BatchSums, Limits};
use rayon::prelude::*;
use tracing::debug_span;

use crate::backend::cpu::Cpu;
use crate::backend::{self, Backend, BackendError};
use crate::comm::{Communicator, Single};
use crate::config::Config;
use crate::data::sampler::Sampler;
use crate::data::{Dataset, preprocess};
use crate::loss::ImageLoss;
use crate::memory;
use crate::model::Network;
use crate::optim::Optimizer;
use crate::random::{Purpose, Random};
use crate::tensor::Buffer;

/// A network in training.
pub struct Trainer {
    /// The configuration.
    pub config: Config,
    /// The network.
    pub network: Network,
    /// Its parameters; on a backend with memory of its own, as of the last [`fetch`](Self::fetch).
    pub parameters: Buffer,
    /// The optimiser; likewise.
    pub optimizer: Optimizer,
    /// The clipping, if it is on, with the configuration that `config` gives it: the backends know no other.
    pub(crate) alrc: Option<Alrc<f32>>,
    /// Steps done.
    pub step: u64,
    dataset: Arc<Dataset>,
    sampler: Sampler,
    communicator: Arc<dyn Communicator>,
    backend: Box<dyn Backend>,
    /// Whether the backend has the parameters and the optimiser's state.
    is_uploaded: bool,
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
    /// Of each image: the raw loss, the loss before and after clipping, and the scale of its gradient.
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
    /// A network before its first step on the processor, whatever backend `config` names, on at least one image.
    ///
    /// # Panics
    /// Where `config` is not valid.
    pub fn new(config: Config, dataset: impl Into<Arc<Dataset>>) -> Self {
        let network = Network::of(&config);
        let backend = Box::new(Cpu::new(&config, &network));
        Self::with_backend(config, dataset, network, backend)
    }

    /// The same on the backend that `config` names; an error, too, where the memory is too small.
    ///
    /// # Panics
    /// Where `config` is not valid.
    pub fn open(config: Config, dataset: impl Into<Arc<Dataset>>) -> Result<Self, BackendError> {
        let network = Network::of(&config);
        memory::check(&config, &network)?;
        let backend = backend::open(&config, &network)?;
        Ok(Self::with_backend(config, dataset, network, backend))
    }

    /// The same on a backend for `config` and `network` that the caller has opened.
    ///
    /// # Panics
    /// Where `config` is not valid.
    pub fn with_backend(
        config: Config,
        dataset: impl Into<Arc<Dataset>>,
        network: Network,
        backend: Box<dyn Backend>,
    ) -> Self {
        let dataset = dataset.into();
        let parameters = network.initial_parameters(config.seed);
        Self {
            optimizer: Optimizer::new(config.optimizer, parameters.len()),
            alrc: config.alrc().map(|alrc| Alrc::new(alrc).expect("a valid configuration")),
            step: 0,
            sampler: Sampler::new(config.order, config.seed, dataset.records.len()),
            communicator: Arc::new(Single),
            backend,
            is_uploaded: false,
            config,
            dataset,
            network,
            parameters,
        }
    }

    /// Makes this one of several ranks that train together; all must be in the same state. With `overlap`, gradients
    /// are summed while the backward pass goes on. An error where the backend cannot have company.
    pub fn join(&mut self, communicator: Arc<dyn Communicator>, overlap: bool) -> Result<(), BackendError> {
        self.backend.join(Arc::clone(&communicator), overlap)?;
        self.communicator = communicator;
        Ok(())
    }

    /// One step on the processor, where none can fail; elsewhere use [`try_step`](Self::try_step).
    ///
    /// # Panics
    /// If the backend fails.
    pub fn step(&mut self) -> StepRecord {
        self.try_step().expect("a step on the processor does not fail")
    }

    /// One step: forward, loss, clipping, backward, update. Each rank takes a part of the batch; all return the same.
    /// After an error the trainer is of no more use.
    pub fn try_step(&mut self) -> Result<StepRecord, BackendError> {
        let batch_size = self.config.batch_size;
        let limits = self.alrc.map(|alrc| alrc.limits());
        let part = self.part();
        if !self.is_uploaded {
            self.backend.upload(&self.parameters, &self.optimizer)?;
            self.is_uploaded = true;
        }

        self.backend.begin(part.clone(), limits)?;
        for first in part.clone().step_by(self.backend.group()) {
            let group = first..part.end.min(first + self.backend.group());
            debug_span!("data")
                .in_scope(|| self.load(self.step * batch_size as u64 + first as u64, group.len()));
            self.backend.accumulate(&self.network, &self.parameters, group)?;
        }
        let learning_rate =
            self.config.schedule.learning_rate(self.config.learning_rate, self.step, batch_size);
        self.backend.update(self.step, learning_rate, &mut self.parameters, &mut self.optimizer)?;

        // Every rank has the losses of the whole batch, in its order: the same state on all, however many they are.
        let losses = self.backend.losses()?;
        let losses = self.gather(&losses);
        let (images, sums) = debug_span!("clipping").in_scope(|| {
            let (images, sums) = clip(&losses, limits);
            if let Some(alrc) = &mut self.alrc {
                alrc.update(&sums);
            }
            (images, sums)
        });
        let record = StepRecord::new(self.step, limits, &sums, learning_rate, images);
        self.step += 1;
        Ok(record)
    }

    /// The images of a batch that are this rank's: equal parts but for one image, larger ones first, so that rank 0
    /// always has one. In a fixed order, the same with pieces instead of images.
    fn part(&self) -> Range<usize> {
        let (rank, ranks) = (self.communicator.rank(), self.communicator.size());
        let (batch_size, unit) = (self.config.batch_size, self.config.sum_order.piece().unwrap_or(1));
        let start = |rank: usize| batch_size.min(unit * (rank * batch_size.div_ceil(unit)).div_ceil(ranks));
        start(rank)..start(rank + 1)
    }

    /// The losses of the whole batch, from those of this rank's part.
    fn gather(&self, losses: &[ImageLoss]) -> Vec<ImageLoss> {
        let own: Vec<u8> = losses.iter().flat_map(|loss| loss.raw.to_le_bytes()).collect();
        let all = self.communicator.gather(&own);
        let raw = all.iter().flat_map(|part| part.as_chunks().0);
        raw.map(|&raw| ImageLoss::of_raw(f64::from_le_bytes(raw))).collect()
    }

    /// Brings parameters, the optimiser's state, the last gradient and the last samples here from the backend's own
    /// memory; on the processor there is nothing to do.
    pub fn fetch(&mut self) -> Result<(), BackendError> {
        if self.is_uploaded {
            self.backend.fetch(&mut self.parameters, &mut self.optimizer)?;
        }
        Ok(())
    }

    /// To be called when parameters or optimiser were changed after a step: the next step starts from them.
    pub fn state_changed(&mut self) {
        self.is_uploaded = false;
    }

    /// The gradient of the last step's mean clipped loss, of the whole batch, in the layout of the parameters, as of
    /// the last [`fetch`](Self::fetch).
    pub fn parameter_gradients(&self) -> &[f32] {
        self.backend.parameter_gradients()
    }

    /// The clipping, if it is on.
    pub fn alrc(&self) -> Option<&Alrc<f32>> {
        self.alrc.as_ref()
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
        (self.part().len() - 1) % self.backend.group() + 1
    }

    /// Input, output and target of image `index` of the last step's last group, `[rows, columns, channels]`.
    pub fn sample(&self, index: usize) -> [&[f32]; 3] {
        self.backend.sample(index)
    }

    /// Brings `group` images, from sample number `first` of the run on, into the network's form.
    fn load(&mut self, first: u64, group: usize) {
        let chosen: Vec<_> =
            (first..first + group as u64).map(|sample| (sample, self.sampler.image(sample))).collect();
        let [inputs, targets] = self.backend.batch_mut().map(|tensor| {
            let image_len = tensor.image_len();
            tensor.images_mut(0..group).par_chunks_exact_mut(image_len)
        });
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
