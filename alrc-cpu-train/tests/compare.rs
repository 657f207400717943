//! Comparisons of runs with and without clipping: disturbed, resumed, refused.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::process::Stdio;

use alrc_cpu_train::files::DirectoryLock;
use program::{QUICK, alrc_train, assert_holds, assert_refused, directory, process, write_data};

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
        let mut child = process(directory.path())
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
    let at = |name: &str| directory.path().join(name);
    write_data(directory.path(), "data", 5);
    write_data(directory.path(), "other", 4);
    let compare = |arguments: &[&str]| {
        let options = ["compare", "--data", "data", "--width", "2", "--steps", "4", "--seeds", "2"];
        alrc_train(directory.path(), &[&options[..], &["--out", "out"], arguments].concat())
    };
    compare(&[]).assert().success();
    let before = fs::read(at("out/compare.toml")).unwrap();
    let refuses = |arguments: &[&str], parts: &[&str]| {
        assert_refused(compare(arguments), &at("out"), parts);
        assert!(fs::read(at("out/compare.toml")).unwrap() == before, "compare.toml was changed");
    };
    refuses(&[], &["'out'", "already holds", "--resume"]);
    refuses(&["--width", "4"], &["'out'", "already holds"]);
    let other_options = [
        ["--learning-rate 0.002", "--learning-rate 0.1"],
        ["no --init", "--init out/seed-0-unclipped/checkpoints/step-00000004.safetensors"],
        // These two are in the names of the runs, which are not there yet.
        ["--num-stddev 2", "--num-stddev 3"],
        ["--seed 0", "--seed 1"],
        // Less than there is.
        ["--steps 4", "--steps 3"],
        ["--seeds 2", "--seeds 1"],
    ];
    for [made_with, wanted] in other_options {
        let arguments: Vec<_> = ["--resume"].into_iter().chain(wanted.split(' ')).collect();
        refuses(&arguments, &[&format!("out was made with {made_with}, not {wanted};")]);
    }
    // All runs are finished, and one that is not there yet would be added.
    let other_images = ["--data other", "not those of '--data data'", "with which out was made"];
    let other = ["--resume", "--data", "other"];
    refuses(&[&other[..], &["--seeds", "3"]].concat(), &other_images);
    // A run is not finished.
    fs::remove_file(at("out/seed-1-unclipped/summary.json")).unwrap();
    refuses(&other, &other_images);
    // The same place, with an image more.
    fs::rename(at("data"), at("former")).unwrap();
    write_data(directory.path(), "data", 6);
    refuses(&["--resume", "--seeds", "3"], &["--data data", "are not those that out was made with"]);
    // The same images elsewhere.
    compare(&["--resume", "--data", "former"]).assert().success();
    let description = fs::read_to_string(at("out/compare.toml")).unwrap();
    assert!(description.contains("data = \"former\""), "{description}");

    let nowhere = alrc_train(directory.path(), &["compare", "--resume"]);
    assert_refused(nowhere, directory.path(), &["--resume", "--out DIR"]);
}

/// Options may lie where the comparison goes, but not under the name that a run gives to its own.
#[test]
fn options_in_the_same_directory_are_left_alone() {
    let directory = directory();
    let options = "width = 2\nsteps = 2\n";
    for (name, resume) in [("config.toml", &[][..]), ("config.toml", &["--resume"]), ("options.toml", &[])] {
        let out = directory.path().join("out");
        let file = out.join(name);
        fs::create_dir(&out).unwrap();
        fs::write(&file, options).unwrap();
        let config = format!("out/{name}");
        let compare = ["compare", "--seeds", "1", "--config", &config, "--out", "out"];
        let mut compare = alrc_train(directory.path(), &[&compare, resume].concat());
        if name == "config.toml" {
            assert_refused(
                compare,
                &out,
                &["'out' for '--out'", "its config.toml", "call that file otherwise"],
            );
        } else {
            compare.assert().success();
        }
        assert_eq!(fs::read_to_string(file).unwrap(), options);
        fs::remove_dir_all(out).unwrap();
    }
}

/// Not even the last run may have a seed that its files cannot hold.
#[test]
fn bad_comparisons_are_refused() {
    let directory = directory();
    let number =
        "permitted: one number from 0 to 1e9 (sweep takes several); runs without clipping are made anyway";
    fs::write(directory.path().join("off.toml"), "num-stddev = \"off\"\n").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--seed", "9223372036854775807", "--seeds", "2"], &["--seed", "0 to 9223372036854775807"]),
        (&["--seeds", "0"], &["--seeds", "1 to 100"]),
        (&["--num-stddev", "off"], &["'off' for '--num-stddev", number]),
        (&["--num-stddev", "many"], &["'many' for '--num-stddev", number]),
        (&["--num-stddev", "-1"], &["'-1' for '--num-stddev", number]),
        (&["--config", "off.toml"], &["'off' for '--num-stddev", number]),
        (&["--width", "5"], &["--width", "even"]),
    ];
    for (arguments, parts) in cases {
        let arguments = [&["compare", "--steps", "1"], arguments].concat();
        assert_refused(alrc_train(directory.path(), &arguments), directory.path(), parts);
    }
    let last = ["compare", "--width", "2", "--steps", "1", "--seed", "9223372036854775807", "--seeds", "1"];
    alrc_train(directory.path(), &last).assert().success();
    let resumed = ["compare", "--resume", "--out", "runs/compare"];
    alrc_train(directory.path(), &resumed).assert().success();
}

/// Where `off` is refused, the help does not offer it.
#[test]
fn the_help_offers_what_is_taken() {
    let directory = directory();
    let help = |command: &str| {
        let output = alrc_train(directory.path(), &[command, "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!help("compare").contains("N|off") && help("compare").contains("--num-stddev <N>"));
    assert!(help("run").contains("--num-stddev <N|off>"));
}

#[test]
fn two_processes_do_not_share_a_comparison() {
    let directory = directory();
    write_data(directory.path(), "data", 5);
    let compare = |arguments: &[&str]| {
        let options = ["compare", "--data", "data", "--width", "2", "--steps", "2", "--out", "out"];
        alrc_train(directory.path(), &[&options, arguments].concat())
    };
    let out = directory.path().join("out");
    fs::create_dir(&out).unwrap();
    let lock = DirectoryLock::acquire(&out).unwrap().unwrap();
    for arguments in [&[][..], &["--resume"]] {
        assert_refused(compare(arguments), &out, &["'out'", "another process is training there"]);
    }
    drop(lock);
    compare(&["--seeds", "1"]).assert().success();
    let lock = DirectoryLock::acquire(&out).unwrap().unwrap();
    let before = fs::read(out.join("compare.toml")).unwrap();
    assert_refused(compare(&["--resume", "--seeds", "2"]), &out, &["'out'", "another process"]);
    assert!(fs::read(out.join("compare.toml")).unwrap() == before);
    drop(lock);
    compare(&["--resume", "--seeds", "2"]).assert().success();
}

/// How many losses are the last ones depends on the number of steps: a tenth of few, 5,000 of many.
#[test]
fn the_table_names_the_figure_of_merit() {
    let directory = directory();
    let options = ["compare", "--width", "2", "--steps", "4", "--seeds", "1"];
    let output = alrc_train(directory.path(), &options).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("| seed | clipping | mean of the last losses | spikes |"), "{table}");
}

/// One of its runs may be resumed by itself: then its row is of more steps than the others.
#[test]
fn the_table_tells_runs_of_other_lengths() {
    let directory = directory();
    let compare = || {
        let arguments = [&["compare", "--seeds", "1", "--out", "out", "--resume"], &QUICK[..]].concat();
        let output = alrc_train(directory.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = compare();
    assert!(!table.contains("steps)"), "{table}");
    let go_on = ["run", "--resume", "--out", "out/seed-0-unclipped", "--num-stddev", "off"];
    let longer = ["--width", "4", "--batch-size", "2", "--steps", "15"];
    alrc_train(directory.path(), &[&go_on[..], &longer].concat()).assert().success();
    let table = compare();
    assert!(
        table.contains("| off (15 steps) |") && table.contains("standard deviations (12 steps) |"),
        "{table}"
    );
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
    let parts = [
        "no loss was clipped",
        "58",
        "--steps",
        "--mu1-start 25",
        "--mu2-start 900",
        "--warm-up",
        "--num-stddev",
        "none/seed-0-unclipped",
    ];
    assert_holds(&message, &parts);
    let message = compare("some", &["--num-stddev", "0", "--mu1-start", "1", "--mu2-start", "2"]);
    assert!(!message.contains("no loss was clipped"), "{message}");
}
