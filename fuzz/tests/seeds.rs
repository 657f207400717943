//! The committed inputs, which reach most of the code.

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let count = files.map(|file| check(&std::fs::read(file).unwrap())).count();
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn capi() {
    replay("capi", alrc_fuzz::capi::check);
}

#[test]
fn checkpoint() {
    replay("checkpoint", alrc_fuzz::checkpoint::check);
}

#[test]
fn cifar() {
    replay("cifar", alrc_fuzz::cifar::check);
}

#[test]
fn config() {
    replay("config", alrc_fuzz::config::check);
}

#[test]
fn conv() {
    replay("conv", alrc_fuzz::conv::check);
}

#[test]
fn kernel() {
    replay("kernel", alrc_fuzz::kernel::check);
}

#[test]
fn snapshot() {
    replay("snapshot", alrc_fuzz::snapshot::check);
}
