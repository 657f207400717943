//! `alrc-train run`.

use std::process::ExitCode;

use clap::Args;

use super::options::{Options, Output};
use super::{Failure, INTERRUPTED, stop_on_signal};
use crate::config::Config;
use crate::experiment::run;
use crate::record::progress::Board;
use crate::record::summary::Ending;

/// One training run.
///
/// Writes config.toml, losses.csv, samples.png, summary.json and a checkpoint. Ctrl-C ends it cleanly (status 130).
/// A run whose losses are no longer finite stops with status 3.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train run --steps 1000
  alrc-train run --data cifar-10-batches-bin --loss quartic --batch-size 4 --num-stddev 3 --out runs/quartic
  alrc-train run --config runs/quartic/config.toml --num-stddev off --out runs/quartic-off")]
pub(super) struct Run {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    output: Output,
}

impl Run {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let config = self.options.resolve(Config::default())?;
        let dataset = run::load(&config).map_err(run::RunError::from)?;
        let mut trainer = run::prepare(&config, dataset)?;
        let directory = self.output.directory("run");
        run::create_directory(&directory)?;
        let stop = stop_on_signal()?;
        let mut progress = Board::default().run("run", config.steps);
        let summary = run::run(&mut trainer, &directory, &mut progress, &stop, |_| {})?;
        if self.output.json {
            println!("{}", serde_json::to_string_pretty(&summary)?);
        } else {
            let loss = summary.mean_last_unclipped_loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
            println!("{} steps, mean unclipped loss of the last: {loss}", summary.steps);
            println!("files: {}", directory.display());
        }
        match summary.ending {
            Ending::Finished => Ok(ExitCode::SUCCESS),
            Ending::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
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
}
