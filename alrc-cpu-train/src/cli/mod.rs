//! The command line: arguments, and calls into the library.

/// Prints a line of results; see [`print`].
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::cli::print(format!("{}\n", format_args!($($argument)*)).as_bytes())
    };
}

mod clipping;
mod compare;
mod data;
mod divergence;
mod info;
mod manual;
mod options;
mod phases;
mod ranks;
mod replay;
mod report;
mod run;
mod shell;
mod sweep;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use indicatif::HumanCount;
use phases::Phases;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
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
use crate::signal::{Interrupt, Stop};

/// Trains the CIFAR-10 supersampling network with adaptive learning rate clipping.
#[derive(Debug, Parser)]
#[command(name = "alrc-train", version, propagate_version = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How much to tell on standard error: off, error, warn, info, debug (with the phases of a step) or trace
    #[arg(long, global = true, help_heading = "Messages", value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

// The help of each stands at its own arguments: a comment of a variant would take its place.
#[derive(Debug, Subcommand)]
enum Command {
    Compare(compare::Compare),
    Run(run::Run),
    Sweep(sweep::Sweep),
    Report(report::Report),
    Replay(replay::Replay),
    Data(data::Data),
    Info(info::Info),
    Completions(manual::Completions),
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
    Print(io::Error),
    #[error("cannot print the result: {0}")]
    Json(#[from] serde_json::Error),
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
            | Self::Print(_)
            | Self::Json(_) => 1,
        }
    }
}

/// The definition of the arguments, with the defaults that come from configurations in its help.
fn command() -> clap::Command {
    let defaults = Config::default();
    Cli::command()
        .mut_subcommand("compare", |command| {
            compare::without_off(options::tell_defaults(command, &compare::defaults()))
        })
        .mut_subcommand("run", |command| options::tell_defaults(command, &defaults))
        .mut_subcommand("sweep", |command| options::tell_defaults(command, &defaults))
        .mut_subcommand("replay", |command| options::tell_defaults(command, &defaults))
}

/// Runs the command that the arguments name; prints errors.
pub fn main() -> ExitCode {
    #[cfg(feature = "mpi")]
    if let Some(status) = crate::comm::guard() {
        return status;
    }
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return ranks::refuse(&error).unwrap_or_else(|| error.exit()),
    };
    let phases = Phases::default();
    tracing_subscriber::registry()
        .with(cli.log_level)
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(|| Messages)
                .with_target(false)
                .without_time()
                // They would go to the same standard error, and a failure there would end the thread.
                .log_internal_errors(false),
        )
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
            tell_error(&failure);
            ExitCode::from(failure.status())
        }
    })
}

/// Writes an error to standard error, where that can still be written to: a terminal may have been closed.
fn tell_error(error: &dyn Display) {
    _ = writeln!(io::stderr(), "error: {error}");
}

/// Writes results to standard output. A reader who has gone, `head` for example, wants no more of them and is no reason
/// to fail.
fn print(results: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(results).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Print(error)),
        _ => Ok(()),
    }
}

/// A number of things, such as `1 loss` or `30,000 losses`.
fn counted(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { one } else { several })
}

/// Has Ctrl-C and termination stop training. `tells`: at once said so; of several ranks one is enough.
fn stop_on_signal(tells: bool) -> Result<Stop, Failure> {
    let tell = move |interrupt| match interrupt {
        _ if !tells => {}
        Interrupt::First => {
            info!("stopping after this step; Ctrl-C again stops at once, without a checkpoint");
        }
        Interrupt::Second => warn!("stopped at once: what was trained since the last checkpoint is lost"),
    };
    Stop::on_signal(tell).map_err(Failure::Signals)
}

/// The status of a command that was stopped. It has saved its work, whether or not it could still print what came of it:
/// a terminal that was closed takes nothing more.
fn stopped(stop: &Stop, printed: Result<(), Failure>) -> ExitCode {
    if let Err(failure) = printed {
        warn!("{failure}");
    }
    ExitCode::from(stop.status())
}
