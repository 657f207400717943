//! Batches of images as the passes read and write them.

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

    /// The `SIDE` x `SIDE` pixels from (`top`, `left`) on (above or left of the image after a subtraction that wraps),
    /// and of each `channels` channels from `first` on; zeros for all that the image does not have. Where it cannot
    /// be read as it is, `patch` is filled.
    #[expect(clippy::too_many_arguments, reason = "two ranges, and room")]
    #[inline(always)]
    pub(super) fn window<'a, S: Simd, const SIDE: usize>(
        &'a self,
        simd: S,
        size: ImageSize,
        top: usize,
        left: usize,
        first: usize,
        channels: usize,
        patch: &'a mut [f32],
    ) -> Window<'a> {
        let ImageSize { height, width } = size;
        let inside = |start: usize, end: usize| start < end && end - start >= SIDE;
        if self.mask.is_none()
            && inside(top, height)
            && inside(left, width)
            && first + channels <= self.channels
        {
            let values = &self.image[(top * width + left) * self.channels + first..];
            return Window { values, pixel: self.channels, row: width * self.channels };
        }
        let patch = &mut patch[..SIDE * SIDE * channels];
        for (index, pixel) in patch.chunks_exact_mut(channels).enumerate() {
            let (row, column) = (top.wrapping_add(index / SIDE), left.wrapping_add(index % SIDE));
            if row < height && column < width {
                self.copy(simd, row * width + column, first, pixel);
            } else {
                pixel.fill(0.0);
            }
        }
        Window { values: patch, pixel: channels, row: SIDE * channels }
    }

    /// Copies channels of a pixel from `first` (a multiple of 8) on, with zeros for those that it does not have.
    #[inline(always)]
    fn copy<S: Simd>(&self, simd: S, pixel: usize, first: usize, to: &mut [f32]) {
        if first + to.len() > self.channels {
            for (channel, to) in (first..).step_by(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
                simd.store(self.load(simd, pixel, channel), to);
            }
            return;
        }
        let values = &self.image[pixel * self.channels + first..][..to.len()];
        let vectors = to.chunks_exact_mut(S::LANES).zip(values.chunks_exact(S::LANES));
        let Some(mask) = self.mask else {
            // Not by `copy_from_slice`: a call for every pixel costs more.
            for (to, values) in vectors {
                simd.store(simd.load(values), to);
            }
            return;
        };
        let bits = &mask[pixel * self.channels.div_ceil(8) + first / 8..][..values.len() / 8];
        for ((to, values), bits) in vectors.zip(bits.chunks_exact(S::LANES / 8)) {
            simd.store(simd.keep(mask::read_whole::<S>(bits), simd.load(values)), to);
        }
    }

    /// Has a vector of channels of a pixel fetched into the cache. The pixel may lie outside.
    #[inline(always)]
    pub(super) fn prefetch(&self, size: ImageSize, row: usize, column: usize, channel: usize) {
        let pixel = row.wrapping_mul(size.width).wrapping_add(column);
        prefetch(self.image.as_ptr().wrapping_add(pixel.wrapping_mul(self.channels).wrapping_add(channel)));
    }

    /// Writes the sum over all pixels of each channel to `sums`.
    #[inline(always)]
    pub(super) fn sum_pixels<S: Simd>(&self, simd: S, sums: &mut [f32]) {
        for (channel, sums) in (0..).step_by(S::LANES).zip(sums.chunks_mut(S::LANES)) {
            let mut sum = simd.splat(0.0);
            for pixel in 0..self.image.len() / self.channels {
                sum = simd.add(sum, self.load(simd, pixel, channel));
            }
            simd.store(sum, sums);
        }
    }
}

/// Some pixels of an image, from the first channel of the first on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    values: &'a [f32],
    /// From a pixel to that right of it.
    pixel: usize,
    /// From a pixel to that below it.
    row: usize,
}

impl Window<'_> {
    /// A vector of channels of each of the `N` topmost pixels of a column.
    #[inline(always)]
    pub(super) fn column<S: Simd, const N: usize>(
        self,
        simd: S,
        column: usize,
        channel: usize,
    ) -> [S::Vector; N] {
        strided::load(simd, self.values, column * self.pixel + channel, self.row)
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
