//! Whole training steps against those computed in float64 by PyTorch (`golden/training_steps_*.safetensors`).

mod common;

use std::path::Path;

use alrc_cpu_train::config::Config;
use alrc_cpu_train::conv::Algorithm;
use common::golden::{DIRECT, Golden, replay, small};

fn check(golden: &Golden, conv: Algorithm) {
    replay(golden, Config { conv, ..Config::default() }, &DIRECT);
}

#[test]
fn squared_sgd_reference() {
    check(&small("training_steps_small_squared_sgd"), Algorithm::Reference);
}

#[test]
fn squared_sgd_fast() {
    check(&small("training_steps_small_squared_sgd"), Algorithm::Auto);
}

#[test]
fn quartic_adam_alrc_reference() {
    check(&small("training_steps_small_quartic_adam_alrc"), Algorithm::Reference);
}

#[test]
fn quartic_adam_alrc_fast() {
    check(&small("training_steps_small_quartic_adam_alrc"), Algorithm::Auto);
}

/// The network at its published width; its file is too large for this repository.
#[test]
fn published_width() {
    let path = "../../shared/golden/training_steps_squared_adam.safetensors";
    match Golden::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)) {
        Some(golden) => {
            check(&golden, Algorithm::Auto);
            check(&golden, Algorithm::Reference);
        }
        None => eprintln!("SKIPPED published_width: no {path}"),
    }
}
