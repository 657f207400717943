//! What stands in a directory: a run or none, of which options and images, and how far it has come.

use std::path::Path;

use super::RunError;
use crate::checkpoint;
use crate::config::Config;
use crate::data::cifar10::DataError;
use crate::experiment::files::read_toml;
use crate::record::files::{self, CHECKPOINTS, COMPARISON, CONFIG};
use crate::record::summary::Summary;

/// The configuration of the run in `directory`; none where there is no run.
pub fn read_config(directory: &Path) -> Result<Option<Config>, RunError> {
    read_toml(&directory.join(CONFIG), Config::validate)
}

/// The configuration of the run in `directory`, none where one may begin; an error if it holds other results.
pub fn read_resumed_config(directory: &Path) -> Result<Option<Config>, RunError> {
    let found = read_config(directory)?;
    if found.is_none() {
        check_room(directory)?;
    }
    Ok(found)
}

/// An error if `directory`, in which there is no run, holds other results.
pub(super) fn check_room(directory: &Path) -> Result<(), RunError> {
    check_is_no_comparison(directory)?;
    if files::holds_results(directory) { Err(RunError::NoRun(directory.to_owned())) } else { Ok(()) }
}

/// An error if `directory`, which is to hold a run or a sweep, is a comparison.
pub fn check_is_no_comparison(directory: &Path) -> Result<(), RunError> {
    if directory.join(COMPARISON).exists() {
        Err(RunError::InComparison(directory.to_owned()))
    } else {
        Ok(())
    }
}

/// An error if `directory`, which is to hold several runs, is one.
pub(in crate::experiment) fn check_is_no_run(directory: &Path) -> Result<(), RunError> {
    if directory.join(CONFIG).exists() { Err(RunError::InRun(directory.to_owned())) } else { Ok(()) }
}

/// The configuration of the run in `directory`, none where there is no run; an error if `config` would not continue it.
pub fn check_config(config: &Config, directory: &Path) -> Result<Option<Config>, RunError> {
    let Some(found) = read_config(directory)? else { return Ok(None) };
    match found.first_difference(&config.defining()) {
        Some((wanted, made_with)) => {
            Err(RunError::OtherRun { directory: directory.to_owned(), made_with, wanted })
        }
        None => Ok(Some(found)),
    }
}

/// An error unless the images of `--data` that are given have the checksum of those with which `directory` was begun.
pub(in crate::experiment) fn check_images(
    directory: &Path,
    began_with: (&str, u32),
    given: (&str, u32),
) -> Result<(), RunError> {
    if began_with.1 == given.1 {
        return Ok(());
    }
    Err(RunError::OtherData {
        path: directory.to_owned(),
        began_with: began_with.0.to_owned(),
        given: given.0.to_owned(),
        checksums: (began_with.1, given.1),
    })
}

/// The summary of the run in `directory`, if `config` leaves nothing of it to do; an error if it is another run, had other
/// images, or is unfinished and past the steps that it is to have. `images` gives the checksum of the images that `config`
/// names, if these must be looked at.
pub fn nothing_left(
    config: &Config,
    directory: &Path,
    images: impl FnOnce() -> Result<u32, DataError>,
) -> Result<Option<Summary>, RunError> {
    let Some(found) = check_config(config, directory)? else { return Ok(None) };
    let Some(summary) = finished(directory, config.steps) else {
        let done = newest_step(directory);
        return if done > config.steps {
            Err(RunError::PastSteps { directory: directory.to_owned(), done, steps: config.steps })
        } else {
            Ok(None)
        };
    };
    if found.data != config.data
        && let Some(began_with) = summary.images_crc32
    {
        check_images(directory, (&found.data, began_with), (&config.data, images()?))?;
    }
    Ok(Some(summary))
}

/// The summary of the run in `directory`, if it has come to its last step or has diverged.
pub fn finished(directory: &Path, steps: u64) -> Option<Summary> {
    Summary::read(directory)
        .ok()?
        .filter(|summary| directory.join(CONFIG).exists() && summary.is_final(steps))
}

/// How many of the `steps` steps of the run in `directory` need not be done again: all if it is [`finished`], else those
/// of its newest checkpoint.
pub fn steps_done(directory: &Path, steps: u64) -> u64 {
    if finished(directory, steps).is_some() {
        return steps;
    }
    newest_step(directory).min(steps)
}

/// The step of the newest checkpoint of the run in `directory`; 0 if there is none.
fn newest_step(directory: &Path) -> u64 {
    checkpoint::Directory::new(directory.join(CHECKPOINTS), 1).newest_step().unwrap_or(0)
}
