//! Every convolution, on every instruction set that the processor has, does what the plain loops in f64 do.

use alrc_cpu_train::conv::reference;
use alrc_cpu_train::conv::{self, Algorithm, Backward, Forward, InputGradient, Shape, Workspace};
use alrc_cpu_train::simd::Choice;
use alrc_cpu_train::tensor::ImageSize;
use arbitrary::{Arbitrary, Unstructured};

/// A part of the largest sum that the definition permits: rounding stays far below.
const TOLERANCE: f64 = 1e-6;

/// Panics where the file's first line does not hold.
pub fn check(bytes: &[u8]) {
    if let Ok(case) = Case::arbitrary(&mut Unstructured::new(bytes)) {
        case.check();
    }
}

struct Case {
    shape: Shape,
    size: ImageSize,
    relu: bool,
    skip: bool,
    input: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    output_gradient: Vec<f32>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kernel = *bytes.choose(&[1, 3, 5])?;
        let shape = Shape {
            kernel,
            in_channels: bytes.int_in_range(1..=34)?,
            out_channels: bytes.int_in_range(1..=34)?,
        };
        let size = ImageSize { height: bytes.int_in_range(1..=9)?, width: bytes.int_in_range(1..=9)? };
        let images: usize = bytes.int_in_range(1..=2)?;
        let (relu, skip) = (bytes.arbitrary()?, bytes.arbitrary()?);
        let pixels = images * size.pixels();
        // From -4 to 4, a third of them zeros, repeated from a few bytes.
        let pattern: Vec<i8> = bytes.arbitrary()?;
        let mut values = pattern
            .iter()
            .chain(&[3])
            .cycle()
            .map(|&byte| if byte % 3 == 0 { 0.0 } else { f32::from(byte) / 32.0 });
        let mut take = |len| values.by_ref().take(len).collect();
        Ok(Self {
            shape,
            size,
            relu,
            skip,
            input: take(pixels * shape.in_channels),
            weights: take(shape.weights()),
            bias: take(shape.out_channels),
            output_gradient: take(pixels * shape.out_channels),
        })
    }
}

impl Case {
    fn check(&self) {
        for algorithm in [Algorithm::Auto, Algorithm::Direct] {
            for set in Choice::SETS.into_iter().filter_map(Choice::resolve) {
                let convolution = conv::choose(algorithm, set, self.shape);
                let workspace = &mut Workspace::default();
                let mut mask = vec![
                    0xff;
                    self.output_gradient.len() / self.shape.out_channels
                        * self.shape.mask_bytes()
                ];
                let output = self.output(&mut mask, |pass| convolution.forward(pass, workspace));
                let gradients = self.gradients(&mask, |pass| convolution.backward(pass, workspace));
                // Where the argument of a ReLU is near 0, either side is right: the gradients go by that taken here.
                let expected_output = self
                    .output(&mut mask.clone(), |pass: Forward<'_, f64>| reference::forward(self.shape, pass));
                let expected =
                    self.gradients(&mask, |pass: Backward<'_, f64>| reference::backward(self.shape, pass));
                let name =
                    format!("{} on {}, {:?}, {:?}", convolution.name(), set.name(), self.shape, self.size);
                self.compare(&name, &output, &expected_output);
                for (actual, expected) in gradients.iter().zip(&expected) {
                    self.compare(&name, actual, expected);
                }
            }
        }
    }

    fn compare(&self, name: &str, actual: &[f32], expected: &[f64]) {
        // No operand exceeds 4.
        let terms = self.shape.weights().max(self.input.len()).max(self.output_gradient.len());
        let bound = TOLERANCE * 16.0 * terms as f64;
        for (&actual, expected) in actual.iter().zip(expected) {
            let error = (f64::from(actual) - expected).abs();
            assert!(error <= bound, "{name}: {actual} for {expected}");
        }
    }

    fn output<T: From<f32> + Copy>(&self, mask: &mut [u8], forward: impl FnOnce(Forward<'_, T>)) -> Vec<T> {
        let [input, weights, bias, skip] =
            [&self.input, &self.weights, &self.bias, &self.output_gradient].map(|values| convert(values));
        let mut output = vec![T::from(f32::NAN); skip.len()];
        forward(Forward {
            size: self.size,
            input: &input,
            weights: &weights,
            bias: &bias,
            skip: self.skip.then_some(&skip),
            mask: self.relu.then_some(mask),
            output: &mut output,
        });
        output
    }

    /// Of input, weights and bias.
    fn gradients<T: From<f32> + Copy>(
        &self,
        mask: &[u8],
        backward: impl FnOnce(Backward<'_, T>),
    ) -> [Vec<T>; 3] {
        let [input, weights, output_gradient] =
            [&self.input, &self.weights, &self.output_gradient].map(|values| convert(values));
        let mut input_gradient = vec![T::from(f32::NAN); input.len()];
        let [mut weight_gradient, mut bias_gradient] =
            [weights.len(), self.bias.len()].map(|len| vec![T::from(0.0); len]);
        backward(Backward {
            size: self.size,
            input: &input,
            weights: &weights,
            mask: self.relu.then_some(mask),
            output_gradient: &output_gradient,
            input_gradient: Some(InputGradient {
                skip: self.skip.then_some(&input),
                gradient: &mut input_gradient,
            }),
            weight_gradient: &mut weight_gradient,
            bias_gradient: &mut bias_gradient,
        });
        [input_gradient, weight_gradient, bias_gradient]
    }
}

fn convert<T: From<f32>>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&value| T::from(value)).collect()
}
