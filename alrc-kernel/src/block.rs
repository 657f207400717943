//! The sums of a block of losses, which stays in the first-level cache.
//!
//! **Order.** A block is cut into groups of 4 rows of 16. The 4 losses that stand below each other are added pairwise
//! and go to one of 16 lanes, group after group; the lanes are added pairwise at the end; what lacks in the last group
//! is 0. The order is a function of the number of finite losses alone, and so the sums are the same bits on every
//! machine, whatever the width of its vectors. With the tree of blocks, a sum of n losses passes at most
//! 27 + log2(n) roundings.
//!
//! **Cancellation.** One pass adds the distances of the clipped losses from a centre, the running mean, and their
//! squares. Where the losses lie so far from it that their variance has lost more than four binary digits, a second
//! pass has their own mean as its centre.
//!
//! **Losses outside the limits** cost as little as those inside: every loss is clamped, and whether that changed one
//! is seen at the end, by the largest loss and, where low losses are lifted, the smallest. Only blocks that have a
//! loss that is not finite, or so large that sums overflow, go another way, one loss after the other.

use crate::{BatchSums, Float, Limits};

/// Losses in a block.
pub(crate) const BLOCK: usize = 2048;

/// Partial sums of a block.
const LANES: usize = 16;

/// Rows whose losses are added pairwise.
const ROWS: usize = 4;

const GROUP: usize = ROWS * LANES;

/// How often the squares about the mean may be contained in the squares: so much may cancel.
const MOST_CANCELLATION: f64 = 16.0;

/// The sums of at most a block of losses, clipped.
pub(crate) fn sum_block<F: Float>(limits: &Limits<F>, block: &[F]) -> BatchSums<F> {
    if limits.lower > -F::max_value() {
        sum_moderate::<true, F>(limits, block)
    } else {
        sum_moderate::<false, F>(limits, block)
    }
    .unwrap_or_else(|| sum_any(limits, block))
}

/// Of losses that are finite and so moderate that no sum overflows; `None` if they are not.
fn sum_moderate<const TWO_SIDED: bool, F: Float>(limits: &Limits<F>, block: &[F]) -> Option<BatchSums<F>> {
    let about = |center| Totals::about::<TWO_SIDED>(center, limits, block);
    // A single loss is its own mean, to the bit.
    let center = if let [loss] = *block { entering(limits, loss) } else { limits.mean };
    let totals = about(center);
    // No loss is further from the center than the root of the squares. Each comparison is false after a NaN.
    let room = (center + F::moment_bound()).at_most(F::moment_bound()).at_least(F::zero());
    let is_moderate =
        totals.squares <= room * room && totals.highest <= F::max_value() && totals.lowest >= -F::max_value();
    if !is_moderate {
        return None;
    }
    let mut sums = BatchSums { count: block.len() as u64, ..BatchSums::default() };
    if totals.highest > limits.upper || totals.lowest < limits.lower {
        sums.clipped = block.iter().map(|&loss| u32::from(!limits.contains(loss))).sum::<u32>().into();
        let excess = (totals.highest - limits.upper).at_least(limits.lower - totals.lowest);
        sums.largest_excess = excess.at_most(F::max_value());
    }
    sums.set_moments(center, &totals, about);
    Some(sums)
}

/// Of any losses.
fn sum_any<F: Float>(limits: &Limits<F>, block: &[F]) -> BatchSums<F> {
    let mut sums: BatchSums<F> = BatchSums::default();
    for &loss in block {
        if !loss.is_finite() {
            sums.non_finite += 1;
            continue;
        }
        sums.count += 1;
        if !limits.contains(loss) {
            sums.clipped += 1;
            let excess = (loss - limits.upper).at_least(limits.lower - loss).at_most(F::max_value());
            sums.largest_excess = sums.largest_excess.at_least(excess);
        }
    }
    let about = |center| {
        let finite = block.iter().filter(|loss| loss.is_finite());
        Totals::of_iter(finite.map(|&loss| entering(limits, loss) - center))
    };
    sums.set_moments(F::zero(), &about(F::zero()), about);
    sums
}

/// What enters the moments of a loss; NaN of NaN.
#[inline(always)]
fn entering<F: Float>(limits: &Limits<F>, loss: F) -> F {
    limits.lower.saturate().at_least(limits.upper.saturate().at_most(loss))
}

impl<F: Float> BatchSums<F> {
    /// From the totals about a centre of as many values as are counted and, if need be, those about their mean.
    fn set_moments(&mut self, center: F, totals: &Totals<F>, about: impl FnOnce(F) -> Totals<F>) {
        if self.count == 0 {
            return;
        }
        let count = F::from_count(self.count);
        let distance = totals.sum / count;
        self.mean = center + distance;
        self.squares = totals.squares - totals.sum * distance;
        if self.squares * F::from_f64(MOST_CANCELLATION) < totals.squares {
            let totals = about(self.mean);
            let correction = totals.sum / count;
            self.mean = self.mean + correction;
            self.squares = (totals.squares - totals.sum * correction).at_least(F::zero());
        }
    }
}

/// Of a block.
struct Totals<F> {
    /// Sum of the distances of the clamped losses from a centre.
    sum: F,
    /// Sum of the squares of these distances.
    squares: F,
    /// The largest loss, if there is one above the lowest finite number.
    highest: F,
    /// The smallest loss; the largest finite number if it was not asked for.
    lowest: F,
}

impl<F: Float> Totals<F> {
    /// Of losses, about `center`; with the smallest of them where it matters.
    #[inline(always)]
    fn about<const TWO_SIDED: bool>(center: F, limits: &Limits<F>, block: &[F]) -> Self {
        let (lower, upper) = (limits.lower.saturate(), limits.upper.saturate());
        let distance = |loss: F| {
            // In this order NaN passes through.
            let clamped = if upper < loss { upper } else { loss };
            let clamped = if TWO_SIDED && lower > clamped { lower } else { clamped };
            clamped - center
        };
        let mut lanes = Lanes::new();
        let groups = block.chunks_exact(GROUP);
        let rest = groups.remainder();
        for group in groups {
            if let Ok(group) = group.try_into() {
                lanes.add::<TWO_SIDED>(group, distance);
            }
        }
        lanes.add_rest(&mut rest.iter().map(|&loss| distance(loss)));
        let mut totals = lanes.totals();
        for &loss in rest {
            totals.highest = totals.highest.at_least(loss);
            totals.lowest = totals.lowest.at_most(loss);
        }
        totals
    }

    /// Of any number of distances.
    fn of_iter(distances: impl Iterator<Item = F>) -> Self {
        let mut distances = distances.peekable();
        let mut lanes = Lanes::new();
        while distances.peek().is_some() {
            lanes.add_rest(&mut distances);
        }
        lanes.totals()
    }
}

/// Totals before the lanes are added.
struct Lanes<F> {
    sum: [F; LANES],
    squares: [F; LANES],
    highest: [F; LANES],
    lowest: [F; LANES],
}

impl<F: Float> Lanes<F> {
    fn new() -> Self {
        Self {
            sum: [F::zero(); LANES],
            squares: [F::zero(); LANES],
            highest: [-F::max_value(); LANES],
            lowest: [F::max_value(); LANES],
        }
    }

    /// Adds a group. The loop over the lanes has no dependencies, so that it is compiled to vector instructions.
    #[inline(always)]
    fn add<const TWO_SIDED: bool>(&mut self, group: &[F; GROUP], distance: impl Fn(F) -> F) {
        for lane in 0..LANES {
            let losses: [F; ROWS] = core::array::from_fn(|row| group[row * LANES + lane]);
            self.add_to_lane(lane, losses.map(&distance));
            self.highest[lane] = fold(losses, F::at_least).at_least(self.highest[lane]);
            if TWO_SIDED {
                self.lowest[lane] = fold(losses, F::at_most).at_most(self.lowest[lane]);
            }
        }
    }

    /// Adds the next distances, at most a group.
    fn add_rest(&mut self, distances: &mut impl Iterator<Item = F>) {
        let mut group = [F::zero(); GROUP];
        for (place, distance) in group.iter_mut().zip(distances) {
            *place = distance;
        }
        for lane in 0..LANES {
            self.add_to_lane(lane, core::array::from_fn(|row| group[row * LANES + lane]));
        }
    }

    #[inline(always)]
    fn add_to_lane(&mut self, lane: usize, distances: [F; ROWS]) {
        self.sum[lane] = self.sum[lane] + fold(distances, F::add);
        self.squares[lane] = self.squares[lane] + fold(distances.map(|distance| distance * distance), F::add);
    }

    fn totals(self) -> Totals<F> {
        Totals {
            sum: fold(self.sum, F::add),
            squares: fold(self.squares, F::add),
            highest: fold(self.highest, F::at_least),
            lowest: fold(self.lowest, F::at_most),
        }
    }
}

/// Combines neighbours, then neighbouring results, and so on. `N` is a power of two.
#[inline(always)]
fn fold<F: Float, const N: usize>(mut values: [F; N], combine: impl Fn(F, F) -> F) -> F {
    let mut width = N / 2;
    while width > 0 {
        for index in 0..width {
            values[index] = combine(values[2 * index], values[2 * index + 1]);
        }
        width /= 2;
    }
    values[0]
}
