//! The first phase: clipping, which needs no more than a copy of a few numbers.

use crate::{BatchSums, Float};

/// The limit of one step; clips the losses of that step wherever they arise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits<F> {
    pub(crate) mean: F,
    pub(crate) upper: F,
}

/// A loss after clipping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipped<F> {
    /// The loss, at most the limit; 0 for a loss that is NaN or infinite.
    pub loss: F,
    /// The factor of the loss's gradient, in [0, 1]; 0 for a loss that is NaN or infinite.
    pub scale: F,
}

impl<F: Float> Limits<F> {
    /// The value above which losses are clipped: mu1 + n sigma.
    pub fn upper(&self) -> F {
        self.upper
    }

    /// Clips one loss.
    ///
    /// The scale of a clipped loss is limit/loss where both are positive (as published), elsewhere
    /// (limit - mean)/(loss - mean).
    pub fn clip(&self, loss: F) -> Clipped<F> {
        if !loss.is_finite() {
            Clipped { loss: F::ZERO, scale: F::ZERO }
        } else if loss <= self.upper {
            Clipped { loss, scale: F::ONE }
        } else if self.upper > F::ZERO {
            Clipped { loss: self.upper, scale: self.upper / loss }
        } else {
            Clipped { loss: self.upper, scale: (self.upper - self.mean) / (loss - self.mean) }
        }
    }

    /// Clips the losses of (a part of) a step, and sums them for [`Alrc::update`](crate::Alrc::update).
    ///
    /// `clipped` and `scales` receive the value and the scale of each loss for which they have room: give slices of
    /// the length of `losses`, or empty ones for what is not wanted.
    pub fn clip_batch(&self, losses: &[F], clipped: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        let mut sums = BatchSums::default();
        let (mut clipped, mut scales) = (clipped.iter_mut(), scales.iter_mut());
        for &loss in losses {
            let result = self.clip(loss);
            if loss.is_finite() {
                sums.add(result.loss);
                sums.clipped += u64::from(loss > self.upper);
            } else {
                sums.non_finite += 1;
            }
            if let Some(clipped) = clipped.next() {
                *clipped = result.loss;
            }
            if let Some(scale) = scales.next() {
                *scale = result.scale;
            }
        }
        sums
    }
}
