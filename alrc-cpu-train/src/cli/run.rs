//! `alrc-train run`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::options::{Options, Output};
use super::{Failure, stop_on_signal, stopped};
use crate::config::Config;
use crate::experiment::run::{self, RunError};
use crate::record::progress::Board;
use crate::record::summary::{Ending, Summary};
use crate::signal::Stop;

/// One training run.
///
/// Writes config.toml, losses.csv, TensorBoard events, samples.png, summary.json and checkpoints. Ctrl-C ends it
/// cleanly (status 130), a termination signal too (status 75); --resume then goes on as if nothing had happened. A run
/// whose losses are no longer finite stops with status 3.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train run --steps 1000
  alrc-train run --resume --out runs/long --steps 100000
  alrc-train run --data cifar-10-batches-bin --loss quartic --batch-size 4 --num-stddev 3 --out runs/quartic
  alrc-train run --config runs/quartic/config.toml --num-stddev off --out runs/quartic-off")]
pub(super) struct Run {
    #[command(flatten)]
    options: Options,
    /// Continue the run in --out from its newest checkpoint; begin it if there is none yet
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    output: Output,
}

impl Run {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let stop = stop_on_signal()?;
        let summary = if self.resume { self.resume(&stop)? } else { self.start(&stop)? };
        if self.output.json {
            println!("{}", serde_json::to_string_pretty(&summary)?);
        } else {
            let loss = summary.mean_last_unclipped_loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
            println!("{} steps, mean unclipped loss of the last: {loss}", summary.steps);
        }
        match summary.ending {
            Ending::Finished => Ok(ExitCode::SUCCESS),
            Ending::Interrupted => Ok(stopped(&stop)),
            Ending::Diverged => {
                let good = summary.final_checkpoint.map_or("no checkpoint is good".to_owned(), |path| {
                    format!("the last good checkpoint is {}", path.display())
                });
                let step = summary.steps - 1;
                Err(Failure::Diverged(format!(
                    "training diverged at step {step}: no image of 10 successive steps had a finite loss; {good}; \
                     try a lower --learning-rate or --num-stddev"
                )))
            }
        }
    }

    /// Begins a run.
    fn start(&self, stop: &Stop) -> Result<Summary, Failure> {
        let config = self.options.resolve(Config::default())?;
        let dataset = Arc::new(run::load(&config).map_err(RunError::from)?);
        let run = run::Run::create(config, dataset, &self.output.directory("run"))?;
        self.train(run, stop)
    }

    /// Continues the run in `--out`, if there is one that is not finished.
    fn resume(&self, stop: &Stop) -> Result<Summary, Failure> {
        let directory = self.output.given().ok_or_else(|| {
            Failure::Usage("'--resume' needs '--out DIR', the directory of the run".to_owned())
        })?;
        let defaults = run::read_config(directory)?.unwrap_or_default();
        let config = self.options.resolve(defaults)?;
        run::check_config(&config, directory)?;
        if let Some(summary) = run::finished(directory, config.steps) {
            return Ok(summary);
        }
        let dataset = Arc::new(run::load(&config).map_err(RunError::from)?);
        self.train(run::Run::resume(config, dataset, directory)?, stop)
    }

    fn train(&self, run: run::Run, stop: &Stop) -> Result<Summary, Failure> {
        let (first, steps) = (run.trainer.step, run.trainer.config.steps);
        let mut progress = Board::default().run("run", first, steps);
        Ok(run.train(&mut progress, stop, |_| {})?)
    }
}
