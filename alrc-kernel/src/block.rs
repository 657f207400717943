//! The sums of a block of losses, which stays in the first-level cache.
//!
//! **Order.** A block is cut into runs of 256 finite losses. Loss i of a run is added to lane i mod 8; the lanes of a
//! run are added to those of the block, run after run, and these pairwise at the end. The order is a function of the
//! number of finite losses alone, and so the sums are the same bits on every machine, whatever the width of its
//! vectors. With the tree of blocks, a sum of n losses passes at most 39 + log2(n) roundings.
//!
//! **Cancellation.** One pass adds the distances of the clipped losses from a centre, the running mean, and their
//! squares. Where the losses lie so far from it that their variance has lost more than four binary digits, a second
//! pass has their own mean as its centre.
//!
//! **Three ways to the same bits.** Losses that are all below the limit need nothing but that comparison, three
//! additions and a multiplication each, and it is the additions that take the time. Others are clamped, and how many
//! were changed is counted afterwards. A block with a loss that is not finite, or so large that sums overflow, is
//! summed one loss after the other; where there are no vectors, so is every block, in little code.

use core::ops::{BitOr, Range};

use crate::vectors::in_widest_vectors;
use crate::{BatchSums, Float, Limits};

/// Losses in a block.
pub(crate) const BLOCK: usize = 4096;

/// Losses between two additions of the lanes to those of the block.
const RUN: usize = 256;

/// Partial sums of a run.
const LANES: usize = 8;

/// Losses that one turn of a loop over a run adds.
const GROUP: usize = 2 * LANES;

/// How often the squares about the mean may be contained in the squares: so much may cancel.
const MOST_CANCELLATION: f64 = 16.0;

/// Whether loops over lanes are compiled to vector instructions.
pub(crate) const HAS_VECTORS: bool =
    cfg!(any(target_feature = "sse2", target_feature = "neon", target_feature = "simd128"));

/// The sums of at most a block of losses, clipped. That a loss will be clipped is more likely if one was in the block
/// before; to know it saves time.
pub(crate) fn sum_block<F: Float>(limits: &Limits<F>, block: &[F], is_clipping_likely: bool) -> BatchSums<F> {
    let mut sums = None;
    // Where the centre is not the mean, it may not lie within the limits.
    if HAS_VECTORS && block.len() > 1 && center(limits) == limits.mean {
        let is_one_sided = limits.lower <= -F::max_value();
        if is_one_sided && limits.upper >= F::zero() && !is_clipping_likely {
            sums = sum_unclipped(limits, block);
        }
        if sums.is_none() {
            sums = if is_one_sided {
                sum_moderate::<false, F>(limits, block)
            } else {
                sum_moderate::<true, F>(limits, block)
            };
        }
    }
    sums.unwrap_or_else(|| sum_any(limits, block))
}

/// Of losses that are not above the upper limit, which is not negative, nor above the bound of the moments; `None` if
/// one is.
fn sum_unclipped<F: Float>(limits: &Limits<F>, block: &[F]) -> Option<BatchSums<F>> {
    let (center, upper) = (center(limits), limits.upper.saturate());
    let mut lanes = Lanes::new();
    let mut is_above = false;
    for run in block.chunks(RUN) {
        is_above |= lanes.add_unclipped(run, center, upper);
    }
    let totals = lanes.totals();
    if is_above || !totals.are_moderate(center) {
        return None;
    }
    let about = |center| Lanes::of_clamped::<false>(limits, block, center).0.totals();
    let mut sums = BatchSums { count: block.len() as u64, ..BatchSums::default() };
    sums.set_moments(limits, center, totals, about);
    Some(sums)
}

/// Of losses that are finite and so moderate that no sum overflows; `None` if they are not.
fn sum_moderate<const TWO_SIDED: bool, F: Float>(limits: &Limits<F>, block: &[F]) -> Option<BatchSums<F>> {
    let about = |center| Lanes::of_clamped::<TWO_SIDED>(limits, block, center);
    let center = center(limits);
    let (lanes, extremes) = about(center);
    let totals = lanes.totals();
    if !totals.are_moderate(center) || extremes.end > F::max_value() || extremes.start < -F::max_value() {
        return None;
    }
    let mut sums = BatchSums { count: block.len() as u64, ..BatchSums::default() };
    if extremes.end > limits.upper || extremes.start < limits.lower {
        let is_outside = |loss: F| loss > limits.upper || TWO_SIDED && loss < limits.lower;
        sums.clipped = in_widest_vectors(
            block.len(),
            #[inline(always)]
            || block.iter().map(|&loss| u32::from(is_outside(loss))).sum::<u32>().into(),
        );
        let excess = (extremes.end - limits.upper).at_least(limits.lower - extremes.start);
        sums.largest_excess = excess.at_most(F::max_value());
    }
    sums.set_moments(limits, center, totals, |center| about(center).0.totals());
    Some(sums)
}

/// Of any losses.
fn sum_any<F: Float>(limits: &Limits<F>, block: &[F]) -> BatchSums<F> {
    let center = center(limits);
    let (mut sums, totals) = scan(limits, block, center);
    // A single loss is its own mean, to the bit.
    if sums.count > 1 {
        sums.set_moments(limits, center, totals, |center| scan(limits, block, center).1);
    }
    sums
}

/// Looks at losses one after the other. Returns their totals about a centre, and their sums, in which the moments are
/// those of the last loss alone.
fn scan<F: Float>(limits: &Limits<F>, block: &[F], center: F) -> (BatchSums<F>, Totals<F>) {
    // A zero, but not a constant: to set many numbers to one takes a function, in a program without an operating system
    // one of its own.
    #[allow(clippy::eq_op)]
    let zero = center - center;
    let mut sums =
        BatchSums { count: 0, mean: zero, squares: zero, clipped: 0, non_finite: 0, largest_excess: zero };
    let mut lanes = [Totals { sum: zero, squares: zero }; 2 * LANES];
    for &loss in block {
        if !loss.is_finite() {
            sums.non_finite += 1;
            continue;
        }
        let within = limits.within(loss);
        if within != loss {
            sums.clipped += 1;
            let excess = (loss - within).at_least(within - loss).at_most(F::max_value());
            sums.largest_excess = sums.largest_excess.at_least(excess);
        }
        // Of either zero +0, which a sum of several gives.
        sums.mean = zero + within.saturate();
        lanes[LANES + sums.count as usize % LANES].add(sums.mean - center);
        sums.count += 1;
        if sums.count as usize % RUN == 0 {
            halve(&mut lanes);
        }
    }
    let mut rest = &mut lanes[..];
    while rest.len() > 1 {
        rest = halve(rest);
    }
    (sums, lanes[0])
}

/// Moves the second half of the lanes into the first, which it returns.
fn halve<F: Float>(lanes: &mut [Totals<F>]) -> &mut [Totals<F>] {
    let (first, second) = lanes.split_at_mut(lanes.len() / 2);
    for (first, second) in first.iter_mut().zip(second) {
        first.sum = first.sum + second.sum;
        first.squares = first.squares + second.squares;
        *second = Totals { sum: F::zero(), squares: F::zero() };
    }
    first
}

/// The running mean; 0 where that is so large that the squares of the distances from it could overflow.
fn center<F: Float>(limits: &Limits<F>) -> F {
    let half_bound = F::moment_bound() / (F::one() + F::one());
    if limits.mean >= -half_bound && limits.mean <= half_bound {
        limits.mean
    } else {
        F::zero()
    }
}

impl<F: Float> BatchSums<F> {
    /// From the totals about a centre of as many values as are counted and, if need be, those about their mean.
    fn set_moments(
        &mut self,
        limits: &Limits<F>,
        center: F,
        totals: Totals<F>,
        about: impl FnOnce(F) -> Totals<F>,
    ) {
        if self.count == 0 {
            return;
        }
        let count = F::from_count(self.count);
        let distance = totals.sum / count;
        // Rounding may take the mean of clipped losses beyond the limit, where no centre may be.
        self.mean = limits.within(center + distance).saturate();
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
#[derive(Clone, Copy)]
struct Totals<F> {
    /// Sum of the distances of the clamped losses from a centre.
    sum: F,
    /// Sum of the squares of these distances.
    squares: F,
}

impl<F: Float> Totals<F> {
    fn add(&mut self, distance: F) {
        self.sum = self.sum + distance;
        self.squares = self.squares + distance * distance;
    }

    /// Whether no loss can have been NaN, minus infinity or beyond the bound of the moments: none is further from the
    /// centre than the root of the squares.
    fn are_moderate(&self, center: F) -> bool {
        let room = (center + F::moment_bound()).at_most(F::moment_bound());
        self.squares <= room * room
    }
}

/// Totals before the lanes are added.
struct Lanes<F> {
    sum: [F; LANES],
    squares: [F; LANES],
}

impl<F: Float> Lanes<F> {
    fn new() -> Self {
        Self { sum: [F::zero(); LANES], squares: [F::zero(); LANES] }
    }

    /// Of the clamped losses about a centre within the limits, with the smallest and the largest loss. The smallest is
    /// the largest finite number if it was not asked for, and the largest is at least the lowest finite number.
    fn of_clamped<const TWO_SIDED: bool>(limits: &Limits<F>, block: &[F], center: F) -> (Self, Range<F>) {
        let mut lanes = Self::new();
        let mut extremes = F::max_value()..-F::max_value();
        for run in block.chunks(RUN) {
            let of_run = lanes.add_clamped::<TWO_SIDED>(run, center, limits);
            extremes = of_run.start.at_most(extremes.start)..of_run.end.at_least(extremes.end);
        }
        (lanes, extremes)
    }

    /// Adds a run as it is, and returns whether a loss is above `upper`, which is not negative.
    // Not inlined, so that all that the loop changes is in registers. So below.
    #[inline(never)]
    fn add_unclipped(&mut self, run: &[F], center: F, upper: F) -> bool {
        in_widest_vectors(
            run.len(),
            #[inline(always)]
            || {
                let mut above = [F::Mask::default(); LANES];
                self.add_run(run, center, |lane, loss| {
                    above[lane] = above[lane] | loss.mask_above(upper);
                    loss - center
                });
                above.into_iter().fold(F::Mask::default(), F::Mask::bitor) != F::Mask::default()
            },
        )
    }

    /// Adds a clamped run, and returns the smallest and the largest loss.
    #[inline(never)]
    fn add_clamped<const TWO_SIDED: bool>(&mut self, run: &[F], center: F, limits: &Limits<F>) -> Range<F> {
        let (lower, upper) = (limits.lower.saturate(), limits.upper.saturate());
        in_widest_vectors(
            run.len(),
            #[inline(always)]
            || {
                let (mut lowest, mut highest) = ([F::max_value(); LANES], [-F::max_value(); LANES]);
                self.add_run(run, center, |lane, loss| {
                    highest[lane] = loss.at_least(highest[lane]);
                    if TWO_SIDED {
                        lowest[lane] = loss.at_most(lowest[lane]);
                    }
                    // In this order NaN passes through.
                    let clamped = if upper < loss { upper } else { loss };
                    let clamped = if TWO_SIDED && lower > clamped { lower } else { clamped };
                    clamped - center
                });
                fold(lowest, F::at_most)..fold(highest, F::at_least)
            },
        )
    }

    /// Adds the distances from the centre of the losses of a run. `distance` also gets the lane.
    #[inline(always)]
    fn add_run(&mut self, run: &[F], center: F, mut distance: impl FnMut(usize, F) -> F) {
        let mut own = Self::new();
        let groups = run.chunks_exact(GROUP);
        let rest = groups.remainder();
        for group in groups {
            own.add_group(group, &mut distance);
        }
        if !rest.is_empty() {
            // The centre adds nothing, to the bit.
            let mut group = [center; GROUP];
            for (place, &loss) in group.iter_mut().zip(rest) {
                *place = loss;
            }
            own.add_group(&group, &mut distance);
        }
        self.merge(&own);
    }

    /// Without dependencies between the lanes, so that it is compiled to vector instructions.
    #[inline(always)]
    fn add_group(&mut self, group: &[F], distance: &mut impl FnMut(usize, F) -> F) {
        for row in group.chunks_exact(LANES) {
            for (lane, &loss) in row.iter().enumerate() {
                self.add(lane, distance(lane, loss));
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, distance: F) {
        self.sum[lane] = self.sum[lane] + distance;
        self.squares[lane] = self.squares[lane] + distance * distance;
    }

    fn merge(&mut self, other: &Self) {
        for lane in 0..LANES {
            self.sum[lane] = self.sum[lane] + other.sum[lane];
            self.squares[lane] = self.squares[lane] + other.squares[lane];
        }
    }

    fn totals(self) -> Totals<F> {
        Totals { sum: fold(self.sum, F::add), squares: fold(self.squares, F::add) }
    }
}

/// Combines the halves, then the halves of what results, and so on.
#[inline(always)]
fn fold<F: Float>(mut values: [F; LANES], combine: impl Fn(F, F) -> F) -> F {
    let mut half = LANES / 2;
    while half > 0 {
        for index in 0..half {
            values[index] = combine(values[index], values[index + half]);
        }
        half /= 2;
    }
    values[0]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::{Alrc, Config, Start};
    use std::vec::Vec;

    /// Losses from -20 to 80 in no regular order, all of them exact in a few digits.
    fn losses(len: usize) -> Vec<f32> {
        let mut random = len as u64 + 1;
        let mut loss = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 40) as f32 / (1 << 24) as f32 * 100.0 - 20.0
        };
        (0..len).map(|_| loss()).collect()
    }

    fn limits(num_stddev: f32, num_stddev_below: Option<f32>) -> Limits<f32> {
        // A mean that is far from that of the losses has them summed twice.
        let start = Start::Estimate { mu1: num_stddev * 10.0, mu2: num_stddev * num_stddev * 100.0 + 300.0 };
        Alrc::new(Config { num_stddev, num_stddev_below, start, ..Config::default() }).unwrap().limits()
    }

    #[test]
    fn each_way_gives_the_same_bits() {
        for len in (2..70).chain([255, 256, 257, 2_000, 4_095, 4_096]) {
            let losses = losses(len);
            for num_stddev in [0.5, 3.0, 6.0, 40.0] {
                let one_sided = limits(num_stddev, None);
                let expected = sum_any(&one_sided, &losses);
                assert_eq!(sum_moderate::<false, f32>(&one_sided, &losses), Some(expected));
                assert_eq!(sum_moderate::<true, f32>(&one_sided, &losses), Some(expected));
                let unclipped = sum_unclipped(&one_sided, &losses);
                assert_eq!(unclipped, (expected.clipped == 0).then_some(expected));
                let two_sided = limits(num_stddev, Some(1.0));
                let expected = sum_any(&two_sided, &losses);
                assert_eq!(sum_moderate::<true, f32>(&two_sided, &losses), Some(expected));
            }
        }
    }

    #[test]
    fn losses_that_are_all_clipped_have_the_limit_as_their_mean() {
        for len in 2..70 {
            for step in 0..200 {
                let start = Start::Estimate { mu1: -3.0 - step as f32 * 0.01, mu2: 60.0 };
                let config =
                    Config { num_stddev: 0.6, num_stddev_below: Some(0.6), start, ..Config::default() };
                let limits = Alrc::new(config).unwrap().limits();
                for (loss, limit) in [(9.0, limits.upper), (-19.0, limits.lower)] {
                    let losses = [loss; 70];
                    let sums = sum_block(&limits, &losses[..len], false);
                    assert_eq!((sums.mean, sums.clipped), (limit, len as u64));
                    assert_eq!(sums, sum_any(&limits, &losses[..len]));
                    assert!(sums.squares <= 1e-13 * len as f32, "{sums:?}");
                }
            }
        }
    }

    #[test]
    fn no_loss_that_is_not_moderate_is_overlooked() {
        let limits = limits(6.0, None);
        for loss in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::MAX, -1e18] {
            for len in [2, 16, 17, 256, 300, 4_096] {
                for place in [0, len / 2, len - 1] {
                    let mut losses = losses(len);
                    losses[place] = loss;
                    assert_eq!(sum_unclipped(&limits, &losses), None, "{loss} at {place} of {len}");
                    assert_eq!(sum_moderate::<false, f32>(&limits, &losses), None);
                    let sums = sum_any(&limits, &losses);
                    // A finite loss may have been clamped to the bound of the moments.
                    let clamped = sum_moderate::<true, f32>(&limits, &losses);
                    assert_eq!(clamped.unwrap_or(sums), sums);
                    assert_eq!(sums.count + sums.non_finite, len as u64);
                    assert_eq!(sums.non_finite, u64::from(!loss.is_finite()));
                }
            }
        }
    }

    #[test]
    fn no_sum_of_a_block_overflows() {
        for mean in [1.4e17_f32, 7e16, -7e16, -1.4e17] {
            let start = Start::Estimate { mu1: mean, mu2: 3e34 };
            let limits = Alrc::new(Config { start, num_stddev: 1e9, ..Config::default() }).unwrap().limits();
            for loss in [f32::MAX, -f32::MAX] {
                let sums = sum_block(&limits, &[loss; BLOCK], false);
                assert!(sums.is_valid(), "{mean} {loss}: {sums:?}");
            }
        }
    }
}
