//! Trains the CIFAR-10 supersampling network of "Adaptive Learning Rate Clipping Stabilizes Learning" (Ede and
//! Beanland, [arXiv 1906.09060](https://arxiv.org/abs/1906.09060)).
//!
//! Read [`train`] first: a step of training from top to bottom. It rests on [`model`] (the network), [`conv`] (its
//! arithmetic), [`data`], [`loss`] and [`optim`]; the clipping itself is the crate [`alrc_kernel`].
//!
//! A run is a function of its [`config::Config`] and the instruction set: the same bits for any number of threads.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod backend;
pub mod checkpoint;
pub mod cli;
pub mod comm;
pub mod config;
pub mod conv;
pub mod data;
pub mod experiment;
pub mod files;
pub mod loss;
mod memory;
pub mod model;
pub mod optim;
pub mod parameters;
pub mod random;
pub mod record;
pub mod report;
pub mod signal;
pub mod simd;
pub mod tensor;
pub mod train;
