//! What the program tells about itself: help, manual pages, completions; and results for other programs.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use program::{QUICK, alrc_train, directory, run, write_data};
use serde_json::Value;

/// Every command that does something.
const COMMANDS: [&str; 11] = [
    "compare",
    "run",
    "sweep",
    "report",
    "replay",
    "data fetch",
    "data verify",
    "data preview",
    "info",
    "completions",
    "man",
];

fn output(directory: &Path, arguments: &[&str]) -> String {
    // As on a wide terminal, where no line is broken.
    let output = alrc_train(directory, arguments).env("COLUMNS", "1000").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn help(directory: &Path, command: &str) -> String {
    let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
    output(directory, &words)
}

/// The long options in a help text.
fn options(help: &str) -> Vec<&str> {
    let words = help.split_whitespace().filter(|word| word.starts_with("--"));
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut options: Vec<_> = words.map(|word| word.trim_end_matches(|c| !is_letter(c))).collect();
    options.sort_unstable();
    options.dedup();
    options.into_iter().filter(|option| option[2..].chars().all(is_letter)).collect()
}

#[test]
fn the_list_of_commands_is_complete() {
    let directory = directory();
    let names = |help: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let rows = lines.take_while(|line| !line.is_empty());
        let names =
            rows.filter_map(|row| row.strip_prefix("  ").filter(|row| row.starts_with(char::is_alphabetic)));
        names.map(|row| row.split(' ').next().unwrap().to_owned()).filter(|name| name != "help").collect()
    };
    let mut found = Vec::new();
    for name in names(&output(directory.path(), &["--help"])) {
        let inner = names(&help(directory.path(), &name));
        if inner.is_empty() {
            found.push(name);
        } else {
            found.extend(inner.iter().map(|inner| format!("{name} {inner}")));
        }
    }
    assert_eq!(found, COMMANDS);
}

#[test]
fn every_command_has_help_with_examples() {
    let directory = directory();
    for command in COMMANDS {
        let help = help(directory.path(), command);
        assert!(help.contains("Usage:") && help.contains("Examples:"), "{command}: {help}");
        assert!(help.contains(&format!("  alrc-train {command}")), "{command}: {help}");
    }
}

/// What a command does at length is in its help and in its manual page.
#[test]
fn every_command_tells_its_details() {
    let directory = directory();
    output(directory.path(), &["man", "--out", "man1"]);
    let details = [
        ("compare", "take about two minutes"),
        ("run", "stops with status 3"),
        ("run", "that mpirun or srun starts"),
        ("sweep", "vary it over other values"),
        ("report", "which needs no other file"),
        ("replay", "Reads TensorBoard"),
        ("replay", "The suggested start comes from"),
        ("data fetch", "HTTPS_PROXY"),
        ("data verify", "those are compared"),
    ];
    for (command, detail) in details {
        assert!(help(directory.path(), command).contains(detail), "{command}: {detail}");
        let page = format!("man1/alrc-train-{}.1", command.replace(' ', "-"));
        let page = fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(page.contains(detail), "manual of {command}: {detail}");
    }
}

/// An option of every command is not among those of one.
#[test]
fn messages_have_a_section_of_their_own() {
    let directory = directory();
    for command in COMMANDS {
        let help = help(directory.path(), command);
        let (own, messages) = help.split_once("\nMessages:\n").unwrap();
        assert!(!own.contains("--log-level") && options(messages).contains(&"--log-level"), "{help}");
    }
}

/// Every command line of the README, of the documents and of the examples has known options with permitted values.
#[test]
fn documented_commands_are_accepted() {
    let directory = directory();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let in_docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<String> = [root.join("README.md"), root.join("results/README.md")]
        .into_iter()
        .chain(in_docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let help: Vec<String> = COMMANDS.iter().map(|command| help(directory.path(), command)).collect();
    let lines = texts.iter().chain(&help).flat_map(|text| text.lines());
    let commands = lines.filter_map(|line| line.trim_start().strip_prefix("alrc-train "));
    let mut count = 0;
    for command in commands {
        let words = command.split(' ').take_while(|word| !["|", ">"].contains(word));
        // Help is shown, and nothing done, if everything before it is right.
        output(directory.path(), &words.chain(["--help"]).collect::<Vec<_>>());
        count += 1;
    }
    assert!(count > 25, "{count} commands");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = directory();
    output(directory.path(), &["man", "--out", "man1"]);
    for command in COMMANDS {
        let path = directory.path().join(format!("man1/alrc-train-{}.1", command.replace(' ', "-")));
        let page = fs::read_to_string(&path).unwrap();
        let plain = page.replace("\\-", "-");
        for option in options(&help(directory.path(), command)) {
            assert!(plain.contains(option), "{option} is not in {}", path.display());
        }
    }
    let page = output(directory.path(), &["man"]);
    assert_eq!(page, fs::read_to_string(directory.path().join("man1/alrc-train.1")).unwrap());
    let formatted = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "man1/alrc-train-data-fetch.1"])
        .current_dir(directory.path())
        .output();
    match formatted {
        Ok(formatted) => {
            assert!(formatted.status.success() && formatted.stderr.is_empty(), "{formatted:?}");
            assert!(String::from_utf8_lossy(&formatted.stdout).contains("HTTPS_PROXY"));
        }
        Err(error) => println!("not run: groff: {error}"),
    }
}

#[test]
fn completions_know_every_option() {
    let directory = directory();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = output(directory.path(), &["completions", shell]);
        for command in COMMANDS {
            for option in options(&help(directory.path(), command)) {
                // Fish writes the name without the hyphens.
                assert!(script.contains(&option[2..]), "{shell}: {command} {option}");
            }
        }
    }
}

#[test]
fn bash_completes() {
    let directory = directory();
    fs::write(directory.path().join("completions"), output(directory.path(), &["completions", "bash"]))
        .unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source completions; f=$(complete -p alrc-train); f=${{f#*-F }}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             ${{f%% *}} alrc-train \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo ${{COMPREPLY[@]}}"
        );
        let output = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output();
        output.map(|output| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let cases = [
        ("alrc-train data ver", "verify"),
        ("alrc-train run --num-s", "--num-stddev"),
        ("alrc-train run --loss qu", "quartic"),
    ];
    for (words, completion) in cases {
        match complete(words) {
            Ok(found) => assert_eq!(found, completion, "{words}"),
            Err(error) => println!("not run: bash: {error}"),
        }
    }
}

/// The default that a help text tells for an option.
fn default_in(help: &str, option: &str) -> String {
    let after = help.split_once(&format!("\n      --{option} ")).unwrap_or_else(|| panic!("no --{option}")).1;
    let own = after.split("\n      --").next().unwrap();
    let default =
        own.split_once("[default: ").unwrap_or_else(|| panic!("--{option} tells no default: {own}")).1;
    default.split_once(']').unwrap().0.to_owned()
}

/// Every option that the configuration of a run holds: the default in the help is what a run has without it.
#[test]
fn the_help_tells_the_defaults() {
    let directory = directory();
    let out = |command: &[&str], out: &str| -> toml::Table {
        output(directory.path(), &[command, &["--steps", "1", "--width", "2"]].concat());
        fs::read_to_string(directory.path().join(out).join("config.toml")).unwrap().parse().unwrap()
    };
    let published = toml::Table::try_from(alrc_cpu_train::config::Config::default()).unwrap();
    let commands = [
        ("run", out(&["run", "--out", "run"], "run")),
        ("compare", out(&["compare", "--seeds", "1", "--out", "compared"], "compared/seed-0-clipped-at-2")),
        ("sweep", published.clone()),
        ("replay", published),
    ];
    for (command, mut config) in commands {
        let help = help(directory.path(), command);
        let known = options(&help);
        match command {
            "run" => config.extend([("steps".into(), 100_000.into()), ("width".into(), 128.into())]),
            "compare" => config.extend([("steps".into(), 5_000.into()), ("width".into(), 64.into())]),
            "replay" => config.retain(|name, _| known.contains(&format!("--{name}").as_str())),
            _ => {}
        }
        assert!(config.len() >= 4, "{command}: {config}");
        for (name, value) in config {
            let expected = match (name.as_str(), value) {
                ("threads", _) => "all processors".to_owned(),
                // Single precision, as the program takes it.
                (_, toml::Value::Float(number)) => (number as f32).to_string(),
                (_, toml::Value::String(text)) => text,
                (_, value) => value.to_string(),
            };
            assert_eq!(default_in(&help, &name), expected, "{command} --{name}");
        }
    }
    assert_eq!(default_in(&help(directory.path(), "compare"), "seeds"), "3");
}

/// Nothing that takes a value leaves open what it is without.
#[test]
fn every_value_has_a_default_or_none_by_nature() {
    let directory = directory();
    // Files that are read, and what identifies an archive that is not the published one.
    let without = ["--config", "--sha256", "--size"];
    for command in COMMANDS {
        let help = help(directory.path(), command);
        let rows = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        for option in rows.filter(|row| row.contains(" <")).map(|row| row.split(' ').next().unwrap()) {
            if !without.contains(&format!("--{option}").as_str()) {
                default_in(&help, option);
            }
        }
    }
}

/// One document, and nothing else, on standard output.
#[test]
fn every_result_is_there_as_json() {
    let directory = directory();
    write_data(directory.path(), "data", 4);
    run(directory.path(), &["--out", "runs/old"]).assert().success();
    let with_quick = |command: &[&'static str]| [command, &QUICK[..]].concat();
    let results: Vec<(&str, Vec<&str>)> = vec![
        ("compare", with_quick(&["--seeds", "1"])),
        ("run", with_quick(&[])),
        ("sweep", with_quick(&["unstable-sgd", "--repeats", "1", "--out", "swept"])),
        ("sweep", vec!["stability-squared", "--list"]),
        ("report", vec!["runs"]),
        ("replay", vec!["runs/old/losses.csv", "--out", "replayed"]),
        ("data verify", vec!["data"]),
        ("data preview", vec!["data"]),
        ("info", vec![]),
        ("completions", vec!["bash"]),
        ("man", vec![]),
        ("man", vec!["--out", "man1"]),
    ];
    for command in COMMANDS {
        let mut rows = results.iter().filter(|(name, _)| *name == command).peekable();
        // Fetching has tests of its own.
        assert!(rows.peek().is_some() || command == "data fetch", "{command}");
        for (_, arguments) in rows {
            let words: Vec<_> =
                command.split(' ').chain(arguments.iter().copied()).chain(["--json"]).collect();
            let text = output(directory.path(), &words);
            let document: Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(document.is_object() || document.is_array(), "{command}: {document}");
        }
    }
}
