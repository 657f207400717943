//! The options of a run, on the command line and in files: how they merge, and which are refused.

#[path = "common/program.rs"]
mod program;

use std::fs;

use program::{alrc_train, assert_refused, directory, run};

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
    let cases: [(&str, &[&str]); 4] = [
        ("lerning-rate = 1", &["options.toml", "lerning-rate", "did you mean 'learning-rate'"]),
        ("steps = \"many\"", &["options.toml", "steps", "many"]),
        ("steps = 0", &["--steps", "1 to"]),
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
