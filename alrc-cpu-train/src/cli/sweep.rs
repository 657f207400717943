//! `alrc-train sweep`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use serde_json::json;
use toml::{Table, Value};
use tracing::{info, warn};

use super::clipping::why_nothing_was_clipped;
use super::options::{Options, directory, warn_of_threads, whole};
use super::{Failure, counted, stop_on_signal, stopped};
use crate::backend::BackendKind;
use crate::config::{Config, ConfigError, NumStddev, permitted};
use crate::data;
use crate::experiment::grid::{Grid, GridError, GridRun, PUBLISHED};
use crate::experiment::plan::Plan;
use crate::experiment::run::{self, RunError};
use crate::experiment::sweep::{self, Datasets, Outcome, Swept};
use crate::record::files::LOSSES;
use crate::record::summary::{Ending, Summary};

/// A grid of runs: a published one, or one from a file.
///
/// Each run has a directory of its own below --out. The same command again skips what is finished and continues what
/// was begun; several processes, such as the shards of a job array, may work on one directory. With more --steps,
/// finished runs go on; with fewer, they stay as they are, and unfinished ones that are past them are refused. --list
/// tells the cost, and whether images are missing, and begins nothing. That a run diverges is a result: it is counted at
/// the end, whenever it did, and the status is 0.
///
/// Options given here hold for every run, in place of the grid's; what neither gives has its default. So --batch-size and
/// --num-stddev give what a grid varies one value, which the names of the runs go on telling; --batch-sizes and
/// --num-stddevs vary it over other values.
#[derive(Debug, Args)]
#[command(after_help = "Published grids: stability-squared, stability-quartic, unstable-adam, unstable-sgd

Examples:
  alrc-train sweep stability-quartic --data cifar-10-batches-bin
  alrc-train sweep stability-quartic --batch-sizes 1,4 --num-stddevs 2,3,off --repeats 5 --steps 10000 --jobs 2
  alrc-train sweep unstable-adam --shard 2/4 --out runs/unstable-adam
  alrc-train sweep grid.toml --list

A grid file:
  repeats = 5
  [options]
  loss = \"quartic\"
  [vary]
  batch-size = [1, 4]
  num-stddev = [2, 3, \"off\"]")]
pub(super) struct Sweep {
    /// Name of a published grid, or a grid file
    #[arg(value_name = "NAME|FILE.toml")]
    grid: String,
    /// Runs of each combination, with successive seeds [default: the grid's]
    #[arg(long, value_parser = whole::<u64>("1 to 100000"))]
    repeats: Option<u64>,
    /// Batch sizes to try [default: the grid's]
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_negative_numbers = true,
        conflicts_with = "batch_size", value_parser = whole::<usize>(permitted("batch-size")))]
    batch_sizes: Vec<usize>,
    /// Clipping thresholds to try [default: the grid's]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "num_stddev"
    )]
    num_stddevs: Vec<NumStddev>,
    /// Do part I of N: numbers from 1 to N, or from 0 to N - 1
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,
    /// Runs side by side, which share the threads
    #[arg(long, default_value_t = 1, value_parser = whole::<usize>(PERMITTED_JOBS))]
    jobs: usize,
    /// Only list the runs, and tell how much work they are
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    options: Options,
    /// Directory for the runs [default: runs/NAME]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    out: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
}

const PERMITTED_JOBS: &str = "1 to 1024";

impl Sweep {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        if !(1..=1024).contains(&self.jobs) {
            let value = self.jobs.to_string();
            return Err(ConfigError { option: "jobs", value, permitted: PERMITTED_JOBS.into() }.into());
        }
        let runs = sweep::shard(self.runs()?, self.shard.index, self.shard.parts);
        let runs = sweep::share_threads(runs, self.jobs);
        let name = Path::new(&self.grid).file_stem().unwrap_or_default();
        let directory = self.out.clone().unwrap_or_else(|| Path::new("runs").join(name));
        run::check_is_no_comparison(&directory)?;
        if self.list {
            self.print_list(&runs, &directory)?;
            return Ok(ExitCode::SUCCESS);
        }
        let stop = stop_on_signal(true)?;
        let (label, datasets) = (name.to_string_lossy(), Datasets::default());
        let swept = sweep::sweep(runs, &directory, self.jobs, &label, &datasets, &stop);
        let swept = swept.map_err(|error| self.tell_origin_of_data(error))?;
        let printed = self.print(&swept, &directory);
        if stop.is_asked() {
            info!("to go on, give the same command again");
            return Ok(stopped(&stop, printed));
        }
        printed?;
        warn_if_nothing_clipped(&swept);
        check_outcomes(&swept)
    }

    fn print(&self, swept: &[Swept], directory: &Path) -> Result<(), Failure> {
        if self.json {
            say!("{}", serde_json::to_string_pretty(swept)?)
        } else {
            print_outcomes(swept, directory)
        }
    }

    /// The runs of the grid, with what the command line changes.
    fn runs(&self) -> Result<Vec<GridRun>, Failure> {
        let usage = |problem: &dyn std::fmt::Display| {
            Failure::Usage(format!("invalid value '{}' for 'NAME|FILE.toml': {problem}", self.grid))
        };
        let published = PUBLISHED.iter().find(|(name, _)| *name == self.grid);
        let text = match published {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(&self.grid).map_err(|error| {
                let names = PUBLISHED.map(|(name, _)| name).join(", ");
                usage(&format!("{error}; give a file, or one of {names}"))
            })?,
        };
        let mut grid = Grid::parse(&text).map_err(|error| usage(&error))?;
        if let Some(repeats) = self.repeats {
            grid.repeats = repeats;
        }
        let defaults = self.options.merge(Config::default())?;
        let options = self.options.table()?;
        if published.is_some() && !options.contains_key("data") {
            warn!(
                "{} was published for photographs, and without --data it trains on images that are made up: `alrc-train \
                 data fetch` downloads the photographs; --data builtin silences this warning",
                self.grid
            );
        }
        self.warn_of_what_the_file_ends(&grid, &options);
        grid.set(options);
        if !self.batch_sizes.is_empty() {
            for &batch_size in &self.batch_sizes {
                validate("batch-sizes", Config { batch_size, ..Config::default() })?;
            }
            let values = self.batch_sizes.iter().filter_map(|&size| Value::try_from(size).ok());
            grid.vary("batch-size", values.collect());
        }
        if !self.num_stddevs.is_empty() {
            for &NumStddev(num_stddev) in &self.num_stddevs {
                validate("num-stddevs", Config { num_stddev, ..Config::default() })?;
            }
            let values = self.num_stddevs.iter().filter_map(|value| Value::try_from(value).ok());
            grid.vary("num-stddev", values.collect());
        }
        let runs = grid.runs(&defaults).map_err(|error| match (error, self.repeats) {
            (error @ GridError::Size(_), Some(repeats)) => {
                Failure::Usage(format!("invalid value '{repeats}' for '--repeats': {error}"))
            }
            (error, _) => usage(&error),
        })?;
        // An adapter is for those runs that use one.
        let uses_adapter = |run: &&GridRun| run.config.backend != BackendKind::Cpu;
        if let Some(run) = runs.iter().find(uses_adapter).or(runs.first()) {
            self.options.check_adapter(&run.config)?;
        }
        if let Some(threads) = runs.iter().map(|run| run.config.threads).max() {
            warn_of_threads(threads);
        }
        Ok(runs)
    }

    /// Tells which of the options that the grid varies have one value among `options`, and that from the configuration
    /// file.
    fn warn_of_what_the_file_ends(&self, grid: &Grid, options: &Table) {
        let own = self.options.own_table();
        let is_listed = |name: &str| {
            name == "batch-size" && !self.batch_sizes.is_empty()
                || name == "num-stddev" && !self.num_stddevs.is_empty()
        };
        let is_ended =
            |name: &&str| options.contains_key(*name) && !own.contains_key(*name) && !is_listed(name);
        let ended: Vec<&str> = grid.varied().filter(is_ended).collect();
        if !ended.is_empty() {
            warn!(
                "--config gives {}, which the grid varies: the file's value holds for every run; leave it out of the file \
                 to vary it",
                ended.join(", ")
            );
        }
    }

    fn print_list(&self, runs: &[GridRun], directory: &Path) -> Result<(), Failure> {
        let names: Vec<_> = runs.iter().map(|run| run.name.as_str()).collect();
        for run in runs {
            run::check_config(&run.config, &directory.join(&run.name))?;
        }
        let plan = Plan::new(runs, directory, self.jobs);
        if self.json {
            say!("{}", serde_json::to_string_pretty(&json!({ "names": names, "plan": plan }))?)?;
        } else {
            say!("{}", names.join("\n"))?;
            // Not among the names, which other programs may read.
            info!("{plan}");
        }
        plan.tell_other_steps();
        self.warn_of_missing_data(runs, directory);
        Ok(())
    }

    /// Tells of images that runs with something left to do need, and that are not there.
    fn warn_of_missing_data(&self, runs: &[GridRun], directory: &Path) {
        let needs_data =
            |run: &&GridRun| run::finished(&directory.join(&run.name), run.config.steps).is_none();
        let needed: BTreeSet<&str> =
            runs.iter().filter(needs_data).map(|run| run.config.data.as_str()).collect();
        for data in needed {
            if let Err(error) = data::check(data) {
                warn!("these runs cannot be trained yet: {}", self.tell_origin_of_data(error.into()));
            }
        }
    }

    /// The failure; if it is that of images, with the grid that names them. A published grid names none.
    fn tell_origin_of_data(&self, error: RunError) -> Failure {
        self.options.tell_origin_of_data(error, Some(PathBuf::from(&self.grid)))
    }
}

/// Refuses a value out of range in the name of the option that lists it.
fn validate(option: &'static str, config: Config) -> Result<(), ConfigError> {
    config.validate().map_err(|error| ConfigError { option, ..error })
}

/// An error that tells which runs failed, if any did.
fn check_outcomes(swept: &[Swept]) -> Result<ExitCode, Failure> {
    let failures = swept.iter().filter_map(|run| match &run.outcome {
        Outcome::Failed(error) => Some(format!("\n{}: {error}", run.name)),
        _ => None,
    });
    let failures: Vec<_> = failures.collect();
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::Usage(format!(
        "{} of {} failed; when what follows is mended, give the same command again:{}",
        failures.len(),
        counted(swept.len() as u64, "run", "runs"),
        failures.concat()
    )))
}

/// Tells how many of the finished runs with clipping clipped nothing, and of one of them why, if any was trained here.
fn warn_if_nothing_clipped(swept: &[Swept]) {
    if !swept.iter().any(|run| matches!(run.outcome, Outcome::Trained(_))) {
        return;
    }
    let with_clipping: Vec<_> = swept
        .iter()
        .filter_map(|run| {
            let summary = run.outcome.summary()?;
            let config = run::read_config(&run.directory).ok()??;
            let counts = summary.has_finite_end() && config.num_stddev.is_some();
            counts.then_some((run, config, summary.clipped_fraction))
        })
        .collect();
    let without_effect = || with_clipping.iter().filter(|(_, _, clipped)| *clipped == 0.0);
    if let Some((run, config, _)) = without_effect().next() {
        warn!(
            "{} of {} with clipping came out as without it; {}: {}",
            without_effect().count(),
            counted(with_clipping.len() as u64, "finished run", "finished runs"),
            run.name,
            why_nothing_was_clipped(config, &run.directory.join(LOSSES))
        );
    }
}

fn print_outcomes(swept: &[Swept], directory: &Path) -> Result<(), Failure> {
    let count = |is: fn(&Outcome) -> bool| swept.iter().filter(|run| is(&run.outcome)).count();
    let has_diverged = |outcome: &Outcome| outcome.summary().is_some_and(Summary::has_diverged);
    let others = |is: fn(&Outcome) -> bool| {
        swept.iter().map(|run| &run.outcome).filter(|outcome| !has_diverged(outcome) && is(outcome)).count()
    };
    say!(
        "{}: {} finished here, {} interrupted, {} diverged, {} done before, {} in another process, {} not begun, \
         {} failed",
        counted(swept.len() as u64, "run", "runs"),
        others(|outcome| matches!(outcome, Outcome::Trained(summary) if summary.ending == Ending::Finished)),
        others(
            |outcome| matches!(outcome, Outcome::Trained(summary) if summary.ending == Ending::Interrupted)
        ),
        count(has_diverged),
        others(|outcome| matches!(outcome, Outcome::Skipped(_))),
        count(|outcome| matches!(outcome, Outcome::Elsewhere)),
        count(|outcome| matches!(outcome, Outcome::NotBegun)),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
    )?;
    say!("report: alrc-train report {}", directory.display())
}

/// Part of a sweep.
#[derive(Clone, Copy, Debug)]
struct Shard {
    index: usize,
    parts: usize,
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(index, parts)| Some((index.parse().ok()?, parts.parse().ok()?)));
        match parsed {
            Some((index, parts)) if parts > 0 && index <= parts => Ok(Self { index, parts }),
            _ => Err("permitted: I/N with N at least 1 and I at most N, such as 2/4"),
        }
    }
}
