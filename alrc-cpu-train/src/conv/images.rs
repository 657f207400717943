//! Batches of images as the passes read and write them.

use std::ops::Range;

use super::finish::Destination;
use super::mask;
use crate::simd::{Simd, prefetch, strided};
use crate::tensor::ImageSize;

/// A batch of images to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images<'a> {
    pub(super) channels: usize,
    /// `[images, height, width, channels]`.
    pub(super) values: &'a [f32],
    /// Where they are to be read as they are; elsewhere they are taken to be zero.
    pub(super) masks: Option<&'a [u8]>,
}

impl<'a> Images<'a> {
    /// Number of images of `size`.
    pub(super) fn count(self, size: ImageSize) -> usize {
        self.values.len() / (size.pixels() * self.channels)
    }

    pub(super) fn image(self, size: ImageSize, index: usize) -> Source<'a> {
        let (values, bytes) = (size.pixels() * self.channels, size.pixels() * self.channels.div_ceil(8));
        Source {
            channels: self.channels,
            image: &self.values[index * values..][..values],
            mask: self.masks.map(|masks| &masks[index * bytes..][..bytes]),
        }
    }
}

/// An image to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) channels: usize,
    /// `[height, width, channels]`.
    image: &'a [f32],
    /// Where it is to be read as it is; elsewhere it is taken to be zero.
    mask: Option<&'a [u8]>,
}

impl Source<'_> {
    /// A vector of channels of a pixel; zeros for those that it does not have.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S, pixel: usize, channel: usize) -> S::Vector {
        let first = pixel * self.channels + channel;
        let values = if channel + S::LANES <= self.channels {
            simd.load(&self.image[first..first + S::LANES])
        } else {
            let end = (pixel + 1) * self.channels;
            simd.load(&self.image[first.min(end)..end])
        };
        match self.mask {
            Some(mask) => {
                let bytes = self.channels.div_ceil(8);
                simd.keep(mask::read::<S>(&mask[pixel * bytes..][..bytes], channel), values)
            }
            None => values,
        }
    }

    /// A vector of channels of each of `N` pixels one below the other, from (`top`, `column`) on; zeros for those that
    /// lie outside the image (above or left of it after a subtraction that wraps). The `below` pixels below them are
    /// fetched into the cache.
    #[inline(always)]
    pub(super) fn load_column<S: Simd, const N: usize>(
        &self,
        simd: S,
        size: ImageSize,
        top: usize,
        column: usize,
        channel: usize,
        below: usize,
    ) -> [S::Vector; N] {
        let (width, height) = (size.width, size.height);
        if column < width && top < height && height - top >= N && channel + S::LANES <= self.channels {
            let first = (top * width + column) * self.channels + channel;
            let mut vectors = strided::load(simd, self.image, first, width * self.channels);
            for down in N..N + below {
                prefetch(self.image.as_ptr().wrapping_add(first + down * width * self.channels));
            }
            if let Some(mask) = self.mask {
                let bytes = self.channels.div_ceil(8);
                let first = (top * width + column) * bytes + channel / 8;
                for (down, vector) in vectors.iter_mut().enumerate() {
                    *vector = simd.keep(mask::read_whole::<S>(mask, first + down * width * bytes), *vector);
                }
            }
            return vectors;
        }
        let mut vectors = [simd.splat(0.0); N];
        for (down, vector) in vectors.iter_mut().enumerate() {
            let row = top.wrapping_add(down);
            if row < height && column < width {
                *vector = self.load(simd, row * width + column, channel);
            }
        }
        vectors
    }

    /// Adds the sum over `pixels` of each channel from `first` on to `sums`.
    #[inline(always)]
    pub(super) fn add_pixels<S: Simd>(&self, simd: S, pixels: Range<usize>, first: usize, sums: &mut [f32]) {
        for (channel, sums) in (first..).step_by(S::LANES).zip(sums.chunks_mut(S::LANES)) {
            let mut sum = simd.splat(0.0);
            for pixel in pixels.clone() {
                sum = simd.add(sum, self.load(simd, pixel, channel));
            }
            simd.store(simd.add(simd.load(sums), sum), sums);
        }
    }
}

/// A batch of images to be written; see [`Destination`].
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) channels: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) skip: Option<&'a [f32]>,
    pub(super) masks: Option<&'a mut [u8]>,
    pub(super) values: &'a mut [f32],
}

impl<'a> Output<'a> {
    /// Cuts the images into bands of `rows` rows, but for the last of an image.
    pub(super) fn bands(self, size: ImageSize, rows: usize) -> Vec<Destination<'a>> {
        let Output { channels, bias, skip, masks, values } = self;
        let mut masks = masks.map(|masks| bands_mut(masks, size, channels.div_ceil(8), rows));
        let mut first = 0;
        bands_mut(values, size, channels, rows)
            .map(|output| {
                let skip = skip.map(|skip| &skip[first..][..output.len()]);
                first += output.len();
                Destination { channels, bias, skip, mask: masks.as_mut().and_then(Iterator::next), output }
            })
            .collect()
    }
}

/// Cuts images with `per_pixel` values a pixel into bands of `rows` rows, but for the last of an image.
pub(super) fn bands_mut<T>(
    images: &mut [T],
    size: ImageSize,
    per_pixel: usize,
    rows: usize,
) -> impl Iterator<Item = &mut [T]> {
    images
        .chunks_mut(size.pixels() * per_pixel)
        .flat_map(move |image| image.chunks_mut(rows * size.width * per_pixel))
}
