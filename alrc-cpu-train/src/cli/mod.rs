//! The command line: arguments, and calls into the library.

mod compare;
mod info;
mod options;
mod run;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use thiserror::Error;

use crate::config::ConfigError;
use crate::experiment::run::RunError;

/// Trains the CIFAR-10 supersampling network with adaptive learning rate clipping.
#[derive(Debug, Parser)]
#[command(name = "alrc-train", version, propagate_version = true, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train one setting with and without clipping, side by side, and draw both: the two-minute demonstration
    Compare(compare::Compare),
    /// One training run
    Run(run::Run),
    /// What this machine offers and what would be used
    Info(info::Info),
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
    #[error("{0}")]
    Diverged(String),
    #[error("cannot listen for Ctrl-C: {0}")]
    Signals(#[from] ctrlc::Error),
    #[error("cannot write the summary: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// 2: the options or the data must be mended; 3: training diverged; 1: anything else.
    fn status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Run(error) if error.is_usage() => 2,
            Self::Diverged(_) => 3,
            Self::Run(_) | Self::Signals(_) | Self::Json(_) => 1,
        }
    }
}

/// Exit status after Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// Runs the command that the arguments name; prints errors.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(command) => command.execute(),
        Command::Run(command) => command.execute(),
        Command::Info(command) => command.execute(),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::from(failure.status())
    })
}

/// A flag that Ctrl-C (or a termination signal) sets.
fn stop_on_signal() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    Ok(stop)
}
