//! The kernel: a step, and a batch beside a copy of the same bytes.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;

use alrc_kernel::{Alrc, Config};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn step(criterion: &mut Criterion) {
    for (name, loss, is_clipped) in [("step/unclipped", 1.0_f32, false), ("step/clipped", 1e6, true)] {
        let mut alrc = Alrc::new(Config::default()).expect("defaults are valid");
        assert_eq!(alrc.step(loss).scale < 1.0, is_clipped);
        criterion.bench_function(name, |bencher| bencher.iter(|| black_box(alrc.step(black_box(loss)))));
    }
}

fn batch(criterion: &mut Criterion) {
    let losses: Vec<f32> = (0..1 << 20).map(|index| (index % 97) as f32).collect();
    let (mut clipped, mut scales) = (losses.clone(), losses.clone());
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(losses.len() as u64));
    let mut alrc = Alrc::new(Config::default()).expect("defaults are valid");
    group.bench_function("step_batch", |bencher| {
        bencher.iter(|| black_box(alrc.step_batch(black_box(&losses), &mut clipped, &mut scales)));
    });
    group.bench_function("copy", |bencher| {
        bencher.iter(|| black_box(&mut clipped).copy_from_slice(black_box(&losses)));
    });
    group.finish();
}

criterion_group!(benches, step, batch);
criterion_main!(benches);
