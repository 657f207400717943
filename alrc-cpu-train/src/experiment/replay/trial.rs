//! A curve clipped with one configuration.

use alrc_kernel::{Alrc, Config, ConfigError, Start};
use serde::Serialize;

use super::Estimate;
use crate::report::curves::Envelope;

/// The clipping of the curve with one threshold and one start.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// Standard deviations at which losses are clipped.
    pub num_stddev: f32,
    /// Whether the start is the suggested one, and not the given one.
    pub is_suggested: bool,
    /// Where the moments start; none with a warm-up.
    #[serde(flatten)]
    pub start: Option<Estimate>,
    /// Steps of the warm-up; 0: there is none.
    pub warm_up: u32,
    /// Losses that are clipped.
    pub clipped: u64,
    /// Those of them that are among the [first](super::Replay::first) losses.
    pub clipped_first: u64,
    /// Their share of all losses.
    pub clipped_fraction: f64,
    /// The smallest scale of a gradient of a finite loss.
    pub smallest_scale: f32,
    /// mu1 after the last step.
    pub mu1: f32,
    /// mu2 after the last step.
    pub mu2: f32,
    /// The limit for one step more; none during the warm-up.
    pub limit: Option<f32>,
    #[serde(skip)]
    alrc: Alrc<f32>,
    /// The limit of each step.
    #[serde(skip)]
    pub(super) limits: Envelope,
}

/// The limit of the next step; none during the warm-up.
fn limit(alrc: &Alrc<f32>) -> Option<f32> {
    Some(alrc.limits().upper()).filter(|&limit| limit < f32::MAX)
}

impl Trial {
    pub(super) fn new(config: Config<f32>, is_suggested: bool) -> Result<Self, ConfigError> {
        let alrc = Alrc::new(config)?;
        let (start, warm_up) = match config.start {
            Start::Estimate { mu1, mu2 } => (Some(Estimate { mu1_start: mu1, mu2_start: mu2 }), 0),
            Start::WarmUp { steps } => (None, steps),
        };
        Ok(Self {
            num_stddev: config.num_stddev,
            is_suggested,
            start,
            warm_up,
            clipped: 0,
            clipped_first: 0,
            clipped_fraction: 0.0,
            smallest_scale: 1.0,
            mu1: alrc.mu1(),
            mu2: alrc.mu2(),
            limit: limit(&alrc),
            alrc,
            limits: Envelope::default(),
        })
    }

    /// Which start it has, in words.
    pub fn start_name(&self) -> &'static str {
        if self.is_suggested { "suggested" } else { "given" }
    }

    /// Whether most of what is clipped is at the start of the curve, where it may be the curve's fall rather than spikes.
    pub fn clips_mostly_first(&self) -> bool {
        2 * self.clipped_first > self.clipped && self.clipped > 1
    }

    /// One step, which may be among the first; returns limit and scale if the loss is clipped.
    pub(super) fn step(&mut self, loss: f32, is_first: bool) -> Option<(f32, f32)> {
        let limit = limit(&self.alrc);
        self.limits.push(limit.map_or(f64::NAN, f64::from));
        let scale = self.alrc.step(loss).scale;
        let limit = limit.filter(|&limit| loss.is_finite() && loss > limit)?;
        self.clipped += 1;
        self.clipped_first += u64::from(is_first);
        self.smallest_scale = self.smallest_scale.min(scale);
        Some((limit, scale))
    }

    pub(super) fn finish(&mut self, losses: u64) {
        self.clipped_fraction = self.clipped as f64 / losses.max(1) as f64;
        (self.mu1, self.mu2) = (self.alrc.mu1(), self.alrc.mu2());
        self.limit = limit(&self.alrc);
    }
}
