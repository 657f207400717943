//! What a sweep or a comparison says of its runs before it begins, or instead.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::Path;

use program::{alrc_train, assert_holds, directory, write_data};
use serde_json::Value;

/// Two small runs.
const GRID: &str = r#"
[options]
data = "data"
steps = 20
width = 2
checkpoint-every = 5
[vary]
num-stddev = [2, "off"]
"#;

/// What is said on standard output and standard error by a command that succeeds.
#[track_caller]
fn told(directory: &Path, arguments: &[&str]) -> [String; 2] {
    let output = alrc_train(directory, arguments).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{stderr}");
    [stdout, stderr]
}

fn rows(run: &Path) -> usize {
    fs::read_to_string(run.join("losses.csv")).unwrap().lines().count() - 1
}

/// With more steps, finished runs go on; with fewer, they stay as they are. Either is told, before and when it happens.
#[test]
fn a_sweep_tells_that_runs_had_other_steps() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    fs::write(directory.path().join("grid.toml"), GRID).unwrap();
    let sweep = |arguments: &[&str]| {
        let arguments = [&["sweep", "grid.toml", "--out", "out"], arguments].concat();
        told(directory.path(), &arguments)
    };
    let counts = |steps: &str| {
        let [document, _] = sweep(&["--list", "--json", "--steps", steps]);
        let plan = serde_json::from_str::<Value>(&document).unwrap()["plan"].take();
        ["lengthened", "shortened", "finished"].map(|count| plan[count].as_u64())
    };
    let [_, message] = sweep(&[]);
    assert!(!message.contains("been given"), "{message}");
    assert_eq!(counts("20"), [Some(0), Some(0), Some(2)]);

    let run = directory.path().join("out/num-stddev-2_seed-0");
    assert_eq!(counts("10"), [Some(0), Some(2), Some(2)]);
    let fewer = ["2 of 2 runs had been given more steps", "past it", "choose another --out"];
    assert_holds(&sweep(&["--steps", "10", "--list"])[1], &fewer);
    assert_holds(&sweep(&["--steps", "10"])[1], &fewer);
    assert_eq!(rows(&run), 20);
    // Not only the first time.
    assert_holds(&sweep(&["--steps", "10", "--list"])[1], &fewer);

    assert_eq!(counts("30"), [Some(2), Some(0), Some(0)]);
    let more = ["2 of 2 runs had been given fewer steps", "goes on to the present number"];
    assert_holds(&sweep(&["--steps", "30", "--list"])[1], &more);
    assert_holds(&sweep(&["--steps", "30"])[1], &more);
    assert_eq!(rows(&run), 30);
    assert_eq!(counts("30"), [Some(0), Some(0), Some(2)]);
}

/// Of the others, those that are past fewer steps are refused.
#[test]
fn a_sweep_ends_no_unfinished_run_before_its_steps() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    fs::write(directory.path().join("grid.toml"), GRID).unwrap();
    let sweep = ["sweep", "grid.toml", "--out", "out"];
    told(directory.path(), &sweep);
    let run = directory.path().join("out/num-stddev-2_seed-0");
    fs::remove_file(run.join("summary.json")).unwrap();
    let output = alrc_train(directory.path(), &[&sweep[..], &["--steps", "10"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_holds(&message, &["1 of 2 runs failed", "num-stddev-2_seed-0 has 20 steps already", "--steps 10"]);
    assert!(fs::read_to_string(run.join("config.toml")).unwrap().contains("steps = 20"));
    assert_eq!(rows(&run), 20);
}

/// The same of a comparison; fewer steps it refuses.
#[test]
fn a_comparison_tells_that_it_goes_on_to_more_steps() {
    let directory = directory();
    let compare = |arguments: &[&str]| {
        let options = ["compare", "--width", "2", "--out", "out", "--seeds", "1"];
        told(directory.path(), &[&options, arguments].concat())
    };
    compare(&["--steps", "10"]);
    let [_, message] = compare(&["--resume"]);
    assert!(!message.contains("been given"), "{message}");
    let [_, message] = compare(&["--resume", "--steps", "15"]);
    assert_holds(&message, &["2 of 2 runs had been given fewer steps", "goes on to the present number"]);
}

/// Images that are not there are told by a list, which is made all the same; not where no run needs them any more.
#[test]
fn a_list_tells_that_images_are_missing() {
    let directory = directory();
    fs::write(directory.path().join("grid.toml"), GRID).unwrap();
    fs::create_dir(directory.path().join("empty")).unwrap();
    let list = |arguments: &[&str]| {
        told(directory.path(), &[&["sweep", "grid.toml", "--out", "out", "--list"], arguments].concat())
    };
    let [names, message] = list(&[]);
    assert_eq!(names.lines().count(), 2);
    let missing = ["WARN", "cannot read data", "alrc-train data fetch", "grid.toml"];
    assert_holds(&message, &missing);
    assert_eq!(message.matches("cannot read").count(), 1, "{message}");
    assert_holds(&list(&["--json"])[1], &missing);
    let [_, message] = list(&["--data", "empty"]);
    assert_holds(&message, &["WARN", "empty holds no data_batch_*.bin"]);
    assert!(!list(&["--data", "builtin"])[1].contains("WARN"));

    write_data(directory.path(), "data", 5);
    assert!(!list(&[])[1].contains("WARN"));
    told(directory.path(), &["sweep", "grid.toml", "--out", "out"]);
    fs::remove_dir_all(directory.path().join("data")).unwrap();
    assert!(!list(&[])[1].contains("WARN"));
}

/// A published grid names no images; that it trains on others than the published ones is told.
#[test]
fn a_published_sweep_without_data_tells_what_it_trains_on() {
    let directory = directory();
    let list = |arguments: &[&str]| {
        let [_, message] = told(
            directory.path(),
            &[&["sweep", "unstable-sgd", "--out", "out", "--list"], arguments].concat(),
        );
        message
    };
    assert_holds(&list(&[]), &["WARN", "unstable-sgd", "made up", "alrc-train data fetch"]);
    assert!(!list(&["--data", "builtin"]).contains("WARN"));
}
