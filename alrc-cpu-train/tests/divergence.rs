//! Runs whose losses are not finite: how they end, and what is told.

#[path = "common/program.rs"]
mod program;

use std::fs;

use program::{alrc_train, assert_fails, assert_holds, directory, run};

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
}
