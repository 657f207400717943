//! Downloads a data set: from the first mirror that has it, with what an earlier attempt has left, checked, and
//! unpacked whole or not at all.
//!
//! Beside the directory `NAME` lies, until all is done, `NAME.partial`, the archive as far as it has come.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tracing::warn;
use ureq::http::Uri;

use super::download::{Client, Failure};
use super::unpack::{UnpackError, unpack};
use super::verify::{ArchiveId, Evidence, Verified, checksum, hexadecimal, verify};
use crate::files::{beside, try_lock};

/// Where the binary version of CIFAR-10 is published.
pub const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";

/// What may mend it if a mirror has something else.
pub(super) const ANOTHER: &str = "if another archive is meant, give its --size and --sha256";

/// Most attempts with one mirror, each of which has brought something.
const ATTEMPTS: u32 = 20;

/// Time before another attempt with the same mirror.
const PAUSE: Duration = Duration::from_millis(500);

/// Why there is no data set.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The directory holds something else.
    #[error(
        "invalid value '{0}' for '--out': it exists and is not a data set that was fetched whole; \
         choose another directory, or remove it"
    )]
    Occupied(PathBuf),
    /// Another process is at it.
    #[error("another process is downloading to {0}; wait for it, or stop it")]
    Locked(PathBuf),
    /// No mirror has brought the whole archive.
    #[error("cannot download the data set: {problem}{}; --url names other mirrors", continuation(*kept))]
    NoMirror {
        /// What is wrong with the last mirror; the others have been warned about.
        problem: String,
        /// Bytes that have come.
        kept: u64,
    },
    /// A file cannot be read or written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// See [`UnpackError`].
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

fn continuation(kept: u64) -> String {
    if kept > 0 { format!("; the same command again continues from {kept} bytes") } else { String::new() }
}

/// Whether a file can be asked for there.
pub fn is_usable(url: &str) -> bool {
    url.parse::<Uri>()
        .is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
}

/// Brings the archive with this size and checksum, from the first of `urls` that has it, to `directory`; nothing is
/// done if it has been brought there before. `progress` is called with the number of bytes that have come.
pub fn fetch(
    archive: ArchiveId,
    urls: &[String],
    directory: &Path,
    timeout: Duration,
    progress: &mut dyn FnMut(u64),
) -> Result<Verified, FetchError> {
    if let Some(verified) = existing(directory)? {
        return Ok(verified);
    }
    let path = beside(directory, ".partial");
    let unwritable = |source| FetchError::Unwritable { path: path.clone(), source };
    let mut file = open(&path).map_err(unwritable)?;
    if !try_lock(&file, &path).map_err(unwritable)? {
        return Err(FetchError::Locked(path));
    }
    // Another process may have ended in between.
    if let Some(verified) = existing(directory)? {
        return Ok(verified);
    }
    let client = Client::new(timeout);
    let mut last_problem = None;
    for url in urls {
        if let Some(problem) = last_problem.take() {
            warn!("{problem}; trying the next mirror");
        }
        match try_mirror(&client, url, archive, &mut file, progress).map_err(unwritable)? {
            None => {
                file.rewind().map_err(unwritable)?;
                let verified = unpack(file, directory)?;
                fs::remove_file(&path).map_err(unwritable)?;
                return Ok(verified);
            }
            Some(problem) => last_problem = Some(format!("{url}: {problem}")),
        }
    }
    let kept = file.metadata().map_err(unwritable)?.len();
    if kept == 0 {
        fs::remove_file(&path).map_err(unwritable)?;
    }
    let problem = last_problem.unwrap_or_else(|| "there is no mirror".to_owned());
    Err(FetchError::NoMirror { problem, kept })
}

/// What is in the directory, if it was fetched whole; none if there is nothing.
fn existing(directory: &Path) -> Result<Option<Verified>, FetchError> {
    let is_empty = match directory.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if is_empty {
        return Ok(None);
    }
    match verify(directory) {
        Ok(verified) if verified.evidence == Evidence::Recorded => Ok(Some(verified)),
        _ => Err(FetchError::Occupied(directory.to_owned())),
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Completes `file` from one mirror; returns what is wrong if it cannot. An interrupted download goes on for as long as
/// each attempt brings something.
fn try_mirror(
    client: &Client,
    url: &str,
    archive: ArchiveId,
    file: &mut File,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Option<String>> {
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let mut before = file.metadata()?.len();
        if before > archive.size {
            file.set_len(0)?;
            before = 0;
        }
        match client.complete(url, file, archive.size, progress) {
            Err(Failure::Local(error)) => return Err(error),
            Err(Failure::Remote(problem)) => {
                if file.metadata()?.len() == before {
                    return Ok(Some(problem));
                }
                warn!("{url}: {problem}; trying again");
                last = problem;
            }
            Ok(()) => {
                file.rewind()?;
                let found = checksum(file)?;
                if found == archive.sha256 {
                    file.sync_all()?;
                    return Ok(None);
                }
                file.set_len(0)?;
                let wanted = hexadecimal(&archive.sha256);
                let found = hexadecimal(&found);
                last = format!("its content has the SHA-256 {found}, not {wanted}; {ANOTHER}");
                if before == 0 {
                    return Ok(Some(last));
                }
                // The beginning may have come from elsewhere.
                warn!("{url}: {last}; starting from the first byte");
            }
        }
    }
    Ok(Some(last))
}
