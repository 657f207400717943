//! The running mean and variance, and the sums of a step that move them.

use crate::{Config, Float};

/// What a step's clipped losses add to the moments. Sums of parts of a batch merge into those of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchSums<F> {
    /// Number of finite losses.
    pub count: u64,
    /// Mean of the clipped losses.
    pub mean: F,
    /// Sum of the squares of the clipped losses about their mean, at least 0.
    pub squares: F,
    /// Number of losses that were clipped.
    pub clipped: u64,
    /// Number of losses that were NaN or infinite.
    pub non_finite: u64,
}

impl<F: Float> Default for BatchSums<F> {
    /// The sums of no loss.
    fn default() -> Self {
        Self { count: 0, mean: F::ZERO, squares: F::ZERO, clipped: 0, non_finite: 0 }
    }
}

impl<F: Float> BatchSums<F> {
    /// Takes in the sums of another part of the batch (Chan, Golub and LeVeque 1979).
    pub fn merge(&mut self, other: &Self) {
        let (clipped, non_finite) = (self.clipped + other.clipped, self.non_finite + other.non_finite);
        if self.count == 0 {
            *self = *other;
        } else if other.count > 0 {
            let (own, others) = (F::from_count(self.count), F::from_count(other.count));
            let weight = others / (own + others);
            let distance = other.mean - self.mean;
            self.count += other.count;
            self.mean = self.mean + distance * weight;
            self.squares = self.squares + other.squares + distance * distance * own * weight;
        }
        (self.clipped, self.non_finite) = (clipped, non_finite);
    }

    /// Takes in one clipped, finite loss.
    pub(crate) fn add(&mut self, loss: F) {
        self.merge(&Self { count: 1, mean: loss.saturate(), ..Self::default() });
    }
}

/// The running mean and variance of the clipped losses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments<F> {
    /// mu1.
    pub(crate) mean: F,
    /// What rounding has cut off the mean: mean + carry is the mean to more digits.
    carry: F,
    /// mu2 - mu1^2, at least 0.
    pub(crate) variance: F,
}

impl<F: Float> Moments<F> {
    pub(crate) fn new(config: &Config<F>) -> Self {
        let mean = config.mu1_start;
        Self { mean, carry: F::ZERO, variance: config.mu2_start - mean * mean }
    }

    /// Moves the moments by the sums of one step. With d = mean(y) - mu1, v = the variance of y, a = 1 - beta:
    ///
    /// ```text
    /// mu1' = mu1 + a1 d
    /// var' = (1 - a2) var + a2 v + (a2 - a1^2) d^2 + 2 (a2 - a1) mu1 d
    /// ```
    ///
    /// which is the published update of mu1 and mu2 with var = mu2 - mu1^2; no term is negative for equal decays.
    pub(crate) fn update(&mut self, config: &Config<F>, sums: &BatchSums<F>) {
        if sums.count == 0 {
            return;
        }
        let (a1, a2) = (F::ONE - config.decay1, F::ONE - config.decay2);
        let v = sums.squares / F::from_count(sums.count);
        let d = (sums.mean - self.mean) - self.carry;
        let two = F::ONE + F::ONE;
        let variance = config.decay2 * self.variance
            + a2 * v
            + (a2 - a1 * a1) * (d * d)
            + two * (a2 - a1) * (self.mean * d);
        self.variance = if variance > F::ZERO { variance } else { F::ZERO };
        let step = a1 * d + self.carry;
        let mean = self.mean + step;
        // What the addition has lost (Knuth's TwoSum).
        let added = mean - self.mean;
        self.carry = (self.mean - (mean - added)) + (step - added);
        self.mean = mean;
    }
}
