//! Grids of runs: divided, interrupted, restarted.

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use alrc_cpu_train::config::Config;
use alrc_cpu_train::experiment::grid::{Grid, PUBLISHED};
use alrc_cpu_train::experiment::sweep::shard;
use alrc_cpu_train::random::{Purpose, Random};
use program::{alrc_train, assert_fails, assert_holds, assert_refused, directory, process, write_data};

/// How often a sweep is killed in the middle.
const KILLS: u32 = 5;

/// Eight small runs.
const GRID: &str = r#"
repeats = 2
[options]
data = "data"
steps = 20
width = 2
checkpoint-every = 3
[vary]
batch-size = [1, 2]
num-stddev = [2, "off"]
"#;

fn grid_directory() -> tempfile::TempDir {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    fs::write(directory.path().join("grid.toml"), GRID).unwrap();
    directory
}

/// `losses.csv` and the final checkpoint of each run.
fn results(sweep: &Path) -> BTreeMap<String, [Vec<u8>; 2]> {
    let runs = fs::read_dir(sweep).unwrap().map(|entry| entry.unwrap());
    runs.map(|run| {
        let files = ["losses.csv", "checkpoints/step-00000020.safetensors"];
        let name = run.file_name().into_string().unwrap();
        (name, files.map(|file| fs::read(run.path().join(file)).unwrap()))
    })
    .collect()
}

#[test]
fn published_grids_have_the_published_runs() {
    for (name, runs) in
        [("stability-squared", 160), ("stability-quartic", 160), ("unstable-adam", 4), ("unstable-sgd", 4)]
    {
        let (_, text) = PUBLISHED.iter().find(|(published, _)| *published == name).unwrap();
        assert_eq!(Grid::parse(text).unwrap().runs(&Config::default()).unwrap().len(), runs, "{name}");
    }
}

/// By either way of counting, the parts are disjoint and together the whole.
#[test]
fn shards_are_a_partition() {
    let runs = Grid::parse(PUBLISHED[0].1).unwrap().runs(&Config::default()).unwrap();
    for parts in [1, 3, 7, 200] {
        for first in [0, 1] {
            let mut union: Vec<_> =
                (first..first + parts).flat_map(|index| shard(runs.clone(), index, parts)).collect();
            union.sort_by_key(|run| runs.iter().position(|other| other == run));
            assert_eq!(union, runs);
        }
    }
}

/// Two processes at a time, each with one shard, killed while they are at work and restarted, do what one undisturbed
/// process does.
#[test]
fn a_disturbed_sweep_equals_an_undisturbed_one() {
    let directory = grid_directory();
    let start = Instant::now();
    alrc_train(directory.path(), &["sweep", "grid.toml", "--out", "whole"]).assert().success();
    let whole = start.elapsed();
    let expected = results(&directory.path().join("whole"));
    assert_eq!(expected.len(), 8);

    let spawn = |out: &str, shard: &str| -> Child {
        process(directory.path())
            .args(["sweep", "grid.toml", "--out", out, "--jobs", "2", "--shard", shard])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut random = Random::new(3, Purpose::Order, 0);
    // Sweeps that are at their end too early are right all the same, and followed by another one.
    for sweep in 0..20 {
        let out = format!("parts-{sweep}");
        let mut kills = 0;
        while kills < KILLS {
            let mut children = [spawn(&out, "1/2"), spawn(&out, "2/2")];
            std::thread::sleep(whole.mul_f32(random.between(0.0, 0.2)));
            let ended = children.each_mut().map(|child| child.try_wait().unwrap().is_some());
            for mut child in children {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            if ended == [true, true] {
                break;
            }
            kills += 1;
        }
        for mut child in [spawn(&out, "1/2"), spawn(&out, "2/2")] {
            assert!(child.wait().unwrap().success());
        }
        assert!(results(&directory.path().join(out)) == expected, "after {kills} kills");
        if kills == KILLS {
            return;
        }
    }
    panic!("no sweep was killed {KILLS} times");
}

#[test]
fn finished_runs_are_skipped() {
    let directory = grid_directory();
    let sweep = || {
        let arguments = ["sweep", "grid.toml", "--out", "out", "--json", "--repeats", "1"];
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        serde_json::from_slice::<Vec<serde_json::Value>>(&output.stdout).unwrap()
    };
    assert!(sweep().iter().all(|run| run["outcome"]["trained"]["steps"] == 20));
    assert!(sweep().iter().all(|run| run["outcome"]["skipped"]["steps"] == 20));
}

/// A run that another process holds is left to it.
#[test]
fn a_run_in_another_process_is_left_to_it() {
    let directory = grid_directory();
    let sweep = ["sweep", "grid.toml", "--out", "out", "--json", "--num-stddevs", "2", "--batch-sizes", "1"];
    let held = directory.path().join("out/batch-size-1_num-stddev-2_seed-0");
    fs::create_dir_all(&held).unwrap();
    let _lock = alrc_cpu_train::files::DirectoryLock::acquire(&held).unwrap().unwrap();
    let output = alrc_train(directory.path(), &sweep).output().unwrap();
    let runs: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let held = runs.iter().find(|run| run["name"] == "batch-size-1_num-stddev-2_seed-0").unwrap();
    assert_eq!(held["outcome"], "elsewhere");
    assert_eq!(runs.iter().filter(|run| run["outcome"]["trained"].is_object()).count(), runs.len() - 1);
}

#[test]
fn the_command_line_changes_the_grid() {
    let directory = grid_directory();
    let list = |arguments: &[&str]| {
        let arguments = [&["sweep", "grid.toml", "--list"], arguments].concat();
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]).len(), 8);
    assert_eq!(
        list(&["--batch-sizes", "4", "--num-stddevs", "3,off", "--repeats", "1", "--seed", "5"]),
        ["batch-size-4_num-stddev-3_seed-5", "batch-size-4_num-stddev-off_seed-5"]
    );
    // Of what varies, the name tells the one value, too: another is another run.
    assert_eq!(list(&["--num-stddev", "4", "--shard", "4/4"]), ["batch-size-1_num-stddev-4_seed-0"]);
    // Not so of what does not determine the results: runs of more steps are the same ones.
    fs::write(directory.path().join("steps.toml"), "[vary]\nsteps = [10, 20]").unwrap();
    let output = alrc_train(directory.path(), &["sweep", "steps.toml", "--list", "--steps", "30"]).output();
    assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), "seed-0\n");
    fs::remove_file(directory.path().join("steps.toml")).unwrap();
    for [one, several] in [["--batch-size", "--batch-sizes"], ["--num-stddev", "--num-stddevs"]] {
        let both = alrc_train(directory.path(), &["sweep", "grid.toml", "--list", one, "4", several, "2,4"]);
        assert_fails(both, 2, &[one, several, "cannot be used with"]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "a list writes nothing");
}

/// A file with all options of a run gives what the grid varies one value.
#[test]
fn a_configuration_file_that_ends_what_varies_is_told() {
    let directory = grid_directory();
    let list = |arguments: &[&str]| {
        let arguments = [&["sweep", "grid.toml", "--list", "--config", "run.toml"], arguments].concat();
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    fs::write(directory.path().join("run.toml"), "steps = 10\nnum-stddev = 3").unwrap();
    let [names, message] = list(&[]);
    assert_eq!(names.lines().count(), 4);
    assert!(message.contains("--config gives num-stddev, which the grid varies"), "{message}");
    for given in [["--num-stddev", "4"], ["--num-stddevs", "3,4"]] {
        let message = &list(&given)[1];
        assert!(!message.contains("which the grid varies"), "{message}");
    }
}

/// Before, while and after: what there is to do, what is done, and how long the rest takes.
#[test]
fn a_sweep_tells_its_cost() {
    let directory = grid_directory();
    let list = || {
        let output = alrc_train(directory.path(), &["sweep", "grid.toml", "--out", "out", "--list"]).output();
        String::from_utf8(output.unwrap().stderr).unwrap()
    };
    let plan = || {
        let arguments = ["sweep", "grid.toml", "--out", "out", "--list", "--json"];
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["names"].as_array().unwrap().len(), 8);
        let plan = &document["plan"];
        let counts = ["runs", "finished", "begun", "steps", "images", "images_left"];
        (counts.map(|count| plan[count].as_u64().unwrap()), plan["seconds_left"].as_f64())
    };
    // Eight runs of twenty steps, half of them with one image a step, half with two.
    assert_eq!(plan(), ([8, 0, 0, 160, 240, 240], None));
    assert!(list().contains("8, together 160 steps, 240 images; how long they take shows"), "{}", list());

    let sweep = |arguments: &[&str]| {
        let arguments = [&["sweep", "grid.toml", "--out", "out"], arguments].concat();
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let message = sweep(&["--repeats", "1"]);
    assert!(message.contains("4, together 80 steps, 120 images"), "{message}");
    assert!(!message.contains("nothing to resume"), "{message}");
    assert!(
        message.contains("of 2 finished runs with clipping came out as without it; batch-size-"),
        "{message}"
    );
    let (counts, seconds) = plan();
    assert_eq!(counts, [8, 4, 0, 160, 240, 120]);
    assert!(seconds.unwrap() > 0.0 && list().contains("at the speed of finished runs"), "{}", list());

    // A fifth that goes on from its ninth step: with two images a step, 18 of 40 are done.
    let begun = "out/batch-size-2_num-stddev-2_seed-1";
    fs::create_dir_all(directory.path().join(begun).join("checkpoints")).unwrap();
    fs::write(directory.path().join(begun).join("checkpoints/step-00000009.safetensors"), "torn").unwrap();
    assert_eq!(plan().0, [8, 4, 1, 160, 240, 102]);
    fs::remove_dir_all(directory.path().join(begun)).unwrap();

    sweep(&[]);
    assert_eq!(plan(), ([8, 8, 0, 160, 240, 0], Some(0.0)));
    // After its last step a run still has its summary to write.
    fs::remove_file(directory.path().join(begun).join("summary.json")).unwrap();
    assert_eq!(plan().0, [8, 7, 1, 160, 240, 0]);
    sweep(&[]);
    assert_eq!(plan().0, [8, 8, 0, 160, 240, 0]);

    // Runs that go on tell how fast they were.
    let longer = ["sweep", "grid.toml", "--out", "out", "--steps", "40", "--list"];
    let output = alrc_train(directory.path(), &longer).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("240 images left: about"), "{message}");
    let message = sweep(&[]);
    assert!(message.contains("8 finished, 0 begun, 0 images left"), "{message}");
}

#[test]
fn bad_grids_are_refused() {
    let directory = grid_directory();
    let cases: [(&str, &[&str]); 22] = [
        ("", &["bad.toml", "it is empty", "[vary]", "num-stddev = [2, \"off\"]", "sweep --help"]),
        ("# repeats = 2\n", &["it is empty"]),
        ("[options]\nlerning-rate = 1", &["'lerning-rate'", "did you mean 'learning-rate'"]),
        ("[varry]\nbatch-size = [1]", &["'varry'", "did you mean 'vary'"]),
        ("repeat = 2", &["'repeat'", "did you mean 'repeats'"]),
        ("batch_size = 2", &["'batch_size'", "did you mean 'batch-size'"]),
        ("batch-size = [1, 4]", &["'batch-size' stands in no table", "[options]", "[vary]"]),
        ("[vary]\nbatch-sizes = [1]", &["batch-sizes", "did you mean 'batch-size'"]),
        ("[vary]\nbatch-size = []", &["batch-size", "no value"]),
        ("[vary]\nbatch-size = [\"many\"]", &["batch-size", "many"]),
        ("[vary]\n", &["its tables are empty", "below [vary]"]),
        ("[options]\n[vary]\n", &["its tables are empty"]),
        ("[vary]\nbatch-size = 4", &["batch-size needs a list", "batch-size = [4]", "[options]"]),
        ("[vary]\nloss = \"squared\"", &["loss = [\"squared\"]"]),
        ("[options]\ninit = \"a\"\n[vary]\nwidth = [4, 6]", &["width cannot vary beside init: a"]),
        ("[vary]\nbatch-sizes = 4", &["batch-sizes", "did you mean 'batch-size'"]),
        ("[vary]\nseed = [1]", &["repeats"]),
        ("[vary]\nseed = 1", &["repeats"]),
        ("repeats = 0", &["0 runs"]),
        ("[vary]\ndata = [\"da_x\", \"da-x\"]", &["--data da_x", "--data da-x", "data-da-x_seed-0"]),
        ("[vary]\nnum-stddev = [2, 3, 2.0]", &["--num-stddev 2 and --num-stddev 2", "num-stddev-2_seed-0"]),
        ("[options]\nwidth = 5", &["--width", "even"]),
    ];
    for (text, parts) in cases {
        fs::write(directory.path().join("bad.toml"), text).unwrap();
        assert_refused(alrc_train(directory.path(), &["sweep", "bad.toml"]), directory.path(), parts);
    }
    let unknown = alrc_train(directory.path(), &["sweep", "stability-cubic"]);
    assert_refused(unknown, directory.path(), &["stability-cubic", "stability-quartic"]);
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--batch-sizes", "4,0"], &["'0' for '--batch-sizes'", "1 to 65536"]),
        (&["--batch-sizes", "-1"], &["'-1' for '--batch-sizes", "1 to 65536"]),
        (&["--batch-sizes", "many"], &["'many' for '--batch-sizes", "1 to 65536"]),
        (&["--num-stddevs", "2,-1"], &["'-1' for '--num-stddevs'", "0 to 1e9"]),
        (&["--num-stddev", "2,3"], &["'2,3' for '--num-stddev", "--num-stddevs"]),
        (&["--repeats", "0"], &["'0' for '--repeats'", "1 to 100000"]),
        (&["--repeats", "100000"], &["'100000' for '--repeats'", "400000 runs"]),
        (&["--repeats", "-1"], &["'-1' for '--repeats", "1 to 100000"]),
    ];
    for (arguments, parts) in cases {
        let command = alrc_train(directory.path(), &[&["sweep", "grid.toml"], arguments].concat());
        assert_refused(command, directory.path(), parts);
    }
    for shard in ["3/2", "1/0", "x", "1"] {
        let arguments = ["sweep", "grid.toml", "--shard", shard];
        assert_refused(alrc_train(directory.path(), &arguments), directory.path(), &["--shard", "I/N"]);
    }
}

/// Runs that are finished are not counted for a sweep on other images, nor listed for one of other options.
#[test]
fn a_sweep_does_not_take_over_other_runs() {
    let directory = grid_directory();
    write_data(directory.path(), "other", 4);
    let sweep = |arguments: &[&str]| {
        alrc_train(directory.path(), &[&["sweep", "grid.toml", "--out", "out"], arguments].concat())
    };
    sweep(&[]).assert().success();
    let out = directory.path().join("out");
    for arguments in [&[][..], &["--repeats", "3"]] {
        let command = sweep(&[&["--data", "other"], arguments].concat());
        assert_refused(command, &out, &["not those of '--data data'", "choose another --out"]);
    }
    assert_refused(sweep(&["--list", "--width", "4"]), &out, &["--width 2", "not --width 4"]);
    // The same images elsewhere.
    fs::rename(directory.path().join("data"), directory.path().join("moved")).unwrap();
    sweep(&["--data", "moved"]).assert().success();
}

/// One run without a good checkpoint keeps none of the others from being trained.
#[test]
fn a_run_that_cannot_go_on_does_not_end_the_sweep() {
    let directory = grid_directory();
    let sweep = |arguments: &[&str]| {
        let options = ["sweep", "grid.toml", "--out", "out", "--repeats", "1"];
        alrc_train(directory.path(), &[&options[..], arguments].concat()).output().unwrap()
    };
    assert!(sweep(&[]).status.success());
    let of_run = |name: &str| directory.path().join("out").join(name);
    // The first of the grid, and the last.
    let [damaged, absent] = ["batch-size-1_num-stddev-2_seed-0", "batch-size-2_num-stddev-off_seed-0"];
    for checkpoint in fs::read_dir(of_run(damaged).join("checkpoints")).unwrap() {
        fs::write(checkpoint.unwrap().path(), "damaged").unwrap();
    }
    fs::remove_file(of_run(damaged).join("summary.json")).unwrap();
    fs::remove_dir_all(of_run(absent)).unwrap();

    let output = sweep(&["--json"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    let runs: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let outcome = |name: &str| &runs.iter().find(|run| run["name"] == name).unwrap()["outcome"];
    assert!(outcome(damaged)["failed"].as_str().unwrap().contains("no checkpoint in out/batch-size-1"));
    assert_eq!(outcome(absent)["trained"]["steps"], 20);
    assert_eq!(runs.iter().filter(|run| run["outcome"]["skipped"].is_object()).count(), 2);

    let output = sweep(&[]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("4 runs: ") && told.contains("3 done before") && told.contains("1 failed"),
        "{told}"
    );
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    let parts = [damaged, "remove its directory", "error: 1 of 4 runs failed", "give the same command again"];
    assert_holds(&message, &parts);
    // As advised.
    fs::remove_dir_all(of_run(damaged)).unwrap();
    assert!(sweep(&[]).status.success());
}
