//! What is left of a run that was killed, torn, moved or starved, and how it goes on.

#[path = "common/program.rs"]
mod program;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::Config;
use alrc_cpu_train::data::{Dataset, RECORD_SIZE};
use alrc_cpu_train::random::{Purpose, Random};
use alrc_cpu_train::record::summary::Counters;
use alrc_cpu_train::train::Trainer;
use program::{alrc_train, assert_fails, assert_holds, assert_refused, directory, process, run, write_data};
#[cfg(target_os = "linux")]
use runs::files;
use runs::{interrupted, run_from_another};

/// Kills in all.
const KILLS: u32 = 200;

const STEPS: &str = "40";

/// A run with many checkpoints.
fn long_run(directory: &Path, out: &str) -> Command {
    let mut command = process(directory);
    command
        .args([
            "run",
            "--data",
            "data",
            "--width",
            "4",
            "--batch-size",
            "2",
            "--decay",
            "0.9",
            "--threads",
            "1",
        ])
        .args(["--steps", STEPS, "--checkpoint-every", "3", "--resume", "--out", out])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What must not depend on interruptions: losses, the final checkpoint, and the events.
fn results(run: &Path) -> ([Vec<u8>; 2], Vec<Vec<u8>>) {
    let newest = format!("checkpoints/step-{STEPS:0>8}.safetensors");
    (["losses.csv", &newest].map(|file| fs::read(run.join(file)).unwrap()), events(run))
}

/// TensorBoard's events without the time of day, which is the first field of each.
fn events(run: &Path) -> Vec<Vec<u8>> {
    const TIME: usize = 1 + size_of::<f64>();
    let bytes = fs::read(run.join("events.out.tfevents.0.alrc-train")).unwrap();
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        // The length and the message have a checksum each.
        let (message, after) = after[4..].split_at(u64::from_le_bytes(*len) as usize);
        events.push(message[TIME..].to_vec());
        rest = &after[4..];
    }
    assert!(rest.is_empty(), "a part of an event at the end");
    events
}

/// Whether the process ended by itself within a time; else it is killed, as by a power cut.
fn finishes_within(mut child: Child, time: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a resumed run failed: {status}");
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

#[test]
fn a_killed_run_continues_to_the_same_bits() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let start = Instant::now();
    assert!(long_run(directory.path(), "undisturbed").status().unwrap().success());
    let whole = start.elapsed();
    let expected = results(&directory.path().join("undisturbed"));
    assert_eq!(expected.1.len(), 1 + 40 + 1, "the version, the steps, and a picture");

    let mut random = Random::new(1, Purpose::Order, 0);
    let (mut kills, mut runs) = (0, 0);
    while kills < KILLS {
        let out = format!("run-{runs}");
        loop {
            let time = whole.mul_f32(random.between(0.0, 1.1));
            if finishes_within(long_run(directory.path(), &out).spawn().unwrap(), time) {
                break;
            }
            kills += 1;
        }
        assert!(results(&directory.path().join(out)) == expected, "after {kills} kills");
        runs += 1;
    }
    println!("{kills} kills over {runs} runs");
}

/// A run that was killed before its first checkpoint.
#[test]
fn a_run_without_checkpoints_begins_again_with_its_parameters() {
    let directory = directory();
    let init = run_from_another(directory.path());
    let losses = || fs::read(directory.path().join("out/losses.csv")).unwrap();
    let expected = losses();
    let again = |arguments: &[&str]| {
        fs::remove_dir_all(directory.path().join("out/checkpoints")).unwrap();
        fs::create_dir(directory.path().join("out/checkpoints")).unwrap();
        fs::remove_file(directory.path().join("out/summary.json")).unwrap();
        alrc_train(directory.path(), &[&["run", "--resume", "--out", "out"], arguments].concat())
    };
    again(&[]).assert().success();
    assert!(losses() == expected);
    fs::remove_dir_all(directory.path().join("start")).unwrap();
    assert_fails(again(&[]), 2, &[init, "No such file"]);
    assert!(losses() == expected);
}

/// A run of 24 steps with checkpoints after 12 and 24, and one of 12 steps that goes on to 24.
#[test]
fn a_run_goes_on_for_more_steps() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let run = |arguments: &[&str]| run(directory.path(), &[&["--data", "data"], arguments].concat());
    run(&["--steps", "24", "--out", "whole"]).assert().success();
    run(&["--out", "parts"]).assert().success();
    alrc_train(directory.path(), &["run", "--resume", "--out", "parts", "--steps", "24"]).assert().success();
    let read = |run: &str, file: &str| fs::read(directory.path().join(run).join(file)).unwrap();
    for file in ["losses.csv", "config.toml", "samples.png", "checkpoints/step-00000024.safetensors"] {
        assert!(read("whole", file) == read("parts", file), "{file}");
    }
    let summary =
        |run: &str| -> serde_json::Value { serde_json::from_slice(&read(run, "summary.json")).unwrap() };
    for field in
        ["steps", "clipped_fraction", "scale_histogram", "mean_last_unclipped_loss", "non_finite_images"]
    {
        assert_eq!(summary("whole")[field], summary("parts")[field], "{field}");
    }
}

#[test]
fn a_torn_checkpoint_is_passed_over() {
    let directory = directory();
    let newest = interrupted(directory.path());
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    fs::remove_file(directory.path().join("out/summary.json")).unwrap();
    let output = alrc_train(directory.path(), &["run", "--resume", "--out", "out"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_holds(&message, &["checksum is wrong", "continuing after step 6"]);
    assert!(fs::read(&newest).unwrap() == whole, "the result differs");
}

/// Checkpoints of another run, brought here by hand: the run's own are used, as long as there is one.
#[test]
fn checkpoints_of_another_run_are_passed_over() {
    let directory = directory();
    let newest = interrupted(directory.path());
    let whole = fs::read(&newest).unwrap();
    run(directory.path(), &["--data", "data", "--width", "6", "--out", "wide"]).assert().success();
    let foreign = directory.path().join("wide/checkpoints/step-00000012.safetensors");
    let resume = || {
        fs::copy(&foreign, &newest).unwrap();
        let _ = fs::remove_file(directory.path().join("out/summary.json"));
        alrc_train(directory.path(), &["run", "--resume", "--out", "out"])
    };
    let output = resume().output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_holds(&message, &["made with --width 6", "this run has --width 4", "continuing after step 6"]);
    assert!(fs::read(&newest).unwrap() == whole, "the result differs");
    assert!(fs::read(newest.with_extension("damaged")).unwrap() == fs::read(&foreign).unwrap());
    fs::remove_file(newest.with_file_name("step-00000006.safetensors")).unwrap();
    let parts = ["--width 6", "--width 4", "no checkpoint", "nothing was changed"];
    assert_refused(resume(), &directory.path().join("out/checkpoints"), &parts);
}

/// Some clusters mount their file systems without locks. A library that stands in for the system's call shows it.
#[cfg(target_os = "linux")]
#[test]
fn runs_go_on_without_locks() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("flock.c"), "#include <errno.h>\nint flock(int f, int o) { errno = ENOSYS; return -1; }")
        .unwrap();
    let compile = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "flock.so", "flock.c"])
        .current_dir(directory.path())
        .status();
    if !compile.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED runs_go_on_without_locks: no C compiler");
        return;
    }
    let output = run(directory.path(), &["--out", "out"]).env("LD_PRELOAD", at("flock.so")).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_eq!(message.matches("no locks").count(), 1, "{message}");
    assert!(at("out/summary.json").exists());
}

/// A run that was interrupted after its twelfth step, and then is to have no more.
#[test]
fn a_run_without_another_step_keeps_its_speed() {
    let directory = directory();
    interrupted(directory.path());
    let path = directory.path().join("out/summary.json");
    let read = || serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).unwrap();
    let before = read();
    let mut summary = before.clone();
    summary["ending"] = "interrupted".into();
    fs::write(&path, summary.to_string()).unwrap();
    alrc_train(directory.path(), &["run", "--resume", "--out", "out"]).assert().success();
    assert_eq!(read(), before);
    assert!(before["images_per_second"].is_number());
}

#[test]
fn a_finished_run_has_nothing_to_resume() {
    let directory = directory();
    let newest = interrupted(directory.path());
    let before = fs::metadata(&newest).unwrap().modified().unwrap();
    alrc_train(directory.path(), &["run", "--resume", "--out", "out"]).assert().success();
    assert_eq!(fs::metadata(&newest).unwrap().modified().unwrap(), before);
}

#[test]
fn as_many_checkpoints_stay_as_asked_for() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    // No step has shown that the newest is of use: the one before stays, too.
    for (keep, left_at_the_end) in [(1, 2), (3, 3)] {
        let (out, keep) = (format!("keep-{keep}"), keep.to_string());
        let options = ["--data", "data", "--checkpoint-every", "2", "--keep", &keep, "--out", &out];
        run(directory.path(), &options).assert().success();
        let left = fs::read_dir(directory.path().join(out).join("checkpoints")).unwrap().count();
        assert_eq!(left, left_at_the_end);
    }
}

/// A small disk, mounted at a directory for as long as this lives.
#[cfg(target_os = "linux")]
struct Disk(PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    /// None, and a word about `test`, where nothing can be mounted.
    fn new(path: PathBuf, options: &str, test: &str) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        if !mount(&path, options) {
            eprintln!("SKIPPED {test}: cannot mount a small disk (needs root)");
            return None;
        }
        Some(Self(path))
    }

    /// Has it mounted with other options.
    fn remount(&self, option: &str) {
        assert!(mount(&self.0, &format!("remount,{option}")));
    }
}

#[cfg(target_os = "linux")]
fn mount(path: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    let output = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

/// Asserts that two runs of 60 steps have the same losses and the same final checkpoint.
#[cfg(target_os = "linux")]
fn assert_same_sixty_steps(a: &Path, b: &Path) {
    for file in ["losses.csv", "checkpoints/step-00000060.safetensors"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(b.join(file)).unwrap(), "{file}");
    }
}

/// The disk fills up during the run; with room again, the run goes on to the same result.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let at = |name: &str| directory.path().join(name);
    let Some(disk) = Disk::new(at("small"), "size=96k", "a_full_disk_loses_nothing") else { return };
    let options = ["--data", "data", "--steps", "60", "--checkpoint-every", "1", "--keep", "100"];
    run(directory.path(), &[&options[..], &["--out", "whole"]].concat()).assert().success();
    let full = run(directory.path(), &[&options[..], &["--out", "small/out"]].concat());
    assert_fails(full, 1, &["cannot write", "small/out"]);
    disk.remount("size=8m");
    alrc_train(directory.path(), &["run", "--resume", "--out", "small/out"]).assert().success();
    assert_same_sixty_steps(&at("whole"), &at("small/out"));
}

/// A run that cannot go on because its directory cannot be written is not touched, and goes on once it can be.
#[cfg(target_os = "linux")]
#[test]
fn a_read_only_directory_loses_nothing() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let at = |name: &str| directory.path().join(name);
    let Some(disk) = Disk::new(at("small"), "size=8m", "a_read_only_directory_loses_nothing") else { return };
    run(directory.path(), &["--data", "data", "--steps", "60", "--out", "whole"]).assert().success();
    run(directory.path(), &["--data", "data", "--out", "small/out"]).assert().success();
    let before = files(&at("small/out"));
    disk.remount("ro");
    let resume = || alrc_train(directory.path(), &["run", "--resume", "--out", "small/out", "--steps", "60"]);
    assert_fails(resume(), 1, &["cannot write small/out", "Read-only"]);
    assert_fails(run(directory.path(), &["--out", "small/new"]), 1, &["cannot write small/new", "Read-only"]);
    // With nothing left to do nothing need be written.
    let finished =
        alrc_train(directory.path(), &["run", "--resume", "--out", "small/out"]).assert().success();
    assert!(
        String::from_utf8_lossy(&finished.get_output().stderr).contains("nothing is left to do in small/out")
    );
    assert!(files(&at("small/out")) == before);
    disk.remount("rw");
    resume().assert().success();
    assert_same_sixty_steps(&at("whole"), &at("small/out"));
}

/// A thousand checkpoints with one damaged byte each: none gives another state, nor other starting parameters.
#[test]
fn a_damaged_byte_is_noticed() {
    let directory = directory();
    let config = Config { width: 2, batch_size: 1, ..Config::default() };
    let trainer = || Trainer::new(config.clone(), Dataset { records: vec![[7; RECORD_SIZE]] });
    let mut trained = trainer();
    trained.step();
    let path = checkpoint::Directory::new(directory.path().to_owned(), 1)
        .write(&trained, &Counters::default())
        .unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(checkpoint::restore(&path, &mut trainer()).unwrap(), Counters::default());
    let mut random = Random::new(2, Purpose::Order, 0);
    for _ in 0..1000 {
        let mut damaged = bytes.clone();
        damaged[random.below(bytes.len() as u32) as usize] ^= 1 + random.below(255) as u8;
        fs::write(&path, damaged).unwrap();
        assert!(checkpoint::restore(&path, &mut trainer()).is_err());
        // Another file may hold anything else, and no checksum, so that its name may be what is damaged.
        let (layout, mut init) = (trained.network.layout(), trained.network.layout().zeros());
        if checkpoint::read_parameters(&path, layout, &mut init).is_ok() {
            assert!(init[..] == trained.parameters[..]);
        }
    }
}
