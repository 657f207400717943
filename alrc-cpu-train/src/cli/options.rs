//! The options that describe a run, and where its files go.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::builder::{NonEmptyStringValueParser, StringValueParser, TypedValueParser};
use clap::{Args, Command};
use serde::Serialize;
use toml::Table;
use tracing::warn;

use super::{Failure, counted};
use crate::backend::BackendKind;
use crate::config::{self, Config, ConfigError, NumStddev, SumOrder, Switch, check_start, permitted};
use crate::conv::Algorithm;
use crate::data::sampler::Order;
use crate::experiment::run::RunError;
use crate::loss::Loss;
use crate::optim::{OptimizerKind, Schedule};
use crate::simd;

/// Options of a run. What is not given comes from the configuration file, else from the command's defaults.
#[derive(Clone, Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(allow_negative_numbers = true, args_override_self = true)]
pub(super) struct Options {
    /// Take the options from this file, such as the config.toml of a run; options given here win
    #[arg(long, value_name = "FILE.toml")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Images: `builtin` (made up), a directory with CIFAR-10's data_batch_*.bin, a .tar.gz of them, or one such file
    #[arg(long, value_name = "builtin|DIR|FILE")]
    data: Option<String>,
    /// Error measure: |error|^2 or |error|^4
    #[arg(long)]
    loss: Option<Loss>,
    /// Optimiser
    #[arg(long)]
    optimizer: Option<OptimizerKind>,
    /// Learning rate at the start
    #[arg(long, value_name = "RATE", value_parser = number(permitted("learning-rate")))]
    learning_rate: Option<f32>,
    /// Course of the learning rate: tenfold lower every 3,500,000 images, or constant
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Images a step
    #[arg(long, value_name = "IMAGES", value_parser = whole::<usize>(permitted("batch-size")))]
    batch_size: Option<usize>,
    /// Steps of training
    #[arg(long, value_parser = whole::<u64>(permitted("steps")))]
    steps: Option<u64>,
    /// Standard deviations above the mean at which losses are clipped
    #[arg(long, value_name = "N|off")]
    num_stddev: Option<NumStddev>,
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
    /// Channels of the network's trunk, even
    #[arg(long, value_name = "CHANNELS", value_parser = whole::<usize>(permitted("width")))]
    width: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_parser = whole::<u64>(permitted("seed")))]
    seed: Option<u64>,
    /// Threads [default: all processors]
    #[arg(long, value_parser = whole::<usize>(permitted("threads")))]
    threads: Option<usize>,
    /// Implementation of the convolutions
    #[arg(long)]
    conv: Option<Algorithm>,
    /// Vector instructions
    #[arg(long)]
    simd: Option<simd::Choice>,
    /// Order in which gradients are summed: fast, or fixed, which gives the same bits for any number of processes
    #[arg(long)]
    sum_order: Option<SumOrder>,
    /// Where the arithmetic is done; wgpu: a graphics processor, in builds with the feature `wgpu`
    #[arg(long)]
    backend: Option<BackendKind>,
    /// Part of the name of the graphics adapter for --backend wgpu, see `alrc-train info` [default: the most powerful
    /// one]
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Random flips, brightness and contrast
    #[arg(long)]
    augment: Option<Switch>,
    /// Order of the images
    #[arg(long)]
    order: Option<Order>,
    /// Starting parameters [default: random]
    #[arg(long, value_name = "FILE.safetensors", value_parser = StringValueParser::new().map(PathBuf::from))]
    init: Option<PathBuf>,
    /// Steps from one checkpoint to the next
    #[arg(long, value_name = "STEPS", value_parser = whole::<u64>(permitted("checkpoint-every")))]
    checkpoint_every: Option<u64>,
    /// Checkpoints kept, the newest ones; beside them stays the last from which a loss was finite
    #[arg(long, value_name = "NUMBER", value_parser = whole::<usize>(permitted("keep")))]
    keep: Option<usize>,
}

impl Options {
    /// The configuration: `defaults`, overridden by the configuration file, overridden by the command line.
    pub(super) fn resolve(&self, defaults: Config) -> Result<Config, Failure> {
        let config = self.merge(defaults)?;
        self.check_adapter(&config)?;
        warn_of_threads(config.threads);
        Ok(config)
    }

    /// Like [`resolve`](Self::resolve), without the check of --adapter: a grid may choose the backend.
    pub(super) fn merge(&self, defaults: Config) -> Result<Config, Failure> {
        let config = defaults.with(&self.table()?).map_err(|error| Failure::Usage(error.to_string()))?;
        config.validate().map_err(|error| self.tell_origin_of_value(error))?;
        Ok(config)
    }

    /// That a value is out of range, and in which file it stands if it is not from the command line.
    fn tell_origin_of_value(&self, error: ConfigError) -> Failure {
        let ConfigError { option, value, permitted } = &error;
        match &self.config {
            Some(file) if !self.own_table().contains_key(*option) && names(file, option) => {
                Failure::Usage(format!(
                    "invalid value '{}' for '--config': {option}: invalid value {value}; permitted: {permitted}",
                    file.display()
                ))
            }
            _ => error.into(),
        }
    }

    /// An error if the command line names an adapter, and a run of this configuration uses none.
    pub(super) fn check_adapter(&self, config: &Config) -> Result<(), ConfigError> {
        match &self.adapter {
            Some(adapter) if config.backend == BackendKind::Cpu => Err(ConfigError {
                option: "adapter",
                value: adapter.clone(),
                permitted: "a name beside --backend wgpu; add that, or leave out --adapter".into(),
            }),
            _ => Ok(()),
        }
    }

    /// The failure, and if it is that of images whose path is not from the command line, where it is from: the
    /// configuration file, else `origin`.
    pub(super) fn tell_origin_of_data(&self, error: RunError, origin: Option<PathBuf>) -> Failure {
        if self.data.is_some() || !matches!(error, RunError::Data(_)) {
            return error.into();
        }
        let file = self.config.as_deref().filter(|file| names(file, "data")).map(Path::to_owned);
        match file.or(origin) {
            Some(file) => Failure::Usage(format!(
                "{error}; this path stands in {}: give --data if the images lie elsewhere now",
                file.display()
            )),
            None => error.into(),
        }
    }

    /// The options that the configuration file and the command line give.
    pub(super) fn table(&self) -> Result<Table, Failure> {
        check_start(self.warm_up.unwrap_or(0), self.mu1_start, self.mu2_start)?;
        let mut table = self.config.as_deref().map(read_table).transpose()?.unwrap_or_default();
        config::overrule(&mut table, self.own_table());
        Ok(table)
    }

    /// The options that the command line gives.
    pub(super) fn own_table(&self) -> Table {
        Table::try_from(self).expect("numbers and a path that TOML can hold: others are refused")
    }
}

/// Tells that threads are more than the processors on which they can work at the same time.
pub(super) fn warn_of_threads(threads: usize) {
    let processors = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
    if threads > processors {
        warn!(
            "--threads {threads} is more than the {} available here: they take turns, and many of them make training far \
             slower; give --threads {processors}",
            counted(processors as u64, "processor", "processors")
        );
    }
}

/// Takes a whole number that TOML can hold; of anything else it says what is permitted, as of a number out of range.
pub(super) fn whole<T: TryFrom<i64>>(permitted: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse::<i64>().ok().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("permitted: {permitted}"))
    }
}

/// The same of a number in a range.
pub(super) fn within(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("permitted: {} to {}", range.start(), range.end()))
    }
}

/// The same of any number.
pub(super) fn number(permitted: &'static str) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| text.parse().map_err(|_| format!("permitted: {permitted}"))
}

/// Takes the path of a directory, which need not be there yet; it is text, as it stands in files.
pub(super) fn directory() -> impl TypedValueParser<Value = PathBuf> {
    NonEmptyStringValueParser::new().map(PathBuf::from).try_map(|path| {
        if path.exists() && !path.is_dir() { Err("it is a file; give a directory") } else { Ok(path) }
    })
}

/// Tells in the help of a command's options what `defaults` holds for them, unless their help tells it already.
pub(super) fn tell_defaults(command: Command, defaults: &Config) -> Command {
    let defaults = defaults.to_table();
    command.mut_args(|argument| {
        let default = argument.get_long().and_then(|name| defaults.get(name));
        match (default, argument.get_help().map(ToString::to_string)) {
            (Some(default), Some(help)) if !help.contains("[default:") => {
                argument.help(format!("{help} [default: {}]", config::as_argument(default)))
            }
            _ => argument,
        }
    })
}

/// Whether a configuration file gives an option.
fn names(file: &Path, option: &str) -> bool {
    read_table(file).is_ok_and(|table| table.contains_key(option))
}

/// The options in a configuration file.
fn read_table(path: &Path) -> Result<Table, Failure> {
    let invalid = |problem: &dyn std::fmt::Display| {
        Failure::Usage(format!("invalid value '{}' for '--config': {problem}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| invalid(&error))?;
    let table = text.parse().map_err(|error| invalid(&error))?;
    let config = Config::default().with(&table).map_err(|error| invalid(&error))?;
    config.check_start().map_err(|error| invalid(&error))?;
    Ok(table)
}

/// Where the files of a run go.
#[derive(Clone, Debug, Args)]
pub(super) struct Output {
    /// Directory for the files, created if absent [default: a new one in `runs`]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    out: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl Output {
    /// The directory of what is resumed, which must have been given.
    pub(super) fn resumed(&self, what: &str) -> Result<&Path, Failure> {
        self.out
            .as_deref()
            .ok_or_else(|| Failure::Usage(format!("'--resume' needs '--out DIR', the directory of {what}")))
    }

    /// The directory that was given, else `runs/NAME`, or `runs/NAME-2` and so on where that exists.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let numbered = |number: u32| match number {
            1 => Path::new("runs").join(name),
            _ => Path::new("runs").join(format!("{name}-{number}")),
        };
        let new = || (1..).map(numbered).find(|directory| !directory.exists());
        self.out.clone().or_else(new).unwrap_or_else(|| numbered(1))
    }
}
