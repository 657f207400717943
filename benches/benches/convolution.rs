//! The passes of each layer of the published network, and the product under them, beside what the processor could do
//! at most. Elements a second are floating point operations a second, counted as direct convolution: Winograd's
//! algorithm, which needs a quarter of them in its 3x3 layers, may exceed the peak.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;
use std::time::Instant;

use alrc_cpu_train::conv::{self, Algorithm, Backward, Forward, InputGradient, Shape, Workspace};
use alrc_cpu_train::simd::product::{Left, Product, Right};
use alrc_cpu_train::simd::{Choice, InstructionSet, Simd};
use alrc_cpu_train::tensor::ImageSize;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

const SIZE: ImageSize = ImageSize { height: 32, width: 32 };
const IMAGES: usize = 4;

/// Layers at the published width.
const LAYERS: [(&str, Shape); 5] = [
    ("conv_in", Shape { kernel: 5, in_channels: 3, out_channels: 64 }),
    ("conv_up", Shape { kernel: 3, in_channels: 64, out_channels: 128 }),
    ("residual", Shape { kernel: 3, in_channels: 128, out_channels: 128 }),
    ("conv_down", Shape { kernel: 3, in_channels: 128, out_channels: 64 }),
    ("conv_out", Shape { kernel: 5, in_channels: 64, out_channels: 3 }),
];

fn instruction_sets() -> impl Iterator<Item = InstructionSet> {
    Choice::SETS.into_iter().filter_map(Choice::resolve)
}

/// Values between -1 and 1 without structure.
fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|index| (index.wrapping_mul(2_654_435_761) as f32) / 2.0_f32.powi(31) - 1.0).collect()
}

/// Operations a second of `SUMS` independent multiply-adds, as many as registers hold, on one thread.
fn peak<S: Simd, const SUMS: usize>(simd: S) -> f64 {
    const ROUNDS: usize = 1 << 16;
    let run = || {
        let start = Instant::now();
        simd.run(
            #[inline(always)]
            || {
                let (a, b) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
                let mut sums = [b; SUMS];
                for _ in 0..ROUNDS {
                    for sum in &mut sums {
                        *sum = simd.mul_add(*sum, a, b);
                    }
                }
                let mut total = [0.0; 64];
                for sum in sums {
                    simd.store(sum, &mut total[..S::LANES]);
                    black_box(total);
                }
            },
        );
        (2 * SUMS * ROUNDS * S::LANES) as f64 / start.elapsed().as_secs_f64()
    };
    (0..100).map(|_| run()).fold(0.0, f64::max)
}

/// The product in the first-level cache, on one thread.
fn product<S: Simd, const SUMS: usize>(simd: S, group: &mut BenchmarkGroup<'_, WallTime>) {
    println!("{}: {:.0} GFLOP/s a thread at most", S::NAME, peak::<S, SUMS>(simd) / 1e9);
    let (rows, depth) = (24, 128);
    let (a, b) = (values(rows * depth), values(depth * S::PANEL));
    let mut c = vec![0.0; rows * S::PANEL];
    group.throughput(Throughput::Elements(2 * (rows * depth * S::PANEL) as u64));
    group.bench_function(S::NAME, |bencher| {
        bencher.iter(|| {
            simd.product(Product {
                rows,
                segments: 1,
                depth,
                a: Left { values: black_box(&a), row: depth, segment: 0, depth: 1 },
                b: Right { values: &b, segment: 0 },
                c: &mut c,
                accumulate: false,
            });
        });
    });
}

fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("product");
    for set in instruction_sets() {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512(simd) => product::<_, 12>(simd, &mut group),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2(simd) => product::<_, 12>(simd, &mut group),
            InstructionSet::Portable(simd) => product::<_, 6>(simd, &mut group),
            InstructionSet::Scalar(simd) => product::<_, 6>(simd, &mut group),
        }
    }
    group.finish();
}

fn layers(criterion: &mut Criterion) {
    for (name, shape) in LAYERS {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20);
        let flop = (IMAGES as f64 * shape.flop(SIZE)) as u64;
        let pixels = IMAGES * SIZE.pixels();
        let (input, output_gradient) =
            (values(pixels * shape.in_channels), values(pixels * shape.out_channels));
        let (weights, bias) = (values(shape.weights()), values(shape.out_channels));
        let mut mask = vec![0xff; pixels * shape.mask_bytes()];
        let mut output = vec![0.0; output_gradient.len()];
        let mut input_gradient = vec![0.0; input.len()];
        let (mut weight_gradient, mut bias_gradient) = (vec![0.0; weights.len()], vec![0.0; bias.len()]);
        let mut workspace = Workspace::default();
        for set in instruction_sets() {
            let convolution = conv::choose(Algorithm::Auto, set, shape);
            group.throughput(Throughput::Elements(flop));
            group.bench_function(format!("forward/{}", set.name()), |bencher| {
                bencher.iter(|| {
                    let pass = Forward {
                        size: SIZE,
                        input: &input,
                        weights: &weights,
                        bias: &bias,
                        skip: None,
                        mask: Some(&mut mask),
                        output: &mut output,
                    };
                    convolution.forward(pass, &mut workspace);
                });
            });
            // The gradient of the input is the difference between the two.
            for (pass, with_input) in [("weight_gradient", false), ("both_gradients", true)] {
                group.throughput(Throughput::Elements(if with_input { 2 * flop } else { flop }));
                group.bench_function(format!("{pass}/{}", set.name()), |bencher| {
                    bencher.iter(|| {
                        let input_gradient =
                            with_input.then_some(InputGradient { skip: None, gradient: &mut input_gradient });
                        let pass = Backward {
                            size: SIZE,
                            input: &input,
                            weights: &weights,
                            mask: Some(&mask),
                            output_gradient: &output_gradient,
                            input_gradient,
                            weight_gradient: &mut weight_gradient,
                            bias_gradient: &mut bias_gradient,
                        };
                        convolution.backward(pass, &mut workspace);
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, products, layers);
criterion_main!(benches);
