//! `alrc-train compare`.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Command};

use tracing::{info, warn};

use super::clipping::why_nothing_was_clipped;
use super::divergence::lost_end;
use super::options::{Options, Output, whole};
use super::shell::shell_word;
use super::{Failure, stop_on_signal, stopped};
use crate::config::{Config, NumStddev};
use crate::experiment::compare::{self, Compared, Comparison, PERMITTED_SEEDS, PERMITTED_THRESHOLDS};
use crate::loss::Loss;
use crate::record::files::{COMPARISON, LOSSES};
use crate::record::summary::Summary;

/// Train one setting with and without clipping, side by side, and draw both: the demonstration.
///
/// Both runs of a pair have the same seed and data. The defaults (quartic errors, Adam at a learning rate of
/// 0.002, one image a step, clipping at 2 standard deviations with decay 0.99) take about two minutes on two cores
/// with AVX-512, twice that with AVX2. Ctrl-C ends it cleanly; --resume then goes on as if nothing had happened.
/// That a run diverges is a result: it is told below the table, and the status is 0.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train compare
  alrc-train compare --data cifar-10-batches-bin --loss squared --optimizer sgd --learning-rate 0.003
  alrc-train compare --steps 60 --width 16 --mu1-start 5 --mu2-start 30
  alrc-train compare --resume --out runs/compare")]
pub(super) struct Compare {
    #[command(flatten)]
    options: Options,
    #[arg(long, value_parser = whole::<u64>(PERMITTED_SEEDS), help = format!("Pairs of runs, each with another seed [default: {SEEDS}]"))]
    seeds: Option<u64>,
    /// Continue the comparison in --out, with its options where none are given here; begin it if there is none yet
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    output: Output,
}

/// Pairs of runs unless told otherwise.
const SEEDS: u64 = 3;

impl Compare {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let comparison = self.comparison()?;
        let directory = self.output.directory("compare");
        let stop = stop_on_signal(true)?;
        let runs = comparison.carry_out(&directory, self.resume, &stop).map_err(|error| {
            let origin = self.resume.then(|| directory.join(COMPARISON));
            self.options.tell_origin_of_data(error, origin)
        })?;
        let printed = self.print(&runs, &directory);
        if stop.is_asked() {
            info!("to go on: alrc-train compare --resume --out {}", shell_word(&directory));
            return Ok(stopped(&stop, printed));
        }
        printed?;
        warn_if_nothing_clipped(&runs, &comparison.options, &directory);
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, runs: &[Compared], directory: &Path) -> Result<(), Failure> {
        if self.output.json {
            say!("{}", serde_json::to_string_pretty(runs)?)?;
        } else if !runs.is_empty() {
            say!("{}", compare::table(runs))?;
            print_diverged(runs)?;
            say!("curves: {}", directory.join("curves.png").display())?;
        }
        Ok(())
    }

    /// What is to be compared: as the command line says, else as in the comparison that is resumed, else by default.
    fn comparison(&self) -> Result<Comparison, Failure> {
        let found = if self.resume { self.read()? } else { None };
        let found = found.unwrap_or_else(|| Comparison { seeds: SEEDS, options: defaults() });
        let options = self.options.resolve(found.options)?;
        let seeds = self.seeds.unwrap_or(found.seeds);
        let comparison = Comparison { seeds, options };
        comparison.validate()?;
        Ok(comparison)
    }

    fn read(&self) -> Result<Option<Comparison>, Failure> {
        let directory = self.output.resumed("the comparison")?;
        let found = Comparison::read(directory)?;
        if found.is_none() {
            warn!("nothing to resume in {}: a new comparison begins there", directory.display());
        }
        Ok(found)
    }
}

/// Has the command take no `off` as the threshold of its clipped runs, nor offer it.
pub(super) fn without_off(command: Command) -> Command {
    command.mut_arg("num_stddev", |argument| argument.value_name("N").value_parser(threshold))
}

/// A threshold of clipped runs.
fn threshold(text: &str) -> Result<NumStddev, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1e9).contains(number));
    number.map(|number| NumStddev(Some(number))).ok_or_else(|| format!("permitted: {PERMITTED_THRESHOLDS}"))
}

/// Prints how many runs have diverged, with clipping and without, if any has.
fn print_diverged(runs: &[Compared]) -> Result<(), Failure> {
    let count = |is_clipped: bool| {
        let of_kind = || runs.iter().filter(|run| run.num_stddev.is_some() == is_clipped);
        (of_kind().filter(|run| run.summary.has_diverged()).count(), of_kind().count())
    };
    let [(unclipped, of_unclipped), (clipped, of_clipped)] = [false, true].map(count);
    if unclipped + clipped == 0 {
        return Ok(());
    }
    say!("diverged: {unclipped} of {of_unclipped} without clipping, {clipped} of {of_clipped} with it")
}

/// Tells a user in whose comparison nothing was clipped why, and what to change.
fn warn_if_nothing_clipped(runs: &[Compared], options: &Config, directory: &Path) {
    let clipped = || runs.iter().filter(|run| run.num_stddev.is_some()).map(|run| &run.summary);
    if clipped().any(|summary| summary.clipped_fraction > 0.0) {
        return;
    }
    let has_finite_end = |summary: &Summary| summary.mean_last_unclipped_loss.is_some();
    let why = if clipped().any(has_finite_end) {
        let losses = directory.join(format!("seed-{}-unclipped", options.seed)).join(LOSSES);
        why_nothing_was_clipped(options, &losses)
    } else if let Some(summary) = clipped().next() {
        lost_end(summary, options)
    } else {
        return;
    };
    warn!("no loss was clipped, so that both runs of each pair are the same: {why}");
}

/// The setting of the demonstration.
pub(super) fn defaults() -> Config {
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
