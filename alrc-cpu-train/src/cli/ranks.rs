//! Failures where several ranks train together: each reaches the user once, with the number of its rank.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::{Failure, tell_error};
use crate::comm::{Communicator, Transport, agreement};

/// How long a rank keeps what is wrong with its arguments to itself, to tell it together with the others.
const WAIT: Duration = Duration::from_secs(10);

/// What ranks that train do together first: an error on all unless they are of one version, and each understands its
/// arguments.
pub(super) fn meet(ranks: &dyn Communicator, arguments: Result<(), Failure>) -> Result<(), Failure> {
    agreement::compare(ranks, env!("CARGO_PKG_VERSION"), |its, first| {
        format!("is alrc-train {its}, rank 0 is {first}; use the same on every rank")
    })?;
    agree(ranks, arguments)
}

/// Where the arguments that are not understood are those of one of several ranks: fails together with the others, which
/// would wait without end for one that leaves before they have met.
pub(super) fn refuse(error: &clap::Error) -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let is_rank = arguments.windows(2).any(|pair| pair[0] == "--comm" && pair[1] != "single")
        || arguments
            .iter()
            .filter_map(|argument| argument.to_str()?.strip_prefix("--comm="))
            .any(|comm| comm != "single");
    if !is_rank || !error.use_stderr() {
        return None;
    }
    let message = error.to_string();
    let message = message.strip_prefix("error: ").unwrap_or(&message).trim_end().to_owned();
    tell_unless_ended(message.clone());
    let communicator = Transport::Mpi.start().ok()?;
    if communicator.size() == 1 {
        communicator.leave();
        return None;
    }
    let failure = meet(&*communicator, Err(Failure::Usage(message))).err()?;
    Some(end(&failure, &*communicator))
}

/// Tells an error after a while, if the process has not ended: the others may never come.
fn tell_unless_ended(message: String) {
    thread::spawn(move || {
        thread::sleep(WAIT);
        tell_error(&format!("{message}\nStill waiting for the other ranks, to end together with them."));
    });
}

/// Returns the result if all ranks have one; else every rank returns the first failure of any.
pub(super) fn agree<T>(ranks: &dyn Communicator, result: Result<T, Failure>) -> Result<T, Failure> {
    if ranks.size() > 1 {
        let own = result.as_ref().err().map(|failure| (failure.status(), failure.to_string()));
        agreement::all_well(ranks, own)?;
    }
    result
}

/// Prints the failure of a rank that is not alone, and ends all ranks.
pub(super) fn end(failure: &Failure, communicator: &dyn Communicator) -> ExitCode {
    let rank = communicator.rank();
    match failure {
        // Every rank has this one.
        Failure::Agreed(_) | Failure::Diverged(_) => {
            if rank == 0 {
                tell_error(failure);
            }
            communicator.leave();
        }
        _ => {
            tell_error(&format!("rank {rank}: {failure}"));
            communicator.abort(failure.status());
        }
    }
    ExitCode::from(failure.status())
}
