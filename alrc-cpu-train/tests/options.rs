//! The options of a run, on the command line and in files: how they merge, and which are refused.

#[path = "common/program.rs"]
mod program;

use std::fs;

use program::{QUICK, alrc_train, assert_holds, assert_refused, directory, run};

#[test]
fn configuration_files_and_options_merge() {
    let directory = directory();
    let file = |text: &str| fs::write(directory.path().join("options.toml"), text).unwrap();
    file("width = 2\nnum-stddev = \"off\"\nseed = 5");
    let arguments = ["run", "--config", "options.toml", "--steps", "2", "--seed", "6", "--out", "out"];
    alrc_train(directory.path(), &arguments).assert().success();
    let config = fs::read_to_string(directory.path().join("out/config.toml")).unwrap();
    for line in ["width = 2", "num-stddev = \"off\"", "seed = 6", "steps = 2", "batch-size = 16"] {
        assert!(config.lines().any(|other| other == line), "no '{line}' in {config}");
    }
    let cases: [(&str, &[&str]); 6] = [
        ("steps = 100.0", &["options.toml", "steps: 100.0 is no whole number", "1 to"]),
        ("num-stddev = \"2\"", &["options.toml", "num-stddev: \"2\" is text", "0 to"]),
        ("lerning-rate = 1", &["options.toml", "lerning-rate", "did you mean 'learning-rate'"]),
        ("steps = \"many\"", &["options.toml", "steps", "many"]),
        ("steps = 0", &["'options.toml' for '--config'", "steps: invalid value 0", "1 to"]),
        ("steps =", &["options.toml", "line 1"]),
    ];
    for (text, parts) in cases {
        file(text);
        let command = alrc_train(directory.path(), &["run", "--config", "options.toml"]);
        assert_refused(command, directory.path(), parts);
    }
}

#[test]
fn bad_options_are_refused() {
    let directory = directory();
    let cases: [(&[&str], &[&str]); 19] = [
        (&["--batch-size", "0"], &["--batch-size", "0", "1 to"]),
        (&["--width", "0"], &["--width", "0", "2 to"]),
        (&["--width", "5"], &["--width", "5", "even"]),
        (&["--threads", "0"], &["--threads", "0", "1 to"]),
        (&["--steps", "0"], &["--steps", "0", "1 to"]),
        (&["--learning-rate", "nan"], &["--learning-rate", "NaN", "above 0"]),
        (&["--learning-rate", "-1"], &["--learning-rate", "-1", "above 0"]),
        (&["--decay", "1"], &["--decay", "'1'", "below 1"]),
        (&["--decay", "-0.1"], &["--decay", "-0.1", "at least 0"]),
        (&["--mu1-start", "5", "--mu2-start", "25"], &["--mu2-start", "25", "above the square"]),
        (
            &["--mu1-start", "100"],
            &["'900' for '--mu2-start'", "--mu1-start 100, which is 10000", "900 is the default"],
        ),
        (&["--steps", "1e3"], &["'1e3' for '--steps", "permitted: 1 to 1000000000"]),
        (&["--steps", "-5"], &["'-5' for '--steps", "permitted: 1 to 1000000000"]),
        (&["--seed", "9223372036854775808"], &["--seed", "0 to 9223372036854775807"]),
        (&["--num-stddev", "2,3"], &["'2,3'", "--num-stddevs"]),
        (&["--num-stddev", "-2"], &["--num-stddev", "-2", "0 to"]),
        (&["--num-stddev", "many"], &["--num-stddev", "many", "off"]),
        (&["--init", "absent.safetensors"], &["--init", "absent.safetensors"]),
        (&["--lerning-rate", "1"], &["--lerning-rate", "--learning-rate"]),
    ];
    for (arguments, parts) in cases {
        assert_refused(
            alrc_train(directory.path(), &[&["run"], arguments].concat()),
            directory.path(),
            parts,
        );
    }
}

/// More threads than processors are permitted, and told.
#[test]
fn more_threads_than_processors_are_told() {
    let directory = directory();
    let many = (std::thread::available_parallelism().unwrap().get() + 1).to_string();
    fs::write(directory.path().join("many.toml"), format!("threads = {many}\n")).unwrap();
    let grid = format!("[options]\nthreads = {many}\nwidth = 2\n");
    fs::write(directory.path().join("grid.toml"), grid).unwrap();
    let told = |arguments: &[&str]| {
        let output = alrc_train(directory.path(), arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{message}");
        message.matches(&format!("--threads {many} is more than the ")).count()
    };
    let quick = ["run", "--width", "2", "--steps", "1"];
    assert_eq!(told(&[&quick[..], &["--threads", &many]].concat()), 1);
    assert_eq!(told(&[&quick[..], &["--config", "many.toml"]].concat()), 1);
    assert_eq!(told(&["compare", "--threads", &many, "--width", "2", "--steps", "1"]), 1);
    assert_eq!(told(&["sweep", "grid.toml", "--list"]), 1);
    assert_eq!(told(&["sweep", "grid.toml", "--list", "--threads", "1"]), 0);
    assert_eq!(told(&quick), 0);
}

/// A warm-up takes the place of the estimates: where both are given at one place, one would be ignored.
#[test]
fn estimates_beside_a_warm_up_are_refused() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("log"), "1\n2\n").unwrap();
    fs::write(at("both.toml"), "warm-up = 20\nmu1-start = 5\nmu2-start = 30\n").unwrap();
    fs::write(at("grid.toml"), "[options]\nwarm-up = 20\nmu2-start = 1000\n").unwrap();
    fs::write(at("vary.toml"), "[options]\nwarm-up = 20\n[vary]\nmu1-start = [5, 6]\n").unwrap();
    let both = ["'5' for '--mu1-start'", "--warm-up 20", "leave out"];
    let cases: [(&[&str], &[&str]); 7] = [
        (&["run", "--warm-up", "20", "--mu1-start", "5", "--mu2-start", "30"], &both),
        // The defaults, when asked for, would be ignored as well.
        (&["run", "--warm-up", "20", "--mu2-start", "900"], &["'900' for '--mu2-start'", "--warm-up 20"]),
        (&["compare", "--warm-up", "20", "--mu1-start", "5", "--mu2-start", "30"], &both),
        (&["replay", "log", "--warm-up", "20", "--mu1-start", "5", "--mu2-start", "30"], &both),
        (&["run", "--config", "both.toml"], &[&both[..], &["both.toml"]].concat()),
        (&["sweep", "grid.toml"], &["'1000' for '--mu2-start'", "--warm-up 20", "grid.toml"]),
        (&["sweep", "vary.toml"], &[&both[..], &["vary.toml"]].concat()),
    ];
    for (arguments, parts) in cases {
        assert_refused(alrc_train(directory.path(), arguments), directory.path(), parts);
    }
}

/// What a run leaves, and what stands in other places, may name both.
#[test]
fn a_warm_up_overrules_estimates_given_elsewhere() {
    let directory = directory();
    let config = |out: &str| fs::read_to_string(directory.path().join(out).join("config.toml")).unwrap();
    let estimates = ["--warm-up", "0", "--mu1-start", "5", "--mu2-start", "30", "--out", "estimates"];
    run(directory.path(), &estimates).assert().success();
    let again = ["run", "--config", "estimates/config.toml", "--warm-up", "3", "--out", "warm"];
    alrc_train(directory.path(), &again).assert().success();
    assert!(config("warm").contains("warm-up = 3\n") && config("warm").contains("mu1-start = 25.0\n"));
    let again = ["run", "--config", "warm/config.toml", "--out", "again"];
    alrc_train(directory.path(), &again).assert().success();
    assert_eq!(config("again"), config("warm"));
}

/// The other way round, also where the estimates are those that hold by default.
#[test]
fn estimates_overrule_a_warm_up_given_elsewhere() {
    let directory = directory();
    fs::write(directory.path().join("warm.toml"), "warm-up = 20\n").unwrap();
    fs::write(directory.path().join("grid.toml"), "[options]\nwarm-up = 20\n[vary]\ndecay = [0.9]\n")
        .unwrap();
    let estimates = ["--mu1-start", "25", "--mu2-start", "900"];
    let command = [&["--config", "warm.toml", "--out", "run"], &estimates[..]].concat();
    run(directory.path(), &command).assert().success();
    let command = [&["sweep", "grid.toml", "--out", "sweep"], &QUICK[..], &estimates].concat();
    alrc_train(directory.path(), &command).assert().success();
    for out in ["run", "sweep/decay-0.9_seed-0"] {
        let path = directory.path().join(out).join("config.toml");
        assert_holds(&fs::read_to_string(path).unwrap(), &["warm-up = 0\n", "mu1-start = 25.0\n"]);
    }
}

/// Estimates for those runs of a grid that have no warm-up; the others can be repeated by the file that they leave.
#[test]
fn estimates_may_stand_beside_a_warm_up_that_varies() {
    let directory = directory();
    let grid = "[options]\nmu1-start = 5\nmu2-start = 30\n[vary]\nwarm-up = [0, 3]\n";
    fs::write(directory.path().join("grid.toml"), grid).unwrap();
    let sweep = [&["sweep", "grid.toml", "--out", "sweep"], &QUICK[..]].concat();
    alrc_train(directory.path(), &sweep).assert().success();
    for (warm_up, mu1) in [("0", "5.0"), ("3", "25.0")] {
        let path = format!("sweep/warm-up-{warm_up}_seed-0/config.toml");
        let config = fs::read_to_string(directory.path().join(&path)).unwrap();
        assert_holds(&config, &[&format!("warm-up = {warm_up}\n"), &format!("mu1-start = {mu1}\n")]);
        let again = ["run", "--config", &path, "--out", warm_up];
        alrc_train(directory.path(), &again).assert().success();
    }
}

#[test]
fn an_adapter_without_its_backend_is_refused() {
    let directory = directory();
    fs::write(directory.path().join("gpu.toml"), "[options]\nbackend = \"wgpu\"\n").unwrap();
    let commands: [&[&str]; 5] = [
        &["run"],
        &["run", "--backend", "cpu"],
        &["compare"],
        &["sweep", "unstable-sgd", "--list"],
        &["sweep", "gpu.toml", "--backend", "cpu", "--list"],
    ];
    for command in commands {
        let command = alrc_train(directory.path(), &[command, &["--adapter", "H100"]].concat());
        assert_refused(command, directory.path(), &["'H100' for '--adapter'", "--backend wgpu"]);
    }
    fs::write(directory.path().join("both.toml"), "[vary]\nbackend = [\"cpu\", \"wgpu\"]\n").unwrap();
    for grid in ["gpu.toml", "both.toml"] {
        alrc_train(directory.path(), &["sweep", grid, "--adapter", "H100", "--list"]).assert().success();
    }
}
