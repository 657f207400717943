//! `summary.json`: a run in a few numbers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::Config;
use crate::train::StepRecord;

/// Steps at the start that do not count for speed: caches and clocks warm up.
const WARM_UP: u64 = 5;

/// The figure of merit is taken over so many last steps, or over the last tenth of a shorter run.
const LAST: u64 = 5_000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All steps were done.
    Finished,
    /// The user stopped it.
    Interrupted,
    /// No image had a finite loss for several steps.
    Diverged,
}

/// A run in a few numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// Steps done.
    pub steps: u64,
    /// Images a step.
    pub batch_size: usize,
    /// Median over the steps but the first five; none in a shorter run.
    pub images_per_second: Option<f64>,
    /// From the first step to the last.
    pub wall_seconds: f64,
    /// Largest memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Images clipped, of all images.
    pub clipped_fraction: f64,
    /// Images whose loss was NaN or infinite.
    pub non_finite_images: u64,
    /// Mean of the last 5,000 unclipped losses, or of the last tenth of a run of less than 50,000 steps; none if no
    /// loss was finite.
    pub mean_last_unclipped_loss: Option<f64>,
    /// The last checkpoint of finite parameters.
    pub final_checkpoint: Option<PathBuf>,
}

/// Gathers what the summary needs.
#[derive(Debug)]
pub struct Statistics {
    batch_size: usize,
    last: VecDeque<f64>,
    last_len: usize,
    steps: u64,
    clipped: u64,
    non_finite: u64,
    start: Instant,
    step_start: Instant,
    durations: Vec<Duration>,
}

impl Statistics {
    /// Before the first step.
    pub fn new(config: &Config) -> Self {
        let last_len = if config.steps < 10 * LAST { (config.steps / 10).max(1) } else { LAST } as usize;
        let now = Instant::now();
        Self {
            batch_size: config.batch_size,
            last: VecDeque::with_capacity(last_len),
            last_len,
            steps: 0,
            clipped: 0,
            non_finite: 0,
            start: now,
            step_start: now,
            durations: Vec::new(),
        }
    }

    /// Takes in a step that has just ended.
    pub fn step(&mut self, record: &StepRecord) {
        let now = Instant::now();
        if self.steps >= WARM_UP {
            self.durations.push(now - self.step_start);
        }
        self.step_start = now;
        self.steps += 1;
        self.clipped += record.clipped;
        self.non_finite += record.non_finite;
        if self.last.len() == self.last_len {
            self.last.pop_front();
        }
        self.last.push_back(record.unclipped_loss);
    }

    /// The summary of the steps so far.
    pub fn summary(mut self, ending: Ending, final_checkpoint: Option<PathBuf>) -> Summary {
        self.durations.sort_unstable();
        let median = self.durations.get(self.durations.len() / 2);
        let finite: Vec<f64> = self.last.into_iter().filter(|loss| loss.is_finite()).collect();
        Summary {
            ending,
            steps: self.steps,
            batch_size: self.batch_size,
            images_per_second: median.map(|step| self.batch_size as f64 / step.as_secs_f64()),
            wall_seconds: (self.step_start - self.start).as_secs_f64(),
            peak_rss_bytes: peak_memory(),
            clipped_fraction: self.clipped as f64 / (self.steps * self.batch_size as u64).max(1) as f64,
            non_finite_images: self.non_finite,
            mean_last_unclipped_loss: (!finite.is_empty())
                .then(|| finite.iter().sum::<f64>() / finite.len() as f64),
            final_checkpoint,
        }
    }
}

/// The largest resident memory of this process in bytes, where Linux tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
