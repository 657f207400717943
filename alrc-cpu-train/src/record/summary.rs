//! `summary.json`: a run in a few numbers.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::{SUMMARY, Unreadable};
use super::merit::LastLosses;
use crate::train::StepRecord;

/// Steps at the start that do not count for speed: caches and clocks warm up.
const WARM_UP: usize = 5;

/// Bins of the histogram of scales.
pub const SCALE_BINS: usize = 20;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All steps were done.
    Finished,
    /// The user stopped it.
    Interrupted,
    /// No image had a finite loss for several steps.
    Diverged,
}

/// What a run counts from its first step on, across interruptions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Images clipped.
    pub clipped: u64,
    /// Images whose loss was NaN or infinite.
    pub non_finite: u64,
    /// Images by the scale of their gradient: equal bins from 0 to 1, the last of which includes 1.
    pub scales: [u64; SCALE_BINS],
    /// Last steps in a row without an image whose loss was finite.
    pub lost_steps: u32,
}

impl Counters {
    fn step(&mut self, record: &StepRecord) {
        self.clipped += record.clipped;
        self.non_finite += record.non_finite;
        for image in &record.images {
            let bin = (image.scale * SCALE_BINS as f32) as usize;
            self.scales[bin.min(SCALE_BINS - 1)] += 1;
        }
        self.lost_steps = if record.is_lost() { self.lost_steps + 1 } else { 0 };
    }
}

/// A run in a few numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// Steps done.
    pub steps: u64,
    /// Images a step.
    pub batch_size: usize,
    /// CRC-32 of the images of the data set; none in a summary of a version that did not tell.
    #[serde(default)]
    pub images_crc32: Option<u32>,
    /// Median over the steps but the first five, since the run was started or resumed with a step left to do; none for
    /// fewer.
    pub images_per_second: Option<f64>,
    /// From the first step to the last; of a resumed run, from when it was resumed.
    pub wall_seconds: f64,
    /// Largest memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Images clipped, of all images.
    pub clipped_fraction: f64,
    /// Images whose loss was NaN or infinite.
    pub non_finite_images: u64,
    /// Images by the scale of their gradient: equal bins from 0 to 1, the last of which includes 1. None in a summary of
    /// a version that did not count them.
    #[serde(default)]
    pub scale_histogram: Vec<u64>,
    /// Mean of the finite ones of the last 5,000 unclipped losses, or of the last tenth where less than 50,000 steps are
    /// done; none if there is none.
    pub mean_last_unclipped_loss: Option<f64>,
    /// The last checkpoint of finite parameters.
    pub final_checkpoint: Option<PathBuf>,
}

impl Summary {
    /// That of the run in `directory`; none before it has ended for the first time.
    pub fn read(directory: &Path) -> Result<Option<Self>, Unreadable> {
        let path = directory.join(SUMMARY);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| Unreadable::new(&path, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unreadable::new(&path, error)),
        }
    }

    /// Whether its losses are not finite any more; also if it came to its last step before it could be stopped for that.
    pub fn has_diverged(&self) -> bool {
        match self.ending {
            Ending::Diverged => true,
            Ending::Finished => self.steps > 0 && self.mean_last_unclipped_loss.is_none(),
            Ending::Interrupted => false,
        }
    }

    /// Whether it has come to its last step, with losses that are finite.
    pub fn has_finite_end(&self) -> bool {
        self.ending == Ending::Finished && self.mean_last_unclipped_loss.is_some()
    }

    /// Takes the figures of speed from an earlier summary of the run, for want of steps since.
    pub fn take_speed(&mut self, former: &Self) {
        self.images_per_second = former.images_per_second;
        self.wall_seconds = former.wall_seconds;
        self.peak_rss_bytes = former.peak_rss_bytes;
    }

    /// Whether nothing is left to do of the run if it is to have `steps` steps; it may have more.
    pub fn is_final(&self, steps: u64) -> bool {
        match self.ending {
            Ending::Finished => self.steps >= steps,
            Ending::Diverged => true,
            Ending::Interrupted => false,
        }
    }
}

/// Gathers what the summary needs.
#[derive(Debug)]
pub struct Statistics {
    /// What a checkpoint keeps of this.
    pub counters: Counters,
    batch_size: usize,
    losses: LastLosses,
    start: Instant,
    step_start: Instant,
    durations: Vec<Duration>,
}

impl Statistics {
    /// Before the first step, or before the first one of a resumed run: then the counters come from the checkpoint,
    /// and every loss so far goes through [`add_loss`](Self::add_loss).
    pub fn new(batch_size: usize, counters: Counters) -> Self {
        let now = Instant::now();
        Self {
            counters,
            batch_size,
            losses: LastLosses::default(),
            start: now,
            step_start: now,
            durations: Vec::new(),
        }
    }

    /// Takes in the unclipped loss of the next step.
    pub fn add_loss(&mut self, unclipped_loss: f64) {
        self.losses.push(unclipped_loss);
    }

    /// Takes in a step that has just ended.
    pub fn step(&mut self, record: &StepRecord) {
        let now = Instant::now();
        self.durations.push(now - self.step_start);
        self.step_start = now;
        self.counters.step(record);
        self.add_loss(record.unclipped_loss);
    }

    /// The summary of the steps so far.
    pub fn summary(self, ending: Ending, images_crc32: u32, final_checkpoint: Option<PathBuf>) -> Summary {
        let mut durations: Vec<_> = self.durations.into_iter().skip(WARM_UP).collect();
        durations.sort_unstable();
        let median = durations.get(durations.len() / 2);
        let steps = self.losses.steps();
        let images = steps * self.batch_size as u64;
        Summary {
            ending,
            steps,
            batch_size: self.batch_size,
            images_crc32: Some(images_crc32),
            images_per_second: median.map(|step| self.batch_size as f64 / step.as_secs_f64()),
            wall_seconds: (self.step_start - self.start).as_secs_f64(),
            peak_rss_bytes: peak_memory(),
            clipped_fraction: self.counters.clipped as f64 / images.max(1) as f64,
            non_finite_images: self.counters.non_finite,
            scale_histogram: self.counters.scales.to_vec(),
            mean_last_unclipped_loss: self.losses.mean(),
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
