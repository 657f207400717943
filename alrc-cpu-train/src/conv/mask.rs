//! The ReLU's decisions, a bit each: channel c of a pixel is bit c % 8 of the pixel's byte c / 8.

use crate::simd::Simd;

/// Whether the ReLU let channel `channel` of a pixel pass, whose mask is `pixel_mask`.
#[inline]
pub fn passed(pixel_mask: &[u8], channel: usize) -> bool {
    pixel_mask[channel / 8] >> (channel % 8) & 1 == 1
}

/// The bits of a vector of channels from `channel` (a multiple of 8) on; zeros where the pixel has no more.
#[inline(always)]
pub(super) fn read<S: Simd>(pixel_mask: &[u8], channel: usize) -> u32 {
    let bytes = pixel_mask.get(channel / 8..).unwrap_or_default();
    let mut bits = 0;
    for byte in 0..S::LANES / 8 {
        bits |= u32::from(bytes.get(byte).copied().unwrap_or(0)) << (8 * byte);
    }
    bits
}

/// Stores the bits of a vector of channels from `channel` (a multiple of 8) on.
#[inline(always)]
pub(super) fn write<S: Simd>(bits: u32, pixel_mask: &mut [u8], channel: usize) {
    let bytes = pixel_mask[channel / 8..].iter_mut();
    for (byte, to) in bytes.take(S::LANES / 8).enumerate() {
        *to = (bits >> (8 * byte)) as u8;
    }
}
