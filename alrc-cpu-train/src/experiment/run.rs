//! One training run, with everything that it writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

use crate::checkpoint::{self, CheckpointError, write_atomically};
use crate::config::Config;
use crate::data::cifar10::{self, DataError};
use crate::data::{Dataset, synthetic};
use crate::record::losses::LossWriter;
use crate::record::progress::Progress;
use crate::record::samples;
use crate::record::summary::{Ending, Statistics, Summary};
use crate::train::{StepRecord, Trainer};

/// A run without one finite loss in so many successive steps has diverged.
const LOST_STEPS: u32 = 10;

/// Why a run could not be carried out.
#[derive(Debug, Error)]
pub enum RunError {
    /// See [`DataError`].
    #[error(transparent)]
    Data(#[from] DataError),
    /// Starting parameters cannot be read.
    #[error("invalid value for '--init': {0}")]
    Init(CheckpointError),
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The directory holds something else.
    #[error("invalid value '{0}' for '--out': it already holds a run; choose another directory or remove it")]
    Occupied(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The threads cannot be started.
    #[error("cannot start the threads: {0}; try a smaller --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl RunError {
    /// Whether the user can mend it with other options or data.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Data(_) | Self::Init(_) | Self::Occupied(_) | Self::Threads(_))
    }
}

/// Loads what `--data` names.
pub fn load(config: &Config) -> Result<Dataset, DataError> {
    match config.data.as_str() {
        "builtin" => Ok(synthetic::generate(config.seed)),
        path => cifar10::read(Path::new(path)),
    }
}

/// Makes the trainer of a run; reads the starting parameters.
pub fn prepare(config: &Config, dataset: Dataset) -> Result<Trainer, RunError> {
    let mut trainer = Trainer::new(config.clone(), dataset);
    if let Some(path) = &config.init {
        checkpoint::read_parameters(path, trainer.network.layout(), &mut trainer.parameters)
            .map_err(RunError::Init)?;
    }
    Ok(trainer)
}

/// Creates the directory of a run, which may exist but must not hold a run.
pub fn create_directory(directory: &Path) -> Result<(), RunError> {
    if directory.join("config.toml").exists() {
        return Err(RunError::Occupied(directory.to_owned()));
    }
    let checkpoints = directory.join("checkpoints");
    std::fs::create_dir_all(&checkpoints).map_err(|source| RunError::Unwritable { path: checkpoints, source })
}

/// Trains on `config.threads` threads and writes the files of a run to `directory`, which must have been created.
///
/// Ends early when `stop` is set, or when the loss has not been finite for ten steps; what has been trained is saved.
/// `observe` is called after each step.
pub fn run(
    trainer: &mut Trainer,
    directory: &Path,
    progress: &mut Progress,
    stop: &AtomicBool,
    mut observe: impl FnMut(&StepRecord),
) -> Result<Summary, RunError> {
    let config = trainer.config.clone();
    let toml = toml::to_string(&config).map_err(io::Error::other);
    let version = format!("# alrc-train {}\n", env!("CARGO_PKG_VERSION"));
    save(&directory.join("config.toml"), toml.map(|toml| (version + &toml).into_bytes()))?;

    let losses_path = directory.join("losses.csv");
    let losses_error =
        |error: csv::Error| RunError::Unwritable { path: losses_path.clone(), source: error.into() };
    let mut losses = LossWriter::create(&losses_path).map_err(losses_error)?;
    let mut statistics = Statistics::new(&config);
    let checkpoints = directory.join("checkpoints");
    let mut good = None;
    let mut lost = 0;
    let mut ending = Ending::Finished;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(config.threads).build()?;
    while trainer.step < config.steps {
        let record = pool.install(|| trainer.step());
        losses.write(&record).map_err(losses_error)?;
        statistics.step(&record);
        progress.step(&record);
        observe(&record);
        if trainer.step.is_multiple_of(config.checkpoint_every) {
            good = checkpoint_if_finite(trainer, &checkpoints, good)?;
        }
        lost = if record.is_lost() { lost + 1 } else { 0 };
        if lost == LOST_STEPS {
            ending = Ending::Diverged;
            break;
        }
        if stop.load(Ordering::Relaxed) {
            ending = Ending::Interrupted;
            break;
        }
    }
    progress.finish();

    save(&directory.join("samples.png"), samples::png(trainer).map_err(io::Error::other))?;
    good = checkpoint_if_finite(trainer, &checkpoints, good)?;
    let summary = statistics.summary(ending, good);
    let json = serde_json::to_vec_pretty(&summary).map_err(io::Error::other);
    save(&directory.join("summary.json"), json)?;
    Ok(summary)
}

/// Replaces the checkpoint `previous` by one of the present state, unless that holds a NaN or an infinity; returns the
/// newest good one.
fn checkpoint_if_finite(
    trainer: &Trainer,
    directory: &Path,
    previous: Option<PathBuf>,
) -> Result<Option<PathBuf>, RunError> {
    if !trainer.parameters.iter().all(|parameter| parameter.is_finite()) {
        return Ok(previous);
    }
    let path = checkpoint::write(trainer, directory)?;
    if let Some(previous) = previous.filter(|previous| *previous != path) {
        let unwritable = |source| RunError::Unwritable { path: previous.clone(), source };
        std::fs::remove_file(&previous).map_err(unwritable)?;
    }
    Ok(Some(path))
}

/// Writes a file whose content may have failed to be made.
pub fn save(path: &Path, content: io::Result<Vec<u8>>) -> Result<(), RunError> {
    content
        .and_then(|bytes| write_atomically(path, &bytes))
        .map_err(|source| RunError::Unwritable { path: path.to_owned(), source })
}
