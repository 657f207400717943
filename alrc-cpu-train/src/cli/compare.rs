//! `alrc-train compare`.

use std::process::ExitCode;

use clap::Args;

use super::options::{Options, Output};
use super::{Failure, stop_on_signal, stopped};
use crate::config::{Config, ConfigError};
use crate::experiment::compare;
use crate::loss::Loss;

/// Train one setting with and without clipping, side by side, and draw both.
///
/// Both runs of a pair have the same seed and data. The defaults (quartic errors, Adam at a learning rate of
/// 0.002, one image a step, clipping at 2 standard deviations with decay 0.99) take about two minutes on two
/// processors.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train compare
  alrc-train compare --data cifar-10-batches-bin --loss squared --optimizer sgd --learning-rate 0.003
  alrc-train compare --steps 60 --width 16")]
pub(super) struct Compare {
    #[command(flatten)]
    options: Options,
    /// Pairs of runs, each with another seed
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    #[command(flatten)]
    output: Output,
}

impl Compare {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let config = self.options.resolve(defaults())?;
        if !(1..=100).contains(&self.seeds) {
            let value = self.seeds.to_string();
            return Err(ConfigError { option: "seeds", value, permitted: "1 to 100" }.into());
        }
        if config.num_stddev.is_none() {
            let permitted = "0 to 1e9: the comparison makes the run without clipping itself";
            return Err(ConfigError { option: "num-stddev", value: "off".to_owned(), permitted }.into());
        }
        let directory = self.output.directory("compare");
        let stop = stop_on_signal()?;
        let runs = compare::compare(&config, self.seeds, &directory, &stop)?;
        if self.output.json {
            say!("{}", serde_json::to_string_pretty(&runs)?);
        } else {
            say!("{}", compare::table(&runs));
            say!("curves: {}", directory.join("curves.png").display());
        }
        Ok(if stop.is_asked() { stopped(&stop) } else { ExitCode::SUCCESS })
    }
}

/// The setting of the demonstration.
fn defaults() -> Config {
    Config {
        loss: Loss::Quartic,
        learning_rate: 0.002,
        batch_size: 1,
        steps: 5_000,
        num_stddev: Some(2.0),
        decay: 0.99,
        width: 64,
        ..Config::default()
    }
}
