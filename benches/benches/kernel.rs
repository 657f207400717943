//! The kernel: a step beside the published rule's, and a batch beside a copy of the same bytes.
//!
//! Every benchmark first checks that what it times gives the right answer. Batches take turns with the copy.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;

use alrc_kernel::{Alrc, Clipped, Config, Float};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group};

#[path = "support/alternation.rs"]
mod alternation;
#[path = "../../alrc-kernel/tests/support/published.rs"]
mod published;
use alternation::alternate;
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
        let steps = || {
            let mut published = Published::new();
            losses
                .iter()
                .map(|&loss| published.step(black_box(loss as f32)).1)
                .filter(|&scale| scale < 1.0)
                .count()
        };
        assert_eq!(steps(), if is_clipped { STEPS } else { 0 });
        group.bench_function(format!("published_f32/{name}"), |bencher| bencher.iter(steps));
    }
    group.finish();
}

fn step_of<F: Float>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, losses: &[f64], is_clipped: bool) {
    let fresh = Alrc::new(Config::<F>::default()).expect("defaults are valid");
    let losses: Vec<F> = losses.iter().map(|&loss| F::from_f64(loss)).collect();
    // Each time from the start: in the long run the limit would rise above any losses.
    let steps = || {
        let mut alrc = fresh;
        losses.iter().filter(|&&loss| alrc.step(black_box(loss)).scale < F::one()).count()
    };
    assert_eq!(steps(), if is_clipped { STEPS } else { 0 });
    group.bench_function(name, |bencher| bencher.iter(steps));
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

/// A batch, with each choice of what is written, beside a copy of as many bytes as the losses have.
fn batch<F: Float>(float: &str) {
    println!("\na batch of 2^20 {float} losses: median (quartiles) in microseconds");
    for (name, one_in) in [("none", 0), ("1 in 1000", 1_000), ("1 in 4", 4)] {
        let losses = losses::<F>(one_in);
        let [mut clipped, mut scales, mut copy] = [losses.clone(), losses.clone(), losses.clone()];
        let fresh = Alrc::new(Config::<F>::default()).expect("defaults are valid");
        fresh.clone().step_batch(&losses, &mut clipped, &mut scales);
        let results = clipped.iter().zip(&scales).map(|(&loss, &scale)| Clipped { loss, scale });
        assert!(losses.iter().map(|&loss| fresh.limits().clip(loss)).eq(results));

        let [mut sums_only, mut clipped_only, mut both] = [fresh; 3];
        let (mut clipped_again, losses) = (clipped.clone(), &losses);
        let [copied, sums, clipped, scales] = alternate(
            50,
            [
                &mut || black_box(&mut copy).copy_from_slice(black_box(losses)),
                &mut || _ = black_box(sums_only.step_batch(black_box(losses), &mut [], &mut [])),
                &mut || _ = black_box(clipped_only.step_batch(black_box(losses), &mut clipped, &mut [])),
                &mut || _ = black_box(both.step_batch(black_box(losses), &mut clipped_again, &mut scales)),
            ],
        );
        assert!(sums_only == clipped_only && sums_only == both);
        copied.print("copy_from_slice", 1e3, None);
        for (times, written) in [(sums, "nothing"), (clipped, "clipped"), (scales, "clipped and scales")] {
            times.print(&format!("clipped: {name}; written: {written}"), 1e3, Some(("the copy", &copied)));
        }
    }
}

criterion_group!(steps, step);

fn main() {
    steps();
    Criterion::default().configure_from_args().final_summary();
    batch::<f32>("f32");
    batch::<f64>("f64");
}
