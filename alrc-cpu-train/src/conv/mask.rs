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
    if bytes.len() >= S::LANES / 8 {
        return read_whole::<S>(bytes);
    }
    let mut bits = [0; 4];
    bits[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(bits)
}

/// The bits of a whole vector of channels.
#[inline(always)]
pub(super) fn read_whole<S: Simd>(bytes: &[u8]) -> u32 {
    let mut bits = [0; 4];
    bits[..S::LANES / 8].copy_from_slice(&bytes[..S::LANES / 8]);
    u32::from_le_bytes(bits)
}

/// Stores as many bits as there is room for.
#[inline(always)]
pub(super) fn write(bits: u32, bytes: &mut [u8]) {
    for (to, byte) in bytes.iter_mut().zip(bits.to_le_bytes()) {
        *to = byte;
    }
}
