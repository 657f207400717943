//! From an archive to a directory that is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::EntryType;
use thiserror::Error;

use super::archive;
use super::cifar10::is_image_file;
use super::verify::{Verified, VerifyError, verify, write_sums};
use crate::files::{beside, sync_directory};

/// What else the published archive holds, and is kept.
const OTHERS: [&str; 2] = ["batches.meta.txt", "readme.html"];

/// Most bytes of a file: six times a published one.
const MOST: u64 = 200_000_000;

/// Why an archive could not be unpacked. There is no trace of it then.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The directory cannot be written.
    #[error("cannot unpack to {directory}: {source}")]
    Io {
        /// Where it was unpacked.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive is damaged, or something else follows it.
    #[error(
        "the archive is damaged, although its SHA-256 is the one that was asked for: {0}; nothing was unpacked; ask for another archive with --sha256 and --size"
    )]
    Archive(io::Error),
    /// The archive holds what no archive of images holds.
    #[error("the archive holds '{path}', {problem}; nothing was unpacked")]
    Entry {
        /// Its path in the archive.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The files are no images.
    #[error("the archive's content is not right: {0}")]
    Content(#[from] VerifyError),
}

/// Unpacks the files of the data set, whatever folder of the archive in `file` they are in, to `directory`, which must
/// be absent or empty; adds their checksums.
pub(super) fn unpack(file: impl Read, directory: &Path) -> Result<Verified, UnpackError> {
    let io = |source| UnpackError::Io { directory: directory.to_owned(), source };
    let staging = beside(directory, ".unpacking");
    // One that an earlier process has left.
    remove(&staging).map_err(io)?;
    let result = fill(file, &staging, io).and_then(|verified| {
        fs::rename(&staging, directory).map_err(io)?;
        sync_directory(directory.parent().unwrap_or(Path::new("."))).map_err(io)?;
        Ok(verified)
    });
    if result.is_err() {
        // The first error is the one to report.
        let _ = remove(&staging);
    }
    result
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn fill(
    file: impl Read,
    staging: &Path,
    io: impl Fn(io::Error) -> UnpackError,
) -> Result<Verified, UnpackError> {
    fs::create_dir(staging).map_err(&io)?;
    let mut sums = Vec::new();
    for entry in archive::open(file).entries().map_err(UnpackError::Archive)? {
        let mut entry = entry.map_err(UnpackError::Archive)?;
        let path = entry.path().map_err(UnpackError::Archive)?.into_owned();
        let refuse = |problem| UnpackError::Entry { path: path.display().to_string(), problem };
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(refuse("which lies outside of it"));
        }
        match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Regular | EntryType::Continuous => {}
            _ => return Err(refuse("which is neither a file nor a folder")),
        }
        // The name alone is used: nothing can get outside of the directory.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !is_image_file(name) && !OTHERS.contains(&name) {
            continue;
        }
        if entry.size() > MOST {
            return Err(refuse("which is too large"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(UnpackError::Archive)?;
        write_new(&staging.join(name), &bytes).map_err(&io)?;
        sums.push((name.to_owned(), Sha256::digest(&bytes).into()));
    }
    write_sums(staging, sums).map_err(&io)?;
    sync_directory(staging).map_err(&io)?;
    Ok(verify(staging)?)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}
