//! Adaptive learning rate clipping (ALRC) keeps loss spikes from wrecking a network.
//!
//! Each training loss is limited to `n` standard deviations above its running mean, and its gradient is scaled
//! accordingly (Ede and Beanland, "Adaptive Learning Rate Clipping Stabilizes Learning",
//! [arXiv 1906.09060](https://arxiv.org/abs/1906.09060)). For losses x_1..x_B of one step, running moments mu1, mu2
//! and parameters n (`num_stddev`), beta (`decay`), epsilon:
//!
//! ```text
//! sigma = sqrt(mu2 - mu1^2 + epsilon);   limit = mu1 + n sigma
//! y_i = x_i    and scale_i = 1           where x_i < limit
//! y_i = limit  and scale_i = limit/x_i   elsewhere         (the scale multiplies the gradient of x_i)
//! mu1 <- beta mu1 + (1 - beta) mean(y);  mu2 <- beta mu2 + (1 - beta) mean(y^2)
//! ```
//!
//! The state holds the mean and the *variance* rather than mu1 and mu2, whose difference cancels in floating point:
//! the same numbers in exact arithmetic, and no NaN when a loss hardly changes. Only where mu1 and mu2 have decays of
//! their own can mu2 - mu1^2 be negative, which is no variance: it is 0 then, and mu2 goes on from mu1^2. That can happen
//! in almost every second step and makes sigma larger than that of raw moments whose difference is cut off under the
//! root alone, most where beta2 is above beta1: at losses of 10 +- 1, 3.1 instead of 1.1 for beta1 = 0.9 and
//! beta2 = 0.999, 1.6 instead of 1.1 for 0.999 and 0.9.
//!
//! With v the variance of y about its mean and d = mean(y) - mu1, a = 1 - beta, this is
//!
//! ```text
//! mu1' = mu1 + a1 d;   var' = beta2 var + a2 v + (a2 - a1^2) d^2 + 2 (a2 - a1) mu1 d
//! ```
//!
//! where no term is negative for equal decays. mu1 is held as the sum of two numbers, without which it would stall
//! where a1 d is below half a unit in its last place. Losses that were all moved to one limit have
//! d = n sigma, also where rounding leaves little of n sigma in the limit itself; nothing of it where two limits are
//! rounded to one number, which does not tell them apart.
//!
//! # A hand-written training loop
//!
//! Multiply the gradient of each loss by the scale that comes back; nothing else changes.
//!
//! ```
//! use alrc_kernel::{Alrc, Config};
//!
//! // Fits y = w x to points of which one is far off.
//! let points = [(1.0_f64, 2.1), (2.0, 3.9), (3.0, 60.0), (4.0, 8.2)];
//! let mut alrc = Alrc::new(Config { num_stddev: 2.0, decay1: 0.9, decay2: 0.9, ..Config::default() })?;
//! let mut w = 0.0;
//! for step in 0..400 {
//!     let (x, y) = points[step % points.len()];
//!     let error = w * x - y;
//!     let clipped = alrc.step(error * error);
//!     w -= 0.01 * clipped.scale * 2.0 * error * x;
//! }
//! // Least squares alone gives 7.4.
//! assert!((1.9..5.5).contains(&w), "{w}");
//! # Ok::<(), alrc_kernel::ConfigError>(())
//! ```
//!
//! # A loss for each element of a batch
//!
//! ```
//! use alrc_kernel::{Alrc, Config};
//!
//! let mut alrc = Alrc::new(Config::<f32>::default())?;
//! let losses = [20.0, 24.0, 900.0, f32::NAN];
//! let (mut clipped, mut scales) = ([0.0; 4], [0.0; 4]);
//! let report = alrc.step_batch(&losses, &mut clipped, &mut scales);
//! assert_eq!((report.clipped, report.non_finite), (1, 1));
//! assert_eq!(scales[0..2], [1.0, 1.0]);
//! assert_eq!((clipped[2], clipped[3], scales[3]), (report.limit, 0.0, 0.0));
//! # Ok::<(), alrc_kernel::ConfigError>(())
//! ```
//!
//! # Two ranks, one state
//!
//! [`Limits`] clip anywhere; the [`BatchSums`] of all ranks are merged in one order, and every rank that merges the
//! same sums holds the same state.
//!
//! ```
//! use alrc_kernel::{Alrc, BatchSums, Config};
//!
//! let mut ranks = [Alrc::new(Config::<f32>::default())?; 2];
//! let losses = [[22.0, 400.0], [18.0, 31.0]];
//! let mut scales = [[0.0; 2]; 2];
//! let sums: Vec<BatchSums<f32>> = (0..2)
//!     .map(|rank| ranks[rank].limits().clip_batch(&losses[rank], &mut [], &mut scales[rank]))
//!     .collect();
//! // An all-gather brings both to both.
//! for rank in &mut ranks {
//!     let mut merged = sums[0];
//!     merged.merge(&sums[1]);
//!     rank.update(&merged);
//! }
//! assert_eq!(ranks[0], ranks[1]);
//! # Ok::<(), alrc_kernel::ConfigError>(())
//! ```
//!
//! # Save and restore
//!
//! ```
//! use alrc_kernel::{Alrc, Config};
//!
//! let mut alrc = Alrc::new(Config::<f64>::default())?;
//! alrc.step(17.0);
//! let bytes = alrc.to_bytes();
//! assert_eq!(Alrc::from_bytes(&bytes)?, alrc);
//! assert!(Alrc::<f64>::from_bytes(&bytes[1..]).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Losses that are themselves scaled, for half precision, must be divided by their factor before they come here. With
//! gradient accumulation, clip each micro-batch by the limits of the step, add its scaled gradient, and update once
//! with the merged sums: the example `sgd_with_accumulation` does.
//!
//! # Contract
//!
//! Construction can fail and says why; nothing else can. No finite loss ever makes a result that is not finite.
//!
//! | loss | clipped loss | scale | the moments |
//! | --- | --- | --- | --- |
//! | within the limits, also 0, subnormal, negative | the loss, to the bit (of two zeros with different signs, a loss and a limit, a batch may yield either) | 1 | move |
//! | above the upper limit | the limit | in [0, 1]: limit/loss, or (limit - mean)/(loss - mean) under [`Scaling::Deviation`] and where limit or loss is not positive | move by the clipped loss |
//! | below the lower limit (two-sided only) | the limit | as above; lifting by a ratio gives 1 to [`MAX_SCALE`] | move by the clipped loss |
//! | NaN, infinite, under [`NonFinite::Skip`] | 0 | 0 | as if it had not been there |
//! | any, beside a NaN or an infinity, under [`NonFinite::Reject`] | 0 | 0 | the same to the bit |
//! | of magnitude above [`Float::moment_bound`] (1.4e17 in f32) | as above | as above | move as by the bound |
//!
//! # Where the numbers come from
//!
//! | number | from |
//! | --- | --- |
//! | `num_stddev` 3, `decay` 0.999, mu1 25, mu2 900, epsilon 1e-8 | the published `alrc.py` |
//! | [`MAX_SCALE`] 8 | a choice: a lifted loss near 0 would have a gradient without bound |
//! | [`Float::moment_bound`] | the square root of the largest number, and seven bits of room for sums of squares |
//!
//! # Features
//!
//! `std` (default): `std::error::Error`, and the platform's square root. `libm`: that of the crate `libm`. Without
//! either, the kernel's own; all three are correctly rounded, and give the same bits. `num-traits`: any
//! `num_traits::Float` with the range and precision of f32, or more (with those of f16, moments could not go beyond 2).
//! `serde`: `Serialize` and `Deserialize`; an [`Alrc`] that is read is validated. `simd`: batches in the widest vectors
//! that the processor has, to the same bits.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

/// The examples of the README are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod alrc;
mod batch;
mod block;
mod config;
mod float;
mod limits;
mod snapshot;
#[cfg(any(test, not(any(feature = "std", feature = "libm", feature = "num-traits"))))]
mod sqrt;
mod state;
mod sums;
mod totals;
mod vectors;

pub use alrc::{Alrc, Report};
pub use config::{Config, ConfigError, NonFinite, Scaling, Start};
pub use float::Float;
pub use limits::{Clipped, Limits, MAX_SCALE};
pub use snapshot::{SnapshotError, SNAPSHOT_LEN};
pub use state::State;
pub use sums::BatchSums;
