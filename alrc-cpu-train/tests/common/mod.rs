//! What the tests share: the one table of tolerances, and comparisons that no NaN passes.
#![allow(dead_code, missing_docs, reason = "every test uses a part of this")]

pub(crate) mod golden;

/// Largest permitted errors, each relative to the root mean square of the expected values, unless said otherwise.
pub(crate) mod tolerance {
    /// An f32 convolution against f64: sums of some thousand products, each rounded to 2^-24, and Winograd transforms
    /// that enlarge that about twofold. In tests with few values relative to the size that sums of so many random terms
    /// usually have: those at hand may happen to cancel.
    pub(crate) const CONVOLUTION_RMS: f64 = 2e-6;
    /// As above, the worst element.
    pub(crate) const CONVOLUTION_MAX: f64 = 1.5e-5;
    /// The worst weight gradient by Winograd's algorithm, which takes for zero what is below 1e-6 of its largest frequency:
    /// some 40 times the root mean square of the gradients.
    pub(crate) const WINOGRAD_WEIGHT_MAX: f64 = 5e-5;
    /// Central differences in f64 with step 1e-6 of a function that is linear but for ReLUs held fixed.
    pub(crate) const FINITE_DIFFERENCE: f64 = 1e-6;
    /// Preprocessing, losses and scales of the first golden step: f32 rounding of sums in f64.
    pub(crate) const LOSS: f64 = 2e-6;
    /// The same in later steps, whose parameters have moved by `SGD_UPDATE` or `ADAM_UPDATE`.
    pub(crate) const LATER_LOSS: f64 = 1e-4;
    /// The network's output: ten convolutions in a row.
    pub(crate) const OUTPUT: f64 = 1e-5;
    /// Parameter gradients of the whole network. A ReLU whose argument is rounded to the other side of 0 moves single
    /// entries by up to 5e-2 of their root mean square.
    pub(crate) const GRADIENT_RMS: f64 = 1e-3;
    /// As above, the worst entry.
    pub(crate) const GRADIENT_MAX: f64 = 5e-2;
    /// The same where both sides went by the same activations and so by the same ReLUs: ten convolutions in a row.
    pub(crate) const MASKED_GRADIENT_RMS: f64 = 2e-6;
    /// As above, the worst entry.
    pub(crate) const MASKED_GRADIENT_MAX: f64 = 2e-5;
    /// Parameters after three steps of gradient descent, relative to the update, if every product of the definition
    /// is computed.
    pub(crate) const SGD_UPDATE: f64 = 1e-4;
    /// The same for Winograd's algorithm. Two arguments of ReLUs in the golden file lie 8e-8 of their root mean square
    /// from 0 and a third 4e-7, which is less than f32 resolves: the rounding error of a layer is 3e-7 and more by any
    /// algorithm. Each that falls on the other side is 7e-5 to 2.5e-4 of a layer's update (PyTorch's float32 has one of
    /// them), and which ones do differs between instruction sets. What does not depend on them has `MASKED_GRADIENT_RMS`.
    pub(crate) const WINOGRAD_SGD_UPDATE: f64 = 5e-4;
    /// The same for Adam, whose first steps divide small gradients by their own size and so amplify rounding.
    pub(crate) const ADAM_UPDATE: f64 = 0.03;
    /// Losses of 50 steps on two backends. Some four times the most that was measured for either loss and optimiser with
    /// six seeds, 5.5e-5, to which Adam amplifies the rounding; between two algorithms on the processor it is as much.
    pub(crate) const FIFTY_STEPS_LOSS: f64 = 2e-4;
    /// As above, the worst step; measured: 2.3e-4.
    pub(crate) const FIFTY_STEPS_LOSS_MAX: f64 = 7e-4;
}

/// Root mean square.
pub(crate) fn rms(values: impl IntoIterator<Item = f64>) -> f64 {
    let (count, sum) = values.into_iter().fold((0.0, 0.0), |(count, sum), x| (count + 1.0, sum + x * x));
    f64::sqrt(sum / f64::max(count, 1.0))
}

/// Asserts that the errors, relative to the root mean square of `expected`, are within their bounds: their own root
/// mean square, and the largest.
#[track_caller]
pub(crate) fn assert_close(what: &str, actual: &[f32], expected: &[f64], rms_bound: f64, max_bound: f64) {
    assert_close_at_scale(what, actual, expected, rms(expected.iter().copied()), rms_bound, max_bound);
}

/// The same relative to `scale`. Panics on a NaN or an infinity anywhere.
#[track_caller]
pub(crate) fn assert_close_at_scale(
    what: &str,
    actual: &[f32],
    expected: &[f64],
    scale: f64,
    rms_bound: f64,
    max_bound: f64,
) {
    assert_eq!(actual.len(), expected.len(), "{what}: number of values");
    assert!(actual.iter().all(|x| x.is_finite()), "{what}: not finite");
    assert!(expected.iter().all(|x| x.is_finite()), "{what}: expected value not finite");
    let scale = scale.max(f64::MIN_POSITIVE);
    let errors = || actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - e).abs() / scale);
    let (rms, max) = (rms(errors()), errors().fold(0.0, f64::max));
    assert!(
        rms <= rms_bound && max <= max_bound,
        "{what}: errors (rms, max) {rms:e}, {max:e} above {rms_bound:e}, {max_bound:e}"
    );
}
