//! Files of experiments, with errors that name them; TOML stands below a line that names the program.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::run::RunError;
use crate::config::ConfigError;
use crate::files::{DirectoryLock, write_atomically};

/// Creates and locks a directory.
pub(super) fn lock(directory: &Path) -> Result<DirectoryLock, RunError> {
    std::fs::create_dir_all(directory).map_err(unwritable(directory))?;
    DirectoryLock::acquire(directory)
        .map_err(unwritable(directory))?
        .ok_or_else(|| RunError::Locked(directory.to_owned()))
}

/// Writes a file whole or not at all.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    write_atomically(path, bytes).map_err(unwritable(path))
}

/// Writes what [`read_toml`] reads.
pub(super) fn save_toml<T: Serialize>(path: &Path, value: &T) -> Result<(), RunError> {
    let toml = toml::to_string(value).map_err(io::Error::other).map_err(unwritable(path))?;
    save(path, format!("# alrc-train {}\n{toml}", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// What a TOML file holds, which must be valid; none if there is no such file.
pub(super) fn read_toml<T: DeserializeOwned>(
    path: &Path,
    validate: impl FnOnce(&T) -> Result<(), ConfigError>,
) -> Result<Option<T>, RunError> {
    let problem = |problem: String| RunError::Config { path: path.to_owned(), problem };
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| problem(error.to_string()))?,
    };
    let parsed = |error: toml::de::Error| problem(error.to_string().trim_end().to_owned());
    if toml::from_str::<toml::Table>(&text).map_err(parsed)?.is_empty() {
        return Err(RunError::EmptyConfig(path.to_owned()));
    }
    let value = toml::from_str(&text).map_err(parsed)?;
    validate(&value).map_err(|error| problem(error.to_string()))?;
    Ok(Some(value))
}

/// That `path` cannot be written.
pub(super) fn unwritable(path: &Path) -> impl Fn(io::Error) -> RunError {
    let path = path.to_owned();
    move |source| RunError::Unwritable { path: path.clone(), source }
}
