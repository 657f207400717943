//! Clipping the losses of a batch, and merging the sums of its blocks.
//!
//! **Two ways to the same bits**, but for the sign of a zero that meets a limit of zero. Where there are vectors, each
//! block is clipped by loops that become vector instructions when it has been summed. Where there are none, all blocks
//! are summed before the losses are clipped one after the other, in little code.

use core::mem::take;

use crate::block::{sum_block, BLOCK};
use crate::limits::Band;
use crate::sums::{Moments, Sums, Tally};
use crate::totals::sum_one_by_one;
use crate::vectors::{in_widest_vectors, HAS_VECTORS};
use crate::{BatchSums, Clipped, Float, Limits, NonFinite};

/// Losses that are looked at together to tell whether one of them needs a division.
const ROW: usize = 32;

impl<F: Float> Limits<F> {
    /// Clips the losses of (a part of) a step, and sums them for [`Alrc::update`](crate::Alrc::update).
    ///
    /// `clipped` and `scales` receive the value and the scale of each loss for which they have room: give slices of
    /// the length of `losses`, or empty ones for what is not wanted.
    pub fn clip_batch(&self, losses: &[F], clipped: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        BatchSums::new(self.clip_buffers(Some(losses), clipped, scales))
    }

    /// [`clip_batch`](Self::clip_batch) with the clipped values in the place of the losses.
    pub fn clip_batch_in_place(&self, losses: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        BatchSums::new(self.clip_buffers(None, losses, scales))
    }

    /// Clips `losses` or, without them, what is in the place of their clipped values.
    // Inlined, like what it calls: with so many arguments a call takes much code.
    #[inline(always)]
    pub(crate) fn clip_buffers(&self, losses: Option<&[F]>, clipped: &mut [F], scales: &mut [F]) -> Sums<F> {
        self.clip_in_way::<HAS_VECTORS>(losses, clipped, scales)
    }

    #[inline(always)]
    fn clip_in_way<const BY_BLOCK: bool>(
        &self,
        losses: Option<&[F]>,
        clipped: &mut [F],
        scales: &mut [F],
    ) -> Sums<F> {
        let (mut moments, mut tally) = if BY_BLOCK {
            let (clipped, scales) = (&mut *clipped, &mut *scales);
            let mut blocks = Written {
                limits: self,
                losses,
                clipped,
                scales,
                tally: Tally::of_none(),
                is_clipping: false,
            };
            (sum_pairwise(&mut blocks, usize::BITS), blocks.tally)
        } else {
            let losses = losses.unwrap_or(clipped);
            let moments = sum_pairwise(&mut Unwritten { band: self.band, losses }, usize::BITS);
            (moments, Tally { non_finite: losses.len() - moments.count, ..Tally::of_none() })
        };
        let is_rejected = self.non_finite == NonFinite::Reject && tally.non_finite > 0;
        if is_rejected {
            moments = Moments::of_none();
            tally = Tally { non_finite: tally.non_finite, ..Tally::of_none() };
        }
        if is_rejected || !BY_BLOCK {
            self.write_each(losses, clipped, scales, is_rejected, &mut tally);
        }
        (moments, tally)
    }

    /// Writes what is wanted of each loss, and takes in those that are clipped; nothing is left of a batch that is rejected.
    #[inline(always)]
    fn write_each(
        &self,
        losses: Option<&[F]>,
        clipped: &mut [F],
        scales: &mut [F],
        is_rejected: bool,
        tally: &mut Tally<F>,
    ) {
        let mut index = 0;
        while let Some(&loss) = losses.unwrap_or(clipped).get(index) {
            let mut result = Clipped::nothing();
            if !is_rejected {
                result = self.clip(loss);
                if loss.is_finite() && !self.band.contains(loss) {
                    tally.add_clipped(&self.band, loss);
                }
            }
            if let Some(clipped) = clipped.get_mut(index) {
                *clipped = result.loss;
            }
            if let Some(scale) = scales.get_mut(index) {
                *scale = result.scale;
            }
            index += 1;
        }
    }

    /// Replaces losses by what clipping makes of them.
    fn clip_values(&self, losses: &mut [F], tally: &Tally<F>) {
        if tally.is_of_none() {
            return;
        }
        in_widest_vectors(
            losses.len(),
            #[inline(always)]
            || {
                for loss in losses {
                    let clipped = loss.at_most(self.band.upper).at_least(self.band.lower);
                    *loss = if tally.non_finite == 0 || loss.is_finite() { clipped } else { F::zero() };
                }
            },
        );
    }

    fn write_scales(&self, losses: &[F], tally: &Tally<F>, scales: &mut [F]) {
        if tally.is_of_none() {
            scales.fill(F::one());
            return;
        }
        in_widest_vectors(
            losses.len(),
            #[inline(always)]
            || {
                for (scales, losses) in scales.chunks_mut(ROW).zip(losses.chunks(ROW)) {
                    let outside =
                        losses.iter().map(|&loss| u32::from(!self.band.contains(loss))).sum::<u32>();
                    if outside == 0 {
                        scales.fill(F::one());
                    } else {
                        for (scale, &loss) in scales.iter_mut().zip(losses) {
                            *scale = self.scale_in_row(loss);
                        }
                    }
                }
            },
        );
    }
}

/// What is left of a batch.
trait Blocks<F> {
    fn is_empty(&self) -> bool;

    /// The moments of the first block, which is then gone.
    fn next(&mut self) -> Moments<F>;
}

/// The moments of the next 2^levels blocks, or of those that are left, merged pairwise.
fn sum_pairwise<F: Float>(blocks: &mut impl Blocks<F>, levels: u32) -> Moments<F> {
    let mut moments = blocks.next();
    for level in 0..levels {
        if blocks.is_empty() {
            break;
        }
        moments.merge(&sum_pairwise(blocks, level));
    }
    moments
}

/// Blocks that are summed alone.
struct Unwritten<'a, F> {
    band: Band<F>,
    losses: &'a [F],
}

impl<F: Float> Blocks<F> for Unwritten<'_, F> {
    fn is_empty(&self) -> bool {
        self.losses.is_empty()
    }

    fn next(&mut self) -> Moments<F> {
        let (block, rest) = self.losses.split_at(self.losses.len().min(BLOCK));
        self.losses = rest;
        sum_one_by_one(&self.band, block).0
    }
}

/// Blocks that are clipped while each is in the first-level cache.
struct Written<'a, F> {
    limits: &'a Limits<F>,
    /// Where they are not in the place of their clipped values.
    losses: Option<&'a [F]>,
    clipped: &'a mut [F],
    scales: &'a mut [F],
    /// Of the blocks that are gone.
    tally: Tally<F>,
    /// Whether a loss of the block before was clipped.
    is_clipping: bool,
}

impl<F: Float> Blocks<F> for Written<'_, F> {
    fn is_empty(&self) -> bool {
        self.losses.unwrap_or(self.clipped).is_empty()
    }

    fn next(&mut self) -> Moments<F> {
        let clipped = take_block(&mut self.clipped);
        let scales = take_block(&mut self.scales);
        let apart = self.losses.map(|losses| losses.split_at(losses.len().min(BLOCK)));
        self.losses = apart.map(|(_, rest)| rest);
        let block = apart.map_or(&*clipped, |(block, _)| block);
        let (moments, tally) = sum_block(&self.limits.band, block, self.is_clipping);
        self.is_clipping = tally.clipped > 0;
        self.tally.merge(&tally);
        self.limits.write_scales(block, &tally, scales);
        if let Some((losses, _)) = apart {
            for (clipped, &loss) in clipped.iter_mut().zip(losses) {
                *clipped = loss;
            }
        }
        self.limits.clip_values(clipped, &tally);
        moments
    }
}

/// The next block of a buffer, or what is left of it.
fn take_block<'a, F>(buffer: &mut &'a mut [F]) -> &'a mut [F] {
    let whole = take(buffer);
    let (block, rest) = whole.split_at_mut(whole.len().min(BLOCK));
    *buffer = rest;
    block
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::Scaling;
    use std::vec::Vec;

    /// Of every kind, with every third or so of them outside the limits below.
    fn losses(len: usize, specials: &[f32]) -> Vec<f32> {
        let usual = (0..len).map(|index| (index * index % 101) as f32 * 0.37 - 9.0);
        let special = |index: usize| specials.get(index % 97).copied();
        usual.enumerate().map(|(index, loss)| special(index).unwrap_or(loss)).collect()
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }

    /// The bits of the sums, the clipped values and the scales.
    fn clip<const BY_BLOCK: bool>(
        limits: &Limits<f32>,
        losses: &[f32],
        room: [usize; 2],
    ) -> (Sums<f32>, Vec<u32>, Vec<u32>) {
        let [mut clipped, mut scales, mut replaced] = [losses.to_vec(), losses.to_vec(), losses.to_vec()];
        let wanted = (&mut clipped[..room[0]], &mut scales[..room[1]]);
        let sums = limits.clip_in_way::<BY_BLOCK>(Some(losses), wanted.0, wanted.1);
        let in_place = limits.clip_in_way::<BY_BLOCK>(None, &mut replaced, &mut []);
        assert_eq!(in_place, sums);
        assert_eq!(bits(&clipped[..room[0]]), bits(&replaced[..room[0]]));
        (sums, bits(&clipped), bits(&scales))
    }

    #[test]
    fn both_ways_give_the_same_bits() {
        let finite = [0.0, -0.0, 1e-40, -1e-40, f32::MAX, -f32::MAX, 3e17];
        let any = [f32::NAN, 0.0, f32::INFINITY, -0.0, f32::NEG_INFINITY, f32::MAX];
        for (lower, mean, upper) in
            [(-f32::MAX, 3.0, 17.5), (-3.0, 3.0, 9.0), (-4.0, -2.0, -0.5), (0.5, 2.0, 9.0)]
        {
            for scaling in [Scaling::Ratio, Scaling::Deviation] {
                for non_finite in [NonFinite::Skip, NonFinite::Reject] {
                    let limits = Limits::from_parts(lower, mean, upper, scaling, non_finite).unwrap();
                    for len in [0, 1, 2, 31, 33, 96, 500, BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK + 5] {
                        for specials in [&[][..], &finite, &any] {
                            let losses = losses(len, specials);
                            for room in [[0, 0], [len, 0], [0, len], [len, len], [len / 2, len / 3]] {
                                let expected = clip::<false>(&limits, &losses, room);
                                assert_eq!(clip::<true>(&limits, &losses, room), expected, "{len} {room:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
