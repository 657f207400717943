//! `alrc-train run`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tracing::{error_span, info, warn};

use super::clipping::why_nothing_was_clipped;
use super::divergence::{diverged, losses_that_are_lost};
use super::options::{Options, Output};
use super::ranks::{agree, meet};
use super::shell::shell_word;
use super::{Failure, counted, stop_on_signal, stopped};
use crate::comm::{Communicator, Transport, agreement};
use crate::config::{self, Config, Switch};
use crate::data::{self, Dataset};
use crate::experiment::run::{self, Resumed, RunError};
use crate::record::files::{CONFIG, LOSSES};
use crate::record::merit::last_steps;
use crate::record::progress::Progress;
use crate::record::summary::{Ending, Summary};
use crate::signal::Stop;

/// One training run.
///
/// Writes config.toml, losses.csv, TensorBoard events, samples.png, summary.json and checkpoints. Ctrl-C ends it
/// cleanly after the step that is under way (status 130), a termination signal too (status 75); --resume then goes on
/// as if nothing had happened. A second Ctrl-C ends it at once: what was trained since the last checkpoint is lost. A
/// run without one finite loss in ten steps in a row stops with status 3. On Linux, a terminal that is closed counts as
/// a termination signal, unless nohup has the run go on.
///
/// Progress shows the unclipped loss and the share of clipped images as running means, over some twenty steps; those of
/// each step are in losses.csv. Its images/s are the mean since the run was started or resumed, all that happens between
/// steps included; images_per_second in summary.json is the median over the steps, which slow moments do not change.
///
/// With --comm mpi, all processes that mpirun or srun starts train one network together: each takes a part of every
/// batch, and the first writes the files. Checkpoints do not depend on their number.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train run --steps 1000
  alrc-train run --resume --out runs/long --steps 100000
  alrc-train run --data cifar-10-batches-bin --loss quartic --batch-size 4 --num-stddev 3 --out runs/quartic
  alrc-train run --config runs/quartic/config.toml --num-stddev off --out runs/quartic-off
  mpirun -n 4 alrc-train run --comm mpi --batch-size 64 --threads 8 --out runs/four-nodes")]
pub(super) struct Run {
    #[command(flatten)]
    options: Options,
    /// Continue the run in --out from its newest checkpoint, with its options where none are given here; begin it if
    /// there is none yet
    #[arg(long)]
    resume: bool,
    /// The processes that train together: this one, or those that MPI has started
    #[arg(long, default_value = "single")]
    comm: Transport,
    /// Sum gradients over the processes while they are being computed; off only shows what that hides
    #[arg(long, default_value = "on")]
    overlap: Switch,
    #[command(flatten)]
    output: Output,
}

impl Run {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let communicator = self.comm.start()?;
        let span = error_span!("rank", number = communicator.rank());
        let _entered = (communicator.size() > 1).then(|| span.entered());
        match stop_on_signal(communicator.rank() == 0)
            .and_then(|stop| self.train_and_report(&communicator, &stop))
        {
            Ok(status) => {
                communicator.leave();
                Ok(status)
            }
            Err(failure) if communicator.size() > 1 => {
                Err(Failure::OfRank { failure: Box::new(failure), communicator })
            }
            Err(failure) => Err(failure),
        }
    }

    fn train_and_report(
        &self,
        communicator: &Arc<dyn Communicator>,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let directory = self.output.directory("run");
        let (summary, config) = self.train(communicator, &directory, stop)?;
        let is_first = communicator.rank() == 0;
        let printed = if is_first { self.print(&summary, &config, &directory) } else { Ok(()) };
        match summary.ending {
            Ending::Finished => printed.map(|()| ExitCode::SUCCESS),
            Ending::Interrupted => Ok(stopped(stop, printed)),
            Ending::Diverged => Err(diverged(&summary, &config, &directory)),
        }
    }

    fn print(&self, summary: &Summary, config: &Config, directory: &Path) -> Result<(), Failure> {
        if self.output.json {
            say!("{}", serde_json::to_string_pretty(summary)?)?;
        } else {
            let loss = summary.mean_last_unclipped_loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
            let clipped = 100.0 * summary.clipped_fraction;
            let last = last_steps(summary.steps).min(summary.steps);
            say!(
                "{}, mean unclipped loss of the last {}: {loss}, images clipped: {clipped:.1} %; files: {}",
                counted(summary.steps, "step", "steps"),
                counted(last, "step", "steps"),
                directory.display()
            )?;
        }
        if summary.steps > config.steps {
            warn!(
                "the run already has {}, more than --steps {}",
                counted(summary.steps, "step", "steps"),
                config.steps
            );
        }
        if summary.ending == Ending::Finished {
            if let Some(lost) = losses_that_are_lost(summary, config) {
                warn!("{lost}");
            }
            if summary.has_finite_end() && config.num_stddev.is_some() && summary.clipped_fraction == 0.0 {
                info!("{}", why_nothing_was_clipped(config, &directory.join(LOSSES)));
            }
        }
        if summary.ending == Ending::Interrupted {
            if let Some(checkpoint) = &summary.final_checkpoint {
                info!("what was trained is saved in {}", checkpoint.display());
            }
            info!("to go on: alrc-train run --resume --out {}", shell_word(directory));
        }
        Ok(())
    }

    /// Begins the run, or continues it; together with the other ranks, if there are any, once all agree. Returns what
    /// came of it, and its configuration.
    fn train(
        &self,
        communicator: &Arc<dyn Communicator>,
        directory: &Path,
        stop: &Stop,
    ) -> Result<(Summary, Config), Failure> {
        let ranks = &**communicator;
        meet(ranks, Ok(()))?;
        // What follows depends on it: ranks that differ in this would wait for each other for ever.
        let beginning =
            if self.resume { "continues its run (--resume)" } else { "begins a run (no --resume)" };
        agreement::compare(ranks, beginning, |its, first| {
            format!("{its}, rank 0 {first}; start every rank with the same options")
        })?;
        let config = self.config(ranks)?;
        if let Some(summary) = self.finished(ranks, &config)? {
            if ranks.rank() == 0 && summary.ending == Ending::Finished {
                info!("nothing is left to do in {}: more --steps continue it", directory.display());
            }
            return Ok((summary, config));
        }
        let dataset = data::load(&config.data, config.seed).map_err(|error| {
            let origin = self.resume.then(|| directory.join(CONFIG));
            self.options.tell_origin_of_data(error.into(), origin)
        });
        let dataset = agree(ranks, dataset)?;
        agreement::compare(ranks, &describe(&dataset), |its, first| {
            format!("reads {its} from --data, rank 0 reads {first}; give every rank the same data")
        })?;

        let opened = self.open(ranks, config.clone(), Arc::new(dataset), directory).map_err(Failure::from);
        let opened = agree(ranks, opened)?;
        // Another process may have ended the run since.
        let finished = from_first(ranks, opened.finished())?;
        let mut run = match (opened, finished) {
            (Resumed::Unfinished(run), None) => run,
            (Resumed::Finished(summary), _) | (_, Some(summary)) => return Ok((summary, config)),
        };
        run.join(Arc::clone(communicator), self.overlap.is_on())?;
        let (first, steps) = (run.trainer.step, run.trainer.config.steps);
        let mut progress = (ranks.rank() == 0).then(|| Progress::new("run", first, steps));
        Ok((run.train(progress.as_mut(), stop, |_| {})?, config))
    }

    /// The configuration, the same on every rank; only rank 0 needs to reach `--out`.
    fn config(&self, ranks: &dyn Communicator) -> Result<Config, Failure> {
        let defaults =
            if self.resume && ranks.rank() == 0 { self.read_config() } else { Ok(Config::default()) };
        let mut defaults = agree(ranks, defaults)?;
        if self.resume {
            let text = agreement::from_first(ranks, defaults.to_table().to_string().as_bytes());
            let table = String::from_utf8_lossy(&text).parse().unwrap_or_default();
            defaults =
                agree(ranks, defaults.with(&table).map_err(|error| Failure::Usage(error.to_string())))?;
        }
        let config = agree(ranks, self.options.resolve(defaults))?;
        let common = config.common();
        agreement::compare(ranks, &common.to_string(), |its, _| {
            let other = its.parse().unwrap_or_default();
            let (its, first) = config::difference(&other, &common).unwrap_or_default();
            format!("has {its}, rank 0 has {first}; start every rank with the same options")
        })?;
        agree(ranks, config.backend.permit(ranks.size()).map_err(|error| RunError::from(error).into()))?;
        Ok(config)
    }

    fn read_config(&self) -> Result<Config, Failure> {
        let directory = self.output.resumed("the run")?;
        let found = run::read_resumed_config(directory)?;
        if found.is_none() {
            warn!("nothing to resume in {}: a new run begins there", directory.display());
        }
        Ok(found.unwrap_or_default())
    }

    /// The summary of the run in `--out`, if it is to be resumed but has nothing left to do.
    fn finished(&self, ranks: &dyn Communicator, config: &Config) -> Result<Option<Summary>, Failure> {
        let find = || -> Result<Option<Summary>, Failure> {
            let directory = self.output.resumed("the run")?;
            let images = || Ok(data::load(&config.data, config.seed)?.checksum());
            run::nothing_left(config, directory, images)
                .map_err(|error| self.options.tell_origin_of_data(error, Some(directory.join(CONFIG))))
        };
        let found = agree(ranks, if self.resume && ranks.rank() == 0 { find() } else { Ok(None) })?;
        from_first(ranks, found.as_ref())
    }

    /// The run with its files on rank 0, without on others.
    fn open(
        &self,
        ranks: &dyn Communicator,
        config: Config,
        dataset: Arc<Dataset>,
        directory: &Path,
    ) -> Result<Resumed, RunError> {
        let run = if ranks.rank() > 0 {
            run::Run::without_files(config, dataset)?
        } else if self.resume {
            return run::Run::resume(config, dataset, directory);
        } else {
            run::Run::create(config, dataset, directory)?
        };
        Ok(Resumed::Unfinished(Box::new(run)))
    }
}

/// The summary of a run with nothing left to do, on every rank, if rank 0 has found one.
fn from_first(ranks: &dyn Communicator, found: Option<&Summary>) -> Result<Option<Summary>, Failure> {
    let json = agreement::from_first(ranks, &serde_json::to_vec(&found)?);
    Ok(serde_json::from_slice(&json)?)
}

fn describe(dataset: &Dataset) -> String {
    format!("{} images with the CRC-32 {:08x}", dataset.records.len(), dataset.checksum())
}
