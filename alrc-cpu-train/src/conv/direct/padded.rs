//! A copy of some rows of an image with zeros around them.

use std::ops::Range;

use crate::conv::Shape;
use crate::conv::images::Source;
use crate::simd::Simd;
use crate::tensor::ImageSize;

/// Rows of an image, and as many pixels on each side as the kernel reaches over its centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padded<'a> {
    /// Rows without those around them.
    pub(super) rows: usize,
    /// Columns without those around them.
    pub(super) columns: usize,
    /// From a pixel to that below it.
    pub(super) row_stride: usize,
    /// `[rows + 2 reach, columns + 2 reach, channels]`.
    pub(super) values: &'a [f32],
}

impl<'a> Padded<'a> {
    /// Room that `rows` rows of the input of a layer need.
    pub(super) fn len(shape: Shape, size: ImageSize, rows: usize) -> usize {
        let reach = shape.reach();
        (rows + 2 * reach) * (size.width + 2 * reach) * shape.in_channels
    }

    /// Copies the rows `rows` of `source` into `values`.
    pub(super) fn new<S: Simd>(
        simd: S,
        reach: usize,
        size: ImageSize,
        rows: Range<usize>,
        source: Source<'_>,
        values: &'a mut [f32],
    ) -> Self {
        let channels = source.channels;
        let row_stride = (size.width + 2 * reach) * channels;
        let padded_rows = rows.start..rows.end + 2 * reach;
        let values = &mut values[..padded_rows.len() * row_stride];
        simd.run(
            #[inline(always)]
            || {
                for (padded_row, to) in padded_rows.zip(values.chunks_exact_mut(row_stride)) {
                    let Some(row) = padded_row.checked_sub(reach).filter(|&row| row < size.height) else {
                        to.fill(0.0);
                        continue;
                    };
                    to[..reach * channels].fill(0.0);
                    to[(reach + size.width) * channels..].fill(0.0);
                    let pixels = to[reach * channels..].chunks_exact_mut(channels).take(size.width);
                    for (column, to) in pixels.enumerate() {
                        for channel in (0..channels).step_by(S::LANES) {
                            let value = source.load(simd, row * size.width + column, channel);
                            simd.store(value, &mut to[channel..]);
                        }
                    }
                }
            },
        );
        Self { rows: rows.len(), columns: size.width, row_stride, values }
    }
}
