//! Aligned buffers for batches of images.

use std::ops::Range;

use aligned_vec::{AVec, ConstAlign};

/// Alignment in bytes of every buffer: a cache line, and the widest vector register.
pub const ALIGNMENT: usize = 64;

/// A growable buffer of `f32` that starts on a cache line.
pub type Buffer = AVec<f32, ConstAlign<ALIGNMENT>>;

/// A buffer of `len` zeros.
pub fn zeros(len: usize) -> Buffer {
    AVec::from_iter(ALIGNMENT, std::iter::repeat_n(0.0, len))
}

/// Size of the images of a batch, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageSize {
    /// Rows times columns.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// A batch of images, `[images, height, width, channels]` (NHWC), all in one aligned buffer.
#[derive(Clone, Debug)]
pub struct Tensor {
    data: Buffer,
    image_len: usize,
}

impl Tensor {
    /// `images` images of `size` with `channels` channels, all zero.
    pub fn zeros(images: usize, size: ImageSize, channels: usize) -> Self {
        let image_len = size.pixels() * channels;
        Self { data: zeros(images * image_len), image_len }
    }

    /// Values of one image: height x width x channels.
    pub fn image_len(&self) -> usize {
        self.image_len
    }

    /// Image `index`, `[height, width, channels]`.
    pub fn image(&self, index: usize) -> &[f32] {
        self.images(index..index + 1)
    }

    /// Image `index`, to write.
    pub fn image_mut(&mut self, index: usize) -> &mut [f32] {
        self.images_mut(index..index + 1)
    }

    /// The images of `range`, one behind the other.
    pub fn images(&self, range: Range<usize>) -> &[f32] {
        &self.data[range.start * self.image_len..range.end * self.image_len]
    }

    /// The images of `range`, to write.
    pub fn images_mut(&mut self, range: Range<usize>) -> &mut [f32] {
        &mut self.data[range.start * self.image_len..range.end * self.image_len]
    }
}
