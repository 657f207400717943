//! The binary as a user meets it: files of a run, errors, exit statuses.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::process::{Command, Stdio};

use program::{
    QUICK, STORED, alrc_train, assert_fails, assert_holds, assert_refused, directory, process, run,
};
use proptest::prelude::*;

#[test]
fn run_leaves_its_files() {
    let directory = directory();
    let output = run(directory.path(), &["--out", "out"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.starts_with("12 steps, mean unclipped loss of the last 1 step: "),
        "{text}"
    );
    let out = directory.path().join("out");
    let losses = fs::read_to_string(out.join("losses.csv")).unwrap();
    let mut lines = losses.lines();
    assert_eq!(lines.next(), Some("step,loss,unclipped_loss,limit,clipped,learning_rate"));
    let steps: Vec<_> = lines.map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(steps, (0..12).map(|step| step.to_string()).collect::<Vec<_>>());
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!((&summary["steps"], &summary["batch_size"]), (&12.into(), &2.into()));
    for number in ["images_per_second", "wall_seconds", "mean_last_unclipped_loss"] {
        assert!(summary[number].as_f64().unwrap() > 0.0, "{number}");
    }
    assert!(summary["clipped_fraction"].as_f64().is_some());
    assert_eq!(summary["final_checkpoint"], "out/checkpoints/step-00000012.safetensors");
    assert!(directory.path().join("out/checkpoints/step-00000012.safetensors").exists());
    image::open(out.join("samples.png")).unwrap();
}

/// The speed of the progress is a mean, that of the summary and of tables a median: each says which.
#[test]
fn speeds_are_told_apart() {
    let directory = directory();
    let output = run(directory.path(), &["--out", "out"]).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    let line = messages.lines().find(|line| line.contains("step 12/12")).unwrap();
    assert!(line.contains(" images/s on average, "), "{line}");
    let compare = [&["compare", "--seeds", "1"], &QUICK[..]].concat();
    let output = alrc_train(directory.path(), &compare).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.lines().next().unwrap().ends_with("| median images/s |"), "{table}");
    let help = alrc_train(directory.path(), &["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert_holds(&help, &["images_per_second", "median"]);
}

/// The phases of steps are told at the end; other messages do not stand in one.
#[test]
fn phases_are_told_apart_from_messages() {
    let directory = directory();
    let output = run(directory.path(), &["--out", "out", "--log-level", "debug"]).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    let told = |message: &str| messages.lines().any(|line| line.trim_start().starts_with(message));
    for message in
        ["INFO run: step 12/12 smoothed loss ", "DEBUG a step: ", "DEBUG recording: ", "DEBUG backward: "]
    {
        assert!(told(message), "no '{message}' in: {messages}");
    }
}

#[test]
fn config_file_repeats_a_run() {
    let directory = directory();
    run(directory.path(), &["--out", "a", "--seed", "7", "--num-stddev", "off"]).assert().success();
    alrc_train(directory.path(), &["run", "--config", "a/config.toml", "--out", "b"]).assert().success();
    for file in ["config.toml", "losses.csv", "checkpoints/step-00000012.safetensors", "samples.png"] {
        let read = |run: &str| fs::read(directory.path().join(run).join(file)).unwrap();
        assert!(read("a") == read("b"), "{file} differs");
    }
}

#[cfg(not(feature = "wgpu"))]
#[test]
fn a_backend_that_was_not_built_is_refused() {
    let directory = directory();
    let command = run(directory.path(), &["--backend", "wgpu", "--out", "out"]);
    assert_refused(command, directory.path(), &["--backend", "feature `wgpu`", "--features wgpu"]);
}

#[test]
#[cfg(not(feature = "mpi"))]
fn mpi_that_was_not_built_is_refused() {
    let directory = directory();
    let parts = ["invalid value 'mpi' for '--comm'", "built without MPI", "`--features mpi`"];
    assert_refused(run(directory.path(), &["--comm", "mpi", "--out", "out"]), directory.path(), &parts);
    run(directory.path(), &["--comm", "single", "--out", "out"]).assert().success();
}

/// The advice is a command that can be pasted; and nothing happens in silence.
#[test]
fn a_run_in_which_nothing_was_clipped_says_why() {
    let directory = directory();
    let options = ["--num-stddev", "3", "--out", "my run"];
    let told = |mut command: assert_cmd::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let message = told(run(directory.path(), &[&options[..], &["--steps", "3"]].concat()));
    let parts = [
        "no loss came above the limit",
        "starts at 75",
        "--warm-up 20 instead",
        "alrc-train replay 'my run/losses.csv'",
    ];
    assert_holds(&message, &parts);
    let fewer = ["run", "--resume", "--steps", "2", "--out", "my run"];
    let message = told(alrc_train(directory.path(), &fewer));
    assert!(message.contains("the run already has 3 steps, more than --steps 2"), "{message}");
    let message = told(run(directory.path(), &["--num-stddev", "off", "--out", "off"]));
    assert!(!message.contains("no loss"), "{message}");
    // Too short to be stopped for its losses, none of which is finite after the first.
    let diverges = ["--optimizer", "sgd", "--learning-rate", "1000", "--steps", "5", "--out"];
    let compare =
        [&["compare", "--seeds", "1"], &QUICK[..], &diverges, &["pair", "--num-stddev", "1e9"]].concat();
    let run = run(directory.path(), &[&diverges[..], &["lost"]].concat());
    for command in [run, alrc_train(directory.path(), &compare)] {
        let message = told(command);
        assert!(message.contains("diverged") && message.contains("--learning-rate below 1000"), "{message}");
        assert!(!message.contains("more --steps") && !message.contains("no loss came"), "{message}");
    }
}

/// During the warm-up nothing is clipped, whatever the threshold.
#[test]
fn a_warm_up_passes_unclipped() {
    let directory = directory();
    run(directory.path(), &["--num-stddev", "0", "--warm-up", "8", "--out", "out"]).assert().success();
    let losses = fs::read_to_string(directory.path().join("out/losses.csv")).unwrap();
    let rows: Vec<Vec<&str>> = losses.lines().skip(1).map(|row| row.split(',').collect()).collect();
    // Columns 3 and 4: limit and images clipped.
    assert!(rows[..8].iter().all(|row| row[3].is_empty() && row[4] == "0"));
    assert!(rows[8..].iter().all(|row| !row[3].is_empty()) && rows[8..].iter().any(|row| row[4] != "0"));
}

#[test]
fn bits_do_not_depend_on_threads() {
    let directory = directory();
    for threads in ["1", "2", "3", "5"] {
        run(directory.path(), &["--out", threads, "--threads", threads]).assert().success();
        let read = |run: &str| fs::read(directory.path().join(run).join("losses.csv")).unwrap();
        assert!(read(threads) == read("1"), "{threads} threads");
    }
}

#[test]
fn checkpoint_is_a_starting_point() {
    let directory = directory();
    run(directory.path(), &["--out", "a"]).assert().success();
    let checkpoint = "a/checkpoints/step-00000012.safetensors";
    run(directory.path(), &["--out", "b", "--init", checkpoint]).assert().success();
    let first_loss = |run: &str| {
        let losses = fs::read_to_string(directory.path().join(run).join("losses.csv")).unwrap();
        losses.lines().nth(1).unwrap().split(',').nth(2).unwrap().parse::<f64>().unwrap()
    };
    assert!(first_loss("b") < first_loss("a"));
    let wider = run(directory.path(), &["--width", "6", "--out", "c", "--init", checkpoint]);
    assert_refused(wider, directory.path(), &[checkpoint, "of width 4, not 6", "give --width 4"]);
    // Nor is anything left of a comparison that could not begin.
    let compare = ["compare", "--width", "6", "--out", "d", "--init", checkpoint];
    assert_refused(alrc_train(directory.path(), &compare), directory.path(), &["give --width 4"]);
}

/// A file where a directory is to be: the option is wrong, not the disk.
#[test]
fn a_file_is_no_directory_for_results() {
    let directory = directory();
    run(directory.path(), &["--out", "run"]).assert().success();
    fs::write(directory.path().join("file"), "").unwrap();
    let commands: [&[&str]; 7] = [
        &["run"],
        &["compare"],
        &["sweep", "unstable-sgd"],
        &["report", "run"],
        &["replay", "run/losses.csv"],
        &["data", "fetch"],
        &["man"],
    ];
    for command in commands {
        let command = alrc_train(directory.path(), &[command, &["--out", "file"]].concat());
        assert_refused(command, directory.path(), &["invalid value 'file' for '--out"]);
    }
    let inside = alrc_train(directory.path(), &["man", "--out", "file/man1"]);
    assert_fails(inside, 1, &["cannot write file/man1"]);
}

/// A configuration is text: it cannot hold such a path.
#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    let directory = directory();
    for option in ["--init", "--out"] {
        let mut command = alrc_train(directory.path(), &["run", "--steps", "1", option]);
        command.arg(std::ffi::OsStr::from_bytes(b"\xff.safetensors"));
        assert_refused(command, directory.path(), &["invalid UTF-8"]);
    }
}

#[test]
fn bad_data_are_refused() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    for name in ["empty", "blank", "cut", "label"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("blank/data_batch_1.bin"), "").unwrap();
    fs::write(at("blank.bin"), "").unwrap();
    let mut records = vec![0; 3 * STORED];
    fs::write(at("cut/data_batch_1.bin"), &records[..2 * STORED + 5]).unwrap();
    records[2 * STORED] = 10;
    fs::write(at("label/data_batch_1.bin"), &records).unwrap();
    fs::write(at("damaged.tar.gz"), b"\x1f\x8b damaged").unwrap();
    fs::write(at("cut.bin"), &records[..STORED + 5]).unwrap();
    fs::write(at("notes.txt"), "no images").unwrap();
    let cases: [(&str, &[&str]); 9] = [
        ("blank", &["blank/data_batch_1.bin is empty", "copy or download the file again"]),
        ("blank.bin", &["blank.bin is empty", "copy or download the file again"]),
        ("cut.bin", &["cut.bin", "the last record", "3073"]),
        ("notes.txt", &["notes.txt", "3073", "CIFAR-10's binary version"]),
        ("absent", &["absent", "give a directory", "alrc-train data fetch"]),
        ("empty", &["empty", "data_batch_*.bin"]),
        ("cut", &["data_batch_1.bin", "the last record", "3073", "again"]),
        ("label", &["data_batch_1.bin", "record 2", "label 10", "0 to 9"]),
        ("damaged.tar.gz", &["damaged.tar.gz", "cannot read"]),
    ];
    for (data, parts) in cases {
        assert_refused(run(directory.path(), &["--data", data]), directory.path(), parts);
    }
}

#[test]
fn a_run_is_not_overwritten() {
    let directory = directory();
    run(directory.path(), &["--out", "out"]).assert().success();
    assert_refused(
        run(directory.path(), &["--out", "out"]),
        directory.path(),
        &["--out", "out", "already holds"],
    );
}

/// Whoever reports or removes the run would do so to the others, too.
#[test]
fn runs_do_not_lie_in_a_run() {
    let directory = directory();
    run(directory.path(), &["--out", "out"]).assert().success();
    for command in [&["compare"][..], &["compare", "--resume"], &["sweep", "unstable-sgd"]] {
        let command = alrc_train(directory.path(), &[command, &QUICK[..], &["--out", "out"]].concat());
        assert_refused(command, &directory.path().join("out"), &["'out' for '--out'", "it is a run"]);
    }
}

#[test]
fn archives_directories_and_files_hold_the_same() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("data")).unwrap();
    let bytes: Vec<u8> =
        (0..5 * STORED).map(|index| if index % STORED == 0 { 9 } else { (index % 251) as u8 }).collect();
    fs::write(at("data/data_batch_1.bin"), &bytes[..2 * STORED]).unwrap();
    fs::write(at("data/data_batch_2.bin"), &bytes[2 * STORED..]).unwrap();
    let archive = fs::File::create(at("data.tar.gz")).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(archive, flate2::Compression::fast()));
    archive.append_dir_all("cifar-10-batches-bin", at("data")).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    fs::write(at("all.bin"), &bytes).unwrap();
    let losses = ["data", "data.tar.gz", "all.bin"].map(|data| {
        run(directory.path(), &["--data", data, "--out", &format!("{data}.out")]).assert().success();
        fs::read(at(&format!("{data}.out/losses.csv"))).unwrap()
    });
    assert!(losses[0] == losses[1] && losses[0] == losses[2]);
}

#[test]
fn info_names_the_convolutions() {
    let directory = directory();
    let output = alrc_train(directory.path(), &["info", "--json"]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // As many weights as multiply-adds a pixel, and the biases.
    assert_eq!(info["parameters"], 1_041_792 + 1_027);
    assert!(info["convolutions"]["res1_a"].is_string());
}

/// More memory than the system gives is asked for before anything is written, and named.
#[cfg(target_os = "linux")]
#[test]
fn a_network_too_large_for_the_memory_is_refused() {
    let directory = directory();
    for command in ["run", "compare", "sweep unstable-sgd"] {
        let mut limited = assert_cmd::Command::new("sh");
        limited.current_dir(directory.path()).args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""]);
        limited.arg(env!("CARGO_BIN_EXE_alrc-train")).args(command.split(' '));
        limited.args(["--width", "2048", "--steps", "1", "--threads", "1", "--out", "out"]);
        assert_fails(limited, 2, &["--width 2048", "--batch-size", "GiB", "choose a smaller --width"]);
        assert!(!directory.path().join("out").exists(), "{command}: something was written");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A file of any length and content is read whole or refused with status 2.
    #[test]
    fn no_file_crashes_the_program(len in 0..4 * STORED, label in any::<u8>()) {
        let directory = directory();
        fs::create_dir(directory.path().join("data")).unwrap();
        fs::write(directory.path().join("data/data_batch_1.bin"), vec![label; len]).unwrap();
        let output = run(directory.path(), &["--data", "data", "--steps", "1", "--out", "out"]).output().unwrap();
        let is_good = len > 0 && len.is_multiple_of(STORED) && label <= 9;
        prop_assert_eq!(output.status.code(), Some(if is_good { 0 } else { 2 }));
    }
}

/// Results that do not reach their reader are lost: once said, and no success.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_printed_is_a_failure() {
    let directory = directory();
    let run: &[&str] =
        &["run", "--steps", "1", "--width", "2", "--batch-size", "1", "--json", "--log-level", "error"];
    for arguments in [run, &["info"], &["completions", "bash"], &["man"]] {
        let full = fs::File::create("/dev/full").unwrap();
        let output = process(directory.path()).args(arguments).stdout(full).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.starts_with("error: cannot print the result: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_reader_who_has_gone_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_alrc-train"))
        .arg("info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
