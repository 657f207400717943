//! What a run writes while it goes on.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::RunError;
use crate::checkpoint;
use crate::config::Config;
use crate::experiment::files::{save, save_toml, unwritable};
use crate::files::{DirectoryLock, sync_directory};
use crate::record::events::EventWriter;
use crate::record::files::{CHECKPOINTS, CONFIG, EVENTS, LOSSES, SAMPLES};
use crate::record::losses::LossWriter;
use crate::record::samples;
use crate::record::summary::Counters;
use crate::train::{StepRecord, Trainer};

/// The files of a run, open.
pub(super) struct Files {
    pub(super) directory: PathBuf,
    checkpoints: checkpoint::Directory,
    losses: LossWriter,
    events: EventWriter,
    /// The newest checkpoint.
    pub(super) good: Option<PathBuf>,
    /// Whether it is not known yet that a step from the newest checkpoint has a finite loss.
    is_untried: bool,
    _lock: DirectoryLock,
}

impl Files {
    /// Those of a run that is at its first step.
    pub(super) fn create(directory: &Path, config: &Config, lock: DirectoryLock) -> Result<Self, RunError> {
        let checkpoints = directory.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(unwritable(&checkpoints))?;
        save_toml(&directory.join(CONFIG), config)?;
        let (losses, events) = (directory.join(LOSSES), directory.join(EVENTS));
        let files = Self {
            directory: directory.to_owned(),
            checkpoints: checkpoint::Directory::new(checkpoints, config.keep),
            losses: LossWriter::create(&losses).map_err(unwritable(&losses))?,
            events: EventWriter::create(&events).map_err(unwritable(&events))?,
            good: None,
            is_untried: false,
            _lock: lock,
        };
        // No checkpoint may outlive a power cut that takes the names of these files.
        sync_directory(directory).map_err(unwritable(directory))?;
        Ok(files)
    }

    /// Those of a run that goes on from where a checkpoint has brought `trainer` and `losses`.
    pub(super) fn resume(
        directory: &Path,
        trainer: &Trainer,
        checkpoints: checkpoint::Directory,
        checkpoint: PathBuf,
        losses: LossWriter,
        lock: DirectoryLock,
    ) -> Result<Self, RunError> {
        let events = directory.join(EVENTS);
        let files = Self {
            directory: directory.to_owned(),
            checkpoints,
            losses,
            events: EventWriter::resume(&events, trainer.step).map_err(unwritable(&events))?,
            good: Some(checkpoint),
            is_untried: true,
            _lock: lock,
        };
        save_toml(&directory.join(CONFIG), &trainer.config)?;
        Ok(files)
    }

    pub(super) fn record(&mut self, record: &StepRecord) -> Result<(), RunError> {
        self.losses.write(record).map_err(|source| self.unwritable(LOSSES, source))?;
        self.events.write_step(record).map_err(|source| self.unwritable(EVENTS, source))
    }

    /// Saves the state, unless it holds a NaN or an infinity; the losses go to the disk first, so that they are never
    /// older than a checkpoint.
    pub(super) fn save_checkpoint(&mut self, trainer: &Trainer, counters: &Counters) -> Result<(), RunError> {
        if !trainer.is_finite() {
            return Ok(());
        }
        self.losses.sync().map_err(|source| self.unwritable(LOSSES, source))?;
        self.events.sync().map_err(|source| self.unwritable(EVENTS, source))?;
        self.good = Some(self.checkpoints.write(trainer, counters)?);
        self.is_untried = true;
        Ok(())
    }

    /// Removes the checkpoint that was kept in case the newest is of no use, once `finite_steps` steps have come to a
    /// finite loss.
    pub(super) fn remove_old(&mut self, finite_steps: u64) -> Result<(), RunError> {
        if std::mem::take(&mut self.is_untried) {
            self.checkpoints.remove_old(finite_steps)?;
        }
        Ok(())
    }

    /// Draws the images of the last step.
    pub(super) fn save_samples(&mut self, trainer: &Trainer) -> Result<(), RunError> {
        let path = self.directory.join(SAMPLES);
        let sheet = samples::draw(trainer).map_err(io::Error::other).map_err(unwritable(&path))?;
        save(&path, &sheet.png)?;
        let last_step = trainer.step - 1;
        let written = self.events.write_samples(last_step, &sheet);
        written.map_err(|source| self.unwritable(EVENTS, source))
    }

    fn unwritable(&self, file: &str, source: io::Error) -> RunError {
        RunError::Unwritable { path: self.directory.join(file), source }
    }
}
