//! Files that are there whole or not at all, and directories that one process at a time writes to.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use same_file::Handle;
use tracing::warn;

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
///
/// Whoever writes holds a lock on `PATH.partial`, so that several processes that write to one path take turns, and the
/// last one's file stays. What a killed one has left is overwritten.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    is_whole: bool,
}

impl NewFile {
    /// To be written to `path`, as soon as nobody else does.
    pub fn create(path: &Path) -> io::Result<Self> {
        let partial = beside(path, ".partial");
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(&partial)?;
            match file.lock() {
                // Of a file system without locks: there the last writer wins.
                Err(error) if has_no_locks(&error) => {}
                locked => locked?,
            }
            // Who had the lock before has given the file its own name since, unless it was killed.
            if is_at(&file, &partial)? {
                file.set_len(0)?;
                return Ok(Self { path: path.to_owned(), partial, file, is_whole: false });
            }
        }
    }

    /// Has the file on the disk, under its name.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        self.is_whole = true;
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
        // Room on a full disk is more useful than half a file.
        if !self.is_whole {
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Whether `path` is that of an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match Handle::from_path(path) {
        Ok(there) => Ok(there == Handle::from_file(file.try_clone()?)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
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
        Ok(try_lock(&file, directory)?.then_some(Self { _file: file }))
    }
}

/// Locks a file, so that this process alone works on `what`; false if another one holds the lock. On a file system
/// without locks that is left to the user, who is told.
pub fn try_lock(file: &File, what: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if has_no_locks(&error) => {
            warn!("{}: its file system has no locks; let no other process work there", what.display());
            Ok(true)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a lock was refused because the file system knows none.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several writers of one file: each succeeds, and whoever reads finds what one of them wrote, whole.
    #[test]
    fn writers_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let content = |writer: u8| vec![writer; 1000 * usize::from(writer)];
        write_atomically(&path, &content(1)).unwrap();
        std::thread::scope(|scope| {
            for writer in 1..=4 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..25 {
                        write_atomically(path, &content(writer)).unwrap();
                        let found = std::fs::read(path).unwrap();
                        assert!(found == content(found[0]), "{} bytes of {}", found.len(), found[0]);
                    }
                });
            }
        });
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
    }

    /// What a killed process has left does not stay, and nothing stays of what is given up.
    #[test]
    fn nothing_is_left_beside_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(beside(&path, ".partial"), "longer than the next").unwrap();
        write_atomically(&path, b"next").unwrap();
        NewFile::create(&path).unwrap().write_all(b"given up").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"next");
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
    }
}
