//! A grid of runs in one directory: what is finished is left alone, what was begun goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Serialize, Serializer};
use tracing::{error, info, warn};

use super::grid::GridRun;
use super::plan::Plan;
use super::run::{self, Resumed, Run, RunError};
use super::side_by_side::side_by_side;
use crate::config::Config;
use crate::data::cifar10::DataError;
use crate::data::{self, BUILTIN, Dataset};
use crate::record::progress::{Overall, Progress};
use crate::record::summary::{Ending, Summary};
use crate::signal::Stop;

/// What became of one run of a sweep.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It had been finished before.
    Skipped(Summary),
    /// It was trained here, to its end or until the sweep was stopped.
    Trained(Summary),
    /// Another process is training it.
    Elsewhere,
    /// What is in its directory keeps it from going on.
    Failed(#[serde(serialize_with = "as_text")] RunError),
    /// The sweep was stopped before.
    NotBegun,
}

fn as_text<S: Serializer>(error: &RunError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

impl Outcome {
    /// The summary of a run that has ended.
    pub fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Trained(summary) | Self::Skipped(summary) => Some(summary),
            Self::Failed(_) | Self::Elsewhere | Self::NotBegun => None,
        }
    }
}

/// One run of a sweep.
#[derive(Debug, Serialize)]
pub struct Swept {
    /// Name of the run.
    pub name: String,
    /// Where its files are.
    pub directory: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
}

/// Part `index` of `parts`: every `parts`-th run, so that all parts have runs of every kind.
pub fn shard(runs: Vec<GridRun>, index: usize, parts: usize) -> Vec<GridRun> {
    runs.into_iter().enumerate().filter(|(run, _)| run % parts == index % parts).map(|(_, run)| run).collect()
}

/// The runs with the threads that each has where `jobs` of them share those of its configuration.
pub fn share_threads(runs: Vec<GridRun>, jobs: usize) -> Vec<GridRun> {
    let share = |GridRun { name, config }| {
        let threads = (config.threads / jobs).max(1);
        GridRun { name, config: Config { threads, ..config } }
    };
    runs.into_iter().map(share).collect()
}

/// Carries out the runs, `jobs` at a time, each in the directory of its name below `directory`, which must not be a run
/// itself. Several processes may work on one directory. What keeps only one run from going on is told and does not end
/// the others.
pub fn sweep(
    runs: Vec<GridRun>,
    directory: &Path,
    jobs: usize,
    label: &str,
    datasets: &Datasets,
    stop: &Stop,
) -> Result<Vec<Swept>, RunError> {
    run::check_is_no_run(directory)?;
    let plan = Plan::new(&runs, directory, jobs);
    info!("{label}: {plan}");
    plan.tell_other_steps();
    let overall = Overall::new(label, plan.finished, plan.images - plan.images_left, plan.images);
    let series = Series { datasets, overall, stop };
    let runs: Vec<_> = runs.into_iter().zip(plan.images_done).collect();
    side_by_side(jobs, runs, |(GridRun { name, config }, images_done)| {
        let directory = directory.join(&name);
        let images_left = config.steps * config.batch_size as u64 - images_done;
        let outcome = match series.carry_out(&name, config, images_done, &directory) {
            Err(RunError::Locked(directory)) => {
                info!("{}: another process is training there", directory.display());
                series.overall.leave_out(images_left);
                Outcome::Elsewhere
            }
            Err(error) if error.is_of_one_run() => {
                error!("{name}: {error}");
                series.overall.leave_out(images_left);
                Outcome::Failed(error)
            }
            outcome => outcome?,
        };
        Ok(Swept { name, directory, outcome })
    })
}

/// What the runs of a sweep share.
struct Series<'a> {
    datasets: &'a Datasets,
    overall: Overall,
    stop: &'a Stop,
}

impl Series<'_> {
    /// Does what is left of a run, of whose images `images_done` were found done at the start of the sweep.
    fn carry_out(
        &self,
        name: &str,
        config: Config,
        images_done: u64,
        directory: &Path,
    ) -> Result<Outcome, RunError> {
        if self.stop.is_asked() {
            return Ok(Outcome::NotBegun);
        }
        let (steps, batch_size) = (config.steps, config.batch_size as u64);
        let skip = |summary| {
            if images_done < steps * batch_size {
                self.overall.run_begins(images_done, steps * batch_size);
                self.overall.run_ends();
            }
            Ok(Outcome::Skipped(summary))
        };
        let images = || Ok(self.datasets.load(&config)?.checksum());
        if let Some(summary) = run::nothing_left(&config, directory, images)? {
            return skip(summary);
        }
        let dataset = self.datasets.load(&config)?;
        let run = match Run::resume(config, dataset, directory)? {
            Resumed::Unfinished(run) => run,
            // By another process, since.
            Resumed::Finished(summary) => return skip(summary),
        };
        let first = run.trainer.step;
        self.overall.run_begins(images_done, first * batch_size);
        let mut progress = Progress::new(name, first, steps);
        let summary = run.train(Some(&mut progress), self.stop, |_| self.overall.trained(batch_size))?;
        if summary.ending == Ending::Diverged {
            warn!("{name} has diverged: no loss was finite in the last steps before step {}", summary.steps);
            self.overall.leave_out(steps.saturating_sub(summary.steps) * batch_size);
        }
        self.overall.run_ends();
        Ok(Outcome::Trained(summary))
    }
}

/// Data sets that runs share: those in files are read once and kept; a made-up one, which belongs to a seed, is kept
/// while it is in use.
#[derive(Debug, Default)]
pub struct Datasets {
    read: Mutex<HashMap<String, Arc<Dataset>>>,
    made_up: Mutex<HashMap<u64, Weak<Dataset>>>,
}

impl Datasets {
    /// What `--data` names.
    pub fn load(&self, config: &Config) -> Result<Arc<Dataset>, DataError> {
        if config.data == BUILTIN {
            let mut made_up = self.made_up.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(dataset) = made_up.get(&config.seed).and_then(Weak::upgrade) {
                return Ok(dataset);
            }
            let dataset = Arc::new(data::load(&config.data, config.seed)?);
            made_up.insert(config.seed, Arc::downgrade(&dataset));
            return Ok(dataset);
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dataset) = read.get(&config.data) {
            return Ok(Arc::clone(dataset));
        }
        let dataset = Arc::new(data::load(&config.data, config.seed)?);
        read.insert(config.data.clone(), Arc::clone(&dataset));
        Ok(dataset)
    }
}
