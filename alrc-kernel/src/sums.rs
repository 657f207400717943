//! What the losses of a step add to the moments.

use crate::Float;

/// The sums of a step's clipped losses, plain numbers that any transport can carry.
///
/// Sums of parts of a batch [merge](Self::merge) into those of the whole. Losses that are NaN or infinite are counted
/// in `non_finite` alone.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BatchSums<F> {
    /// Number of finite losses.
    pub count: u64,
    /// Mean of the clipped losses, in units of the loss.
    pub mean: F,
    /// Sum of the squares of the clipped losses about their mean, at least 0.
    pub squares: F,
    /// Number of losses that were clipped.
    pub clipped: u64,
    /// Number of losses that were NaN or infinite.
    pub non_finite: u64,
    /// The largest distance of a loss from the limit that clipped it, in units of the loss; 0 if none was clipped.
    pub largest_excess: F,
}

impl<F: Float> Default for BatchSums<F> {
    /// The sums of no loss.
    fn default() -> Self {
        Self {
            count: 0,
            mean: F::zero(),
            squares: F::zero(),
            clipped: 0,
            non_finite: 0,
            largest_excess: F::zero(),
        }
    }
}

impl<F: Float> BatchSums<F> {
    /// Takes in the sums of another part of the batch (Chan, Golub and LeVeque 1979).
    ///
    /// The order of merging matters in the last bits: ranks that are to stay equal merge in one order. With sums that
    /// are not [valid](Self::is_valid), these are no longer, either.
    pub fn merge(&mut self, other: &Self) {
        let are_valid = self.is_valid() && other.is_valid();
        self.merge_valid(other);
        if !are_valid {
            // As no squares sum up to.
            self.squares = -F::one();
        }
    }

    /// [`merge`](Self::merge) of sums that are both valid.
    pub(crate) fn merge_valid(&mut self, other: &Self) {
        let count = self.count.saturating_add(other.count);
        if self.count == 0 {
            (self.mean, self.squares) = (other.mean, other.squares);
        } else if other.count > 0 {
            let own = F::from_count(self.count);
            let weight = F::from_count(other.count) / F::from_count(count);
            let distance = other.mean - self.mean;
            self.mean = self.mean + distance * weight;
            let squares = self.squares + other.squares + distance * distance * (own * weight);
            self.squares = squares.at_most(F::max_value());
        }
        self.count = count;
        self.clipped = self.clipped.saturating_add(other.clipped);
        self.non_finite = self.non_finite.saturating_add(other.non_finite);
        self.largest_excess = self.largest_excess.at_least(other.largest_excess);
    }

    pub(crate) fn has_only_unclipped(&self) -> bool {
        self.clipped == 0 && self.non_finite == 0
    }

    /// Whether the numbers can be the sums of losses. Those of [`clip_batch`](crate::Limits::clip_batch), merged or
    /// not, always are; those that came from elsewhere may not be, and [`update`](crate::Alrc::update) refuses them.
    pub fn is_valid(&self) -> bool {
        let bound = F::moment_bound() + F::moment_bound();
        self.mean >= -bound
            && self.mean <= bound
            && self.squares >= F::zero()
            && self.squares.is_finite()
            && self.clipped <= self.count
    }
}
