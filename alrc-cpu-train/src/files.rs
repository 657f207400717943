//! Files that are there whole or not at all, and directories that one process at a time writes to.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the file whose lock tells that a process is writing to a directory.
const LOCK: &str = ".lock";

/// Writes a file so that, whenever the process or the machine dies, its path holds either what it held before or all
/// of `bytes`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// A file that is written as `PATH.partial` and has its name once it is whole; if that does not come about, nothing is
/// left of it.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl NewFile {
    /// To be written to `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let partial = beside(path, ".partial");
        Ok(Self { path: path.to_owned(), file: File::create(&partial)?, partial })
    }

    /// Has the file on the disk, under its name.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        sync_directory(self.path.parent().unwrap_or(Path::new(".")))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Not there if it was renamed; else, room on a full disk is more useful than half a file.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// A path with something added to its last part.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    // Without a slash at the end.
    let mut name = OsString::from(path.components().collect::<PathBuf>());
    name.push(suffix);
    PathBuf::from(name)
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
