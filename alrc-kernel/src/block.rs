//! The sums of a block of losses, which stays in the first-level cache, in the order of [`crate::totals`].
//!
//! **Three ways to the same bits.** Losses that are all below the limit need nothing but that comparison, three
//! additions and a multiplication each, and it is the additions that take the time. Others are clamped, and how many
//! were changed is counted afterwards. A block with a loss that is not finite, or so large that sums overflow, is
//! summed one loss after the other; where there are no vectors, so is every block, in little code.

use core::ops::{BitOr, Range};

use crate::limits::Band;
use crate::sums::{Moments, Sums, Tally};
use crate::totals::{center, sum_one_by_one, Totals, LANES, RUN};
use crate::vectors::in_widest_vectors;
use crate::Float;

/// Losses in a block.
pub(crate) const BLOCK: usize = 4096;

/// Losses that one turn of a loop over a run adds.
const GROUP: usize = 2 * LANES;

/// The sums of at most a block of losses, clipped. That a loss will be clipped is more likely if one was in the block
/// before; to know it saves time.
pub(crate) fn sum_block<F: Float>(band: &Band<F>, block: &[F], is_clipping_likely: bool) -> Sums<F> {
    let mut sums = None;
    // Where the centre is not the mean, it may not lie within the band.
    if block.len() > 1 && center(band) == band.mean {
        let is_one_sided = band.lower <= -F::max_value();
        if is_one_sided && band.upper >= F::zero() && !is_clipping_likely {
            sums = sum_unclipped(band, block);
        }
        if sums.is_none() {
            sums = if is_one_sided {
                sum_moderate::<false, F>(band, block)
            } else {
                sum_moderate::<true, F>(band, block)
            };
        }
    }
    sums.unwrap_or_else(|| sum_any(band, block))
}

/// Of losses that are not above the upper limit, which is not negative, nor above the bound of the moments; `None` if
/// one is.
fn sum_unclipped<F: Float>(band: &Band<F>, block: &[F]) -> Option<Sums<F>> {
    let (center, upper) = (center(band), band.upper.saturate());
    let mut lanes = Lanes::new();
    let mut is_above = false;
    for run in block.chunks(RUN) {
        is_above |= lanes.add_unclipped(run, center, upper);
    }
    let totals = lanes.totals();
    if is_above || !totals.are_moderate(center) {
        return None;
    }
    let about = |center| Lanes::of_clamped::<false>(band, block, center).0.totals();
    Some((moments(band, block.len(), center, &totals, about), Tally::of_none()))
}

/// Of losses that are finite and so moderate that no sum overflows; `None` if they are not.
fn sum_moderate<const TWO_SIDED: bool, F: Float>(band: &Band<F>, block: &[F]) -> Option<Sums<F>> {
    let about = |center| Lanes::of_clamped::<TWO_SIDED>(band, block, center);
    let center = center(band);
    let (lanes, extremes) = about(center);
    let totals = lanes.totals();
    if !totals.are_moderate(center) || extremes.end > F::max_value() || extremes.start < -F::max_value() {
        return None;
    }
    let mut tally = Tally::of_none();
    if extremes.end > band.upper || extremes.start < band.lower {
        let is_outside = |loss: F| loss > band.upper || TWO_SIDED && loss < band.lower;
        tally.clipped = in_widest_vectors(
            block.len(),
            #[inline(always)]
            || block.iter().map(|&loss| u32::from(is_outside(loss))).sum::<u32>() as usize,
        );
        let excess = (extremes.end - band.upper).at_least(band.lower - extremes.start);
        tally.largest_excess = excess.at_most(F::max_value());
    }
    let moments = moments(band, block.len(), center, &totals, |center| about(center).0.totals());
    Some((moments, tally))
}

/// Of any losses.
// Not inlined, so that the ways of most blocks have the registers.
#[inline(never)]
fn sum_any<F: Float>(band: &Band<F>, block: &[F]) -> Sums<F> {
    sum_one_by_one(band, block)
}

/// The moments of `count` losses, one or more, from their totals about a centre and, if need be, those about their mean.
fn moments<F: Float>(
    band: &Band<F>,
    count: usize,
    center: F,
    totals: &Totals<F>,
    about: impl FnOnce(F) -> Totals<F>,
) -> Moments<F> {
    let (mean, squares) = totals.moments(count, center);
    // Rounding may take the mean of clipped losses beyond the limit, where no centre may be.
    let mean = band.within(mean).saturate();
    if !totals.have_cancelled(squares) {
        return Moments { count, mean, squares };
    }
    let (mean, squares) = about(mean).moments(count, mean);
    Moments { count, mean, squares: squares.at_least(F::zero()) }
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

    /// Of the clamped losses about a centre within the band, with the smallest and the largest loss. The smallest is
    /// the largest finite number if it was not asked for, and the largest is at least the lowest finite number.
    fn of_clamped<const TWO_SIDED: bool>(band: &Band<F>, block: &[F], center: F) -> (Self, Range<F>) {
        let mut lanes = Self::new();
        let mut extremes = F::max_value()..-F::max_value();
        for run in block.chunks(RUN) {
            let of_run = lanes.add_clamped::<TWO_SIDED>(run, center, band);
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
    fn add_clamped<const TWO_SIDED: bool>(&mut self, run: &[F], center: F, band: &Band<F>) -> Range<F> {
        let (lower, upper) = (band.lower.saturate(), band.upper.saturate());
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
    use crate::{Alrc, BatchSums, Config, Start};
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

    fn band(num_stddev: f32, num_stddev_below: Option<f32>) -> Band<f32> {
        // A mean that is far from that of the losses has them summed twice.
        let start = Start::Estimate { mu1: num_stddev * 10.0, mu2: num_stddev * num_stddev * 100.0 + 300.0 };
        Alrc::new(Config { num_stddev, num_stddev_below, start, ..Config::default() }).unwrap().limits().band
    }

    #[test]
    fn each_way_gives_the_same_bits() {
        for len in (2..70).chain([255, 256, 257, 2_000, 4_095, 4_096]) {
            let losses = losses(len);
            for num_stddev in [0.5, 3.0, 6.0, 40.0] {
                let one_sided = band(num_stddev, None);
                let expected = sum_any(&one_sided, &losses);
                assert_eq!(sum_moderate::<false, f32>(&one_sided, &losses), Some(expected));
                assert_eq!(sum_moderate::<true, f32>(&one_sided, &losses), Some(expected));
                let unclipped = sum_unclipped(&one_sided, &losses);
                assert_eq!(unclipped, (expected.1.clipped == 0).then_some(expected));
                let two_sided = band(num_stddev, Some(1.0));
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
                let band = Alrc::new(config).unwrap().limits().band;
                for (loss, limit) in [(9.0, band.upper), (-19.0, band.lower)] {
                    let losses = [loss; 70];
                    let sums = sum_block(&band, &losses[..len], false);
                    let (moments, tally) = sums;
                    assert_eq!((moments.mean, tally.clipped), (limit, len));
                    assert_eq!(sums, sum_any(&band, &losses[..len]));
                    assert!(moments.squares <= 1e-13 * len as f32, "{sums:?}");
                }
            }
        }
    }

    #[test]
    fn no_loss_that_is_not_moderate_is_overlooked() {
        let band = band(6.0, None);
        for loss in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::MAX, -1e18] {
            for len in [2, 16, 17, 256, 300, 4_096] {
                for place in [0, len / 2, len - 1] {
                    let mut losses = losses(len);
                    losses[place] = loss;
                    assert_eq!(sum_unclipped(&band, &losses), None, "{loss} at {place} of {len}");
                    assert_eq!(sum_moderate::<false, f32>(&band, &losses), None);
                    let sums = sum_any(&band, &losses);
                    // A finite loss may have been clamped to the bound of the moments.
                    let clamped = sum_moderate::<true, f32>(&band, &losses);
                    assert_eq!(clamped.unwrap_or(sums), sums);
                    let (moments, tally) = sums;
                    assert_eq!(moments.count + tally.non_finite, len);
                    assert_eq!(tally.non_finite, usize::from(!loss.is_finite()));
                }
            }
        }
    }

    #[test]
    fn no_sum_of_a_block_overflows() {
        for mean in [1.4e17_f32, 7e16, -7e16, -1.4e17] {
            let start = Start::Estimate { mu1: mean, mu2: 3e34 };
            let band =
                Alrc::new(Config { start, num_stddev: 1e9, ..Config::default() }).unwrap().limits().band;
            for loss in [f32::MAX, -f32::MAX] {
                let sums = BatchSums::new(sum_block(&band, &[loss; BLOCK], false));
                assert!(sums.is_valid(), "{mean} {loss}: {sums:?}");
            }
        }
    }
}
