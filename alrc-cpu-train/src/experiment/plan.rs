//! What a series of runs costs: how much there is to do, how much of that is done, and how long the rest may take.

use std::fmt;
use std::path::Path;

use indicatif::HumanCount;
use serde::Serialize;
use tracing::{info, warn};

use super::grid::GridRun;
use super::run;
use crate::config::Config;
use crate::record::progress::duration;
use crate::record::summary::Summary;

/// The work of a series of runs.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Number of runs.
    pub runs: usize,
    /// Runs of which nothing is left to do.
    pub finished: usize,
    /// Runs that go on from a checkpoint.
    pub begun: usize,
    /// Runs that had been given fewer steps, and go on.
    pub lengthened: usize,
    /// Runs that had been given more steps: they end earlier, or are past the last step already.
    pub shortened: usize,
    /// Steps of all runs together, from their first to their last.
    pub steps: u64,
    /// Images of these steps.
    pub images: u64,
    /// Images that are left.
    pub images_left: u64,
    /// Time that these may take, at the speed of finished runs like them; none if there is no such run.
    pub seconds_left: Option<f64>,
    /// Images of each run that need no training any more, in the order of the runs.
    #[serde(skip)]
    pub images_done: Vec<u64>,
}

impl Plan {
    /// Looks for what is left of `runs` in the directories of their names below `directory`; `jobs` of them go on at a
    /// time, each on the threads of its configuration.
    pub fn new(runs: &[GridRun], directory: &Path, jobs: usize) -> Self {
        let mut plan = Self {
            runs: runs.len(),
            finished: 0,
            begun: 0,
            lengthened: 0,
            shortened: 0,
            steps: runs.iter().map(|run| run.config.steps).sum(),
            images: runs.iter().map(|run| images(&run.config)).sum(),
            images_left: 0,
            seconds_left: None,
            images_done: Vec::new(),
        };
        let mut speeds = Vec::new();
        for GridRun { name, config } in runs {
            let directory = directory.join(name);
            let steps = run::steps_done(&directory, config.steps);
            // After its last step a run is not finished before its summary is there.
            let finished = run::finished(&directory, config.steps);
            if finished.is_some() {
                plan.finished += 1;
            } else if steps > 0 {
                plan.begun += 1;
            }
            // What cannot be read is told when the run is to go on.
            if let Ok(Some(found)) = run::read_config(&directory) {
                let has_diverged = finished.as_ref().is_some_and(Summary::has_diverged);
                plan.lengthened += usize::from(found.steps < config.steps && finished.is_none());
                // A run that is past this number of steps may have been given it before.
                let had = finished.map_or(found.steps, |summary| summary.steps.max(found.steps));
                plan.shortened += usize::from(had > config.steps && !has_diverged);
            }
            speeds.extend(Speed::of_finished(&directory));
            plan.images_done.push(steps * config.batch_size as u64);
        }
        plan.images_left = plan.images - plan.images_done.iter().sum::<u64>();
        let seconds = runs.iter().zip(&plan.images_done).map(|(run, done)| {
            let left = images(&run.config) - done;
            if left == 0 { Some(0.0) } else { Speed::expected(&speeds, &run.config).map(|s| left as f64 / s) }
        });
        let side_by_side = jobs.min(plan.runs - plan.finished).max(1);
        plan.seconds_left = seconds.sum::<Option<f64>>().map(|seconds| seconds / side_by_side as f64);
        plan
    }

    /// Tells what becomes of runs that had been given another number of steps.
    pub fn tell_other_steps(&self) {
        let of_runs =
            |count: usize| format!("{} of {} runs", HumanCount(count as u64), HumanCount(self.runs as u64));
        if self.lengthened > 0 {
            info!(
                "{} had been given fewer steps: training goes on to the present number",
                of_runs(self.lengthened)
            );
        }
        if self.shortened > 0 {
            warn!(
                "{} had been given more steps: training ends at the present number, finished runs that are past it stay as \
                 they are, and others are refused; choose another --out for runs of exactly so many",
                of_runs(self.shortened)
            );
        }
    }
}

fn images(config: &Config) -> u64 {
    config.steps * config.batch_size as u64
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, images) = (HumanCount(self.steps), HumanCount(self.images));
        let (finished, begun) = (self.finished, self.begun);
        write!(f, "runs: {}, together {steps} steps, {images} images", self.runs)?;
        if finished + begun > 0 {
            write!(f, "; {finished} finished, {begun} begun, {} images left", HumanCount(self.images_left))?;
        }
        match self.seconds_left {
            _ if self.images_left == 0 => Ok(()),
            Some(seconds) => write!(f, ": about {} at the speed of finished runs", duration(seconds)),
            None => write!(f, "; how long they take shows once they are under way"),
        }
    }
}

/// How fast a run was.
struct Speed {
    width: usize,
    batch_size: usize,
    /// A second, on each of its threads.
    images: f64,
}

impl Speed {
    /// That of the run in `directory`, if it is finished, whatever steps it is to have now, and was long enough to tell.
    fn of_finished(directory: &Path) -> Option<Self> {
        let config = run::read_config(directory).ok()??;
        let images = run::finished(directory, config.steps)?.images_per_second?;
        let images = images / config.threads as f64;
        Some(Self { width: config.width, batch_size: config.batch_size, images })
    }

    /// Images a second that `config` can expect: as many as runs of its width and batch size, or else of its width,
    /// had on average.
    fn expected(speeds: &[Self], config: &Config) -> Option<f64> {
        let average = |is_alike: &dyn Fn(&Self) -> bool| {
            let alike: Vec<f64> =
                speeds.iter().filter(|speed| is_alike(speed)).map(|speed| speed.images).collect();
            (!alike.is_empty()).then(|| alike.iter().sum::<f64>() / alike.len() as f64)
        };
        let of_width = |speed: &Self| speed.width == config.width;
        let per_thread = average(&|speed| of_width(speed) && speed.batch_size == config.batch_size)
            .or_else(|| average(&of_width))?;
        Some(per_thread * config.threads as f64)
    }
}
