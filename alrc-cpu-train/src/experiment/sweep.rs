//! A grid of runs in one directory: what is finished is left alone, what was begun goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::info;

use super::grid::GridRun;
use super::run::{self, Run, RunError};
use super::side_by_side::side_by_side;
use crate::config::Config;
use crate::data::Dataset;
use crate::data::cifar10::DataError;
use crate::record::progress::{Board, Overall};
use crate::record::summary::Summary;
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
    /// The sweep was stopped before.
    NotBegun,
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

/// Carries out the runs, `jobs` at a time, each in the directory of its name below `directory`. Several processes may
/// work on one directory.
pub fn sweep(
    runs: Vec<GridRun>,
    directory: &Path,
    jobs: usize,
    label: &str,
    stop: &Stop,
) -> Result<Vec<Swept>, RunError> {
    let board = Board::default();
    let images = runs.iter().map(|run| run.config.steps * run.config.batch_size as u64).sum();
    let overall = board.overall(label, images);
    let datasets = Datasets::default();
    side_by_side(jobs, runs, |GridRun { name, config }| {
        let directory = directory.join(&name);
        let threads = (config.threads / jobs).max(1);
        let config = Config { threads, ..config };
        let outcome = carry_out(&name, config, &directory, &datasets, &board, &overall, stop)?;
        Ok(Swept { name, directory, outcome })
    })
}

fn carry_out(
    name: &str,
    config: Config,
    directory: &Path,
    datasets: &Datasets,
    board: &Board,
    overall: &Overall,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    if stop.is_asked() {
        return Ok(Outcome::NotBegun);
    }
    let batch_size = config.batch_size as u64;
    run::check_config(&config, directory)?;
    if let Some(summary) = run::finished(directory, config.steps) {
        overall.skipped(config.steps * batch_size);
        overall.run_ended();
        return Ok(Outcome::Skipped(summary));
    }
    let dataset = datasets.load(&config)?;
    let run = match Run::resume(config, dataset, directory) {
        Err(RunError::Locked(directory)) => {
            info!("{}: another process is training there", directory.display());
            return Ok(Outcome::Elsewhere);
        }
        run => run?,
    };
    let (first, steps) = (run.trainer.step, run.trainer.config.steps);
    overall.skipped(first * batch_size);
    let mut progress = board.run(name, first, steps);
    let summary = run.train(Some(&mut progress), stop, |_| overall.trained(batch_size))?;
    overall.run_ended();
    Ok(Outcome::Trained(summary))
}

/// Data sets in files, each read once; the made-up one differs from seed to seed and is soon made.
#[derive(Debug, Default)]
struct Datasets {
    read: Mutex<HashMap<String, Arc<Dataset>>>,
}

impl Datasets {
    fn load(&self, config: &Config) -> Result<Arc<Dataset>, DataError> {
        if config.data == "builtin" {
            return run::load(config).map(Arc::new);
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dataset) = read.get(&config.data) {
            return Ok(Arc::clone(dataset));
        }
        let dataset = Arc::new(run::load(config)?);
        read.insert(config.data.clone(), Arc::clone(&dataset));
        Ok(dataset)
    }
}
