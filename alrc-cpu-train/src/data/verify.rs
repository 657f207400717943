//! Whether a data set is whole: by the form of its files, and by checksums where there are any.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::cifar10::{self, DataError, StoredFile};
use crate::files::write_atomically;

/// Checksums that `data fetch` leaves beside the files, in the format of `sha256sum`.
pub const SUMS: &str = "SHA256SUMS";

/// A SHA-256.
pub type Checksum = [u8; 32];

/// Size and SHA-256 of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveId {
    /// Its bytes.
    pub size: u64,
    /// Its checksum.
    pub sha256: Checksum,
}

/// The binary version of CIFAR-10, as published.
pub const PUBLISHED: ArchiveId = ArchiveId {
    size: 170_052_171,
    sha256: [
        0xc4, 0xa3, 0x8c, 0x50, 0xa1, 0xbc, 0x5f, 0x3a, 0x1c, 0x55, 0x37, 0xf2, 0x15, 0x5a, 0xb9, 0xd6, 0x8f,
        0x9f, 0x25, 0xeb, 0x1e, 0xd8, 0xd9, 0xdd, 0xda, 0x3d, 0xb2, 0x9a, 0x59, 0xbc, 0xa1, 0xdd,
    ],
};

/// What a data set was compared with, besides the form of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The checksum of the published archive.
    Published,
    /// The checksums that were written when it was fetched.
    Recorded,
    /// Nothing: every file has the right form, but may be of another data set.
    Form,
}

/// A good file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedFile {
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: usize,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// A good data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How sure that is.
    pub evidence: Evidence,
    /// Its files of images.
    pub files: Vec<VerifiedFile>,
}

/// What is wrong with a data set.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// See [`DataError`].
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file differs from its checksum.
    #[error("{file} has been altered: its SHA-256 is {found}, not {recorded}; fetch it again")]
    Altered {
        /// Which file.
        file: PathBuf,
        /// Its checksum.
        found: String,
        /// What it should be.
        recorded: String,
    },
    /// A file with a checksum is absent.
    #[error("{0} is missing; fetch it again")]
    Missing(PathBuf),
    /// The file of checksums is no such file.
    #[error("{path}: {problem}; remove it to do without checksums")]
    Sums {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Checks a directory or an archive.
pub fn verify(path: &Path) -> Result<Verified, VerifyError> {
    let of_archive = if path.is_dir() { None } else { Some(identify(path)?) };
    let files = cifar10::read_files(path, cifar10::is_image_file)?;
    let mut verified = Vec::new();
    for StoredFile { name, place, bytes } in files {
        let mut records = Vec::new();
        cifar10::parse(&place, &bytes, &mut records)?;
        verified.push(VerifiedFile {
            name,
            images: records.len(),
            sha256: hexadecimal(&Sha256::digest(&bytes)),
        });
    }
    let evidence = match of_archive {
        Some(evidence) => evidence,
        None => check_sums(path, &verified)?,
    };
    Ok(Verified { evidence, files: verified })
}

/// Checks an archive as a whole: one of the published size must be the published one.
fn identify(path: &Path) -> Result<Evidence, VerifyError> {
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() != PUBLISHED.size {
        return Ok(Evidence::Form);
    }
    let found = checksum(&mut file).map_err(unreadable)?;
    if found == PUBLISHED.sha256 {
        return Ok(Evidence::Published);
    }
    let (found, recorded) = (hexadecimal(&found), hexadecimal(&PUBLISHED.sha256));
    Err(VerifyError::Altered { file: path.to_owned(), found, recorded })
}

/// Checks the files of a directory by the checksums in it, if there are any.
fn check_sums(directory: &Path, files: &[VerifiedFile]) -> Result<Evidence, VerifyError> {
    let path = directory.join(SUMS);
    let sums = |problem: String| VerifyError::Sums { path: path.clone(), problem };
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Evidence::Form),
        read => read.map_err(|error| sums(error.to_string()))?,
    };
    let mut recorded = 0;
    for line in text.lines() {
        let (sum, name) =
            line.split_once("  ").ok_or_else(|| sums(format!("'{line}' is no checksum with a name")))?;
        if !cifar10::is_image_file(name) {
            continue;
        }
        recorded += 1;
        let file = directory.join(name);
        let found = files.iter().find(|file| file.name == name);
        let found = found.ok_or_else(|| VerifyError::Missing(file.clone()))?;
        if found.sha256 != sum {
            return Err(VerifyError::Altered { file, found: found.sha256.clone(), recorded: sum.to_owned() });
        }
    }
    if recorded < files.len() {
        return Err(sums("it does not list every file of images".to_owned()));
    }
    Ok(Evidence::Recorded)
}

/// Writes the checksums of the files in a directory.
pub(super) fn write_sums(directory: &Path, mut sums: Vec<(String, Checksum)>) -> io::Result<()> {
    sums.sort();
    let text: String = sums.iter().map(|(name, sum)| format!("{}  {name}\n", hexadecimal(sum))).collect();
    write_atomically(&directory.join(SUMS), text.as_bytes())
}

/// The checksum of the rest of a file.
pub(super) fn checksum(file: &mut File) -> io::Result<Checksum> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match io::Read::read(file, &mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// A checksum in hexadecimal digits.
pub fn hexadecimal(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A checksum from 64 hexadecimal digits.
pub fn parse_checksum(text: &str) -> Option<Checksum> {
    let mut sum = Checksum::default();
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(sum)
}
