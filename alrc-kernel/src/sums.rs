//! What the losses of a step add to the moments.

use crate::limits::Band;
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
        Self::new((Moments::of_none(), Tally::of_none()))
    }
}

impl<F: Float> BatchSums<F> {
    pub(crate) fn new((moments, tally): Sums<F>) -> Self {
        Self {
            count: moments.count as u64,
            mean: moments.mean,
            squares: moments.squares,
            clipped: tally.clipped as u64,
            non_finite: tally.non_finite as u64,
            largest_excess: tally.largest_excess,
        }
    }

    /// Takes in the sums of another part of the batch.
    ///
    /// The order of merging matters in the last bits: ranks that are to stay equal merge in one order. With sums that
    /// are not [valid](Self::is_valid), these are no longer, either.
    pub fn merge(&mut self, other: &Self) {
        let are_valid = self.is_valid() && other.is_valid();
        let count = self.count.saturating_add(other.count);
        let of_part = |sums: &Self| (F::from_count(sums.count), sums.mean, sums.squares);
        (self.mean, self.squares) = merge_moments(of_part(self), of_part(other), F::from_count(count));
        if !are_valid {
            // As no squares sum up to.
            self.squares = -F::one();
        }
        self.count = count;
        self.clipped = self.clipped.saturating_add(other.clipped);
        self.non_finite = self.non_finite.saturating_add(other.non_finite);
        self.largest_excess = self.largest_excess.at_least(other.largest_excess);
    }

    /// Whether the numbers can be the sums of losses. Those of [`clip_batch`](crate::Limits::clip_batch), merged or
    /// not, always are; those that came from elsewhere may not be, and [`update`](crate::Alrc::update) refuses them.
    pub fn is_valid(&self) -> bool {
        self.mean.is_within(F::mean_bound())
            && self.squares >= F::zero()
            && self.squares.is_finite()
            && self.clipped <= self.count
    }
}

/// The [`BatchSums`] of losses in memory. A `usize` counts those, in less code where it has 32 bits.
pub(crate) type Sums<F> = (Moments<F>, Tally<F>);

/// The sums that lead to the moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments<F> {
    /// Number of finite losses.
    pub(crate) count: usize,
    pub(crate) mean: F,
    pub(crate) squares: F,
}

impl<F: Float> Moments<F> {
    pub(crate) fn of_none() -> Self {
        Self { count: 0, mean: F::zero(), squares: F::zero() }
    }

    /// Takes in the sums of the losses that follow.
    pub(crate) fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let of_part = |part: &Self| (F::from_count(part.count as u64), part.mean, part.squares);
        (self.mean, self.squares) = merge_moments(of_part(self), of_part(other), F::from_count(count as u64));
        self.count = count;
    }
}

/// Mean and squares of `count` losses (Chan, Golub and LeVeque 1979), from the number, the mean and the squares of the
/// losses of either of two parts.
fn merge_moments<F: Float>(own: (F, F, F), other: (F, F, F), count: F) -> (F, F) {
    let (own_count, own_mean, own_squares) = own;
    let (other_count, other_mean, other_squares) = other;
    if own_count == F::zero() {
        (other_mean, other_squares)
    } else if other_count == F::zero() {
        (own_mean, own_squares)
    } else {
        let weight = other_count / count;
        let distance = other_mean - own_mean;
        let squares = own_squares + other_squares + distance * distance * (own_count * weight);
        (own_mean + distance * weight, squares.at_most(F::max_value()))
    }
}

/// The losses that clipping did not leave as they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tally<F> {
    pub(crate) clipped: usize,
    pub(crate) non_finite: usize,
    pub(crate) largest_excess: F,
}

impl<F: Float> Tally<F> {
    pub(crate) fn of_none() -> Self {
        Self { clipped: 0, non_finite: 0, largest_excess: F::zero() }
    }

    /// Whether there are none.
    pub(crate) fn is_of_none(&self) -> bool {
        self.clipped == 0 && self.non_finite == 0
    }

    /// Takes in a finite loss outside the limits.
    pub(crate) fn add_clipped(&mut self, band: &Band<F>, loss: F) {
        self.clipped += 1;
        let excess = (loss - band.upper).at_least(band.lower - loss).at_most(F::max_value());
        self.largest_excess = self.largest_excess.at_least(excess);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.clipped += other.clipped;
        self.non_finite += other.non_finite;
        self.largest_excess = self.largest_excess.at_least(other.largest_excess);
    }
}
