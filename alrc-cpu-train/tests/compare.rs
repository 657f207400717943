//! Comparisons of runs with and without clipping: disturbed, resumed, refused.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::process::{Command, Stdio};

use program::{QUICK, alrc_train, assert_refused, directory, write_data};

#[test]
fn compare_draws_both_runs() {
    let directory = directory();
    let output =
        alrc_train(directory.path(), &[&["compare", "--json"], &QUICK[..]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let runs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 6);
    let out = directory.path().join("runs/compare");
    let picture = image::open(out.join("curves.png")).unwrap();
    let colors: std::collections::HashSet<_> = picture.to_rgb8().pixels().map(|pixel| pixel.0).collect();
    assert!(colors.contains(&[213, 94, 0]) && colors.contains(&[0, 114, 178]), "a curve is missing");
    let svg = fs::read_to_string(out.join("curves.svg")).unwrap();
    assert!(svg.contains("without clipping") && svg.contains("clipped at 2 standard deviations"));
}

/// The same comparison killed at any moments and resumed, then resumed for more steps and seeds, leaves the same files
/// and tells the same as one that is not disturbed.
#[test]
fn a_disturbed_comparison_equals_an_undisturbed_one() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let compare = |out: &str, arguments: &[&str]| {
        let options =
            ["compare", "--data", "data", "--width", "2", "--decay", "0.9", "--checkpoint-every", "7"];
        alrc_train(directory.path(), &[&options[..], &["--out", out, "--json"], arguments].concat())
    };
    let read = |out: &str| -> Vec<Vec<u8>> {
        let runs =
            (0..2).flat_map(|seed| ["unclipped", "clipped-at-2"].map(|kind| format!("seed-{seed}-{kind}")));
        let files = ["losses.csv", "checkpoints/step-00000060.safetensors"];
        let of_runs = runs.flat_map(|run| files.map(|file| format!("{run}/{file}")));
        let names = of_runs.chain(["curves.svg".to_owned(), "curves.png".to_owned()]);
        names.map(|name| fs::read(directory.path().join(out).join(name)).unwrap()).collect()
    };
    let told = |output: std::process::Output| -> Vec<[serde_json::Value; 5]> {
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
        let runs: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let parts = |run: &serde_json::Value| {
            let summary = &run["summary"];
            let own = ["seed", "spikes", "largest_unclipped_loss"].map(|key| run[key].clone());
            let [seed, spikes, largest] = own;
            [
                seed,
                spikes,
                largest,
                summary["clipped_fraction"].clone(),
                summary["mean_last_unclipped_loss"].clone(),
            ]
        };
        runs.iter().map(parts).collect()
    };
    let whole = told(compare("whole", &["--steps", "60", "--seeds", "2"]).output().unwrap());
    assert_eq!(whole.len(), 4);

    for milliseconds in [20, 60, 90, 130] {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("alrc-train"))
            .current_dir(directory.path())
            .args(["compare", "--data", "data", "--width", "2", "--decay", "0.9", "--checkpoint-every", "7"])
            .args(["--steps", "60", "--seeds", "2", "--out", "parts", "--resume"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(
        told(compare("parts", &["--steps", "60", "--seeds", "2", "--resume"]).output().unwrap()),
        whole
    );
    assert!(read("parts") == read("whole"));

    compare("longer", &["--steps", "20", "--seeds", "1"]).assert().success();
    assert_eq!(
        told(compare("longer", &["--steps", "60", "--seeds", "2", "--resume"]).output().unwrap()),
        whole
    );
    assert!(read("longer") == read("whole"));
    // Options and number of seeds are those of the comparison.
    let mut resumed = alrc_train(directory.path(), &["compare", "--resume", "--out", "longer", "--json"]);
    assert_eq!(told(resumed.output().unwrap()), whole);
}

#[test]
fn a_comparison_is_not_overwritten_nor_mixed() {
    let directory = directory();
    let compare = |arguments: &[&str]| {
        let options = ["compare", "--width", "2", "--steps", "2", "--seeds", "1"];
        alrc_train(directory.path(), &[&options, arguments].concat())
    };
    compare(&["--out", "out"]).assert().success();
    let description = || fs::read(directory.path().join("out/compare.toml")).unwrap();
    let before = description();
    assert_refused(compare(&["--out", "out"]), directory.path(), &["'out'", "already holds", "--resume"]);
    let other = compare(&["--out", "out", "--width", "4"]);
    assert_refused(other, directory.path(), &["'out'", "already holds"]);
    let other = compare(&["--out", "out", "--resume", "--learning-rate", "0.1"]);
    assert_refused(other, directory.path(), &["--learning-rate 0.002", "not --learning-rate 0.1"]);
    assert!(description() == before);
    assert_refused(compare(&["--resume"]), directory.path(), &["--resume", "--out DIR"]);
}

/// Whoever compares for a few steps with the published start learns why both curves are the same.
#[test]
fn a_comparison_without_clipping_says_so() {
    let directory = directory();
    let compare = |out: &str, arguments: &[&str]| {
        let options = ["compare", "--width", "2", "--steps", "20", "--seeds", "1", "--out", out];
        let output = alrc_train(directory.path(), &[&options, arguments].concat()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // The published start: 25 + 2 sqrt(900 - 25^2) = 58.
    let message = compare("none", &[]);
    let remedies = [
        "--steps",
        "--mu1-start 25",
        "--mu2-start 900",
        "--warm-up",
        "--num-stddev",
        "none/seed-0-unclipped",
    ];
    for part in ["no loss was clipped", "58"].iter().chain(&remedies) {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
    let message = compare("some", &["--num-stddev", "0", "--mu1-start", "1", "--mu2-start", "2"]);
    assert!(!message.contains("no loss was clipped"), "{message}");
}
