//! The checkpoints of a run: `step-NNNNNNNN.safetensors`, of which the newest few are kept, and one that can be used.

use std::io;
use std::path::{Path, PathBuf};

use super::{CheckpointError, write};
use crate::record::summary::Counters;
use crate::train::Trainer;

/// The directory that holds the checkpoints of one run.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    keep: usize,
}

impl Directory {
    /// An existing directory, in which the newest `keep` checkpoints (at least 1) stay.
    pub fn new(path: PathBuf, keep: usize) -> Self {
        Self { path, keep }
    }

    /// Writes a checkpoint, and only then removes those that are too many, as [`remove_old`](Self::remove_old) says;
    /// returns its path.
    pub fn write(&self, trainer: &Trainer, counters: &Counters) -> Result<PathBuf, CheckpointError> {
        let path = self.path.join(format!("step-{:08}.safetensors", trainer.step));
        write(&path, trainer, counters)?;
        self.remove_old(trainer.step.saturating_sub(counters.lost_steps.into()))?;
        Ok(path)
    }

    /// Removes all but the newest checkpoints that are kept and, where the last step with a finite loss was the one
    /// numbered `finite_steps - 1`, the newest from which that step can be made: of later ones it is not known yet whether
    /// any loss is finite.
    pub fn remove_old(&self, finite_steps: u64) -> Result<(), CheckpointError> {
        let all = self.newest_first()?;
        let usable = all.iter().find(|path| is_before(path, finite_steps));
        for old in all.iter().skip(self.keep).filter(|&old| usable != Some(old)) {
            std::fs::remove_file(old)
                .map_err(|source| CheckpointError::Unwritable { path: old.clone(), source })?;
        }
        Ok(())
    }

    /// Every checkpoint, good or not.
    pub fn newest_first(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let list = || -> io::Result<Vec<(u64, PathBuf)>> {
            let mut found = Vec::new();
            for entry in self.path.read_dir()? {
                let path = entry?.path();
                found.extend(step_of(&path).map(|step| (step, path)));
            }
            Ok(found)
        };
        let mut found =
            list().map_err(|source| CheckpointError::Unreadable { path: self.path.clone(), source })?;
        found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Steps after which the newest checkpoint, good or not, was written.
    pub fn newest_step(&self) -> Option<u64> {
        self.newest_first().ok()?.first().and_then(|path| step_of(path))
    }

    /// The newest checkpoint, good or not, that was written after fewer than `steps` steps.
    pub fn newest_before(&self, steps: u64) -> Option<PathBuf> {
        self.newest_first().ok()?.into_iter().find(|path| is_before(path, steps))
    }

    /// Takes a checkpoint that cannot be used out of the way, so that it does not count among the newest.
    pub fn set_aside(&self, path: &Path) -> Result<(), CheckpointError> {
        std::fs::rename(path, path.with_extension("damaged"))
            .map_err(|source| CheckpointError::Unwritable { path: path.to_owned(), source })
    }
}

/// Whether a checkpoint was written after fewer than `steps` steps.
fn is_before(path: &Path, steps: u64) -> bool {
    step_of(path).is_some_and(|done| done < steps)
}

/// The number of steps in the name of a checkpoint.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
}
