//! What is left of a run that was killed, torn, moved or starved, and how it goes on.

#[path = "common/program.rs"]
mod program;

use std::fs;
#[cfg(unix)]
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::Config;
use alrc_cpu_train::data::{Dataset, RECORD_SIZE};
use alrc_cpu_train::random::{Purpose, Random};
use alrc_cpu_train::record::summary::Counters;
use alrc_cpu_train::train::Trainer;
use program::{alrc_train, assert_fails, assert_refused, directory, run, write_data};

/// Kills in all.
const KILLS: u32 = 200;

const STEPS: &str = "40";

/// A run with many checkpoints.
fn long_run(directory: &Path, out: &str) -> std::process::Command {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("alrc-train"));
    command
        .current_dir(directory)
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
    write_data(directory.path(), "data", 5);
    let run = |arguments: &[&str]| run(directory.path(), &[&["--data", "data"], arguments].concat());
    run(&["--seed", "7", "--out", "start"]).assert().success();
    let init = "start/checkpoints/step-00000012.safetensors";
    let losses = || fs::read(directory.path().join("out/losses.csv")).unwrap();
    run(&["--init", init, "--out", "out"]).assert().success();
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

/// A run with checkpoints after 6 and 12 steps.
fn interrupted(directory: &Path) -> PathBuf {
    write_data(directory, "data", 5);
    run(directory, &["--data", "data", "--checkpoint-every", "6", "--out", "out"]).assert().success();
    directory.join("out/checkpoints/step-00000012.safetensors")
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
    assert!(
        message.contains("checksum is wrong") && message.contains("continuing after step 6"),
        "{message}"
    );
    assert!(fs::read(&newest).unwrap() == whole, "the result differs");
}

#[test]
fn a_run_without_a_good_checkpoint_is_left_alone() {
    let directory = directory();
    let newest = interrupted(directory.path());
    for checkpoint in [newest.with_file_name("step-00000006.safetensors"), newest] {
        fs::write(checkpoint, "damaged").unwrap();
    }
    fs::remove_file(directory.path().join("out/summary.json")).unwrap();
    let losses = fs::read(directory.path().join("out/losses.csv")).unwrap();
    assert_refused(
        alrc_train(directory.path(), &["run", "--resume", "--out", "out"]),
        &directory.path().join("out/checkpoints"),
        &["no checkpoint", "nothing was changed", "remove its directory"],
    );
    assert!(fs::read(directory.path().join("out/losses.csv")).unwrap() == losses);
}

/// Of an empty file nothing can be mended.
#[test]
fn an_empty_configuration_is_told() {
    let directory = directory();
    interrupted(directory.path());
    let out = directory.path().join("out");
    fs::write(out.join("config.toml"), "").unwrap();
    let parts = ["out/config.toml is empty", "put back a copy", "another --out"];
    assert_refused(alrc_train(directory.path(), &["run", "--resume", "--out", "out"]), &out, &parts);
    fs::create_dir(directory.path().join("pair")).unwrap();
    fs::write(directory.path().join("pair/compare.toml"), "\n").unwrap();
    let compare = alrc_train(directory.path(), &["compare", "--resume", "--out", "pair"]);
    assert_refused(compare, &directory.path().join("pair"), &["pair/compare.toml is empty", "put back"]);
}

#[test]
fn another_run_is_not_continued() {
    let directory = directory();
    interrupted(directory.path());
    write_data(directory.path(), "other", 4);
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--width", "6"], &["--width 4", "not --width 6"]),
        (&["--optimizer", "sgd"], &["--optimizer adam", "not --optimizer sgd"]),
        (&["--num-stddev", "off"], &["--num-stddev 3", "not --num-stddev off"]),
        // Of a run with nothing left to do, too.
        (&["--data", "other"], &["--data other", "not those of '--data data'"]),
        (
            &["--data", "other", "--steps", "20"],
            &[
                "--data other",
                "not those of '--data data'",
                "give '--data data', or the same images",
                "--out",
            ],
        ),
    ];
    for (arguments, parts) in cases {
        let arguments = [&["run", "--resume", "--out", "out"], arguments].concat();
        assert_refused(alrc_train(directory.path(), &arguments), &directory.path().join("out"), parts);
    }
    // The same place, with an image more.
    fs::rename(directory.path().join("data"), directory.path().join("former")).unwrap();
    write_data(directory.path(), "data", 6);
    assert_refused(
        alrc_train(directory.path(), &["run", "--resume", "--out", "out", "--steps", "20"]),
        &directory.path().join("out"),
        &["--data data", "are not those that", "put the former"],
    );
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
    for part in ["made with --width 6", "this run has --width 4", "continuing after step 6"] {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
    assert!(fs::read(&newest).unwrap() == whole, "the result differs");
    assert!(fs::read(newest.with_extension("damaged")).unwrap() == fs::read(&foreign).unwrap());
    fs::remove_file(newest.with_file_name("step-00000006.safetensors")).unwrap();
    let parts = ["--width 6", "--width 4", "no checkpoint", "nothing was changed"];
    assert_refused(resume(), &directory.path().join("out/checkpoints"), &parts);
}

/// A checkpoint that was made on other images, brought here by hand, is no reason to go on before it: which images are
/// meant is for the user to say.
#[cfg(unix)]
#[test]
fn a_checkpoint_of_other_images_is_refused() {
    let directory = directory();
    let newest = interrupted(directory.path());
    write_data(directory.path(), "other", 4);
    run(directory.path(), &["--data", "other", "--out", "elsewhere"]).assert().success();
    fs::copy(directory.path().join("elsewhere/checkpoints/step-00000012.safetensors"), newest).unwrap();
    fs::remove_file(directory.path().join("out/summary.json")).unwrap();
    let out = directory.path().join("out");
    let before = files(&out);
    let parts = ["--data data", "out/checkpoints/step-00000012.safetensors", "put the former back", "--out"];
    assert_refused(alrc_train(directory.path(), &["run", "--resume", "--out", "out"]), &out, &parts);
    assert!(files(&out) == before);
}

/// The same file by another path continues the run; another file does not.
#[test]
fn starting_parameters_are_a_file_and_not_a_path() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let run = |arguments: &[&str]| run(directory.path(), &[&["--data", "data"], arguments].concat());
    run(&["--seed", "7", "--out", "start"]).assert().success();
    let init = "start/checkpoints/step-00000012.safetensors";
    run(&["--init", init, "--out", "out"]).assert().success();
    let resume = |init: &str| {
        alrc_train(directory.path(), &["run", "--resume", "--out", "out", "--steps", "20", "--init", init])
    };
    let copy = "copy.safetensors";
    fs::copy(directory.path().join(init), directory.path().join(copy)).unwrap();
    let parts = [&format!("--init {init}"), &*format!("not --init {copy}")];
    assert_refused(resume(copy), &directory.path().join("out"), &parts);
    resume(&format!("./out/../{init}")).assert().success();
}

/// A path in a configuration is relative to wherever the program is started.
#[test]
fn data_that_a_configuration_names_are_said_to_come_from_it() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    write_data(directory.path(), "data", 5);
    run(directory.path(), &["--data", "data", "--out", "out"]).assert().success();
    let compare = ["compare", "--data", "data", "--width", "2", "--steps", "2", "--seeds", "1", "--out"];
    alrc_train(directory.path(), &[&compare[..], &["pair"]].concat()).assert().success();
    fs::create_dir(at("elsewhere")).unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["run", "--resume", "--out", "../out", "--steps", "20"], "../out/config.toml"),
        (&["run", "--config", "../out/config.toml"], "../out/config.toml"),
        (&["sweep", "unstable-sgd", "--config", "../out/config.toml"], "../out/config.toml"),
        (&["compare", "--resume", "--out", "../pair", "--steps", "4"], "../pair/compare.toml"),
    ];
    for (arguments, file) in cases {
        let parts = ["cannot read data", &*format!("this path stands in {file}"), "give --data"];
        assert_refused(alrc_train(&at("elsewhere"), arguments), &at("elsewhere"), &parts);
        let given = [arguments, &["--data", "absent"]].concat();
        let output = alrc_train(&at("elsewhere"), &given).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("cannot read absent") && !message.contains("stands in"), "{message}");
    }
}

#[test]
fn two_processes_do_not_share_a_run() {
    let directory = directory();
    interrupted(directory.path());
    let lock = alrc_cpu_train::files::DirectoryLock::acquire(&directory.path().join("out")).unwrap().unwrap();
    let resume = || alrc_train(directory.path(), &["run", "--resume", "--out", "out", "--steps", "20"]);
    assert_fails(resume(), 2, &["another process"]);
    drop(lock);
    resume().assert().success();
}

/// Some clusters mount their file systems without locks. A library that stands in for the system's call shows it.
#[cfg(target_os = "linux")]
#[test]
fn runs_go_on_without_locks() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("flock.c"), "#include <errno.h>\nint flock(int f, int o) { errno = ENOSYS; return -1; }")
        .unwrap();
    let compile = std::process::Command::new("cc")
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

/// A pipe without content: whoever reads it waits for the test.
#[cfg(unix)]
fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Every file of a run, with its content.
#[cfg(unix)]
fn files(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = [run, &run.join("checkpoints")]
        .into_iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// While one process waits for its starting parameters, another makes a run in the same directory.
#[cfg(unix)]
#[test]
fn a_run_of_another_process_is_not_overwritten() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let at = |name: &str| directory.path().join(name);
    pipe(&at("init"));
    let options = ["run", "--data", "data", "--width", "4", "--steps", "3", "--seed", "1"];
    let waiting = std::process::Command::new(assert_cmd::cargo::cargo_bin!("alrc-train"))
        .current_dir(directory.path())
        .args(options)
        .args(["--init", "init", "--out", "out"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Goes on once the other end is open.
    let mut init = fs::File::options().write(true).open(at("init")).unwrap();
    run(directory.path(), &["--data", "data", "--out", "out"]).assert().success();
    let before = files(&at("out"));
    init.write_all(&fs::read(at("out/checkpoints/step-00000012.safetensors")).unwrap()).unwrap();
    drop(init);
    let output = waiting.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("already holds a run"), "{message}");
    assert!(files(&at("out")) == before);
}

/// While one process waits for its data, another finishes the run that both are to continue.
#[cfg(unix)]
#[test]
fn a_run_that_another_process_has_finished_is_left_alone() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("slow")).unwrap();
    pipe(&at("slow/data_batch_1.bin"));
    fs::write(at("grid.toml"), "[options]\nwidth = 4\nsteps = 12\nbatch-size = 2").unwrap();
    for (command, out) in [(&["sweep", "grid.toml"][..], "out/seed-0"), (&["run", "--resume"], "out")] {
        let options =
            ["--width", "4", "--steps", "12", "--batch-size", "2", "--data", "slow", "--out", "out"];
        let waiting = std::process::Command::new(assert_cmd::cargo::cargo_bin!("alrc-train"))
            .current_dir(directory.path())
            .args(command)
            .args(options)
            .arg("--json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = fs::File::options().write(true).open(at("slow/data_batch_1.bin")).unwrap();
        run(directory.path(), &["--data", "data", "--out", out]).assert().success();
        let before = files(&at(out));
        pipe.write_all(&fs::read(at("data/data_batch_1.bin")).unwrap()).unwrap();
        drop(pipe);
        let output = waiting.wait_with_output().unwrap();
        assert!(output.status.success());
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = if command[0] == "sweep" { &told[0]["outcome"]["skipped"] } else { &told };
        let summary = fs::read(at(out).join("summary.json")).unwrap();
        assert_eq!(told, &serde_json::from_slice::<serde_json::Value>(&summary).unwrap(), "{command:?}");
        assert!(files(&at(out)) == before, "{command:?}");
        fs::remove_dir_all(at("out")).unwrap();
    }
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
    for keep in [1, 3] {
        let (out, keep) = (format!("keep-{keep}"), keep.to_string());
        let options = ["--data", "data", "--checkpoint-every", "2", "--keep", &keep, "--out", &out];
        run(directory.path(), &options).assert().success();
        let left = fs::read_dir(directory.path().join(out).join("checkpoints")).unwrap().count();
        assert_eq!(left.to_string(), keep);
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    assert_fails(
        run(directory.path(), &["--data", "data", "--out", "data/data_batch_1.bin/out"]),
        1,
        &["cannot write", "data_batch_1.bin/out"],
    );
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
    let mut command = std::process::Command::new("mount");
    let output = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(&self.0).status();
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
    alrc_train(directory.path(), &["run", "--resume", "--out", "small/out"]).assert().success();
    assert!(files(&at("small/out")) == before);
    disk.remount("rw");
    resume().assert().success();
    assert_same_sixty_steps(&at("whole"), &at("small/out"));
}

/// A thousand checkpoints with one damaged byte each: none gives another state.
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
    }
}

#[test]
fn no_run_begins_among_other_results() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let run = |arguments: &[&str]| run(directory.path(), &[&["--data", "data"], arguments].concat());
    run(&["--out", "out"]).assert().success();
    fs::remove_file(directory.path().join("out/config.toml")).unwrap();
    for resume in [&[][..], &["--resume"]] {
        let command = run(&[&["--out", "out"], resume].concat());
        assert_refused(command, &directory.path().join("out"), &["'out'", "not the config.toml of a run"]);
    }
    let compare =
        ["compare", "--data", "data", "--width", "2", "--steps", "2", "--seeds", "1", "--out", "pair"];
    alrc_train(directory.path(), &compare).assert().success();
    assert_refused(run(&["--out", "pair", "--resume"]), &directory.path().join("pair"), &["'pair'"]);
}
