//! Few channels of the output: each pixel of the input is multiplied with all taps, then each output gathers its sum.

use super::pack_panels;
use super::padded::Padded;
use crate::conv::Shape;
use crate::conv::finish::Destination;
use crate::conv::workspace::{Workspace, with_scratch};
use crate::simd::Simd;
use crate::simd::product::{Left, Order, Product, Right};

/// The weights as `[panels of taps and outputs, in, PANEL]`.
pub(super) fn pack<'a, S: Simd>(shape: Shape, weights: &[f32], workspace: &'a mut Workspace) -> &'a [f32] {
    let Shape { in_channels: inputs, out_channels: outputs, .. } = shape;
    let weight = |input: usize, column: usize| {
        let (tap, output) = (column / outputs, column % outputs);
        weights[(tap * inputs + input) * outputs + output]
    };
    pack_panels::<S>(inputs, shape.kernel * shape.kernel * outputs, weight, workspace)
}

/// Convolves a band: for each row of the input `[pixels, in] x [in, taps out]`, added to the rows of the output that
/// the kernel's rows reach from there.
pub(super) fn convolve<S: Simd>(
    simd: S,
    shape: Shape,
    padded: Padded<'_>,
    packed: &[f32],
    mut destination: Destination<'_>,
) {
    let Shape { kernel, in_channels: inputs, out_channels: outputs } = shape;
    let pixels = padded.row_stride / inputs;
    let panel_len = pixels * S::PANEL;
    let panels = packed.len() / (inputs * S::PANEL);
    let sums_row = padded.columns * outputs;
    with_scratch([panels * panel_len, padded.rows * sums_row], |[products, sums]| {
        sums.fill(0.0);
        for (row, values) in padded.values.chunks_exact(padded.row_stride).enumerate() {
            let operands = packed.chunks_exact(inputs * S::PANEL).zip(products.chunks_exact_mut(panel_len));
            for (weights, products) in operands {
                simd.product(Product {
                    rows: pixels,
                    segments: 1,
                    depth: inputs,
                    a: Left { values, order: Order::Rows(inputs), segment: 0 },
                    b: Right { values: weights, segment: 0 },
                    c: products,
                    accumulate: false,
                    next: [&[]; 3],
                });
            }
            for down in 0..kernel {
                let Some(row) = row.checked_sub(down).filter(|&row| row < padded.rows) else { continue };
                let sums = &mut sums[row * sums_row..][..sums_row];
                for right in 0..kernel {
                    for output in 0..outputs {
                        let column = (down * kernel + right) * outputs + output;
                        let first = column / S::PANEL * panel_len + right * S::PANEL + column % S::PANEL;
                        let products = products[first..].iter().step_by(S::PANEL);
                        for (sum, product) in sums[output..].iter_mut().step_by(outputs).zip(products) {
                            *sum += product;
                        }
                    }
                }
            }
        }
        simd.run(
            #[inline(always)]
            || {
                for (pixel, sums) in sums.chunks_exact(outputs).enumerate() {
                    for channel in (0..outputs).step_by(S::LANES) {
                        destination.store(simd, pixel, channel, [simd.load(&sums[channel..])]);
                    }
                }
            },
        );
    });
}
