//! CIFAR-10 in its binary format: records of one label byte and 3,072 image bytes, in the files `data_batch_*.bin`
//! of a directory or of a `.tar.gz`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use thiserror::Error;

use super::{Dataset, RECORD_SIZE, Record};

/// Bytes of a record with its label.
const STORED_SIZE: usize = 1 + RECORD_SIZE;

/// The greatest label.
const LAST_LABEL: u8 = 9;

/// Why a data set could not be read.
#[derive(Debug, Error)]
pub enum DataError {
    /// The path, or something in it, cannot be read.
    #[error(
        "cannot read {path}: {source}; give a directory with data_batch_*.bin, a .tar.gz of them, or `builtin`"
    )]
    Unreadable {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no training file.
    #[error(
        "{0} holds no data_batch_*.bin; give the directory `cifar-10-batches-bin` of the binary version of CIFAR-10"
    )]
    NoFiles(PathBuf),
    /// A file is empty or ends within a record.
    #[error(
        "{file}: {size} bytes are not a positive multiple of {STORED_SIZE}, record {} is incomplete; copy or download the file again",
        size / STORED_SIZE
    )]
    Size {
        /// Which file.
        file: String,
        /// Its size in bytes.
        size: usize,
    },
    /// A label is out of range, so that this is no CIFAR-10 file.
    #[error(
        "{file}: record {record} has label {label}, permitted: 0 to {LAST_LABEL}; this is not CIFAR-10's binary version"
    )]
    Label {
        /// Which file.
        file: String,
        /// Number of the record in the file, from 0.
        record: usize,
        /// Its label.
        label: u8,
    },
}

/// Reads the training images of a directory or archive, files in the order of their names.
pub fn read(path: &Path) -> Result<Dataset, DataError> {
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    let is_directory = path.metadata().map_err(unreadable)?.is_dir();
    let mut files =
        if is_directory { read_directory(path)? } else { read_archive(path).map_err(unreadable)? };
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    if files.is_empty() {
        return Err(DataError::NoFiles(path.to_owned()));
    }
    let mut records = Vec::new();
    for (name, bytes) in files {
        parse(&name, &bytes, &mut records)?;
    }
    Ok(Dataset { records })
}

/// Appends the records of one file.
pub fn parse(file: &str, bytes: &[u8], records: &mut Vec<Record>) -> Result<(), DataError> {
    let (stored, rest) = bytes.as_chunks::<STORED_SIZE>();
    if stored.is_empty() || !rest.is_empty() {
        return Err(DataError::Size { file: file.to_owned(), size: bytes.len() });
    }
    for (record, [label, image @ ..]) in stored.iter().enumerate() {
        if *label > LAST_LABEL {
            return Err(DataError::Label { file: file.to_owned(), record, label: *label });
        }
        records.push(*image);
    }
    Ok(())
}

/// The training files of a directory, with their paths.
fn read_directory(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, DataError> {
    let unreadable = |path: &Path, source| DataError::Unreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(|error| unreadable(directory, error))? {
        let path = entry.map_err(|error| unreadable(directory, error))?.path();
        if is_training_file(&path) {
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
            files.push((path.display().to_string(), bytes));
        }
    }
    Ok(files)
}

/// The training files of a `.tar.gz`, with their names in it.
fn read_archive(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(GzDecoder::new(File::open(path)?)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        if is_training_file(&name) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push((format!("{} in {}", name.display(), path.display()), bytes));
        }
    }
    Ok(files)
}

fn is_training_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("data_batch_") && name.ends_with(".bin")
}
