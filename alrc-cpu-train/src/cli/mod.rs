//! The command line: arguments, and calls into the library.

/// Prints a line of results. A reader who has gone, `head` for example, wants no more of them and is no reason to fail.
macro_rules! say {
    ($($argument:tt)*) => {{
        use std::io::Write;
        if let Err(error) = writeln!(std::io::stdout(), $($argument)*)
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            eprintln!("error: cannot print the result: {error}");
        }
    }};
}

mod compare;
mod data;
mod info;
mod manual;
mod options;
mod phases;
mod ranks;
mod replay;
mod report;
mod run;
mod sweep;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use phases::Phases;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::comm::agreement::RankFailure;
use crate::comm::{Communicator, TransportError};
use crate::config::{Config, ConfigError};
use crate::data::fetch::FetchError;
use crate::data::verify::VerifyError;
use crate::experiment::run::RunError;
use crate::record::progress::Messages;
use crate::report::ReportError;
use crate::signal::Stop;

/// Trains the CIFAR-10 supersampling network with adaptive learning rate clipping.
#[derive(Debug, Parser)]
#[command(name = "alrc-train", version, propagate_version = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How much to tell on standard error: off, error, warn, info, debug or trace; debug adds what share of a step each
    /// of its phases takes, those of the arithmetic with `--backend cpu` alone
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train one setting with and without clipping, side by side, and draw both: the two-minute demonstration
    Compare(compare::Compare),
    /// One training run
    Run(run::Run),
    /// A grid of runs, resumable and divisible
    Sweep(sweep::Sweep),
    /// The results of runs: the paper's table, learning curves, and one page with everything
    Report(report::Report),
    /// Apply clipping to a loss curve that was logged, to choose its parameters before training
    Replay(replay::Replay),
    /// Download, check and look at the images of CIFAR-10
    Data(data::Data),
    /// What this machine offers and what would be used
    Info(info::Info),
    /// Completions of a shell, for this program's commands and options
    Completions(manual::Completions),
    /// Manual pages
    Man(manual::Man),
}

/// Why a command failed.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("{0}")]
    Diverged(String),
    #[error("cannot listen for Ctrl-C: {0}")]
    Signals(io::Error),
    #[error("cannot print the result: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot write the manual: {0}")]
    Manual(io::Error),
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A failure that every rank knows.
    #[error(transparent)]
    Agreed(#[from] RankFailure),
    /// A failure of a rank that is not alone.
    #[error("{failure}")]
    OfRank { failure: Box<Failure>, communicator: Arc<dyn Communicator> },
}

impl Failure {
    /// 2: the options or the data must be mended; 3: training diverged; 1: anything else.
    fn status(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Usage(_)
            | Self::Verify(_)
            | Self::Fetch(FetchError::Occupied(_))
            | Self::Transport(TransportError::NotBuilt) => 2,
            Self::Run(error) if error.is_usage() => 2,
            Self::Report(error) if error.is_usage() => 2,
            Self::Diverged(_) => 3,
            Self::Agreed(failure) => failure.status,
            Self::OfRank { failure, .. } => failure.status(),
            Self::Run(_)
            | Self::Report(_)
            | Self::Fetch(_)
            | Self::Transport(_)
            | Self::Signals(_)
            | Self::Json(_)
            | Self::Manual(_) => 1,
        }
    }
}

/// Exit status after Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// Exit status after a termination signal, EX_TEMPFAIL: run the same command again.
const TERMINATED: u8 = 75;

/// The definition of the arguments, with the defaults that come from configurations in its help.
fn command() -> clap::Command {
    let defaults = Config::default();
    Cli::command()
        .mut_subcommand("compare", |command| options::tell_defaults(command, &compare::defaults()))
        .mut_subcommand("run", |command| options::tell_defaults(command, &defaults))
        .mut_subcommand("sweep", |command| options::tell_defaults(command, &defaults))
        .mut_subcommand("replay", |command| options::tell_defaults(command, &defaults))
}

/// Runs the command that the arguments name; prints errors.
pub fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    let phases = Phases::default();
    tracing_subscriber::registry()
        .with(cli.log_level)
        .with(tracing_subscriber::fmt::layer().with_writer(|| Messages).with_target(false).without_time())
        .with(phases.clone())
        .init();
    let result = match cli.command {
        Command::Compare(command) => command.execute(),
        Command::Run(command) => command.execute(),
        Command::Sweep(command) => command.execute(),
        Command::Report(command) => command.execute(),
        Command::Replay(command) => command.execute(),
        Command::Data(command) => command.execute(),
        Command::Info(command) => command.execute(),
        Command::Completions(completions) => completions.execute(command()),
        Command::Man(man) => man.execute(command()),
    };
    phases.report();
    result.unwrap_or_else(|failure| match failure {
        Failure::OfRank { failure, communicator } => ranks::end(&failure, &*communicator),
        failure => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.status())
        }
    })
}

fn stop_on_signal() -> Result<Stop, Failure> {
    Stop::on_signal().map_err(Failure::Signals)
}

/// The status of a command that was stopped.
fn stopped(stop: &Stop) -> ExitCode {
    ExitCode::from(if stop.is_termination() { TERMINATED } else { INTERRUPTED })
}
