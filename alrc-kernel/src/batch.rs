//! Clipping the losses of a batch, block by block, and merging the sums of the blocks.

use crate::block::{sum_block, BLOCK};
use crate::{BatchSums, Float, Limits, NonFinite};

/// Losses that are looked at together to tell whether one of them needs a division.
const ROW: usize = 32;

impl<F: Float> Limits<F> {
    /// Clips the losses of (a part of) a step, and sums them for [`Alrc::update`](crate::Alrc::update).
    ///
    /// `clipped` and `scales` receive the value and the scale of each loss for which they have room: give slices of
    /// the length of `losses`, or empty ones for what is not wanted.
    pub fn clip_batch(&self, losses: &[F], clipped: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        let (mut clipped_blocks, mut scale_blocks) = (clipped.chunks_mut(BLOCK), scales.chunks_mut(BLOCK));
        let blocks = losses.chunks(BLOCK).map(|block| {
            let sums = sum_block(self, block);
            let clipped = clipped_blocks.next().unwrap_or_default();
            for (clipped, &loss) in clipped.iter_mut().zip(block) {
                *clipped = loss;
            }
            self.write_scales(block, &sums, scale_blocks.next().unwrap_or_default());
            self.clip_values(clipped, &sums);
            sums
        });
        let sums = merge_pairwise(blocks, losses.len());
        self.refuse_or(sums, clipped, scales)
    }

    /// [`clip_batch`](Self::clip_batch) with the clipped values in the place of the losses.
    pub fn clip_batch_in_place(&self, losses: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        let len = losses.len();
        let mut scale_blocks = scales.chunks_mut(BLOCK);
        let blocks = losses.chunks_mut(BLOCK).map(|block| {
            let sums = sum_block(self, block);
            self.write_scales(block, &sums, scale_blocks.next().unwrap_or_default());
            self.clip_values(block, &sums);
            sums
        });
        let sums = merge_pairwise(blocks, len);
        self.refuse_or(sums, losses, scales)
    }

    /// Replaces losses by what clipping makes of them.
    fn clip_values(&self, losses: &mut [F], sums: &BatchSums<F>) {
        if sums.has_only_unclipped() {
            return;
        }
        for loss in losses {
            let clipped = loss.at_most(self.upper).at_least(self.lower);
            *loss = if loss.is_finite() { clipped } else { F::zero() };
        }
    }

    fn write_scales(&self, losses: &[F], sums: &BatchSums<F>, scales: &mut [F]) {
        if sums.has_only_unclipped() {
            scales.fill(F::one());
            return;
        }
        for (scales, losses) in scales.chunks_mut(ROW).zip(losses.chunks(ROW)) {
            let outside = losses.iter().map(|&loss| u32::from(!self.contains(loss))).sum::<u32>();
            if outside == 0 {
                scales.fill(F::one());
            } else {
                for (scale, &loss) in scales.iter_mut().zip(losses) {
                    *scale = self.clip(loss).scale;
                }
            }
        }
    }

    /// The sums, or under [`NonFinite::Reject`] what is left of a batch with a loss that is not finite: nothing.
    fn refuse_or(&self, sums: BatchSums<F>, clipped: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        if self.non_finite == NonFinite::Skip || sums.non_finite == 0 {
            return sums;
        }
        clipped.fill(F::zero());
        scales.fill(F::zero());
        BatchSums { non_finite: sums.non_finite, ..BatchSums::default() }
    }
}

/// Merges the sums of the blocks of `len` losses.
fn merge_pairwise<F: Float>(mut blocks: impl Iterator<Item = BatchSums<F>>, len: usize) -> BatchSums<F> {
    let block_count = len / BLOCK + usize::from(len % BLOCK != 0);
    let levels = block_count.next_power_of_two().trailing_zeros();
    merge_tree(&mut blocks, levels).unwrap_or_default()
}

/// Merges the next 2^levels blocks, or those that are left; `None` if none is.
fn merge_tree<F: Float>(
    blocks: &mut impl Iterator<Item = BatchSums<F>>,
    levels: u32,
) -> Option<BatchSums<F>> {
    if levels == 0 {
        return blocks.next();
    }
    let mut sums = merge_tree(blocks, levels - 1)?;
    if let Some(right) = merge_tree(blocks, levels - 1) {
        sums.merge(&right);
    }
    Some(sums)
}
