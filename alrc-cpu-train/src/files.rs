//! Files that are there whole or not at all, and directories that one process at a time writes to.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the file whose lock tells that a process is writing to a directory.
const LOCK: &str = ".lock";

/// Writes a file so that, whenever the process or the machine dies, its path holds either what it held before or all
/// of `bytes`: to `PATH.partial`, which is synced, then renamed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = OsString::from(path);
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    if let Err(error) = write() {
        // Room on a full disk is more useful than half a file; the first error is the one to report.
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes renames in a directory last.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened, and renames last without.
    if cfg!(unix) {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Holding this, a process is the only one that writes to a directory. The system gives the lock back when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks an existing directory; none if another process holds it.
    pub fn acquire(directory: &Path) -> io::Result<Option<Self>> {
        let file = File::options().write(true).create(true).truncate(false).open(directory.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
