//! The configuration of a run: everything resolved, every value in its range.

mod start;
mod table;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use alrc_kernel::Start;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
pub use start::{ESTIMATES, check_start, overrule};
pub use table::{TableError, as_argument, determines_results, difference};
use thiserror::Error;

use crate::backend::BackendKind;
use crate::comm::fixed_order::PIECE;
use crate::conv::Algorithm;
use crate::data::BUILTIN;
use crate::data::sampler::Order;
use crate::loss::Loss;
use crate::optim::{OptimizerKind, Schedule};
use crate::simd::{self, InstructionSet};

/// A setting that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// Order in which the gradients of a batch are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SumOrder {
    /// The fastest for the number of processes.
    #[default]
    Fast,
    /// One that is the same for any number of processes, and so are the results, to the bit.
    Fixed,
}

impl SumOrder {
    /// Images that stay together, on one rank and in one group, in an order that has such pieces.
    pub fn piece(self) -> Option<usize> {
        match self {
            Self::Fast => None,
            Self::Fixed => Some(PIECE),
        }
    }
}

/// The configuration of a run; field names, with hyphens, are the names of the options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// `builtin`, a directory, a `.tar.gz`, or a file of records.
    pub data: String,
    /// Steps from one checkpoint to the next, at least 1.
    pub checkpoint_every: u64,
    /// Checkpoints kept, the newest ones, at least 1.
    pub keep: usize,
    /// Error measure.
    pub loss: Loss,
    /// Optimiser.
    pub optimizer: OptimizerKind,
    /// Learning rate at the start, above 0.
    pub learning_rate: f32,
    /// Its course.
    pub schedule: Schedule,
    /// Images a step, at least 1.
    pub batch_size: usize,
    /// Steps, at least 1.
    pub steps: u64,
    /// Standard deviations above the mean at which losses are clipped, at least 0; none: not at all.
    #[serde(with = "number_or_off")]
    pub num_stddev: Option<f32>,
    /// Decay of both moments, in [0, 1).
    pub decay: f32,
    /// mu1 before the first step.
    pub mu1_start: f32,
    /// mu2 before the first step, above `mu1_start` squared.
    pub mu2_start: f32,
    /// Steps at the start that pass unclipped while the moments are plain averages; 0: the moments start from the
    /// estimates above.
    pub warm_up: u32,
    /// Channels of the trunk, even, at least 2.
    pub width: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads, at least 1.
    pub threads: usize,
    /// Implementation of the convolutions.
    pub conv: Algorithm,
    /// Instruction set of the convolutions.
    #[serde(default)]
    pub simd: simd::Choice,
    /// Order in which the gradients of a batch are summed.
    #[serde(default)]
    pub sum_order: SumOrder,
    /// Where the arithmetic is done.
    #[serde(default)]
    pub backend: BackendKind,
    /// Part of the name of the graphics adapter to use; none: the most powerful one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub adapter: Option<String>,
    /// Augmentation.
    pub augment: Switch,
    /// Order of the images.
    pub order: Order,
    /// File with starting parameters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init: Option<PathBuf>,
}

impl Default for Config {
    /// The published network and optimiser, clipping at 3 standard deviations, 16 images a step.
    fn default() -> Self {
        Self {
            data: BUILTIN.to_owned(),
            checkpoint_every: 1_000,
            keep: 2,
            loss: Loss::Squared,
            optimizer: OptimizerKind::Adam,
            learning_rate: 1.0 / 1280.0,
            schedule: Schedule::Published,
            batch_size: 16,
            steps: 100_000,
            num_stddev: Some(3.0),
            decay: 0.999,
            mu1_start: 25.0,
            mu2_start: 900.0,
            warm_up: 0,
            width: 128,
            seed: 0,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            conv: Algorithm::Auto,
            simd: simd::Choice::Auto,
            sum_order: SumOrder::Fast,
            backend: BackendKind::Cpu,
            adapter: None,
            augment: Switch::On,
            order: Order::Shuffled,
            init: None,
        }
    }
}

/// A value outside its range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid value '{value}' for '--{option}': permitted: {permitted}")]
pub struct ConfigError {
    /// The option's name.
    pub option: &'static str,
    /// Its value.
    pub value: String,
    /// What it may be.
    pub permitted: Cow<'static, str>,
}

impl ConfigError {
    fn unless(is_permitted: bool, option: &'static str, value: &dyn ToString) -> Result<(), Self> {
        if is_permitted {
            return Ok(());
        }
        Err(Self { option, value: value.to_string(), permitted: permitted(option).into() })
    }
}

/// What the value of an option that is a number or a path may be; nothing for others.
pub fn permitted(option: &str) -> &'static str {
    match option {
        "learning-rate" => "a number above 0 and at most 1000",
        "batch-size" => "1 to 65536",
        "steps" | "checkpoint-every" => "1 to 1000000000",
        "keep" => "1 to 1000000",
        "num-stddev" => "0 to 1e9, or `off`",
        "decay" => "at least 0 and below 1",
        "mu1-start" => "a number from -1e9 to 1e9",
        "mu2-start" => "a finite number above the square of --mu1-start",
        "warm-up" => "0 to 4294967295",
        "width" => "an even number from 2 to 4096",
        "seed" => "0 to 9223372036854775807",
        "init" => "a path in UTF-8",
        "threads" => "1 to 1024",
        _ => "",
    }
}

impl Config {
    /// Whether every value lies in its range; the error names the first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rate = self.learning_rate;
        ConfigError::unless(rate > 0.0 && rate <= 1e3, "learning-rate", &rate)?;
        ConfigError::unless((1..=1 << 16).contains(&self.batch_size), "batch-size", &self.batch_size)?;
        ConfigError::unless((1..=1_000_000_000).contains(&self.steps), "steps", &self.steps)?;
        let every = self.checkpoint_every;
        ConfigError::unless((1..=1_000_000_000).contains(&every), "checkpoint-every", &every)?;
        ConfigError::unless((1..=1_000_000).contains(&self.keep), "keep", &self.keep)?;
        if let Some(n) = self.num_stddev {
            ConfigError::unless((0.0..=1e9).contains(&n), "num-stddev", &n)?;
        }
        ConfigError::unless((0.0..1.0).contains(&self.decay), "decay", &self.decay)?;
        ConfigError::unless(self.mu1_start.abs() <= 1e9, "mu1-start", &self.mu1_start)?;
        self.validate_mu2()?;
        let width = self.width;
        ConfigError::unless((2..=4096).contains(&width) && width.is_multiple_of(2), "width", &width)?;
        ConfigError::unless(i64::try_from(self.seed).is_ok(), "seed", &self.seed)?;
        let init = self.init.as_deref().unwrap_or(Path::new(""));
        ConfigError::unless(init.to_str().is_some(), "init", &init.display())?;
        self.instruction_set()?;
        ConfigError::unless((1..=1024).contains(&self.threads), "threads", &self.threads)
    }

    /// Tells the square, and that the value may be one that nobody has given.
    fn validate_mu2(&self) -> Result<(), ConfigError> {
        let (mu1, mu2) = (self.mu1_start, self.mu2_start);
        let square = mu1 * mu1;
        ConfigError::unless(mu2 > square && mu2.is_finite(), "mu2-start", &mu2).map_err(|error| {
            let is_default = mu2 == Self::default().mu2_start;
            let remedy =
                if is_default { format!("; {mu2} is the default, give both") } else { String::new() };
            let permitted = format!("{} {mu1}, which is {square}{remedy}", error.permitted).into();
            ConfigError { permitted, ..error }
        })
    }

    /// The instruction set of the convolutions.
    pub fn instruction_set(&self) -> Result<InstructionSet, ConfigError> {
        self.simd.resolve().ok_or_else(|| {
            let sets = simd::Choice::SETS.into_iter().filter_map(simd::Choice::resolve);
            let sets: Vec<_> = sets.map(InstructionSet::name).collect();
            ConfigError {
                option: "simd",
                value: self
                    .simd
                    .to_possible_value()
                    .map_or_else(String::new, |value| value.get_name().to_owned()),
                permitted: format!("auto, or what this processor has: {}", sets.join(", ")).into(),
            }
        })
    }

    /// The configuration of the clipping, if it is on.
    pub fn alrc(&self) -> Option<alrc_kernel::Config<f32>> {
        self.num_stddev.map(|num_stddev| alrc_kernel::Config {
            num_stddev,
            decay1: self.decay,
            decay2: self.decay,
            start: match self.warm_up {
                0 => Start::Estimate { mu1: self.mu1_start, mu2: self.mu2_start },
                steps => Start::WarmUp { steps },
            },
            ..alrc_kernel::Config::default()
        })
    }
}

/// A number of standard deviations, or `off`, as options and files write it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumStddev(#[serde(with = "number_or_off")] pub Option<f32>);

impl FromStr for NumStddev {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            list if list.contains(',') => {
                Err("permitted: one number, or `off`; `sweep` takes a list as --num-stddevs".to_owned())
            }
            number => {
                let number = number.parse().map(|n| Self(Some(n)));
                number.map_err(|_| format!("permitted: {}", permitted("num-stddev")))
            }
        }
    }
}

/// [`Config::num_stddev`] in files.
mod number_or_off {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(f32),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        let value = value.map_or_else(|| NumberOrText::Text("off".to_owned()), NumberOrText::Number);
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
        match NumberOrText::deserialize(deserializer) {
            Ok(NumberOrText::Number(number)) => Ok(Some(number)),
            Ok(NumberOrText::Text(off)) if off == "off" => Ok(None),
            _ => Err(de::Error::custom("permitted: a number, or \"off\"")),
        }
    }
}
