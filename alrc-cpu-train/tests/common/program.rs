//! The binary under test, with data for it.
#![allow(dead_code, reason = "every test uses a part of this")]

use std::fs;
use std::path::Path;
use std::process;

use assert_cmd::Command;

/// A record with its label.
pub(crate) const STORED: usize = 3073;

/// Options of a run that takes a moment.
pub(crate) const QUICK: [&str; 6] = ["--width", "4", "--steps", "12", "--batch-size", "2"];

/// The program with arguments, in a directory.
pub(crate) fn alrc_train(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("alrc-train").unwrap();
    command.current_dir(directory).args(arguments);
    command
}

/// The program in a directory, as a process to be started.
pub(crate) fn process(directory: &Path) -> process::Command {
    let mut command = process::Command::new(assert_cmd::cargo::cargo_bin!("alrc-train"));
    command.current_dir(directory);
    command
}

/// A quick run; later arguments win.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Command {
    alrc_train(directory, &[&["run"], &QUICK[..], arguments].concat())
}

pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A data set of a few images in `NAME`, with which the program starts at once.
pub(crate) fn write_data(directory: &Path, name: &str, images: usize) {
    let bytes: Vec<u8> = (0..images * STORED)
        .map(|index| if index % STORED == 0 { 9 } else { (index * index / 7 % 251) as u8 })
        .collect();
    fs::create_dir(directory.join(name)).unwrap();
    fs::write(directory.join(name).join("data_batch_1.bin"), bytes).unwrap();
}

/// Asserts the exit status, and that standard error holds every part.
#[track_caller]
pub(crate) fn assert_fails(mut command: Command, status: i32, parts: &[&str]) {
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{message}");
    assert_holds(&message, parts);
}

/// Asserts that a text holds every part.
#[track_caller]
pub(crate) fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no '{part}' in: {text}");
    }
}

/// Asserts exit status 2, that the message holds every part, and that nothing was written.
#[track_caller]
pub(crate) fn assert_refused(command: Command, directory: &Path, parts: &[&str]) {
    let before = fs::read_dir(directory).unwrap().count();
    assert_fails(command, 2, parts);
    assert_eq!(fs::read_dir(directory).unwrap().count(), before, "something was written");
}
