//! The running mean and variance, and how a step moves them.

use crate::{Config, ConfigError, Float, Start};

/// All that changes from step to step, in plain numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State<F> {
    /// mu1 before the last step, rounded, in units of the loss; magnitude at most [`Float::mean_bound`].
    pub mean: F,
    /// What the last step adds to it, with what rounding has cut off before: mean + carry is mu1, to more digits than
    /// one number has; magnitude of the sum as above.
    pub carry: F,
    /// mu2 - mu1^2, in squared units of the loss, finite, at least 0.
    pub variance: F,
    /// Steps of the warm-up that are still to come.
    pub warm_up_left: u32,
}

/// How far the mean of a step's losses is from mu1.
pub(crate) struct Distances<F> {
    /// From `State::mean`.
    from_mean: F,
    /// d, from mu1.
    d: F,
    /// d^2.
    square: F,
}

impl<F: Float> State<F> {
    pub(crate) fn new(start: Start<F>) -> Self {
        let zero = F::zero();
        let (mean, variance, warm_up_left) = match start {
            Start::Estimate { mu1, mu2 } => (mu1, mu2 - mu1 * mu1, 0),
            Start::WarmUp { steps } => (zero, zero, steps),
        };
        Self { mean, carry: zero, variance, warm_up_left }
    }

    /// Whether steps can go on from this state; the error names the first number that is impossible.
    pub(crate) fn validate(&self, config: &Config<F>) -> Result<(), ConfigError> {
        let permitted = "in magnitude at most 2.8e17 (f64: 2e152)";
        ConfigError::unless(self.mean.is_within(F::mean_bound()), "mean", self.mean, permitted)?;
        let permitted = "such that mean + carry is in magnitude at most 2.8e17 (f64: 2e152)";
        ConfigError::unless(self.mu1().is_within(F::mean_bound()), "carry", self.carry, permitted)?;
        let is_permitted = self.variance >= F::zero() && self.variance.is_finite();
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
        let from_mean = m - self.mean;
        let d = from_mean - self.carry;
        Distances { from_mean, d, square: d * d }
    }

    /// The same, for losses whose mean is mu1 + d. The square of d is given, for it may be known before d.
    #[inline(always)]
    pub(crate) fn distances_of(&self, d: F, square: F) -> Distances<F> {
        Distances { from_mean: d + self.carry, d, square }
    }

    /// Moves the moments by the variance v of a step's clipped losses and the distances to their mean. With
    /// a = 1 - beta:
    ///
    /// ```text
    /// mu1' = mu1 + a1 d
    /// var' = beta2 var + a2 v + (a2 - a1^2) d^2 + 2 (a2 - a1) mu1 d
    /// ```
    ///
    /// which is the published update of mu1 and mu2 with var = mu2 - mu1^2. For equal decays a2 - a1^2 = a1 beta1 and the
    /// last term is 0: what remains cannot become negative or too large. With others, mu2 may fall short of mu1^2; then
    /// var is 0 after the step, as if mu2 were mu1^2.
    #[inline(always)]
    pub(crate) fn advance(&mut self, config: &Config<F>, distances: Distances<F>, v: F) {
        let Distances { from_mean, d, square } = distances;
        let mean = self.mu1();
        let (past1, past2) = self.take_decays(config);
        let (a1, a2) = (F::one() - past1, F::one() - past2);
        let mut variance = past2 * self.variance;
        // Never in a step of a single loss, whose code is spared this.
        if v > F::zero() {
            variance = variance + a2 * v;
        }
        self.variance = if past1 == past2 {
            variance + (a1 * past1) * square
        } else {
            let cross = (a2 - a1) * mean;
            let variance = variance + (a2 - a1 * a1) * square + (cross + cross) * d;
            variance.at_least(F::zero()).at_most(F::max_value())
        };

        // mu1' = mean + (a1 from_mean + beta1 carry). The mean takes in what it can of the old carry meanwhile, which
        // does not have to wait for the loss; what rounding cuts off of that sum stays in the carry.
        let taken_in = mean - self.mean;
        self.carry = (a1 * from_mean + past1 * self.carry) - taken_in;
        self.mean = mean;
    }

    /// mu1, rounded.
    pub(crate) fn mu1(&self) -> F {
        self.mean + self.carry
    }

    /// The decays of mu1 and mu2 in a step, which is counted. Step k of the warm-up, which makes plain averages, leaves
    /// the past 1 - 1/k.
    #[inline(always)]
    fn take_decays(&mut self, config: &Config<F>) -> (F, F) {
        if self.warm_up_left == 0 {
            return (config.decay1, config.decay2);
        }
        let steps = match config.start {
            Start::WarmUp { steps } => steps,
            Start::Estimate { .. } => 0,
        };
        let step = steps.saturating_sub(self.warm_up_left) + 1;
        self.warm_up_left -= 1;
        let past = F::one() - F::one() / F::from_count(step.into());
        (past, past)
    }
}
