//! Clipping and summing the losses of a batch.
//!
//! The mean and the squares about it are summed in two passes over blocks that stay in the first-level cache, so that
//! nothing cancels; the sums of the blocks are merged pairwise, as in a balanced tree. Within a block, loss i is added
//! to lane i mod [`LANES`], and the lanes are added pairwise. The order of additions is thus a function of the number
//! of finite losses alone: the same bits on every machine, whatever the width of its vectors.

use crate::{BatchSums, Float, Limits, NonFinite};

/// Losses in a block.
const BLOCK: usize = 1024;

/// Partial sums of a block.
const LANES: usize = 16;

impl<F: Float> Limits<F> {
    /// Clips the losses of (a part of) a step, and sums them for [`Alrc::update`](crate::Alrc::update).
    ///
    /// `clipped` and `scales` receive the value and the scale of each loss for which they have room: give slices of
    /// the length of `losses`, or empty ones for what is not wanted.
    pub fn clip_batch(&self, losses: &[F], clipped: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        let (mut clipped_blocks, mut scale_blocks) = (clipped.chunks_mut(BLOCK), scales.chunks_mut(BLOCK));
        let blocks = losses.chunks(BLOCK).map(|block| {
            let clipped = clipped_blocks.next().unwrap_or_default();
            for (clipped, &loss) in clipped.iter_mut().zip(block) {
                *clipped = self.clip(loss).loss;
            }
            self.write_scales(block, scale_blocks.next().unwrap_or_default());
            self.sum_block(block)
        });
        let sums = merge_pairwise(blocks, losses.len());
        self.refuse_or(sums, clipped, scales)
    }

    /// [`clip_batch`](Self::clip_batch) with the clipped values in the place of the losses.
    pub fn clip_batch_in_place(&self, losses: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        let mut scale_blocks = scales.chunks_mut(BLOCK);
        let len = losses.len();
        let blocks = losses.chunks_mut(BLOCK).map(|block| {
            self.write_scales(block, scale_blocks.next().unwrap_or_default());
            let sums = self.sum_block(block);
            for loss in block {
                *loss = self.clip(*loss).loss;
            }
            sums
        });
        let sums = merge_pairwise(blocks, len);
        self.refuse_or(sums, losses, scales)
    }

    fn write_scales(&self, block: &[F], scales: &mut [F]) {
        for (scale, &loss) in scales.iter_mut().zip(block) {
            *scale = self.clip(loss).scale;
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

    fn sum_block(&self, block: &[F]) -> BatchSums<F> {
        let mut sums: BatchSums<F> = BatchSums::default();
        for &loss in block {
            if !loss.is_finite() {
                sums.non_finite += 1;
                continue;
            }
            sums.count += 1;
            if loss > self.upper || loss < self.lower {
                sums.clipped += 1;
                let excess = (loss - self.upper).at_least(self.lower - loss).at_most(F::max_value());
                sums.largest_excess = sums.largest_excess.at_least(excess);
            }
        }
        if sums.count > 0 {
            let finite = || block.iter().filter(|loss| loss.is_finite());
            let values = || finite().map(|&loss| self.clip(loss).loss.saturate());
            sums.mean = sum_lanes(values()) / F::from_count(sums.count);
            sums.squares = sum_lanes(values().map(|value| (value - sums.mean) * (value - sums.mean)));
        }
        sums
    }
}

/// Sums at most a block's values.
fn sum_lanes<F: Float>(values: impl Iterator<Item = F>) -> F {
    let mut lanes = [F::zero(); LANES];
    for (index, value) in values.enumerate() {
        if let Some(lane) = lanes.get_mut(index % LANES) {
            *lane = *lane + value;
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for index in 0..width {
            lanes[index] = lanes[index] + lanes[index + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Merges the sums of the blocks of `len` losses.
fn merge_pairwise<F: Float>(mut blocks: impl Iterator<Item = BatchSums<F>>, len: usize) -> BatchSums<F> {
    let blocks_in_batch = len / BLOCK + usize::from(len % BLOCK != 0);
    let levels = blocks_in_batch.next_power_of_two().trailing_zeros();
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
