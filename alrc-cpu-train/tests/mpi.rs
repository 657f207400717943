//! Ranks that are processes, started by mpirun, of MPICH or OpenMPI. The environment variable `MPIRUN` names another
//! launcher (one that understands `-n N PROGRAM : -n M PROGRAM`), with its arguments.

#[path = "common/program.rs"]
mod program;
#[path = "common/running.rs"]
mod running;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use program::{alrc_train, directory, write_data};
use running::{Running, assert_all_gone, guard, send};

/// Options of a run that takes a moment.
const QUICK: [&str; 10] =
    ["--data", "data", "--width", "4", "--batch-size", "6", "--threads", "1", "--learning-rate", "0.0001"];

/// The launcher.
fn mpirun() -> Command {
    let words = std::env::var("MPIRUN").unwrap_or_else(|_| "mpirun".to_owned());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("MPIRUN names a program"));
    command.args(words);
    command
}

/// `alrc-train run --comm mpi` on ranks of several kinds, each a number of ranks and its arguments.
fn ranks(directory: &Path, kinds: &[(usize, &[&str])]) -> Command {
    let program = assert_cmd::cargo::cargo_bin!("alrc-train").to_owned();
    ranks_of(
        directory,
        &kinds.iter().map(|&(size, arguments)| (size, program.as_path(), arguments)).collect::<Vec<_>>(),
    )
}

/// The same with a program for each kind.
fn ranks_of(directory: &Path, kinds: &[(usize, &Path, &[&str])]) -> Command {
    let mut command = mpirun();
    command.current_dir(directory);
    for (index, (size, program, arguments)) in kinds.iter().enumerate() {
        if index > 0 {
            command.arg(":");
        }
        command.args(["-n", &size.to_string()]).arg(program);
        command.args(["run", "--comm", "mpi"]).args(QUICK).args(*arguments);
    }
    command
}

#[track_caller]
fn succeed(mut command: Command) -> Output {
    let output = command.output().expect("mpirun starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Asserts that the ranks fail with `status`, that the message has every part, and that no run was begun.
#[track_caller]
fn refuse(mut command: Command, directory: &Path, status: i32, parts: &[&str]) {
    let output = command.output().expect("mpirun starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{message}");
    for part in parts {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
    assert_eq!(message.matches("error:").count(), 1, "told more than once: {message}");
    assert!(!directory.join("out").exists(), "something was written");
}

/// The losses, clipped and not, and the limits of a run.
fn losses(run: &Path) -> Vec<[f64; 3]> {
    let text = fs::read_to_string(run.join("losses.csv")).unwrap();
    let fields = text.lines().skip(1).map(|row| row.split(',').skip(1).map(|field| field.parse().unwrap()));
    fields.map(|mut fields| std::array::from_fn(|_| fields.next().unwrap())).collect()
}

/// Asserts that two runs of `steps` steps have the same losses but for a relative error.
#[track_caller]
fn assert_same_curve(a: &Path, b: &Path, steps: usize, bound: f64) {
    let (a, b) = (losses(a), losses(b));
    assert!(a.len() == steps && b.len() == steps);
    for (step, (a, b)) in a.iter().zip(&b).enumerate() {
        for (a, b) in a.iter().zip(b) {
            assert!((a / b - 1.0).abs() <= bound, "step {step}: {a} {b}");
        }
    }
}

/// Files that must have the same bits.
fn bits(run: &Path, step: usize) -> [Vec<u8>; 2] {
    ["losses.csv", &format!("checkpoints/step-{step:08}.safetensors")]
        .map(|file| fs::read(run.join(file)).unwrap())
}

/// Sums in another order differ in their last bits, and training makes that grow: within 50 steps of gradient descent
/// at a learning rate at which it is stable, to less than this.
const OTHER_ORDER: f64 = 1e-5;

#[test]
fn one_to_four_ranks_train_like_one() {
    let directory = directory();
    let path = directory.path();
    write_data(path, "data", 40);
    let options = ["--steps", "50", "--optimizer", "sgd", "--batch-size", "10", "--width", "8"];
    alrc_train(path, &[&["run"][..], &QUICK, &options, &["--out", "alone"]].concat()).assert().success();
    for size in 1..=4 {
        let (out, again) = (format!("ranks-{size}"), format!("again-{size}"));
        succeed(ranks(path, &[(size, &[&options[..], &["--out", &out]].concat())]));
        succeed(ranks(path, &[(size, &[&options[..], &["--overlap", "off", "--out", &again]].concat())]));
        assert_same_curve(&path.join(&out), &path.join("alone"), 50, OTHER_ORDER);
        assert!(
            bits(&path.join(&out), 50) == bits(&path.join(&again), 50),
            "{size} ranks differ from themselves"
        );
        if size == 1 {
            assert!(bits(&path.join(&out), 50) == bits(&path.join("alone"), 50));
        }
        let names = |run: &str| {
            let mut names: Vec<_> =
                fs::read_dir(path.join(run)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&out), names("alone"));
    }
}

/// At the usual learning rate, where differences in the last bits grow a thousandfold.
#[test]
fn in_a_fixed_order_the_bits_do_not_depend_on_the_number_of_ranks() {
    let directory = directory();
    let path = directory.path();
    write_data(path, "data", 40);
    let options = ["--steps", "50", "--batch-size", "10", "--learning-rate", "0.001", "--sum-order", "fixed"];
    alrc_train(path, &[&["run"][..], &QUICK, &options, &["--out", "alone"]].concat()).assert().success();
    for size in 1..=4 {
        let out = format!("ranks-{size}");
        succeed(ranks(path, &[(size, &[&options[..], &["--out", &out]].concat())]));
        assert!(bits(&path.join(&out), 50) == bits(&path.join("alone"), 50), "{size} ranks differ from one");
    }
}

#[test]
fn a_run_resumes_with_another_number_of_ranks() {
    let directory = directory();
    let path = directory.path();
    write_data(path, "data", 20);
    alrc_train(path, &[&["run"][..], &QUICK, &["--steps", "30", "--out", "alone"]].concat())
        .assert()
        .success();
    succeed(ranks(path, &[(2, &["--steps", "10", "--out", "out"])]));
    let first = fs::read_to_string(path.join("out/losses.csv")).unwrap();
    let output = succeed(ranks(path, &[(3, &["--steps", "20", "--resume", "--out", "out"])]));
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(message.matches("continuing after step 10").count(), 1, "{message}");
    alrc_train(path, &["run", "--resume", "--steps", "30", "--out", "out"]).assert().success();
    assert!(fs::read_to_string(path.join("out/losses.csv")).unwrap().starts_with(&first));
    assert_same_curve(&path.join("out"), &path.join("alone"), 30, OTHER_ORDER);
    // Nothing is left to do.
    succeed(ranks(path, &[(2, &["--resume", "--steps", "30", "--out", "out"])]));
}

/// The state of rank 0, from which the others go on, is longer than what a rank sends at once.
#[test]
fn a_long_state_reaches_every_rank() {
    let directory = directory();
    let path = directory.path();
    write_data(path, "data", 20);
    let with = |steps, out| {
        ["--width", "80", "--batch-size", "8", "--sum-order", "fixed", "--steps", steps, "--out", out]
    };
    alrc_train(path, &[&["run"][..], &QUICK, &with("2", "alone")].concat()).assert().success();
    succeed(ranks(path, &[(2, &with("1", "out"))]));
    let state = fs::metadata(path.join("out/checkpoints/step-00000001.safetensors")).unwrap();
    assert!(state.len() > 1 << 22);
    succeed(ranks(path, &[(2, &[&with("2", "out")[..], &["--resume"]].concat())]));
    assert!(bits(&path.join("out"), 2) == bits(&path.join("alone"), 2));
}

#[test]
fn ranks_that_differ_are_refused() {
    let directory = directory();
    let path = directory.path();
    write_data(path, "data", 20);
    write_data(path, "other", 21);
    let out: &[&str] = &["--steps", "5", "--out", "out"];
    let with = |arguments: &[&'static str]| [out, arguments].concat();
    let refuse_second = |arguments: &[&'static str], parts: &[&str]| {
        refuse(ranks(path, &[(1, out), (1, &with(arguments))]), path, 2, &[&["rank 1"], parts].concat());
    };
    refuse_second(&["--width", "6"], &["--width 6", "--width 4"]);
    refuse_second(&["--steps", "6"], &["--steps 6", "--steps 5"]);
    refuse_second(&["--wdth", "6"], &["unexpected argument '--wdth'", "'--width'"]);
    refuse_second(&["--steps", "many"], &["invalid value 'many' for '--steps"]);
    refuse_second(&["--resume"], &["continues its run (--resume)", "rank 0 begins a run (no --resume)"]);
    refuse(
        ranks(path, &[(1, &with(&["--resume"])), (2, out)]),
        path,
        2,
        &["rank 1: begins", "so does rank 2"],
    );
    refuse_second(&["--data", "absent"], &["cannot read absent"]);
    refuse_second(&["--data", "other"], &["21 images", "20 images", "CRC-32"]);
    // Rank 0 is no better than the others.
    refuse(
        ranks(path, &[(1, &with(&["--data", "absent"])), (2, out)]),
        path,
        2,
        &["rank 0", "cannot read absent"],
    );
    let parts = ["invalid value 'wgpu' for '--backend'", "of 3 processes", "--backend cpu"];
    refuse(ranks(path, &[(3, &with(&["--backend", "wgpu"]))]), path, 2, &parts);

    let (newer, version) = newer(path);
    let program = assert_cmd::cargo::cargo_bin!("alrc-train");
    let parts = ["rank 1", &format!("is alrc-train {version}, rank 0 is {}", env!("CARGO_PKG_VERSION"))];
    refuse(ranks_of(path, &[(1, program, out), (1, &newer, out)]), path, 2, &parts);
}

/// A copy of the program that takes itself for another version, and that version.
fn newer(directory: &Path) -> (PathBuf, String) {
    let newer = directory.join("newer-alrc-train");
    // Without symbols it is a sixth as large. `strip` is beside the linker.
    let program = assert_cmd::cargo::cargo_bin!("alrc-train");
    assert!(Command::new("strip").arg("-o").args([&newer, program]).status().unwrap().success());
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let other_version = [&version[..version.len() - 1], b"9"].concat();
    let mut bytes = fs::read(&newer).unwrap();
    for at in 0..bytes.len() - version.len() {
        if bytes[at..].starts_with(version) {
            bytes[at..at + version.len()].copy_from_slice(&other_version);
        }
    }
    fs::write(&newer, bytes).unwrap();
    (newer, String::from_utf8(other_version).unwrap())
}

/// The number of steps done, and asserts that it resumes, in two steps more, to where an undisturbed run comes.
fn assert_resumes(directory: &Path, out: &str) {
    let newest = fs::read_dir(directory.join(out).join("checkpoints")).unwrap();
    let newest = newest.map(|entry| entry.unwrap().file_name().into_string().unwrap()).max().unwrap();
    let done: usize = newest["step-".len()..][..8].parse().unwrap();
    let steps = (done + 2).to_string();
    succeed(ranks(directory, &[(3, &["--steps", &steps, "--resume", "--out", out])]));
    let whole = format!("{out}-whole");
    succeed(ranks(directory, &[(3, &["--steps", &steps, "--out", &whole])]));
    assert!(
        bits(&directory.join(out), done + 2) == bits(&directory.join(whole), done + 2),
        "after {done} steps"
    );
}

#[test]
fn a_killed_rank_stops_all() {
    let directory = directory();
    write_data(directory.path(), "data", 20);
    for rank in [0, 1, 2] {
        let out = format!("lost-{rank}");
        let mut run = Running::start(directory.path(), &out);
        run.signal("-KILL", rank);
        let (status, said) = run.stopped();
        assert_ne!(status, Some(0));
        assert_named(rank, &said);
        assert_all_gone(directory.path());
        assert_resumes(directory.path(), &out);
    }
}

/// Whoever looks for a rank may find its guard, which has the same arguments.
#[test]
fn a_rank_whose_guard_is_killed_is_named() {
    let directory = directory();
    write_data(directory.path(), "data", 20);
    let mut run = Running::start(directory.path(), "out");
    let rank = run.process(1);
    send("-KILL", &guard(&rank).unwrap_or(rank));
    let (status, said) = run.stopped();
    assert_ne!(status, Some(0));
    assert_named(1, &said);
    assert_all_gone(directory.path());
    assert_resumes(directory.path(), "out");
}

/// Asserts that one line tells of a killed rank, and that it is this one.
#[track_caller]
fn assert_named(rank: usize, said: &str) {
    let is_named = |line: &&str| line.contains("rank ") && line.to_lowercase().contains("killed");
    let named: Vec<_> = said.lines().filter(is_named).collect();
    assert!(named.len() == 1 && named[0].contains(&format!("rank {rank} ")), "{named:?} in: {said}");
}

/// To the others this is a machine that is gone: no process ends, no connection is closed.
#[test]
fn a_silent_rank_stops_all() {
    let directory = directory();
    write_data(directory.path(), "data", 20);
    for rank in [0, 1] {
        let out = format!("silent-{rank}");
        let mut run = Running::start(directory.path(), &out);
        run.signal("-STOP", rank);
        let (status, said) = run.stopped();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(&format!("rank {rank} (process ")) && said.contains("is lost"), "{said}");
        assert_resumes(directory.path(), &out);
    }
}

/// A batch system terminates the ranks one after the other, or their guards.
#[test]
fn a_terminated_rank_ends_the_run_cleanly() {
    let directory = directory();
    write_data(directory.path(), "data", 20);
    for is_guard in [false, true] {
        let out = format!("terminated-{is_guard}");
        let mut run = Running::start(directory.path(), &out);
        let rank = run.process(2);
        send("-TERM", &guard(&rank).filter(|_| is_guard).unwrap_or(rank));
        let (status, said) = run.stopped();
        assert_eq!(status, Some(75), "{said}");
        assert!(!said.contains("killed"), "{said}");
        let summary = fs::read_to_string(directory.path().join(&out).join("summary.json")).unwrap();
        assert!(summary.contains("interrupted"), "{summary}");
        assert_resumes(directory.path(), &out);
    }
}

#[test]
fn a_file_that_cannot_be_written_stops_all() {
    let directory = directory();
    write_data(directory.path(), "data", 20);
    let mut run = Running::start(directory.path(), "out");
    run.process(0);
    let (checkpoints, moved) = (directory.path().join("out/checkpoints"), directory.path().join("out/moved"));
    fs::rename(&checkpoints, &moved).unwrap();
    let (status, said) = run.stopped();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("error: rank 0: cannot ") && said.contains(" out/checkpoints"), "{said}");
    assert!(!said.contains("was killed"), "{said}");
    fs::rename(moved, checkpoints).unwrap();
    assert_resumes(directory.path(), "out");
}

#[test]
fn a_diverged_run_is_told_once() {
    let directory = directory();
    let options = ["--data", "builtin", "--batch-size", "2", "--optimizer", "sgd", "--learning-rate", "1000"];
    let options = [&options[..], &["--num-stddev", "off", "--steps", "100", "--out", "out"]].concat();
    let output = ranks(directory.path(), &[(2, &options)]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert_eq!(message.matches("training diverged").count(), 1, "{message}");
}
