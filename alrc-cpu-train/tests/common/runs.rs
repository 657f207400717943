//! Runs to be gone on with.
#![allow(dead_code, reason = "every test uses a part of this")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{run, write_data};

/// A run with checkpoints after 6 and 12 steps.
pub(crate) fn interrupted(directory: &Path) -> PathBuf {
    write_data(directory, "data", 5);
    run(directory, &["--data", "data", "--checkpoint-every", "6", "--out", "out"]).assert().success();
    directory.join("out/checkpoints/step-00000012.safetensors")
}

/// A run `out` from the parameters of another one; the path of these.
pub(crate) fn run_from_another(directory: &Path) -> &'static str {
    const INIT: &str = "start/checkpoints/step-00000012.safetensors";
    write_data(directory, "data", 5);
    run(directory, &["--data", "data", "--seed", "7", "--out", "start"]).assert().success();
    run(directory, &["--data", "data", "--init", INIT, "--out", "out"]).assert().success();
    INIT
}

/// Every file of a run, with its content.
pub(crate) fn files(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = [run, &run.join("checkpoints")]
        .into_iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}
