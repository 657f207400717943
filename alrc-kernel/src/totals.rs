//! Losses of a block, summed one after the other, and the order in which they are summed everywhere.
//!
//! **Order.** A block is cut into runs of 256 finite losses. Loss i of a run is added to lane i mod 8; the lanes of a
//! run are added to those of the block, run after run, and these pairwise at the end. The order is a function of the
//! number of finite losses alone, and so the sums are the same bits on every machine, whatever the width of its
//! vectors. With the tree of blocks, a sum of n losses passes at most 39 + log2(n) roundings.
//!
//! **Cancellation.** One pass adds the distances of the clipped losses from a centre, the running mean, and their
//! squares. Where the losses lie so far from it that their variance has lost more than four binary digits, a second
//! pass has their own mean as its centre.

use crate::limits::Band;
use crate::sums::{Moments, Sums, Tally};
use crate::Float;

/// Losses between two additions of the lanes to those of the block.
pub(crate) const RUN: usize = 256;

/// Partial sums of a run.
pub(crate) const LANES: usize = 8;

/// How often the squares about the mean may be contained in the squares: so much may cancel.
const MOST_CANCELLATION: f64 = 16.0;

/// The sums of at most a block of any losses, clipped, in little code.
pub(crate) fn sum_one_by_one<F: Float>(band: &Band<F>, block: &[F]) -> Sums<F> {
    let mut center = center(band);
    let mut is_second_pass = false;
    loop {
        let (mut moments, tally, totals) = scan(band, block, center);
        // A single loss is its own mean, to the bit.
        if moments.count > 1 {
            let (mean, squares) = totals.moments(moments.count, center);
            // Rounding may take it beyond the limit.
            center = band.within(mean).saturate();
            if !is_second_pass && totals.have_cancelled(squares) {
                is_second_pass = true;
                continue;
            }
            moments.mean = if is_second_pass { mean } else { center };
            moments.squares = squares.at_least(F::zero());
        }
        return (moments, tally);
    }
}

/// Looks at losses one after the other. Returns their sums, in which mean and squares are those of the last loss alone,
/// and, where there are several, their totals about a centre.
fn scan<F: Float>(band: &Band<F>, block: &[F], center: F) -> (Moments<F>, Tally<F>, Totals<F>) {
    // A zero, but not a constant: to set many numbers to one takes a function, in a program without an operating system
    // one of its own.
    #[allow(clippy::eq_op)]
    let zero = center - center;
    let (mut moments, mut tally) = (Moments { count: 0, mean: zero, squares: zero }, Tally::of_none());
    // Those of the block, then those of the run.
    let mut lanes = [Totals { sum: zero, squares: zero }; 2 * LANES];
    let mut half = LANES;
    let mut losses = block.iter();
    while half > 0 {
        let next = losses.next();
        if let Some(&loss) = next {
            if !loss.is_finite() {
                tally.non_finite += 1;
                continue;
            }
            let within = band.within(loss);
            if within != loss {
                tally.add_clipped(band, loss);
            }
            moments.mean = within.saturate();
            lanes[LANES + moments.count % LANES].add(moments.mean - center);
            moments.count += 1;
            if moments.count % RUN > 0 {
                continue;
            }
        } else if moments.count < 2 {
            break;
        }
        // After a run its lanes are added to those of the block, and at the end half of these to the other half.
        let mut halves = lanes.chunks_mut(half);
        if let (Some(first), Some(second)) = (halves.next(), halves.next()) {
            for (first, second) in first.iter_mut().zip(second) {
                first.sum = first.sum + second.sum;
                first.squares = first.squares + second.squares;
                *second = Totals { sum: zero, squares: zero };
            }
        }
        if next.is_none() {
            half /= 2;
        }
    }
    (moments, tally, lanes[0])
}

/// The running mean; 0 where that is so large that the squares of the distances from it could overflow.
pub(crate) fn center<F: Float>(band: &Band<F>) -> F {
    let half_bound = F::moment_bound() / (F::one() + F::one());
    if band.mean.is_within(half_bound) {
        band.mean
    } else {
        F::zero()
    }
}

/// Of a block.
#[derive(Clone, Copy)]
pub(crate) struct Totals<F> {
    /// Sum of the distances of the clamped losses from a centre.
    pub(crate) sum: F,
    /// Sum of the squares of these distances.
    pub(crate) squares: F,
}

impl<F: Float> Totals<F> {
    fn add(&mut self, distance: F) {
        self.sum = self.sum + distance;
        self.squares = self.squares + distance * distance;
    }

    /// Mean of `count` values and squares about it, from the totals about a centre.
    pub(crate) fn moments(&self, count: usize, center: F) -> (F, F) {
        let distance = self.sum / F::from_count(count as u64);
        (center + distance, self.squares - self.sum * distance)
    }

    /// Whether the squares about the mean are too small a part of those about the centre.
    pub(crate) fn have_cancelled(&self, squares: F) -> bool {
        squares * F::from_f64(MOST_CANCELLATION) < self.squares
    }

    /// Whether no loss can have been NaN, minus infinity or beyond the bound of the moments: none is further from the
    /// centre than the root of the squares.
    pub(crate) fn are_moderate(&self, center: F) -> bool {
        let room = (center + F::moment_bound()).at_most(F::moment_bound());
        self.squares <= room * room
    }
}
