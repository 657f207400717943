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
//! the same numbers in exact arithmetic, and no NaN when a loss hardly changes.
//!
//! A loss that is NaN or infinite gets the scale 0 and the clipped value 0, and never enters the state.
//!
//! ```
//! use alrc_kernel::{Alrc, Config};
//!
//! let mut alrc = Alrc::new(Config { num_stddev: 2.0_f32, ..Config::default() })?;
//! let clipped = alrc.step(250.0);
//! assert!(clipped.loss < 250.0 && clipped.scale < 1.0);
//! # Ok::<(), alrc_kernel::ConfigError>(())
//! ```
//!
//! Where losses arise in several places (threads, devices, ranks), use the two phases that `step` consists of:
//! [`Alrc::limits`] gives a small value that clips anywhere, [`BatchSums`] of all places are merged, and
//! [`Alrc::update`] moves the state once.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

mod alrc;
mod batch;
mod config;
mod float;
mod limits;
mod snapshot;
#[cfg(any(test, not(any(feature = "std", feature = "libm", feature = "num-traits"))))]
mod sqrt;
mod state;
mod sums;

pub use alrc::{Alrc, Report};
pub use config::{Config, ConfigError, NonFinite, Scaling, Start};
pub use float::Float;
pub use limits::{Clipped, Limits, MAX_SCALE};
pub use snapshot::{SnapshotError, SNAPSHOT_LEN};
pub use state::State;
pub use sums::BatchSums;
