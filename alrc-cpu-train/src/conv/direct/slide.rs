//! Many channels of the output: the kernel slides over the image.

use super::pack_panels;
use super::padded::Padded;
use crate::conv::Shape;
use crate::conv::finish::Destination;
use crate::conv::workspace::{Workspace, with_scratch};
use crate::simd::Simd;
use crate::simd::product::{Left, Order, Product, Right};

/// The weights as `[panels of outputs, taps in, PANEL]`.
pub(super) fn pack<'a, S: Simd>(shape: Shape, weights: &[f32], workspace: &'a mut Workspace) -> &'a [f32] {
    let (rows, columns) = (shape.kernel * shape.kernel * shape.in_channels, shape.out_channels);
    pack_panels::<S>(rows, columns, |row, column| weights[row * columns + column], workspace)
}

/// Convolves a band: for each row of pixels and each panel of outputs `[pixels, taps in] x [taps in, PANEL]`.
pub(super) fn convolve<S: Simd>(
    simd: S,
    shape: Shape,
    padded: Padded<'_>,
    packed: &[f32],
    mut destination: Destination<'_>,
) {
    let Shape { kernel, in_channels, out_channels } = shape;
    let depth = kernel * in_channels;
    with_scratch([padded.columns * S::PANEL], |[sums]| {
        for row in 0..padded.rows {
            for (panel, weights) in packed.chunks_exact(kernel * depth * S::PANEL).enumerate() {
                simd.product(Product {
                    rows: padded.columns,
                    segments: kernel,
                    depth,
                    a: Left {
                        values: &padded.values[row * padded.row_stride..],
                        order: Order::Rows(in_channels),
                        segment: padded.row_stride,
                    },
                    b: Right { values: weights, segment: depth * S::PANEL },
                    c: sums,
                    accumulate: false,
                    next: [&[]; 3],
                });
                simd.run(
                    #[inline(always)]
                    || {
                        for (column, sums) in sums.chunks_exact(S::PANEL).enumerate() {
                            let pixel = row * padded.columns + column;
                            let channels = panel * S::PANEL..out_channels.min((panel + 1) * S::PANEL);
                            for channel in channels.step_by(S::LANES) {
                                let sum = simd.load(&sums[channel % S::PANEL..][..S::LANES]);
                                destination.store(simd, pixel, channel, [sum]);
                            }
                        }
                    },
                );
            }
        }
    });
}
