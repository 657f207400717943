//! Runs as they lie on the disk: finished, under way, or cut off in the middle of a line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use toml::Table;

use super::curves::{Envelope, LossCurve, window};
use crate::config::{Config, as_argument};
use crate::data::BUILTIN;
use crate::record::files::{CONFIG, LOSSES, SAMPLES, Unreadable, is_run};
use crate::record::losses;
use crate::record::merit::LastLosses;
use crate::record::summary::{Ending, Summary};

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All its steps are done.
    Finished,
    /// Its losses ceased to be finite.
    Diverged,
    /// It goes on, or was interrupted.
    Unfinished,
}

impl State {
    /// That of a run which is to have `steps` steps.
    fn of(summary: Option<&Summary>, steps: u64) -> Self {
        match summary.filter(|summary| summary.is_final(steps)) {
            Some(summary) if summary.has_diverged() => Self::Diverged,
            Some(summary) if summary.ending == Ending::Finished => Self::Finished,
            _ => Self::Unfinished,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A run, its losses thinned.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where it lies.
    pub directory: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// Its configuration as text, key by key, without what may differ between repeats.
    pub setting: BTreeMap<String, String>,
    /// How far it has come.
    pub state: State,
    /// Steps with a row in `losses.csv`.
    pub steps: u64,
    /// Mean of the finite ones of the last unclipped losses.
    pub last_loss: Option<f64>,
    /// Its unclipped losses.
    pub curve: LossCurve,
    /// The limits of its steps, where there is one.
    pub limits: Envelope,
    /// CRC-32 of the images of its data set, where it is known and the same for every seed.
    pub images_crc32: Option<u32>,
    /// Share of its images that were clipped.
    pub clipped_fraction: f64,
    /// Its images by the scale of their gradient, in equal bins from 0 to 1.
    pub scales: Option<Vec<u64>>,
    /// Its picture of samples.
    pub samples: Option<PathBuf>,
}

/// Options that determine the results, in which the runs of a setting may differ all the same: repeats have other seeds,
/// and thresholds of the clipping are compared.
const WITHIN_A_SETTING: [&str; 2] = ["seed", "num-stddev"];

/// All directories at or below `root` with a `config.toml` and a `losses.csv`, in the order of their names. Links to
/// directories are not followed.
pub fn find(root: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if is_run(root) {
        found.insert(root.canonicalize()?);
    }
    for entry in root.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), found)?;
        }
    }
    Ok(())
}

impl Run {
    /// Reads the run in `directory`.
    pub fn read(directory: &Path) -> Result<Self, Unreadable> {
        let (config, setting) = read_config(&directory.join(CONFIG))?;
        let summary = Summary::read(directory)?;
        let path = directory.join(LOSSES);
        let losses = Losses::read(&path, config.steps).map_err(|error| Unreadable::new(&path, error))?;
        let state = State::of(summary.as_ref(), config.steps);
        let samples = directory.join(SAMPLES);
        let steps = losses.last.steps();
        let images = steps * config.batch_size as u64;
        Ok(Self {
            directory: directory.to_owned(),
            setting,
            state,
            steps,
            last_loss: losses.last.mean(),
            curve: losses.curve,
            limits: losses.limits,
            images_crc32: summary
                .as_ref()
                .and_then(|summary| summary.images_crc32)
                .filter(|_| config.data != BUILTIN),
            clipped_fraction: losses.clipped as f64 / images.max(1) as f64,
            scales: summary.map(|summary| summary.scale_histogram),
            samples: samples.is_file().then_some(samples),
            config,
        })
    }
}

/// The configuration of a run, and its setting: what determines the results, with the number of steps and the last part
/// of the path of the data. What an older version did not know has its default value; what only a newer one knows still
/// tells settings apart.
fn read_config(path: &Path) -> Result<(Config, BTreeMap<String, String>), Unreadable> {
    let text = std::fs::read_to_string(path).map_err(|error| Unreadable::new(path, error))?;
    let table: Table = toml::from_str(&text).map_err(|error| Unreadable::new(path, error.message()))?;
    if table.is_empty() {
        return Err(Unreadable::new(path, "it is empty; put back a copy of it, or remove the run"));
    }
    let options = Config::every_option();
    let (known, newer): (Table, Table) = table.into_iter().partition(|(key, _)| options.contains_key(key));
    let config = Config::default().with(&known).map_err(|error| Unreadable::new(path, error))?;

    let mut setting = config.defining();
    setting.retain(|key, _| !WITHIN_A_SETTING.contains(&key));
    let data = Path::new(&config.data).file_name().map(|name| name.to_string_lossy().into_owned());
    setting.insert("data".to_owned(), data.unwrap_or_else(|| config.data.clone()).into());
    setting.extend(config.to_table().remove_entry("steps"));
    setting.extend(newer);
    let setting = setting.iter().map(|(key, value)| (key.clone(), as_argument(value))).collect();
    Ok((config, setting))
}

/// What `losses.csv` holds.
struct Losses {
    last: LastLosses,
    clipped: u64,
    curve: LossCurve,
    limits: Envelope,
}

impl Losses {
    /// Those of a run that is to have `steps` steps.
    fn read(path: &Path, steps: u64) -> csv::Result<Self> {
        let mut losses = Self {
            last: LastLosses::default(),
            clipped: 0,
            curve: LossCurve::new(window(steps)),
            limits: Envelope::default(),
        };
        losses::read(path, |row| {
            losses.last.push(row.unclipped_loss);
            losses.clipped += row.clipped;
            losses.curve.push(row.unclipped_loss);
            losses.limits.push(row.limit.unwrap_or(f64::NAN));
        })?;
        Ok(losses)
    }
}
