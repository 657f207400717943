//! The running mean and variance, and how a step moves them.

use crate::{Config, ConfigError, Float, Start};

/// All that changes from step to step, in plain numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State<F> {
    /// mu1, in units of the loss; magnitude at most twice [`Float::moment_bound`].
    pub mean: F,
    /// What rounding has cut off the mean: mean + carry is mu1 to more digits.
    pub carry: F,
    /// mu2 - mu1^2, in squared units of the loss, finite, at least 0.
    pub variance: F,
    /// Steps of the warm-up that are still to come.
    pub warm_up_left: u32,
}

/// How far the mean of a step's losses is from mu1.
pub(crate) struct Distances<F> {
    /// From `State::mean`, which is rounded.
    from_rounded: F,
    /// d, from mu1.
    d: F,
    /// d^2.
    square: F,
}

impl<F: Float> State<F> {
    pub(crate) fn new(start: Start<F>) -> Self {
        let (zero, carry) = (F::zero(), F::zero());
        match start {
            Start::Estimate { mu1, mu2 } => {
                Self { mean: mu1, carry, variance: mu2 - mu1 * mu1, warm_up_left: 0 }
            }
            Start::WarmUp { steps } => Self { mean: zero, carry, variance: zero, warm_up_left: steps },
        }
    }

    /// Whether steps can lead to this state; the error names the first number that is impossible.
    pub(crate) fn validate(&self, config: &Config<F>) -> Result<(), ConfigError> {
        let bound = F::moment_bound() + F::moment_bound();
        let is_permitted = self.mean >= -bound && self.mean <= bound;
        ConfigError::unless(is_permitted, "mean", self.mean, "in magnitude at most 2.8e17 (f64: 2e152)")?;
        let is_permitted = self.mean + self.carry == self.mean;
        ConfigError::unless(is_permitted, "carry", self.carry, "below half a unit in the mean's last place")?;
        let is_permitted = self.variance >= F::zero() && self.variance <= F::max_value();
        ConfigError::unless(is_permitted, "variance", self.variance, "finite and at least 0")?;
        let steps = match config.start {
            Start::Estimate { .. } => 0,
            Start::WarmUp { steps } => steps,
        };
        let left = F::from_count(self.warm_up_left.into());
        ConfigError::unless(self.warm_up_left <= steps, "warm_up_left", left, "at most the warm-up steps")
    }

    /// From the moments to the mean m of a step's clipped losses.
    #[inline(always)]
    pub(crate) fn distances_to(&self, m: F) -> Distances<F> {
        let from_rounded = m - self.mean;
        let d = from_rounded - self.carry;
        Distances { from_rounded, d, square: d * d }
    }

    /// The same, for losses whose mean is mu1 + d. The square of d is given, for it may be known before d.
    #[inline(always)]
    pub(crate) fn distances_of(&self, d: F, square: F) -> Distances<F> {
        Distances { from_rounded: d + self.carry, d, square }
    }

    /// Moves the moments by the variance v of a step's clipped losses and the distances to their mean. With
    /// a = 1 - beta:
    ///
    /// ```text
    /// mu1' = mu1 + a1 d
    /// var' = beta2 var + a2 v + (a2 - a1^2) d^2 + 2 (a2 - a1) mu1 d
    /// ```
    ///
    /// which is the published update of mu1 and mu2 with var = mu2 - mu1^2; no term is negative for equal decays.
    #[inline(always)]
    pub(crate) fn advance(&mut self, config: &Config<F>, distances: Distances<F>, v: F) {
        let Distances { from_rounded, d, square } = distances;
        let (past1, past2) = self.decays(config);
        let (a1, a2) = (F::one() - past1, F::one() - past2);
        let mut variance = (past2 * self.variance + a2 * v) + (a2 - a1 * a1) * square;
        if past1 != past2 {
            variance = with_cross_term(variance, (a2 - a1) * self.mean, d);
        }
        self.variance = variance.at_least(F::zero()).at_most(F::max_value());

        // The carry takes part in the step, and what the addition then loses is carried on.
        let step = a1 * from_rounded + past1 * self.carry;
        let mean = self.mean + step;
        let is_large_step = step.at_least(-step) > self.mean.at_least(-self.mean);
        self.carry =
            if is_large_step { lost_by_large_step(self.mean, step, mean) } else { step - (mean - self.mean) };
        self.mean = mean;
        self.warm_up_left = self.warm_up_left.saturating_sub(1);
    }

    /// The decays of mu1 and mu2. Step k of the warm-up, which makes plain averages, leaves the past 1 - 1/k.
    fn decays(&self, config: &Config<F>) -> (F, F) {
        if self.warm_up_left == 0 {
            return (config.decay1, config.decay2);
        }
        let steps = match config.start {
            Start::WarmUp { steps } => steps,
            Start::Estimate { .. } => 0,
        };
        let step = steps.saturating_sub(self.warm_up_left) + 1;
        let past = F::one() - F::one() / F::from_count(step.into());
        (past, past)
    }
}

/// Adds what separate decays bring.
// A function of its own, so that equal decays do not wait for d, and with it for a root. A microcontroller computes one
// thing after the other, and is spared the code of calls. So below.
#[cfg_attr(not(target_os = "none"), inline(never))]
fn with_cross_term<F: Float>(variance: F, cross: F, d: F) -> F {
    variance + (cross + cross) * d
}

/// What rounding cut off mean + step, where the step is the larger.
#[cfg_attr(not(target_os = "none"), cold, inline(never))]
fn lost_by_large_step<F: Float>(mean: F, step: F, sum: F) -> F {
    mean - (sum - step)
}
