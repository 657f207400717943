//! What happens to a sum of products before it is stored: bias, ReLU with its mask, skip connection.

use super::mask;
use crate::simd::{Simd, prefetch};

/// Destination of a part of a batch (some pixels with all their channels) and what is done on the way there.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    pub(super) channels: usize,
    pub(super) bias: Option<&'a [f32]>,
    /// Of the same pixels as `output`.
    pub(super) skip: Option<&'a [f32]>,
    /// Of the same pixels as `output`.
    pub(super) mask: Option<&'a mut [u8]>,
    pub(super) output: &'a mut [f32],
}

impl Destination<'_> {
    /// Has a vector of channels of `pixels` pixels side by side, of which the first is `pixel`, and of what is added to
    /// them, fetched into the cache. They may lie outside.
    #[inline(always)]
    pub(super) fn prefetch(&self, pixels: usize, pixel: usize, channel: usize) {
        for pixel in pixel..pixel + pixels {
            let index = pixel * self.channels + channel;
            prefetch(self.output.as_ptr().wrapping_add(index));
            if let Some(skip) = self.skip {
                prefetch(skip.as_ptr().wrapping_add(index));
            }
        }
    }

    /// Stores, for `N` pixels side by side, of which the first is `pixel`, the sums of the channels from `channel`
    /// (a multiple of 8) on.
    #[inline(always)]
    pub(super) fn store<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        pixel: usize,
        channel: usize,
        mut sums: [S::Vector; N],
    ) {
        let lanes = S::LANES.min(self.channels - channel);
        if let Some(bias) = self.bias {
            let bias = simd.load(&bias[channel..channel + lanes]);
            for sum in &mut sums {
                *sum = simd.add(*sum, bias);
            }
        }
        if let Some(mask) = &mut self.mask {
            let pixel_bytes = self.channels.div_ceil(8);
            for (right, sum) in sums.iter_mut().enumerate() {
                let bits = simd.passing(*sum);
                let first = (pixel + right) * pixel_bytes + channel / 8;
                mask::write(bits, &mut mask[first..first + lanes.div_ceil(8)]);
                *sum = simd.keep(bits, *sum);
            }
        }
        for (right, &sum) in sums.iter().enumerate() {
            let first = (pixel + right) * self.channels + channel;
            let sum = match self.skip {
                Some(skip) => simd.add(sum, simd.load(&skip[first..first + lanes])),
                None => sum,
            };
            simd.store(sum, &mut self.output[first..first + lanes]);
        }
    }
}
