//! Between weights and the transformed domain.
//!
//! Transformed weights are `[panels of outputs, FREQUENCIES, inputs, PANEL]`, inputs filled up to whole panels with
//! zeros: exactly in the order in which the products read them. Their gradient lies in the same way, once for each group
//! of images. After each matrix `[inputs, PANEL]` some room is left, as in a [band](super::tiles).

use rayon::prelude::*;

use super::tiles::SPACING;
use super::transform::{WeightGradient, Weights, both_ways};
use super::{FREQUENCIES, KERNEL, WINDOW};
use crate::conv::Shape;
use crate::simd::{Simd, strided};

/// From one matrix `[inputs, PANEL]` to the next.
pub(super) fn matrix_len<S: Simd>(inputs: usize) -> usize {
    inputs.next_multiple_of(S::PANEL) * S::PANEL + SPACING
}

/// From one panel of outputs to the next.
pub(super) fn panel_len<S: Simd>(inputs: usize) -> usize {
    FREQUENCIES * matrix_len::<S>(inputs)
}

/// Values of the transformed weights, or of a group's gradient of them.
pub(super) fn transformed_len<S: Simd>(inputs: usize, outputs: usize) -> usize {
    outputs.div_ceil(S::PANEL) * panel_len::<S>(inputs)
}

/// U = G g G' of the weights, `[kernel, kernel, in_channels, out_channels]`.
pub(super) fn transform_weights<S: Simd>(simd: S, shape: Shape, weights: &[f32], transformed: &mut [f32]) {
    let (inputs, outputs) = (shape.in_channels, shape.out_channels);
    let panels = transformed.par_chunks_exact_mut(panel_len::<S>(inputs));
    panels.enumerate().for_each(|(panel, transformed)| {
        simd.run(
            #[inline(always)]
            || {
                for input in 0..inputs {
                    for lane in (0..S::PANEL).step_by(S::LANES) {
                        let output = (panel * S::PANEL + lane).min(outputs);
                        store(
                            simd,
                            inputs,
                            input,
                            lane,
                            transformed,
                            #[inline(always)]
                            |tap| {
                                let row = (tap * inputs + input) * outputs;
                                simd.load(&weights[row + output..row + outputs])
                            },
                        );
                    }
                }
                clear_padding::<S>(inputs, transformed);
            },
        );
    });
}

/// The same for the weights turned by 180 degrees and with inputs and outputs exchanged: the weights with which
/// the input gradient is a convolution of the output gradient.
pub(super) fn transform_turned_weights<S: Simd>(
    simd: S,
    shape: Shape,
    weights: &[f32],
    transformed: &mut [f32],
) {
    const BLOCK: usize = 8;
    let (inputs, outputs) = (shape.in_channels, shape.out_channels);
    let panels = transformed.par_chunks_exact_mut(panel_len::<S>(outputs));
    panels.enumerate().for_each(|(panel, transformed)| {
        simd.run(
            #[inline(always)]
            || {
                let first_input = panel * S::PANEL;
                let panel_inputs = S::PANEL.min(inputs - first_input);
                let mut turned = vec![0.0; KERNEL * KERNEL * BLOCK * S::PANEL];
                for first in (0..outputs).step_by(BLOCK) {
                    let block = BLOCK.min(outputs - first);
                    for (tap, turned) in turned.chunks_exact_mut(BLOCK * S::PANEL).rev().enumerate() {
                        for input in 0..panel_inputs {
                            let row = (tap * inputs + first_input + input) * outputs + first;
                            let outputs = turned.chunks_exact_mut(S::PANEL);
                            for (turned, &weight) in outputs.zip(&weights[row..row + block]) {
                                turned[input] = weight;
                            }
                        }
                    }
                    for output in 0..block {
                        for lane in (0..S::PANEL).step_by(S::LANES) {
                            store(
                                simd,
                                outputs,
                                first + output,
                                lane,
                                transformed,
                                #[inline(always)]
                                |tap| {
                                    let at = (tap * BLOCK + output) * S::PANEL + lane;
                                    simd.load(&turned[at..at + S::LANES])
                                },
                            );
                        }
                    }
                }
                clear_padding::<S>(outputs, transformed);
            },
        );
    });
}

/// Transforms the weights of one input and a vector of outputs.
#[inline(always)]
fn store<S: Simd>(
    simd: S,
    inputs: usize,
    input: usize,
    lane: usize,
    panel: &mut [f32],
    tap: impl Fn(usize) -> S::Vector,
) {
    let frequencies = both_ways(
        simd,
        Weights,
        #[inline(always)]
        |column| [tap(column), tap(KERNEL + column), tap(2 * KERNEL + column)],
    );
    let matrix = matrix_len::<S>(inputs);
    for (down, &values) in frequencies.iter().enumerate() {
        strided::store(simd, values, panel, down * WINDOW * matrix + input * S::PANEL + lane, matrix);
    }
}

/// Zeros for the inputs from `inputs` on of a panel.
fn clear_padding<S: Simd>(inputs: usize, panel: &mut [f32]) {
    for frequency in panel.chunks_exact_mut(matrix_len::<S>(inputs)) {
        frequency[inputs * S::PANEL..].fill(0.0);
    }
}

/// A gradient that is smaller than this part of the largest frequency that it was computed from is rounding error, and
/// taken to be zero.
///
/// Where the channels of the input or of the output gradient are mostly zero, a tap may have a gradient of exactly
/// zero, which here is a difference of large terms. Adam divides by the gradient's own size, and would move the weight at
/// random by what rounding leaves as fast as by what matters. What is lost where a gradient is merely small is at most
/// some 2e-5 of the others' root mean square, about the largest error that rounding makes.
pub(crate) const NOISE: f32 = 4.0 * f32::EPSILON;

/// |x|
#[inline(always)]
fn magnitude<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    simd.max(x, simd.sub(simd.splat(0.0), x))
}

/// Adds dW = G' dU G to the gradient of the weights, where dU is the sum of the groups' in `sums`.
pub(super) fn add_weight_gradient<S: Simd>(simd: S, shape: Shape, sums: &[f32], gradient: &mut [f32]) {
    /// Inputs in one piece of work.
    const PIECE: usize = 8;
    let (inputs, outputs) = (shape.in_channels, shape.out_channels);
    let (matrix, panel_len) = (matrix_len::<S>(inputs), panel_len::<S>(inputs));
    // For each piece the rows of its inputs in all nine taps.
    let mut pieces: Vec<Vec<&mut [f32]>> = (0..inputs.div_ceil(PIECE)).map(|_| Vec::new()).collect();
    for tap in gradient.chunks_exact_mut(inputs * outputs) {
        for (piece, rows) in pieces.iter_mut().zip(tap.chunks_mut(PIECE * outputs)) {
            piece.push(rows);
        }
    }
    pieces.into_par_iter().enumerate().for_each(|(piece, mut taps)| {
        simd.run(
            #[inline(always)]
            || {
                for row in 0..taps[0].len() / outputs {
                    let input = piece * PIECE + row;
                    for output in (0..outputs).step_by(S::LANES) {
                        let (panel, lane) = (output / S::PANEL, output % S::PANEL);
                        let first = panel * panel_len + input * S::PANEL + lane;
                        let mut frequencies = [simd.splat(0.0); FREQUENCIES];
                        for group in sums.chunks_exact(transformed_len::<S>(inputs, outputs)) {
                            let terms: [_; FREQUENCIES] = strided::load(simd, group, first, matrix);
                            for (frequency, &term) in frequencies.iter_mut().zip(&terms) {
                                *frequency = simd.add(*frequency, term);
                            }
                        }
                        let mut largest = simd.splat(0.0);
                        for &value in &frequencies {
                            largest = simd.max(largest, magnitude(simd, value));
                        }
                        let gradients = both_ways(
                            simd,
                            WeightGradient,
                            #[inline(always)]
                            |column| {
                                let mut values = [simd.splat(0.0); WINDOW];
                                for (row, value) in values.iter_mut().enumerate() {
                                    *value = frequencies[row * WINDOW + column];
                                }
                                values
                            },
                        );
                        let noise = simd.mul(simd.splat(NOISE), largest);
                        for (taps, gradients) in taps.chunks_exact_mut(KERNEL).zip(&gradients) {
                            for (tap, &sum) in taps.iter_mut().zip(gradients) {
                                let significant = simd.passing(simd.sub(magnitude(simd, sum), noise));
                                let to = &mut tap[row * outputs + output..(row + 1) * outputs];
                                simd.store(simd.add(simd.load(to), simd.keep(significant, sum)), to);
                            }
                        }
                    }
                }
            },
        );
    });
}
