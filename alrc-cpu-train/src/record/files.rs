//! The files of a run: what they are called, and what makes a directory a run.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Every option, resolved.
pub const CONFIG: &str = "config.toml";

/// See [`losses`](super::losses).
pub const LOSSES: &str = "losses.csv";

/// See [`events`](super::events); TensorBoard looks for `tfevents`.
pub const EVENTS: &str = "events.out.tfevents.0.alrc-train";

/// See [`samples`](super::samples).
pub const SAMPLES: &str = "samples.png";

/// See [`summary`](super::summary).
pub const SUMMARY: &str = "summary.json";

/// The directory of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";

/// In the directory of a comparison, what is compared.
pub const COMPARISON: &str = "compare.toml";

/// Whether a directory holds losses, checkpoints or other runs, which a run that begins there would overwrite or mix with
/// its own.
pub fn holds_results(directory: &Path) -> bool {
    let has_checkpoints =
        || directory.join(CHECKPOINTS).read_dir().is_ok_and(|mut files| files.next().is_some());
    let has_runs =
        || directory.read_dir().is_ok_and(|entries| entries.flatten().any(|entry| is_run(&entry.path())));
    directory.join(LOSSES).exists() || has_checkpoints() || has_runs()
}

/// Whether a directory holds a run that has begun its losses.
pub fn is_run(directory: &Path) -> bool {
    directory.join(CONFIG).is_file() && directory.join(LOSSES).is_file()
}

/// A file of a run cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {path}: {problem}")]
pub struct Unreadable {
    path: PathBuf,
    problem: String,
}

impl Unreadable {
    /// That `path` cannot be read, and why.
    pub fn new(path: &Path, problem: impl ToString) -> Self {
        Self { path: path.to_owned(), problem: problem.to_string() }
    }
}
