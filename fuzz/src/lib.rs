//! What must hold for any bytes: a module for each fuzz target.
//!
//! `cargo +nightly fuzz run kernel` looks for bytes for which it does not; `cargo test --manifest-path fuzz/Cargo.toml`
//! tries those of `seeds/` with any compiler.

pub mod capi;
pub mod checkpoint;
pub mod cifar;
pub mod config;
pub mod conv;
pub mod kernel;
pub mod snapshot;
