//! `alrc-train replay`.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanCount;

use super::divergence::WARM_UP;
use super::options::{directory, number, whole};
use super::{Failure, counted};
use crate::config::{Config, check_start, permitted};
use crate::experiment::files::save;
use crate::experiment::log::Log;
use crate::experiment::replay::{ClippedWriter, FEWEST, Replay as Replayed, ReplayError, replay};
use crate::experiment::run::RunError;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// The file with the clipped losses.
const CLIPPED: &str = "clipped.csv";

/// Apply clipping to a loss curve that was logged, to choose its parameters before training.
///
/// Reads TensorBoard's CSV export, Lightning's metrics.csv, the losses.csv of a run, other separated values, columns
/// of numbers, and JSON lines; the content tells which. Every value counts as the loss of a step. Rows without a
/// value are passed over.
///
/// The suggested start comes from the first 1/(1 - decay) losses (100 to 15,000) without their largest twentieth, at
/// least one: mu1-start is their mean, mu2-start the square of the mean plus that of the standard deviation, which is
/// taken to be a twentieth of the mean at least. Where most of what it clips is in the first tenth of the curve (of the
/// first 15,000 losses of a longer one), which may fall there, that is told.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, args_override_self = true)]
#[command(after_help = "Examples:
  alrc-train replay runs/run/losses.csv
  alrc-train replay metrics.csv --column train_loss_step --num-stddev 2,3,4 --out replay
  alrc-train replay run-train-tag-loss.csv --decay 0.99 --mu1-start 8 --mu2-start 80")]
pub(super) struct Replay {
    /// The logged curve; - for standard input
    file: PathBuf,
    /// Name of the column with the losses, or its number in a file without names [default: unclipped_loss, loss,
    /// train_loss or Value, or the only one]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Standard deviations above the mean at which losses are clipped; several, separated by commas, are compared
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = threshold)]
    num_stddev: Vec<f32>,
    /// Decay of the running moments
    #[arg(long, value_parser = number(permitted("decay")))]
    decay: Option<f32>,
    /// Mean of the losses to begin with
    #[arg(long, value_name = "MU1", value_parser = number(permitted("mu1-start")))]
    mu1_start: Option<f32>,
    /// Mean square of the losses to begin with
    #[arg(long, value_name = "MU2", value_parser = number(permitted("mu2-start")))]
    mu2_start: Option<f32>,
    /// Steps at the start that pass unclipped while the moments are plain averages, instead of --mu1-start and
    /// --mu2-start
    #[arg(long, value_name = "STEPS", value_parser = whole::<u32>(permitted("warm-up")))]
    warm_up: Option<u32>,
    /// Directory for replay.svg, replay.png and clipped.csv, created if absent [default: none is written]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// A threshold of `--num-stddev`.
fn threshold(text: &str) -> Result<f32, &'static str> {
    match text {
        "off" => Err("without clipping there is nothing to replay; give numbers, such as 2,3,4"),
        number => {
            let number = number.parse().ok().filter(|number| (0.0..=1e9).contains(number));
            number.ok_or("permitted: 0 to 1e9, or several of these, such as 2,3,4")
        }
    }
}

impl Replay {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let configs = self.configs()?;
        let log = self.open()?;
        let format = log.format();
        let replay = match &self.out {
            None => replay(log, &configs, None).map_err(|error| self.failure(error))?,
            Some(out) => self.replay_into(out, log, &configs)?,
        };
        if self.json {
            say!("{}", serde_json::to_string_pretty(&replay)?)?;
        } else {
            self.print(&replay, format)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Writes `clipped.csv` and the plot.
    fn replay_into(
        &self,
        out: &Path,
        log: Log,
        configs: &[alrc_kernel::Config<f32>],
    ) -> Result<Replayed, Failure> {
        let path = out.join(CLIPPED);
        let create = std::fs::create_dir_all(out).and_then(|()| ClippedWriter::create(&path));
        let mut clipped = create.map_err(|error| self.failure(error.into()))?;
        let replay = replay(log, configs, Some(&mut clipped)).map_err(|error| self.failure(error))?;
        clipped.finish().map_err(|error| self.failure(error.into()))?;
        let figure = replay.figure();
        save(&out.join("replay.svg"), figure.svg().map_err(RunError::from)?.as_bytes())?;
        save(&out.join("replay.png"), &figure.png().map_err(RunError::from)?)?;
        Ok(replay)
    }

    fn print(&self, replay: &Replayed, format: &str) -> Result<(), Failure> {
        say!("{}: column {} ({format})", self.file.display(), replay.column)?;
        say!(
            "{}, {} of them not finite, {} without a value, {}, largest loss {}",
            counted(replay.losses, "loss", "losses"),
            HumanCount(replay.non_finite),
            counted(replay.empty_rows, "row", "rows"),
            counted(replay.spikes, "spike", "spikes"),
            replay.largest
        )?;
        let finite = replay.losses - replay.non_finite;
        if replay.non_finite > finite {
            say!(
                "most losses are not finite: whatever was trained has diverged, and what follows comes from the {} \
                 alone",
                counted(finite, "finite loss", "finite losses")
            )?;
        }
        let warm_up = self.warm_up.filter(|&steps| steps > 0);
        if let Some(steps) = warm_up.filter(|&steps| u64::from(steps) >= finite) {
            say!(
                "nothing could be clipped from the given start: its warm-up of {} is not over before the last finite \
                 loss; give a shorter --warm-up",
                counted(steps.into(), "step", "steps")
            )?;
        }
        say!("\n{}", replay.table())?;
        match replay.suggestion {
            Some(start) => {
                say!("suggestion: --mu1-start {} --mu2-start {}", start.mu1_start, start.mu2_start)?;
                if replay.suggested_from < FEWEST as u64 {
                    say!(
                        "it comes from only {}, which may say little of those to come",
                        counted(replay.suggested_from, "finite loss", "finite losses")
                    )?;
                }
                let clips_mostly_first = |is_suggested: bool| {
                    let mut trials = replay.trials.iter().filter(|trial| trial.is_suggested == is_suggested);
                    trials.find(|trial| trial.clips_mostly_first())
                };
                if let Some(trial) = clips_mostly_first(true) {
                    let remedy = match (warm_up, clips_mostly_first(false)) {
                        (None, _) => format!("--warm-up {WARM_UP} instead lets it fall"),
                        (Some(_), None) => "the given warm-up lets it fall".to_owned(),
                        (Some(_), Some(_)) => "a longer --warm-up may let it fall".to_owned(),
                    };
                    say!(
                        "with it, {} of {} clipped losses are among the first {} (--num-stddev {}): if the curve falls \
                         there, these are no spikes, and {remedy}",
                        HumanCount(trial.clipped_first),
                        HumanCount(trial.clipped),
                        HumanCount(replay.first),
                        trial.num_stddev,
                    )?;
                }
            }
            None => say!("no start can be suggested for such losses")?,
        }
        if let Some(out) = &self.out {
            say!("plot: {}", out.join("replay.png").display())?;
        }
        Ok(())
    }

    /// What went wrong, with the file's name.
    fn failure(&self, error: ReplayError) -> Failure {
        match error {
            ReplayError::Log(error) => Failure::Usage(format!("{}: {error}", self.file.display())),
            ReplayError::Unwritable(source) => {
                let path = self.out.as_deref().unwrap_or(Path::new("")).join(CLIPPED);
                RunError::Unwritable { path, source }.into()
            }
        }
    }

    fn open(&self) -> Result<Log, Failure> {
        let open = || {
            let source: Box<dyn io::Read> = if self.file == Path::new("-") {
                Box::new(io::stdin())
            } else {
                Box::new(File::open(&self.file)?)
            };
            Log::open(BufReader::with_capacity(BUFFER, source), self.column.as_deref())
        };
        open().map_err(|error| self.failure(error.into()))
    }

    /// A configuration of the clipping, with the given start, for each threshold.
    fn configs(&self) -> Result<Vec<alrc_kernel::Config<f32>>, Failure> {
        check_start(self.warm_up.unwrap_or(0), self.mu1_start, self.mu2_start)?;
        let defaults = Config::default();
        let mut configs = Vec::new();
        let thresholds: Vec<_> = self.num_stddev.iter().copied().map(Some).collect();
        let thresholds = if thresholds.is_empty() { vec![defaults.num_stddev] } else { thresholds };
        for num_stddev in thresholds {
            let config = Config {
                num_stddev,
                decay: self.decay.unwrap_or(defaults.decay),
                mu1_start: self.mu1_start.unwrap_or(defaults.mu1_start),
                mu2_start: self.mu2_start.unwrap_or(defaults.mu2_start),
                warm_up: self.warm_up.unwrap_or(defaults.warm_up),
                ..defaults.clone()
            };
            config.validate()?;
            configs.extend(config.alrc());
        }
        Ok(configs)
    }
}
