//! The product under the convolutions, and the passes of each layer of the published network, beside what the processor
//! could do at most. All on one thread.
//!
//! Elements a second are floating point operations a second, counted as direct convolution: Winograd's algorithm, which
//! needs a quarter of them in its 3x3 layers, may exceed the peak. Its transforms have no benchmark of their own: they
//! work on what the products before have left in the cache, or leave it there for those to come, and cost something
//! else where that is not so. `perf record` on these benchmarks tells them apart.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use alrc_benches::{LAYERS, Layer, SIZE, use_one_thread, values};
use alrc_cpu_train::simd::product::{Left, Order, Product, Right};
use alrc_cpu_train::simd::{Choice, InstructionSet, Simd};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group};

/// Images of a batch.
const IMAGES: usize = 4;

/// All but the scalar one, which is for tests.
fn instruction_sets() -> impl Iterator<Item = InstructionSet> {
    [Choice::Avx512, Choice::Avx2, Choice::Portable].into_iter().filter_map(Choice::resolve)
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

/// The product as in a forward pass, but in the first-level cache, on one thread.
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
                segments: depth / S::PANEL,
                depth: S::PANEL,
                a: Left { values: black_box(&a), order: Order::Rows(S::PANEL), segment: rows * S::PANEL },
                b: Right { values: &b, segment: S::PANEL * S::PANEL },
                c: &mut c,
                accumulate: false,
                next: [&[]; 3],
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
        group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
        let flop = (IMAGES as f64 * shape.flop(SIZE)) as u64;
        for set in instruction_sets() {
            let mut layer = Layer::new(set, shape, IMAGES);
            group.throughput(Throughput::Elements(flop));
            group.bench_function(format!("forward/{}", set.name()), |bencher| {
                bencher.iter(|| layer.forward());
            });
            group.bench_function(format!("weight_gradient/{}", set.name()), |bencher| {
                bencher.iter(|| layer.backward(false));
            });
            // The gradient of the input is the difference between the two.
            group.throughput(Throughput::Elements(2 * flop));
            group.bench_function(format!("both_gradients/{}", set.name()), |bencher| {
                bencher.iter(|| layer.backward(true));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, products, layers);

fn main() {
    use_one_thread();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
