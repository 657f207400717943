//! The kernel: a step beside the published rule's, and a batch beside a copy of the same bytes.
//!
//! Every benchmark first checks that what it times gives the right answer.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;

use alrc_kernel::{Alrc, Config, Float};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../../alrc-kernel/tests/support/published.rs"]
mod published;
use published::Published;

/// Losses in a batch: 4 MiB in f32.
const BATCH: usize = 1 << 20;

/// Steps that a benchmark takes in a row: each needs the state that the one before left.
const STEPS: usize = 1024;

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(STEPS as u64));
    for (name, factor) in [("unclipped", 1.0), ("clipped", 1e6)] {
        let losses: Vec<f64> = losses::<f64>(0).into_iter().take(STEPS).map(|loss| factor * loss).collect();
        let is_clipped = factor > 1.0;
        step_of::<f32>(&mut group, &format!("f32/{name}"), &losses, is_clipped);
        step_of::<f64>(&mut group, &format!("f64/{name}"), &losses, is_clipped);
        let mut published = Published::new();
        assert_eq!(published.step(losses[0] as f32).1 < 1.0, is_clipped);
        group.bench_function(format!("published_f32/{name}"), |bencher| {
            bencher.iter(|| losses.iter().map(|&loss| published.step(black_box(loss as f32)).1).sum::<f32>());
        });
    }
    group.finish();
}

fn step_of<F: Float>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, losses: &[f64], is_clipped: bool) {
    let mut alrc = Alrc::new(Config::<F>::default()).expect("defaults are valid");
    let losses: Vec<F> = losses.iter().map(|&loss| F::from_f64(loss)).collect();
    assert_eq!(alrc.step(losses[0]).scale < F::one(), is_clipped);
    group.bench_function(name, |bencher| {
        bencher.iter(|| losses.iter().fold(F::zero(), |sum, &loss| sum + alrc.step(black_box(loss)).scale));
    });
    assert!(alrc.std_dev() >= F::zero() && alrc.limits().upper().is_finite());
}

/// Losses of which about one in `one_in` is far above the others, in no regular order; none for 0.
fn losses<F: Float>(one_in: u64) -> Vec<F> {
    let mut random = 1_u64;
    let mut loss = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = random >> 33;
        let usual = 20.0 + (bits % 1_000) as f64 / 100.0;
        F::from_f64(if one_in > 0 && bits.is_multiple_of(one_in) { 1_000.0 * usual } else { usual })
    };
    (0..BATCH).map(|_| loss()).collect()
}

fn copies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch_f32");
    group.throughput(Throughput::Elements(BATCH as u64));
    let source = losses::<f32>(0);
    let (mut first, mut second) = (source.clone(), source.clone());
    group.bench_function("copy", |bencher| {
        bencher.iter(|| black_box(&mut first).copy_from_slice(black_box(&source)));
    });
    group.bench_function("copy_twice", |bencher| {
        bencher.iter(|| {
            black_box(&mut first).copy_from_slice(black_box(&source));
            black_box(&mut second).copy_from_slice(black_box(&source));
        });
    });
    group.finish();
}

fn batch_f32(criterion: &mut Criterion) {
    batch::<f32>(criterion, "batch_f32");
}

fn batch_f64(criterion: &mut Criterion) {
    batch::<f64>(criterion, "batch_f64");
}

fn batch<F: Float>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, one_in) in [("unclipped", 0), ("clipped_1_in_1000", 1_000), ("clipped_1_in_4", 4)] {
        let losses = losses::<F>(one_in);
        let (mut clipped, mut scales) = (losses.clone(), losses.clone());
        let fresh = Alrc::new(Config::<F>::default()).expect("defaults are valid");
        let mut check = fresh;
        check.step_batch(&losses, &mut clipped, &mut scales);
        let expected = losses.iter().map(|&loss| fresh.limits().clip(loss));
        assert!(
            expected
                .eq(clipped.iter().zip(&scales).map(|(&loss, &scale)| alrc_kernel::Clipped { loss, scale }))
        );

        let mut alrc = fresh;
        group.bench_function(format!("clipped/{name}"), |bencher| {
            bencher.iter(|| black_box(alrc.step_batch(black_box(&losses), black_box(&mut clipped), &mut [])));
        });
        group.bench_function(format!("clipped_and_scales/{name}"), |bencher| {
            bencher.iter(|| {
                black_box(alrc.step_batch(
                    black_box(&losses),
                    black_box(&mut clipped),
                    black_box(&mut scales),
                ))
            });
        });
        group.bench_function(format!("sums/{name}"), |bencher| {
            bencher.iter(|| black_box(alrc.step_batch(black_box(&losses), &mut [], &mut [])));
        });
    }
    group.finish();
}

criterion_group!(benches, step, copies, batch_f32, batch_f64);
criterion_main!(benches);
