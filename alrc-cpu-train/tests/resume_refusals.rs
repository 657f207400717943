//! Runs that are not begun or continued, because of what is there: refused, and left as they are.

#[path = "common/program.rs"]
mod program;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
#[cfg(unix)]
use std::io::Write;
#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::process::{Command, Stdio};

#[cfg(unix)]
use program::process;
use program::{alrc_train, assert_fails, assert_refused, directory, run, write_data};
#[cfg(unix)]
use runs::files;
use runs::{interrupted, run_from_another};

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

/// A run among others would lock these out.
#[test]
fn no_run_begins_above_others() {
    let directory = directory();
    interrupted(directory.path());
    for options in [&["--resume"][..], &[]] {
        let above = run(directory.path(), &[options, &["--out", "."]].concat());
        assert_refused(above, directory.path(), &["'--out'", "holds results", "choose another directory"]);
    }
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
    let init = run_from_another(directory.path());
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

/// A pipe without content: whoever reads it waits for the test.
#[cfg(unix)]
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
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
    let waiting = process(directory.path())
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
        let waiting = process(directory.path())
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
    for resume in [&[][..], &["--resume"]] {
        let parts = ["'pair'", "is a comparison", "`alrc-train compare --resume`"];
        let output = run(&[&["--out", "pair"], resume].concat()).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("begins there"), "{output:?}");
        let command = run(&[&["--out", "pair"], resume].concat());
        assert_refused(command, &directory.path().join("pair"), &parts);
    }
    fs::write(directory.path().join("grid.toml"), "[vary]\nbatch-size = [1, 2]").unwrap();
    let sweep = alrc_train(directory.path(), &["sweep", "grid.toml", "--out", "pair"]);
    assert_refused(sweep, &directory.path().join("pair"), &["'pair'", "is a comparison"]);
    let in_run = ["compare", "--resume", "--out", "pair/seed-0-unclipped"];
    let output = alrc_train(directory.path(), &in_run).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("begins there"), "{output:?}");
    let run = directory.path().join("pair/seed-0-unclipped");
    assert_refused(alrc_train(directory.path(), &in_run), &run, &["`alrc-train run --resume`"]);
}

/// To end a run before where it is would throw away what it was to become.
#[test]
fn an_unfinished_run_does_not_end_before_its_steps() {
    let directory = directory();
    interrupted(directory.path());
    let out = directory.path().join("out");
    fs::remove_file(out.join("summary.json")).unwrap();
    let config = fs::read(out.join("config.toml")).unwrap();
    let fewer = alrc_train(directory.path(), &["run", "--resume", "--out", "out", "--steps", "5"]);
    assert_refused(fewer, &out, &["out has", "steps already", "--steps 5", "give more steps"]);
    assert!(fs::read(out.join("config.toml")).unwrap() == config);
    alrc_train(directory.path(), &["run", "--resume", "--out", "out"]).assert().success();
}
