//! The options that describe a run, and where its files go.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::Failure;
use crate::config::{Config, Switch};
use crate::conv::Algorithm;
use crate::data::sampler::Order;
use crate::loss::Loss;
use crate::optim::{OptimizerKind, Schedule};

/// Options of a run. What is not given comes from the configuration file, else from the command's defaults.
#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true, args_override_self = true)]
pub(super) struct Options {
    /// Take the options from this file, such as the config.toml of a run; options given here win
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Images: `builtin` (made up), a directory with CIFAR-10's data_batch_*.bin, or a .tar.gz of them
    #[arg(long, value_name = "builtin|DIR|FILE.tar.gz")]
    data: Option<String>,
    /// Error measure: |error|^2 or |error|^4
    #[arg(long)]
    loss: Option<Loss>,
    /// Optimiser
    #[arg(long)]
    optimizer: Option<OptimizerKind>,
    /// Learning rate at the start
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// Course of the learning rate: tenfold lower every 3,500,000 images, or constant
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Images a step
    #[arg(long, value_name = "IMAGES")]
    batch_size: Option<usize>,
    /// Steps of training
    #[arg(long)]
    steps: Option<u64>,
    /// Standard deviations above the mean at which losses are clipped
    #[arg(long, value_name = "N|off")]
    num_stddev: Option<Threshold>,
    /// Decay of the running moments
    #[arg(long)]
    decay: Option<f32>,
    /// Mean of the losses to begin with
    #[arg(long, value_name = "MU1")]
    mu1_start: Option<f32>,
    /// Mean square of the losses to begin with
    #[arg(long, value_name = "MU2")]
    mu2_start: Option<f32>,
    /// Channels of the network's trunk, even
    #[arg(long, value_name = "CHANNELS")]
    width: Option<usize>,
    /// Seed of everything random
    #[arg(long)]
    seed: Option<u64>,
    /// Threads [default: all processors]
    #[arg(long)]
    threads: Option<usize>,
    /// Implementation of the convolutions
    #[arg(long)]
    conv: Option<Algorithm>,
    /// Random flips, brightness and contrast
    #[arg(long)]
    augment: Option<Switch>,
    /// Order of the images
    #[arg(long)]
    order: Option<Order>,
    /// Starting parameters [default: random]
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Steps from one checkpoint to the next
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u64>,
}

impl Options {
    /// The configuration: `defaults`, overridden by the configuration file, overridden by the command line.
    pub(super) fn resolve(self, defaults: Config) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(path) => read(path)?,
            None => defaults,
        };
        set(&mut config.data, self.data);
        set(&mut config.loss, self.loss);
        set(&mut config.optimizer, self.optimizer);
        set(&mut config.learning_rate, self.learning_rate);
        set(&mut config.schedule, self.schedule);
        set(&mut config.batch_size, self.batch_size);
        set(&mut config.steps, self.steps);
        set(&mut config.num_stddev, self.num_stddev.map(|Threshold(threshold)| threshold));
        set(&mut config.decay, self.decay);
        set(&mut config.mu1_start, self.mu1_start);
        set(&mut config.mu2_start, self.mu2_start);
        set(&mut config.width, self.width);
        set(&mut config.seed, self.seed);
        set(&mut config.threads, self.threads);
        set(&mut config.conv, self.conv);
        set(&mut config.augment, self.augment);
        set(&mut config.order, self.order);
        set(&mut config.init, self.init.map(Some));
        set(&mut config.checkpoint_every, self.checkpoint_every);
        config.validate()?;
        Ok(config)
    }
}

fn set<T>(field: &mut T, option: Option<T>) {
    if let Some(value) = option {
        *field = value;
    }
}

fn read(path: &Path) -> Result<Config, Failure> {
    let invalid = |problem: &dyn std::fmt::Display| {
        Failure::Usage(format!("invalid value '{}' for '--config': {problem}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| invalid(&error))?;
    toml::from_str(&text).map_err(|error| invalid(&error))
}

/// A number of standard deviations, or `off`.
#[derive(Clone, Copy, Debug)]
struct Threshold(Option<f32>);

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            number => {
                number.parse().map(|n| Self(Some(n))).map_err(|_| "permitted: a number, or `off`".to_owned())
            }
        }
    }
}

/// Where the files of a run go.
#[derive(Clone, Debug, Args)]
pub(super) struct Output {
    /// Directory for the files, created if absent [default: a new one in `runs`]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl Output {
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
