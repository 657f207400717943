//! From where a run goes on.

use std::path::{Path, PathBuf};

use tracing::warn;

use super::RunError;
use crate::checkpoint::{self, CheckpointError};
use crate::record::files::{CHECKPOINTS, LOSSES};
use crate::record::losses::LossWriter;
use crate::record::summary::Statistics;
use crate::train::Trainer;

/// The newest checkpoint from which a run can go on, with what belongs to it.
pub(super) struct Newest {
    pub(super) checkpoint: PathBuf,
    pub(super) losses: LossWriter,
    pub(super) statistics: Statistics,
}

impl Newest {
    /// Brings trainer and losses of the run in `directory`, which began with the images `began_with`, into the state of
    /// its newest good checkpoint; none if there is no checkpoint yet. Newer ones that are damaged, or of a run with other
    /// options, are set aside; one that was made on other images is an error: which are meant is for the user to say.
    pub(super) fn restore(
        checkpoints: &checkpoint::Directory,
        trainer: &mut Trainer,
        directory: &Path,
        began_with: &str,
    ) -> Result<Option<Self>, RunError> {
        let mut unusable: Vec<PathBuf> = Vec::new();
        for checkpoint in checkpoints.newest_first()? {
            let continued = Self::continue_from(&checkpoint, trainer, directory);
            match continued.map_err(|error| error.of_run(began_with, &trainer.config.data))? {
                Ok((losses, statistics)) => {
                    for damaged in &unusable {
                        checkpoints.set_aside(damaged)?;
                    }
                    return Ok(Some(Self { checkpoint, losses, statistics }));
                }
                Err(problem) => {
                    warn!("{problem}; trying the checkpoint before");
                    unusable.push(checkpoint);
                }
            }
        }
        if unusable.is_empty() {
            Ok(None)
        } else {
            Err(RunError::NoGoodCheckpoint(directory.join(CHECKPOINTS)))
        }
    }

    /// Brings trainer and losses into the state of a checkpoint; the inner error says why it cannot be used.
    fn continue_from(
        checkpoint: &Path,
        trainer: &mut Trainer,
        directory: &Path,
    ) -> Result<Result<(LossWriter, Statistics), String>, RunError> {
        let counters = match checkpoint::restore(checkpoint, trainer) {
            Err(error @ CheckpointError::OtherImages { .. }) => return Err(error.into()),
            Err(error) => return Ok(Err(error.to_string())),
            Ok(counters) => counters,
        };
        let mut statistics = Statistics::new(trainer.config.batch_size, counters);
        let path = directory.join(LOSSES);
        let losses = LossWriter::resume(&path, trainer.step, |loss| statistics.add_loss(loss));
        Ok(match losses {
            Ok(Some(losses)) => Ok((losses, statistics)),
            Ok(None) => {
                Err(format!("{} does not hold the steps of {}", path.display(), checkpoint.display()))
            }
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        })
    }
}
