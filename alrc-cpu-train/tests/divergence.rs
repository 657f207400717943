//! Runs whose losses are not finite: how they end, and what is told.

#[path = "common/program.rs"]
mod program;

use std::fs;

use program::{QUICK, alrc_train, assert_fails, assert_holds, directory, run};

/// Asserts success, and that standard error holds every part.
#[track_caller]
fn assert_ends_well(mut command: assert_cmd::Command, parts: &[&str]) {
    let output = command.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert_holds(&message, parts);
}

#[test]
fn divergence_stops_the_run() {
    let directory = directory();
    let output = run(
        directory.path(),
        &["--optimizer", "sgd", "--learning-rate", "1000", "--steps", "100", "--num-stddev", "off"],
    )
    .args(["--out", "out", "--checkpoint-every", "1"])
    .output();
    let output = output.unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    let parts =
        ["no image had a finite loss from step 1 to step 10", "--learning-rate below 1000", "--num-stddev 3"];
    assert_holds(&message, &parts);
    // None of the parameters that are saved gave a finite loss.
    assert!(!message.contains("--init"), "{message}");
    let summary = fs::read_to_string(directory.path().join("out/summary.json")).unwrap();
    assert!(summary.contains("diverged"));
}

/// Clipping that is on is no remedy; a lower threshold is, and a limit that comes down to the losses.
#[test]
fn the_advice_after_a_divergence_suits_the_run() {
    let directory = directory();
    let diverges = |arguments: &[&str], parts: &[&str]| {
        let options =
            ["--optimizer", "sgd", "--learning-rate", "20", "--steps", "100", "--checkpoint-every", "1"];
        let command = run(directory.path(), &[&options[..], &["--keep", "100"], arguments].concat());
        assert_fails(command, 3, &[&["diverged"], parts].concat());
    };
    diverges(
        &["--num-stddev", "1e9", "--out", "never clipped"],
        &[
            "--learning-rate below 20",
            "clipping that sets in, as it never did",
            "--num-stddev below 1000000000",
            "--mu1-start",
        ],
    );
    let losses = fs::read_to_string(directory.path().join("never clipped/losses.csv")).unwrap();
    let finite = losses.lines().skip(1).take_while(|row| !row.contains("NaN")).count();
    assert!(finite > 1, "{losses}");
    let before = format!("--init 'never clipped/checkpoints/step-{:08}.safetensors'", finite - 1);
    let again = ["--resume", "--out", "never clipped"];
    assert_fails(alrc_train(directory.path(), &[&["run"][..], &again].concat()), 3, &[&before]);
    diverges(
        &["--num-stddev", "0.05", "--learning-rate", "1000", "--out", "clipped"],
        &["--learning-rate below 1000, or with a --num-stddev below 0.05"],
    );
    // Clipping does not shorten Adam's first step.
    let adam = ["--optimizer", "adam", "--learning-rate", "1000", "--loss", "quartic", "--out", "adam"];
    let output = run(directory.path(), &[&adam[..], &["--steps", "100"]].concat()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_holds(&message, &["from step 1 to step 10", "--learning-rate below"]);
    assert!(!message.contains("clipping") && !message.contains("--num-stddev"), "{message}");
}

/// However few checkpoints are kept, the last one from which a step had a finite loss is among them.
#[test]
fn what_is_lost_does_not_take_the_place_of_what_can_be_used() {
    let directory = directory();
    let diverges = ["--loss", "quartic", "--optimizer", "sgd", "--learning-rate", "2", "--num-stddev", "off"];
    for every in ["1", "4"] {
        let options = ["--steps", "300", "--keep", "1", "--checkpoint-every", every, "--out", "out"];
        let output = run(directory.path(), &[&diverges[..], &options].concat()).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert_eq!(fs::read_dir(directory.path().join("out/checkpoints")).unwrap().count(), 2, "{message}");
        let (_, advice) = message.split_once("--init ").expect(&message);
        let init = advice.split_whitespace().next().unwrap();
        let calm = ["--learning-rate", "1e-6", "--num-stddev", "off", "--init", init, "--out", "calm"];
        run(directory.path(), &calm).assert().success();
        let losses = fs::read_to_string(directory.path().join("calm/losses.csv")).unwrap();
        assert!(!losses.contains("NaN"), "{losses}");
        fs::remove_dir_all(directory.path().join("out")).unwrap();
        fs::remove_dir_all(directory.path().join("calm")).unwrap();
    }
}

/// Parameters that are finite and give no finite loss: a lower learning rate is no remedy.
#[test]
fn parameters_too_large_are_named() {
    let directory = directory();
    run(directory.path(), &["--out", "start"]).assert().success();
    let start = directory.path().join("start/checkpoints/step-00000012.safetensors");
    let bytes = fs::read(start).unwrap();
    let checkpoint = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let huge: Vec<u8> = std::iter::repeat_n(1e30_f32.to_le_bytes(), 1 << 16).flatten().collect();
    let tensors = checkpoint.tensors().into_iter().filter(|(name, _)| name != "checksum");
    let parameters = tensors.map(|(name, tensor)| {
        let values = &huge[..tensor.data().len()];
        (name, safetensors::tensor::TensorView::new(tensor.dtype(), tensor.shape().to_vec(), values).unwrap())
    });
    let file = directory.path().join("huge.safetensors");
    safetensors::serialize_to_file(parameters, None, &file).unwrap();
    let parts = ["diverged", "not even the first", "--init huge.safetensors", "too large"];
    let init = ["--init", "huge.safetensors", "--out"];
    let run = |arguments: &[&str]| run(directory.path(), &[&init, arguments].concat());
    let output = run(&["long"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert_holds(&message, &parts);
    assert!(!message.contains("--learning-rate"), "{message}");
    // Too short to be stopped for its losses.
    assert_ends_well(run(&["short", "--steps", "3", "--num-stddev", "off"]), &parts);
}

/// A run that came to its last step before it could be stopped for its losses.
#[test]
fn a_short_run_tells_that_it_diverged() {
    let directory = directory();
    let diverges = ["--optimizer", "sgd", "--learning-rate", "1000", "--steps", "5"];
    let off = run(directory.path(), &[&diverges[..], &["--num-stddev", "off", "--out", "off"]].concat());
    let parts = ["training diverged", "the last losses are not finite", "--learning-rate below 1000"];
    assert_ends_well(off, &parts);
    let quick = run(directory.path(), &["--out", "finite"]).output().unwrap();
    let message = String::from_utf8(quick.stderr).unwrap();
    assert!(!message.contains("finite loss"), "{message}");
}

/// A comparison in which runs diverge has succeeded, and says how many.
#[test]
fn a_comparison_counts_the_runs_that_diverged() {
    let directory = directory();
    let compare = |arguments: &[&str]| {
        let options = [&["compare", "--seeds", "2"], &QUICK[..], arguments].concat();
        let output = alrc_train(directory.path(), &options).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let diverges = ["--optimizer", "sgd", "--learning-rate", "1000", "--num-stddev", "1e9"];
    // Eight steps are too few for these runs to be stopped.
    for steps in ["40", "8"] {
        let told = compare(&[&diverges[..], &["--steps", steps]].concat());
        assert_eq!(told.matches("(diverged)").count(), 4, "{told}");
        assert!(told.contains("\ndiverged: 2 of 2 without clipping, 2 of 2 with it\n"), "{told}");
    }
    let told = compare(&[]);
    assert!(!told.contains("diverged"), "{told}");
}

/// Whichever invocation of the sweep it was in which they did.
#[test]
fn a_sweep_counts_the_runs_that_diverged() {
    let directory = directory();
    let grid = "[options]\noptimizer = \"sgd\"\nnum-stddev = \"off\"\n[vary]\nlearning-rate = [1e-9, 1000]\n";
    fs::write(directory.path().join("grid.toml"), grid).unwrap();
    let sweep = |arguments: &[&str]| {
        let arguments = [&["sweep", "grid.toml"], &QUICK[..], arguments].concat();
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_holds(&sweep(&[]), &["2 runs: 1 finished here", " 1 diverged, 0 done before"]);
    assert_holds(&sweep(&[]), &["2 runs: 0 finished here", " 1 diverged, 1 done before"]);
    // Too few steps for it to be stopped.
    let short = ["--steps", "5", "--out", "short"];
    assert_holds(&sweep(&short), &["2 runs: 1 finished here", " 1 diverged, 0 done before"]);
}
