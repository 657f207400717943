//! What a call through the C interface costs, beside the kernel's own: a step, and a batch of a million losses.
//!
//! The functions are called by their addresses, which the compiler must not know, as a program in C that was linked with
//! the static library would call them. Both ways take turns, and must leave the same state.

use std::hint::black_box;
use std::ptr::null_mut;

use alrc::{ALRC_OK, alrc_f32, alrc_f32_step, alrc_f32_step_batch, alrc_f64, alrc_f64_step, alrc_status};
use alrc_kernel::{Alrc, Config};

#[path = "support/alternation.rs"]
mod alternation;
use alternation::alternate;

/// Steps that are timed together: each needs the state that the one before left.
const STEPS: usize = 1024;

/// Turns: about a million steps each way.
const ROUNDS: usize = 200;

/// Losses in a batch.
const BATCH: usize = 1 << 20;

macro_rules! step {
    ($float:ident, $state:ident, $step:ident) => {
        let losses: Vec<$float> = (0..STEPS).map(|step| 20.0 + (step * 7 % 10) as $float).collect();
        let mut alrc = Alrc::new(Config::<$float>::default()).expect("defaults are valid");
        let mut state = $state::from(&alrc);
        let step: unsafe extern "C" fn(*mut $state, $float, *mut $float, *mut $float) -> alrc_status =
            black_box($step);
        let mut through_c = |loss| {
            let [mut clipped, mut scale] = [0.0; 2];
            // SAFETY: valid pointers.
            let status = unsafe { step(&mut state, loss, &mut clipped, &mut scale) };
            assert_eq!(status, ALRC_OK);
            scale
        };
        let [rust, c] = alternate(
            ROUNDS,
            [
                &mut || {
                    black_box(losses.iter().fold(0.0, |sum, &loss| sum + alrc.step(black_box(loss)).scale));
                },
                &mut || {
                    black_box(losses.iter().fold(0.0, |sum, &loss| sum + through_c(black_box(loss))));
                },
            ],
        );
        assert!(state == $state::from(&alrc));
        println!("\nsteps of {}: median (quartiles) in nanoseconds a step", stringify!($float));
        rust.print("Rust", STEPS as f64, None);
        c.print("C", STEPS as f64, None);
        println!("a call through C costs {:+.2} ns", (c.median - rust.median) / STEPS as f64);
    };
}

fn batch() {
    let losses: Vec<f32> = (0..BATCH).map(|index| 20.0 + (index * 7 % 10) as f32).collect();
    let [mut clipped, mut scales] = [losses.clone(), vec![0.0; BATCH]];
    let [mut c_clipped, mut c_scales] = [clipped.clone(), scales.clone()];
    let mut alrc = Alrc::new(Config::<f32>::default()).expect("defaults are valid");
    let mut state = alrc_f32::from(&alrc);
    let [rust, c] = alternate(
        100,
        [&mut || _ = black_box(alrc.step_batch(black_box(&losses), &mut clipped, &mut scales)), &mut || {
            let (losses, clipped, scales) = (losses.as_ptr(), c_clipped.as_mut_ptr(), c_scales.as_mut_ptr());
            // SAFETY: valid pointers and length; the report is not wanted.
            let status = unsafe {
                black_box(alrc_f32_step_batch)(&mut state, losses, clipped, scales, BATCH, null_mut())
            };
            assert_eq!(status, ALRC_OK);
        }],
    );
    assert!(state == alrc_f32::from(&alrc) && clipped == c_clipped && scales == c_scales);
    assert!(clipped == losses && scales.iter().all(|&scale| scale == 1.0));
    println!("\na batch of 2^20 f32 losses: median (quartiles) in microseconds");
    rust.print("Rust", 1e3, None);
    c.print("C", 1e3, Some(("Rust", &rust)));
}

fn main() {
    step!(f32, alrc_f32, alrc_f32_step);
    step!(f64, alrc_f64, alrc_f64_step);
    batch();
}
