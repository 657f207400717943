//! What a call through the C interface costs, beside the kernel's own: a step, and a batch of a million losses.
//!
//! The functions are called by their addresses, which the compiler must not know, as a program in C would call them.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;
use std::ptr::null_mut;

use alrc::{ALRC_OK, alrc_f32, alrc_f32_step, alrc_f32_step_batch, alrc_f64, alrc_f64_step, alrc_status};
use alrc_kernel::{Alrc, Config};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Steps that a benchmark takes in a row: each needs the state that the one before left.
const STEPS: usize = 1024;

/// Losses in a batch.
const BATCH: usize = 1 << 20;

macro_rules! step {
    ($criterion:ident, $float:ident, $state:ident, $step:ident) => {
        let mut group = $criterion.benchmark_group(concat!("capi/step/", stringify!($float)));
        group.throughput(Throughput::Elements(STEPS as u64));
        let losses: Vec<$float> = (0..STEPS).map(|step| 20.0 + (step * 7 % 10) as $float).collect();
        let fresh = Alrc::new(Config::<$float>::default()).expect("defaults are valid");
        let (mut alrc, mut state) = (fresh, $state::from(&fresh));
        group.bench_function("rust", |bencher| {
            bencher.iter(|| losses.iter().fold(0.0, |sum, &loss| sum + alrc.step(black_box(loss)).scale));
        });
        let step: unsafe extern "C" fn(*mut $state, $float, *mut $float, *mut $float) -> alrc_status =
            black_box($step);
        let mut through_c = |loss| {
            let [mut clipped, mut scale] = [0.0; 2];
            // SAFETY: valid pointers.
            let status = unsafe { step(&mut state, loss, &mut clipped, &mut scale) };
            assert_eq!(status, ALRC_OK);
            scale
        };
        assert_eq!(through_c(1e6), fresh.limits().clip(1e6).scale);
        group.bench_function("c", |bencher| {
            bencher.iter(|| losses.iter().fold(0.0, |sum, &loss| sum + through_c(black_box(loss))));
        });
        group.finish();
    };
}

fn step(criterion: &mut Criterion) {
    step!(criterion, f32, alrc_f32, alrc_f32_step);
    step!(criterion, f64, alrc_f64, alrc_f64_step);
}

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("capi/batch/f32");
    group.throughput(Throughput::Elements(BATCH as u64));
    let losses: Vec<f32> = (0..BATCH).map(|index| 20.0 + (index * 7 % 10) as f32).collect();
    let [mut clipped, mut scales] = [losses.clone(), losses.clone()];
    let mut alrc = Alrc::new(Config::<f32>::default()).expect("defaults are valid");
    let mut state = alrc_f32::from(&alrc);
    group.bench_function("rust", |bencher| {
        bencher.iter(|| black_box(alrc.step_batch(black_box(&losses), &mut clipped, &mut scales)));
    });
    group.bench_function("c", |bencher| {
        bencher.iter(|| {
            let (losses, clipped, scales) = (losses.as_ptr(), clipped.as_mut_ptr(), scales.as_mut_ptr());
            // SAFETY: valid pointers and length; the report is not wanted.
            let status = unsafe {
                black_box(alrc_f32_step_batch)(&mut state, losses, clipped, scales, BATCH, null_mut())
            };
            assert_eq!(status, ALRC_OK);
        });
    });
    assert!(scales.iter().all(|&scale| scale == 1.0));
    group.finish();
}

criterion_group!(benches, step, batch);
criterion_main!(benches);
