//! What happens to a sum of products before it is stored: bias, ReLU with its mask, skip connection.

use std::ops::Range;

use super::mask;
use crate::simd::{Simd, prefetch};
use crate::tensor::ALIGNMENT;

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
    /// Number of pixels.
    pub(super) fn pixels(&self) -> usize {
        self.output.len() / self.channels
    }

    /// Has the memory of some channels of some pixels fetched, while there are other things to do.
    #[inline(always)]
    pub(super) fn prefetch(&self, pixels: Range<usize>, channels: Range<usize>) {
        /// Floats of a cache line.
        const LINE: usize = ALIGNMENT / size_of::<f32>();
        for pixel in pixels {
            for channel in channels.clone().step_by(LINE) {
                let index = pixel * self.channels + channel;
                prefetch(&self.output[index]);
                if let Some(skip) = self.skip {
                    prefetch(&skip[index]);
                }
            }
        }
    }

    /// Stores the sums of the channels from `channel` (a multiple of 8) on of pixel `pixel`.
    #[inline(always)]
    pub(super) fn store<S: Simd>(&mut self, simd: S, pixel: usize, channel: usize, sum: S::Vector) {
        let mut value = sum;
        if let Some(bias) = self.bias {
            value = simd.add(value, simd.load(&bias[channel..]));
        }
        if let Some(mask) = &mut self.mask {
            let bits = simd.passing(value);
            let mask_bytes = self.channels.div_ceil(8);
            mask::write::<S>(bits, &mut mask[pixel * mask_bytes..][..mask_bytes], channel);
            value = simd.keep(bits, value);
        }
        let values = pixel * self.channels + channel..(pixel + 1) * self.channels;
        if let Some(skip) = self.skip {
            value = simd.add(value, simd.load(&skip[values.clone()]));
        }
        simd.store(value, &mut self.output[values]);
    }
}
