//! The first phase: clipping, which needs no more than a copy of a few numbers.

use crate::{Float, NonFinite, Scaling};

/// The largest scale that lifting a low loss can give.
pub const MAX_SCALE: f64 = 8.0;

/// The limits of one step; clips the losses of that step wherever they arise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits<F> {
    pub(crate) band: Band<F>,
    pub(crate) scaling: Scaling,
    pub(crate) non_finite: NonFinite,
}

/// Where losses pass unchanged, lower <= mean <= upper: all that summing them needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Band<F> {
    pub(crate) lower: F,
    pub(crate) mean: F,
    pub(crate) upper: F,
}

impl<F: Float> Band<F> {
    /// Whether clipping leaves a loss as it is.
    pub(crate) fn contains(&self, loss: F) -> bool {
        loss >= self.lower && loss <= self.upper
    }

    /// The value within the limits that is nearest to a loss; NaN of NaN.
    pub(crate) fn within(&self, loss: F) -> F {
        self.lower.at_least(self.upper.at_most(loss))
    }
}

/// A loss after clipping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipped<F> {
    /// The loss, within the limits; 0 for a loss that is NaN or infinite.
    pub loss: F,
    /// The factor of the loss's gradient: in [0, 1], or up to [`MAX_SCALE`] for a loss that was lifted; 0 for a loss
    /// that is NaN or infinite.
    pub scale: F,
}

impl<F: Float> Clipped<F> {
    pub(crate) fn nothing() -> Self {
        Self { loss: F::zero(), scale: F::zero() }
    }
}

impl<F: Float> Limits<F> {
    /// Limits from plain numbers, such as those of another process; `None` unless they are finite,
    /// lower <= mean <= upper, and the mean's magnitude at most [`Float::mean_bound`].
    pub fn from_parts(lower: F, mean: F, upper: F, scaling: Scaling, non_finite: NonFinite) -> Option<Self> {
        let are_finite = lower >= -F::max_value() && upper <= F::max_value();
        let are_ordered = lower <= mean && mean <= upper;
        if are_finite && are_ordered && mean.is_within(F::mean_bound()) {
            Some(Self { band: Band { lower, mean, upper }, scaling, non_finite })
        } else {
            None
        }
    }

    /// The value to which smaller losses are lifted, mu1 - n sigma; the lowest finite number where none is lifted.
    pub fn lower(&self) -> F {
        self.band.lower
    }

    /// mu1.
    pub fn mean(&self) -> F {
        self.band.mean
    }

    /// The value to which larger losses are clipped, mu1 + n sigma; the largest finite number during the warm-up.
    pub fn upper(&self) -> F {
        self.band.upper
    }

    /// How the gradients of clipped losses are scaled.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// What a NaN or an infinite loss does to its batch.
    pub fn non_finite(&self) -> NonFinite {
        self.non_finite
    }

    /// Clips one loss.
    // A call from a step would cost every step the prologue of a function.
    #[inline(always)]
    pub fn clip(&self, loss: F) -> Clipped<F> {
        if self.band.contains(loss) {
            Clipped { loss, scale: F::one() }
        } else if loss.is_finite() {
            let limit = if loss > self.band.upper { self.band.upper } else { self.band.lower };
            Clipped { loss: limit, scale: self.scale(loss, limit) }
        } else {
            Clipped::nothing()
        }
    }

    /// The scale that [`clip`](Self::clip) gives, divided whether needed or not: no branch keeps a loop over losses from
    /// being compiled to vector instructions.
    #[inline]
    pub(crate) fn scale_in_row(&self, loss: F) -> F {
        let of_finite = self.scale(loss, self.band.within(loss));
        let of_outside = if loss.is_finite() { of_finite } else { F::zero() };
        if self.band.contains(loss) {
            F::one()
        } else {
            of_outside
        }
    }

    /// The scale of the gradient of a finite loss that was moved to a limit.
    #[inline(always)]
    fn scale(&self, loss: F, limit: F) -> F {
        let is_ratio = self.scaling == Scaling::Ratio && (limit > F::zero()) & (loss > F::zero());
        let origin = if is_ratio { F::zero() } else { self.band.mean };
        let scale = (limit - origin) / (loss - origin);
        // Rounding alone could pass 1, and division by a difference that a processor flushes to zero gives NaN.
        scale.at_most(if is_ratio & (loss < limit) { F::from_f64(MAX_SCALE) } else { F::one() })
    }
}
