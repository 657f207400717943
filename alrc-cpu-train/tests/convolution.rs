//! Every convolution against the reference in f64, and the reference against finite differences.

mod common;

use std::collections::BTreeMap;
use std::fmt;

use alrc_cpu_train::conv::{
    self, Algorithm, Backward, Convolution, Forward, InputGradient, Shape, Workspace, reference,
};
use alrc_cpu_train::simd;
use alrc_cpu_train::tensor::ImageSize;
use common::{assert_close_at_scale, rms, tolerance};
use proptest::prelude::*;

/// A layer with random operands in f64 that are exact in f32.
#[derive(Clone)]
struct Case {
    shape: Shape,
    size: ImageSize,
    relu: bool,
    skip: bool,
    input: Vec<f64>,
    weights: Vec<f64>,
    bias: Vec<f64>,
    skip_values: Vec<f64>,
    output_gradient: Vec<f64>,
    skip_gradient: Vec<f64>,
}

impl fmt::Debug for Case {
    /// What is enough to tell cases apart.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, size, relu, skip, .. } = self;
        let images = self.input.len() / (shape.in_channels * size.pixels());
        write!(formatter, "{images} x {size:?}, {shape:?}, relu {relu}, skip {skip}")
    }
}

/// What the two passes of a layer give.
struct Results<T> {
    output: Vec<T>,
    mask: Vec<u8>,
    input_gradient: Vec<T>,
    weight_gradient: Vec<T>,
    bias_gradient: Vec<T>,
}

/// Every algorithm on every instruction set that this processor has, for layers of `shape`, by its name.
fn implementations(shape: Shape) -> BTreeMap<String, Box<dyn Convolution>> {
    let sets: Vec<_> = simd::Choice::SETS.into_iter().filter_map(simd::Choice::resolve).collect();
    let algorithms = [Algorithm::Auto, Algorithm::Direct, Algorithm::Reference];
    let all = algorithms.into_iter().flat_map(|algorithm| {
        sets.iter().map(move |&set| {
            let convolution = conv::choose(algorithm, set, shape);
            (convolution.name(), convolution)
        })
    });
    all.collect()
}

fn values(len: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-1.0f32..1.0).prop_map(f64::from), len)
}

/// Layers of at most so many images, channels, and rows and columns.
fn cases(images: usize, channels: usize, pixels: usize) -> impl Strategy<Value = Case> {
    let kernels = prop::sample::select(vec![1usize, 3, 5]);
    cases_of((kernels, 1..=channels, 1..=channels, 1..=images, 1..=pixels, 1..=pixels))
}

/// Images that Winograd's algorithm goes through in several bands, in the gradient of the weights, too; the last of an
/// image has fewer rows. Some have whole panels of channels.
fn cases_of_several_bands() -> impl Strategy<Value = Case> {
    let channels = || prop::sample::select(vec![1usize, 3, 8, 16, 32, 33]);
    cases_of((Just(3), channels(), channels(), Just(1), 33usize..=44, 33usize..=40))
}

/// So many images that the gradient of the weights is summed in several groups, and several panels of channels.
fn cases_of_several_groups() -> impl Strategy<Value = Case> {
    cases_of((Just(3), 1usize..=20, 33usize..=70, 8usize..=20, 1usize..=5, 1usize..=5))
}

/// Layers of kernel, channels of the input and of the output, images, rows, columns.
fn cases_of(
    layers: impl Strategy<Value = (usize, usize, usize, usize, usize, usize)>,
) -> impl Strategy<Value = Case> {
    (layers, any::<bool>(), any::<bool>()).prop_flat_map(|(layer, relu, skip)| {
        let (kernel, in_channels, out_channels, images, height, width) = layer;
        let shape = Shape { kernel, in_channels, out_channels };
        let size = ImageSize { height, width };
        let (inputs, outputs) = (images * size.pixels() * in_channels, images * size.pixels() * out_channels);
        (
            values(inputs),
            values(shape.weights()),
            values(out_channels),
            values(outputs),
            values(outputs),
            values(inputs),
        )
            .prop_map(move |(input, weights, bias, skip_values, output_gradient, skip_gradient)| {
                Case {
                    shape,
                    size,
                    relu,
                    skip,
                    input,
                    weights,
                    bias,
                    skip_values,
                    output_gradient,
                    skip_gradient,
                }
            })
    })
}

impl Case {
    /// Both passes by the reference in f64; with a given mask, the backward pass uses that.
    fn expected(&self, mask: Option<&[u8]>) -> Results<f64> {
        let mut own_mask = self.empty_mask();
        let mut output = vec![0.0; self.output_gradient.len()];
        reference::forward(
            self.shape,
            Forward {
                size: self.size,
                input: &self.input,
                weights: &self.weights,
                bias: &self.bias,
                skip: self.skip.then_some(&self.skip_values),
                mask: self.relu.then_some(&mut own_mask),
                output: &mut output,
            },
        );
        let mask = mask.map_or(own_mask, <[u8]>::to_vec);
        let mut input_gradient = vec![f64::NAN; self.input.len()];
        let mut weight_gradient = vec![0.0; self.weights.len()];
        let mut bias_gradient = vec![0.0; self.bias.len()];
        reference::backward(
            self.shape,
            Backward {
                size: self.size,
                input: &self.input,
                weights: &self.weights,
                mask: self.relu.then_some(&mask),
                output_gradient: &self.output_gradient,
                input_gradient: Some(self.destination(&self.skip_gradient, &mut input_gradient)),
                weight_gradient: &mut weight_gradient,
                bias_gradient: &mut bias_gradient,
            },
        );
        Results { output, mask, input_gradient, weight_gradient, bias_gradient }
    }

    /// Both passes by an implementation in f32.
    fn actual(&self, convolution: &dyn Convolution) -> Results<f32> {
        let mut workspace = Workspace::default();
        let [input, weights, bias, skip, output_gradient, skip_gradient] = [
            &self.input,
            &self.weights,
            &self.bias,
            &self.skip_values,
            &self.output_gradient,
            &self.skip_gradient,
        ]
        .map(|values| values.iter().map(|&x| x as f32).collect::<Vec<_>>());
        let mut mask = self.empty_mask();
        let mut output = vec![f32::NAN; output_gradient.len()];
        let pass = Forward {
            size: self.size,
            input: &input,
            weights: &weights,
            bias: &bias,
            skip: self.skip.then_some(&skip),
            mask: self.relu.then_some(&mut mask),
            output: &mut output,
        };
        convolution.forward(pass, &mut workspace);
        let mut input_gradient = vec![f32::NAN; input.len()];
        let mut weight_gradient = vec![0.0; weights.len()];
        let mut bias_gradient = vec![0.0; bias.len()];
        let pass = Backward {
            size: self.size,
            input: &input,
            weights: &weights,
            mask: self.relu.then_some(&mask),
            output_gradient: &output_gradient,
            input_gradient: Some(self.destination(&skip_gradient, &mut input_gradient)),
            weight_gradient: &mut weight_gradient,
            bias_gradient: &mut bias_gradient,
        };
        convolution.backward(pass, &mut workspace);
        Results { output, mask, input_gradient, weight_gradient, bias_gradient }
    }

    fn empty_mask(&self) -> Vec<u8> {
        vec![0xff; self.output_gradient.len() / self.shape.out_channels * self.shape.mask_bytes()]
    }

    /// The skip connection decides whether the input gradient has one, so that both are tested.
    fn destination<'a, T>(&self, skip: &'a [T], gradient: &'a mut [T]) -> InputGradient<'a, T> {
        InputGradient { skip: self.skip.then_some(skip), gradient }
    }

    /// Holds every implementation against the reference.
    fn check_all(&self) {
        for (name, convolution) in implementations(self.shape) {
            let actual = self.actual(convolution.as_ref());
            let expected = self.expected(Some(&actual.mask));
            let close = |what: &str, actual: &[f32], expected: &[f64], scale: f64| {
                let (what, rms_bound) = (format!("{name}: {what}"), tolerance::CONVOLUTION_RMS);
                let scale = scale.max(rms(expected.iter().copied()));
                assert_close_at_scale(&what, actual, expected, scale, rms_bound, tolerance::CONVOLUTION_MAX);
            };
            // The usual sizes of sums of random terms.
            let [x, w, dy] =
                [&self.input, &self.weights, &self.output_gradient].map(|values| rms(values.iter().copied()));
            let Shape { kernel, in_channels, out_channels } = self.shape;
            let root = |terms: usize| (terms as f64).sqrt();
            let pixels = root(self.input.len() / in_channels);
            if self.relu && !self.skip {
                for (index, &output) in actual.output.iter().enumerate() {
                    let (pixel, channel) = (index / out_channels, index % out_channels);
                    let mask = &actual.mask[pixel * self.shape.mask_bytes()..];
                    assert_eq!(conv::passed(mask, channel), output > 0.0, "{name}: mask");
                }
            }
            close("output", &actual.output, &expected.output, root(kernel * kernel * in_channels) * x * w);
            close(
                "input gradient",
                &actual.input_gradient,
                &expected.input_gradient,
                root(kernel * kernel * out_channels) * dy * w,
            );
            close("weight gradient", &actual.weight_gradient, &expected.weight_gradient, pixels * x * dy);
            close("bias gradient", &actual.bias_gradient, &expected.bias_gradient, pixels * dy);
        }
    }

    /// The sum of output x output gradient with the ReLU's decisions fixed, a function of input, weights and bias.
    fn objective(&self, mask: &[u8]) -> f64 {
        let linear = Case { relu: false, skip: false, ..self.clone() };
        let channels = self.shape.out_channels;
        let outputs = linear.expected(None).output;
        let terms = outputs.iter().zip(&self.output_gradient).enumerate();
        terms
            .filter(|(index, _)| {
                let mask = &mask[index / channels * self.shape.mask_bytes()..];
                !self.relu || conv::passed(mask, index % channels)
            })
            .map(|(_, (y, dy))| y * dy)
            .sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Every implementation does what the reference does in large images.
    #[test]
    fn several_bands_agree_with_reference(case in cases_of_several_bands()) {
        case.check_all();
    }

    /// The same for many images.
    #[test]
    fn several_groups_agree_with_reference(case in cases_of_several_groups()) {
        case.check_all();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every implementation does what the reference does, in values, gradients and masks.
    #[test]
    fn implementations_agree_with_reference(case in prop_oneof![cases(6, 20, 11), cases(20, 9, 6)]) {
        case.check_all();
    }

    /// The same for layers that fill several panels of channels.
    #[test]
    fn wide_layers_agree_with_reference(case in cases(6, 70, 6)) {
        case.check_all();
    }

    /// The reference's gradients are those of its forward pass.
    #[test]
    fn reference_agrees_with_finite_differences(case in cases(6, 3, 4)) {
        let case = Case { skip: false, ..case };
        let results = case.expected(None);
        let step = 1e-6;
        let difference = |change: &dyn Fn(&mut Case, f64)| {
            let at = |delta| {
                let mut case = case.clone();
                change(&mut case, delta);
                case.objective(&results.mask)
            };
            (at(step) - at(-step)) / (2.0 * step)
        };
        for (index, &gradient) in results.input_gradient.iter().enumerate() {
            let expected = difference(&|case, delta| case.input[index] += delta);
            prop_assert!((gradient - expected).abs() <= tolerance::FINITE_DIFFERENCE);
        }
        for (index, &gradient) in results.weight_gradient.iter().enumerate() {
            let expected = difference(&|case, delta| case.weights[index] += delta);
            prop_assert!((gradient - expected).abs() <= tolerance::FINITE_DIFFERENCE);
        }
        for (index, &gradient) in results.bias_gradient.iter().enumerate() {
            let expected = difference(&|case, delta| case.bias[index] += delta);
            prop_assert!((gradient - expected).abs() <= tolerance::FINITE_DIFFERENCE);
        }
    }

    /// A weight that no product reaches has a gradient of exactly zero: Adam would enlarge anything else. Positive
    /// operands, since rounding error is recognised by its size beside the sums of other weights.
    #[test]
    fn no_rounding_where_the_gradient_is_zero(case in cases(6, 20, 11), rows in any::<[prop::sample::Index; 2]>()) {
        let mut case = case;
        let Case { shape, size, .. } = case;
        let keep_row = |values: &mut [f64], channels: usize, kept: usize| {
            for (row, values) in values.chunks_exact_mut(size.width * channels).enumerate() {
                let kept = row % size.height == kept;
                values.iter_mut().for_each(|x| *x = if kept { x.abs() } else { 0.0 });
            }
        };
        keep_row(&mut case.input, shape.in_channels, rows[0].index(size.height));
        keep_row(&mut case.output_gradient, shape.out_channels, rows[1].index(size.height));
        for (name, convolution) in implementations(shape) {
            let actual = case.actual(convolution.as_ref());
            let expected = case.expected(Some(&actual.mask));
            for (actual, expected) in actual.weight_gradient.iter().zip(expected.weight_gradient) {
                prop_assert!(expected != 0.0 || *actual == 0.0, "{name}: {actual:e} for zero");
            }
        }
    }

    /// A NaN in the input reaches the output through bias, ReLU and skip connection.
    #[test]
    fn nan_reaches_the_output(case in cases(6, 9, 6)) {
        let mut case = case;
        case.input[0] = f64::NAN;
        for (name, convolution) in implementations(case.shape) {
            let output = case.actual(convolution.as_ref()).output;
            prop_assert!(output[..case.shape.out_channels].iter().all(|x| x.is_nan()), "{name}");
        }
    }

    /// The results have the same bits on any number of threads.
    #[test]
    fn bits_do_not_depend_on_threads(
        case in prop_oneof![cases(6, 20, 11), cases(6, 70, 5), cases_of_several_groups(), cases_of_several_bands()],
    ) {
        for (name, convolution) in implementations(case.shape) {
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let results = pool.install(|| case.actual(convolution.as_ref()));
                [results.output, results.input_gradient, results.weight_gradient, results.bias_gradient]
                    .map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            let one = on(1);
            for threads in [2, 3, 5, 8] {
                prop_assert_eq!(&on(threads), &one, "{} on {} threads", name, threads);
            }
        }
    }
}
