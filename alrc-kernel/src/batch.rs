//! Clipping the losses of a batch, block by block, and merging the sums of the blocks.

use core::ops::Range;

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
        self.clip_buffers(Losses::Apart { losses, clipped }, scales)
    }

    /// [`clip_batch`](Self::clip_batch) with the clipped values in the place of the losses.
    pub fn clip_batch_in_place(&self, losses: &mut [F], scales: &mut [F]) -> BatchSums<F> {
        self.clip_buffers(Losses::InPlace(losses), scales)
    }

    pub(crate) fn clip_buffers(&self, losses: Losses<'_, F>, scales: &mut [F]) -> BatchSums<F> {
        let block_count = losses.values().len().saturating_add(BLOCK - 1) / BLOCK;
        let mut batch = Batch { limits: self, losses, scales, next: 0, is_clipping: false };
        let levels = block_count.next_power_of_two().trailing_zeros();
        let sums = batch.clip_tree(levels).unwrap_or_default();
        if self.non_finite == NonFinite::Skip || sums.non_finite == 0 {
            return sums;
        }
        // Nothing is left of a batch that is refused.
        batch.losses.clipped().fill(F::zero());
        batch.scales.fill(F::zero());
        BatchSums { non_finite: sums.non_finite, ..BatchSums::default() }
    }

    /// Replaces losses by what clipping makes of them.
    fn clip_values(&self, losses: &mut [F], sums: &BatchSums<F>) {
        if sums.has_only_unclipped() {
            return;
        }
        for loss in losses {
            let clipped = loss.at_most(self.upper).at_least(self.lower);
            *loss = if sums.non_finite == 0 || loss.is_finite() { clipped } else { F::zero() };
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
                    *scale = self.scale_in_row(loss);
                }
            }
        }
    }
}

/// The losses of a batch, and the place for their clipped values.
pub(crate) enum Losses<'a, F> {
    Apart { losses: &'a [F], clipped: &'a mut [F] },
    InPlace(&'a mut [F]),
}

impl<F> Losses<'_, F> {
    fn values(&self) -> &[F] {
        match self {
            Self::Apart { losses, .. } => losses,
            Self::InPlace(losses) => losses,
        }
    }

    fn clipped(&mut self) -> &mut [F] {
        match self {
            Self::Apart { clipped, .. } => clipped,
            Self::InPlace(losses) => losses,
        }
    }
}

/// A batch that is being clipped.
struct Batch<'a, F> {
    limits: &'a Limits<F>,
    losses: Losses<'a, F>,
    scales: &'a mut [F],
    /// Index of the first loss that is not yet clipped.
    next: usize,
    /// Whether a loss of the block before was clipped.
    is_clipping: bool,
}

impl<F: Float> Batch<'_, F> {
    /// Clips the next 2^levels blocks, or those that are left, and merges their sums pairwise; `None` if none is left.
    fn clip_tree(&mut self, levels: u32) -> Option<BatchSums<F>> {
        if levels == 0 {
            return self.clip_block();
        }
        let mut sums = self.clip_tree(levels - 1)?;
        if let Some(right) = self.clip_tree(levels - 1) {
            sums.merge(&right);
        }
        Some(sums)
    }

    fn clip_block(&mut self) -> Option<BatchSums<F>> {
        let losses = self.losses.values();
        let place = self.next..losses.len().min(self.next.saturating_add(BLOCK));
        let block = losses.get(place.clone()).filter(|block| !block.is_empty())?;
        self.next = place.end;
        let sums = sum_block(self.limits, block, self.is_clipping);
        self.is_clipping = sums.clipped > 0;
        self.limits.write_scales(block, &sums, room(self.scales, &place));
        if let Losses::Apart { losses, clipped } = &mut self.losses {
            let block = losses.get(place.clone()).unwrap_or_default();
            for (clipped, &loss) in room(clipped, &place).iter_mut().zip(block) {
                *clipped = loss;
            }
        }
        self.limits.clip_values(room(self.losses.clipped(), &place), &sums);
        Some(sums)
    }
}

/// What there is of a place in a buffer that may be shorter.
fn room<'a, F>(buffer: &'a mut [F], place: &Range<usize>) -> &'a mut [F] {
    let end = place.end.min(buffer.len());
    buffer.get_mut(place.start..end).unwrap_or_default()
}
