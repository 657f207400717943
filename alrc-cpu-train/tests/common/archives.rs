//! Archives of images, good and hostile, and the command that fetches them.
#![allow(dead_code, reason = "every test uses a part of this")]

use std::io::Write;
use std::path::Path;

use assert_cmd::Command;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::program::{STORED, alrc_train};

/// A file of images whose bytes do not compress.
pub(crate) fn images(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count * STORED).map(|index| if index % STORED == 0 { byte() % 10 } else { byte() }).collect()
}

/// A `.tar.gz` with one entry for each of the arguments: kind, path as it is written to the archive, content.
pub(crate) fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (kind, path, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // Past the checks of the crate, as an attacker would.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Bytes compressed as one member of a gzip file.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    member.write_all(bytes).unwrap();
    member.finish().unwrap()
}

/// An entry with content.
pub(crate) const FILE: EntryType = EntryType::Regular;

/// Images as they are published, and a file that is not among them.
pub(crate) fn good_archive() -> Vec<u8> {
    archive(&[
        (EntryType::Directory, "cifar-10-batches-bin/", b""),
        (FILE, "cifar-10-batches-bin/data_batch_1.bin", &images(60, 1)),
        (FILE, "cifar-10-batches-bin/data_batch_2.bin", &images(60, 2)),
        (FILE, "cifar-10-batches-bin/test_batch.bin", &images(20, 3)),
        (FILE, "cifar-10-batches-bin/batches.meta.txt", b"airplane\n"),
        (FILE, "cifar-10-batches-bin/install.sh", b"rm -rf /"),
    ])
}

/// `data fetch --out data` of an archive, from these addresses.
pub(crate) fn fetch(directory: &Path, archive: &[u8], urls: &[&str]) -> Command {
    let sha256: String = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let size = archive.len().to_string();
    let mut command = alrc_train(directory, &["data", "fetch", "--out", "data", "--timeout", "4"]);
    command.args(["--sha256", &sha256, "--size", &size]);
    for url in urls {
        command.args(["--url", url]);
    }
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}
