//! CIFAR-10 in its binary format: records of one label byte and 3,072 image bytes, in the files `data_batch_*.bin`
//! of a directory or of a `.tar.gz`, or in one file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Dataset, RECORD_SIZE, Record, archive};

/// Bytes of a record with its label.
const STORED_SIZE: usize = 1 + RECORD_SIZE;

/// The greatest label.
const LAST_LABEL: u8 = 9;

/// The first bytes of a gzip file. None of records begins with them: the first byte would be a label out of range.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a data set could not be read.
#[derive(Debug, Error)]
pub enum DataError {
    /// The path, or something in it, cannot be read.
    #[error(
        "cannot read {path}: {source}; give a directory with data_batch_*.bin (`alrc-train data fetch` makes one), a .tar.gz of them, or one .bin file; `run --data builtin` needs none"
    )]
    Unreadable {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An archive is damaged, or something else follows it.
    #[error(
        "cannot read {path}: {source}; the archive is damaged, or something else follows it: copy or download it again"
    )]
    Archive {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// There is no training file.
    #[error(
        "{0} holds no data_batch_*.bin; give the directory `cifar-10-batches-bin` of the binary version of CIFAR-10"
    )]
    NoFiles(PathBuf),
    /// A file is empty or ends within a record.
    #[error(
        "{file}{}; copy or download the file again, if it is one of CIFAR-10's binary version",
        wrong_size(*size)
    )]
    Size {
        /// Which file.
        file: String,
        /// Its size in bytes.
        size: usize,
    },
    /// A label is out of range, so that this is no CIFAR-10 file.
    #[error(
        "{file}: record {record}, counted from 0, has label {label}, permitted: 0 to {LAST_LABEL}; this is not CIFAR-10's binary version, nor a .tar.gz of it"
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

fn wrong_size(size: usize) -> String {
    match size {
        0 => " is empty".to_owned(),
        _ => format!(": {size} bytes are no multiple of {STORED_SIZE}, the last record is incomplete"),
    }
}

/// One of the data set's files.
pub(super) struct StoredFile {
    /// Its name without directories.
    pub(super) name: String,
    /// Where it lies, for messages.
    pub(super) place: String,
    /// Its content.
    pub(super) bytes: Vec<u8>,
}

/// Reads the training images of a directory or archive, files in the order of their names, or the images of one file.
pub fn read(path: &Path) -> Result<Dataset, DataError> {
    let mut records = Vec::new();
    for file in read_files(path, is_training_file)? {
        parse(&file.place, &file.bytes, &mut records)?;
    }
    Ok(Dataset { records })
}

/// An error if there are no images at `path`, as far as that shows without reading them.
pub fn check(path: &Path) -> Result<(), DataError> {
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    if !path.metadata().map_err(unreadable)?.is_dir() {
        return Ok(());
    }
    let mut entries = path.read_dir().map_err(unreadable)?.flatten();
    let has_files = entries.any(|entry| is_training_file(&entry.file_name().to_string_lossy()));
    if has_files { Ok(()) } else { Err(DataError::NoFiles(path.to_owned())) }
}

/// Reads the files of a directory or archive that are wanted, in the order of their places, of which at least one is a
/// training file; or the one file that `path` names, whatever it is called.
pub(super) fn read_files(path: &Path, is_wanted: fn(&str) -> bool) -> Result<Vec<StoredFile>, DataError> {
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    let mut files = if path.metadata().map_err(unreadable)?.is_dir() {
        read_directory(path, is_wanted)?
    } else if is_gzip(path).map_err(unreadable)? {
        let file = File::open(path).map_err(unreadable)?;
        read_archive(file, path, is_wanted)
            .map_err(|source| DataError::Archive { path: path.to_owned(), source })?
    } else {
        let bytes = std::fs::read(path).map_err(unreadable)?;
        return Ok(vec![StoredFile { name: file_name(path), place: path.display().to_string(), bytes }]);
    };
    files.sort_by(|a, b| a.place.cmp(&b.place));
    if !files.iter().any(|file| is_training_file(&file.name)) {
        return Err(DataError::NoFiles(path.to_owned()));
    }
    Ok(files)
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

fn read_directory(directory: &Path, is_wanted: fn(&str) -> bool) -> Result<Vec<StoredFile>, DataError> {
    let unreadable = |path: &Path, source| DataError::Unreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(|error| unreadable(directory, error))? {
        let path = entry.map_err(|error| unreadable(directory, error))?.path();
        let name = file_name(&path);
        if is_wanted(&name) {
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
            files.push(StoredFile { name, place: path.display().to_string(), bytes });
        }
    }
    Ok(files)
}

fn read_archive(file: File, path: &Path, is_wanted: fn(&str) -> bool) -> io::Result<Vec<StoredFile>> {
    let mut files = Vec::new();
    for entry in archive::open(file).entries()? {
        let mut entry = entry?;
        let inner = entry.path()?.into_owned();
        let name = file_name(&inner);
        if is_wanted(&name) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push(StoredFile {
                name,
                place: format!("{} in {}", inner.display(), path.display()),
                bytes,
            });
        }
    }
    Ok(files)
}

fn is_gzip(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(GZIP.len() as u64).read_to_end(&mut start)?;
    Ok(start == GZIP)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_training_file(name: &str) -> bool {
    name.starts_with("data_batch_") && name.ends_with(".bin")
}

/// Whether a file holds images, for training or for tests.
pub(super) fn is_image_file(name: &str) -> bool {
    is_training_file(name) || name == "test_batch.bin"
}
