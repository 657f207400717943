//! Agreement of all ranks before they train: that nothing has failed, and that they are about to do the same.

use thiserror::Error;

use super::Communicator;

/// The first failure of a rank, as every rank knows it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("rank {rank}: {message}{}", also(.others))]
pub struct RankFailure {
    /// The rank.
    pub rank: usize,
    /// What it says.
    pub message: String,
    /// The exit status for it, at least 1.
    pub status: u8,
    /// Higher ranks that failed as well.
    pub others: Vec<usize>,
}

fn also(others: &[usize]) -> String {
    match others {
        [] => String::new(),
        [rank] => format!(" (so does rank {rank})"),
        [first, .., last] => {
            format!(" (so do {} other ranks, the first {first}, the last {last})", others.len())
        }
    }
}

/// Returns whether all ranks are well; each gives its exit status and message if it is not.
pub fn all_well(communicator: &dyn Communicator, own: Option<(u8, String)>) -> Result<(), RankFailure> {
    let own = own.map_or_else(Vec::new, |(status, message)| [&[status][..], message.as_bytes()].concat());
    first_failure(communicator.gather(&own)).map_or(Ok(()), Err)
}

fn first_failure(messages: Vec<Vec<u8>>) -> Option<RankFailure> {
    let failed = messages.into_iter().enumerate().filter_map(|(rank, message)| {
        let (&status, text) = message.split_first()?;
        Some((rank, status, String::from_utf8_lossy(text).into_owned()))
    });
    let mut failed = failed.collect::<Vec<_>>().into_iter();
    let (rank, status, message) = failed.next()?;
    Some(RankFailure { rank, message, status, others: failed.map(|(rank, ..)| rank).collect() })
}

/// Compares a text of all ranks; the first that differs from that of rank 0 is a failure of its rank, with exit status
/// 2, which `describe` puts in words, given both texts.
pub fn compare(
    communicator: &dyn Communicator,
    own: &str,
    describe: impl FnOnce(&str, &str) -> String,
) -> Result<(), RankFailure> {
    let texts = communicator.gather(own.as_bytes());
    let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let mut differing = (0..texts.len()).filter(|&rank| texts[rank] != texts[0]);
    differing.next().map_or(Ok(()), |rank| {
        let message = describe(&texts[rank], &texts[0]);
        Err(RankFailure { rank, message, status: 2, others: differing.collect() })
    })
}

/// Hands the message of rank 0 to every rank; what the others give is ignored.
pub fn from_first(communicator: &dyn Communicator, message: &[u8]) -> Vec<u8> {
    let message = if communicator.rank() == 0 { message } else { &[] };
    communicator.gather(message).swap_remove(0)
}

/// The greatest value that a rank gives.
pub fn greatest(communicator: &dyn Communicator, own: u8) -> u8 {
    communicator.gather(&[own]).into_iter().flatten().max().unwrap_or(own)
}
