//! Failures where several ranks train together: each reaches the user once, with the number of its rank.

use std::process::ExitCode;

use super::Failure;
use crate::comm::{Communicator, agreement};

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
                eprintln!("error: {failure}");
            }
            communicator.leave();
        }
        _ => {
            eprintln!("error: rank {rank}: {failure}");
            communicator.abort(failure.status());
        }
    }
    ExitCode::from(failure.status())
}
