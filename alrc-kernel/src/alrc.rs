//! The state machine: limits, then an update, step after step.

use crate::moments::Moments;
use crate::{BatchSums, Clipped, Config, ConfigError, Float, Limits};

/// Adaptive learning rate clipping: a configuration and the running moments of the clipped losses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alrc<F> {
    config: Config<F>,
    moments: Moments<F>,
}

/// What one call of [`Alrc::step_batch`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report<F> {
    /// Number of losses that were clipped.
    pub clipped: u64,
    /// Number of losses that were NaN or infinite.
    pub non_finite: u64,
    /// The limit by which the losses were clipped.
    pub limit: F,
}

impl<F: Float> Alrc<F> {
    /// The state before the first step.
    pub fn new(config: Config<F>) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, moments: Moments::new(&config) })
    }

    /// The configuration.
    pub fn config(&self) -> &Config<F> {
        &self.config
    }

    /// The first phase: the limits of the next step.
    pub fn limits(&self) -> Limits<F> {
        let mean = self.moments.mean;
        Limits { mean, upper: mean + self.config.num_stddev * self.std_dev() }
    }

    /// The second phase: moves the moments by the sums of all the losses of the step.
    pub fn update(&mut self, sums: &BatchSums<F>) {
        self.moments.update(&self.config, sums);
    }

    /// Both phases for a single loss.
    pub fn step(&mut self, loss: F) -> Clipped<F> {
        let (mut clipped, mut scale) = ([F::ZERO], [F::ZERO]);
        self.step_batch(&[loss], &mut clipped, &mut scale);
        Clipped { loss: clipped[0], scale: scale[0] }
    }

    /// Both phases for the losses of a batch; see [`Limits::clip_batch`].
    pub fn step_batch(&mut self, losses: &[F], clipped: &mut [F], scales: &mut [F]) -> Report<F> {
        let limits = self.limits();
        let sums = limits.clip_batch(losses, clipped, scales);
        self.update(&sums);
        Report { clipped: sums.clipped, non_finite: sums.non_finite, limit: limits.upper }
    }

    /// mu1: the running mean of the clipped losses.
    pub fn mu1(&self) -> F {
        self.moments.mean
    }

    /// mu2: the running mean of the squares of the clipped losses.
    pub fn mu2(&self) -> F {
        self.moments.variance + self.moments.mean * self.moments.mean
    }

    /// sigma: the root of the running variance plus epsilon.
    pub fn std_dev(&self) -> F {
        (self.moments.variance + self.config.epsilon).sqrt()
    }
}
