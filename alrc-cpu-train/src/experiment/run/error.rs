//! Why a run, or a series of them, could not be carried out.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::backend::BackendError;
use crate::checkpoint::CheckpointError;
use crate::data::cifar10::DataError;
use crate::record::files::Unreadable;
use crate::report::plots::PlotError;

/// Why a run could not be carried out.
#[derive(Debug, Error)]
pub enum RunError {
    /// See [`DataError`].
    #[error(transparent)]
    Data(#[from] DataError),
    /// Starting parameters cannot be read.
    #[error("invalid value for '--init': {0}")]
    Init(CheckpointError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The directory holds something else.
    #[error(
        "invalid value '{0}' for '--out': it already holds a run; add --resume to continue it, choose another directory, or remove it"
    )]
    Occupied(PathBuf),
    /// The directory holds results, but no run.
    #[error(
        "invalid value '{0}' for '--out': it holds results, but not the config.toml of a run; choose another directory, or remove it"
    )]
    NoRun(PathBuf),
    /// The directory holds a comparison.
    #[error(
        "invalid value '{0}' for '--out': by its compare.toml it is a comparison, which `alrc-train compare --resume` \
         continues; choose another directory"
    )]
    InComparison(PathBuf),
    /// Several runs were to lie among the files of one.
    #[error(
        "invalid value '{0}' for '--out': by its config.toml it is a run, which `alrc-train run --resume` continues and \
         among whose files other runs have no place; choose another directory, or call that file otherwise if it is none \
         of a run"
    )]
    InRun(PathBuf),
    /// Another process writes to the directory.
    #[error("invalid value '{0}' for '--out': another process is training there; wait for it, or stop it")]
    Locked(PathBuf),
    /// The directory holds a run, or a comparison, of another configuration.
    #[error("{directory} was made with {made_with}, not {wanted}; give the former, or choose another --out")]
    OtherRun {
        /// Which directory.
        directory: PathBuf,
        /// Option and value of what is there.
        made_with: String,
        /// Option and value that were asked for.
        wanted: String,
    },
    /// An unfinished run has more steps than it is to have.
    #[error(
        "{directory} has {done} steps already, and is not finished: --steps {steps} would end it before that; give more \
         steps, or choose another --out"
    )]
    PastSteps {
        /// Which directory.
        directory: PathBuf,
        /// Steps done.
        done: u64,
        /// Steps that were asked for.
        steps: u64,
    },
    /// The directory holds a run, or a comparison, that began with other images.
    #[error("{}", other_data(path, began_with, given, checksums))]
    OtherData {
        /// Which directory, or which checkpoint.
        path: PathBuf,
        /// `--data` of what is there.
        began_with: String,
        /// `--data` that was asked for.
        given: String,
        /// CRC-32 of the images, there and here.
        checksums: (u32, u32),
    },
    /// The directory's configuration cannot be used.
    #[error("{path}: {problem}; mend it, or choose another --out")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The directory's configuration holds nothing.
    #[error(
        "{0} is empty: without it nothing goes on there; put back a copy of it, or to begin anew remove its directory, \
         or choose another --out"
    )]
    EmptyConfig(PathBuf),
    /// There are checkpoints, but none from which the run could go on.
    #[error(
        "no checkpoint in {0} can be used (see above); nothing was changed: to begin this run anew, remove its directory, \
         or choose another --out"
    )]
    NoGoodCheckpoint(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The backend cannot be used, or has failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// What a run has left cannot be read.
    #[error(transparent)]
    Results(#[from] Unreadable),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The threads cannot be started.
    #[error("cannot start the threads: {0}; try a smaller --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl RunError {
    /// Whether the user can mend it with other options or data.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_usage(),
            Self::Checkpoint(_) | Self::Unwritable { .. } | Self::Results(_) | Self::Plot(_) => false,
            Self::Data(_)
            | Self::Init(_)
            | Self::Occupied(_)
            | Self::NoRun(_)
            | Self::InComparison(_)
            | Self::InRun(_)
            | Self::Locked(_)
            | Self::OtherRun { .. }
            | Self::PastSteps { .. }
            | Self::OtherData { .. }
            | Self::Config { .. }
            | Self::EmptyConfig(_)
            | Self::NoGoodCheckpoint(_)
            | Self::Threads(_) => true,
        }
    }

    /// Whether it lies in what is in the directory of one run: others can go on.
    pub(in crate::experiment) fn is_of_one_run(&self) -> bool {
        matches!(
            self,
            Self::NoRun(_)
                | Self::InComparison(_)
                | Self::PastSteps { .. }
                | Self::Config { .. }
                | Self::EmptyConfig(_)
                | Self::NoGoodCheckpoint(_)
                | Self::Checkpoint(CheckpointError::Unreadable { .. })
        )
    }

    /// The same where a run that began with the images `began_with` was to be continued with `given`.
    pub(super) fn of_run(self, began_with: &str, given: &str) -> Self {
        match self {
            Self::Checkpoint(CheckpointError::OtherImages { path, made_with, has }) => Self::OtherData {
                path,
                began_with: began_with.to_owned(),
                given: given.to_owned(),
                checksums: (made_with, has),
            },
            other => other,
        }
    }
}

fn other_data(path: &Path, began_with: &str, given: &str, (there, here): &(u32, u32)) -> String {
    let path = path.display();
    let remedy = "choose another --out to begin anew";
    if began_with == given {
        format!(
            "the images of '--data {given}' are not those that {path} was made with (CRC-32 {there:08x}, now \
             {here:08x}); put the former back, or {remedy}"
        )
    } else {
        format!(
            "the images of '--data {given}' are not those of '--data {began_with}', with which {path} was made \
             (CRC-32 {here:08x}, not {there:08x}); give '--data {began_with}', or the same images, or {remedy}"
        )
    }
}
