//! `docs/formats.md` against the files that the program writes.

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use program::{alrc_train, directory, run};

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md")).unwrap()
}

/// A part of the document, from its heading to the next heading.
fn section(heading: &str) -> String {
    let document = document();
    let rest = document.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let lines = rest.lines().take_while(|line| !line.starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What stands between backquotes in the first column of a table.
fn keys(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.flat_map(|row| row.split(" | ").next().unwrap().split(", "));
    cells.map(|cell| cell.trim_matches('`').to_owned()).collect()
}

fn header(path: PathBuf) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().next().unwrap().split(',').map(str::to_owned).collect()
}

#[test]
fn the_files_of_a_run_are_those_in_the_document() {
    let directory = directory();
    run(directory.path(), &["--out", "run"]).assert().success();
    let run = directory.path().join("run");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&run).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        found.insert(if name == "checkpoints" { format!("{name}/step-NNNNNNNN.safetensors") } else { name });
    }
    assert_eq!(keys(&section("A run")), found);

    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    let text = section("config.toml");
    for option in config.keys() {
        assert!(text.contains(&format!("`{option}`")), "config.toml: {option}");
    }

    let columns = header(run.join("losses.csv"));
    let text = section("losses.csv");
    assert!(text.contains(&format!("    {}\n", columns.join(","))));
    assert_eq!(keys(&text), columns.into_iter().collect());

    let summary: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(keys(&section("summary.json")), summary.into_iter().map(|(key, _)| key).collect());
}

/// Every tensor has a row in the document, and the program in it reads the file.
#[test]
fn checkpoints_are_as_in_the_document() {
    let directory = directory();
    run(directory.path(), &["--out", "run"]).assert().success();
    let path = directory.path().join("run/checkpoints/step-00000012.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let text = section("Checkpoints");
    for name in tensors.names() {
        let parameter = name.replace("adam.first_moment.", "").replace("adam.second_moment.", "");
        let known = match parameter.as_str() {
            "alrc.snapshot" | "checksum" => format!("`{name}`"),
            _ if parameter != *name => format!("`{}*`", name.strip_suffix(&parameter).unwrap()),
            _ if name.ends_with(".weight") => "`conv_in.weight`, ...".to_owned(),
            _ => "`conv_in.bias`, ...".to_owned(),
        };
        assert!(text.contains(&known), "{name} is not in the document");
    }
    let code = text.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    match Command::new("python3").args(["-c", code]).arg(&path).output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(told.trim(), "format 1 after 12 steps", "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => println!("not run: python3: {error}"),
    }
}

#[test]
fn results_are_as_in_the_document() {
    let directory = directory();
    run(directory.path(), &["--out", "runs/a"]).assert().success();
    alrc_train(directory.path(), &["report", "runs", "--out", "report"]).assert().success();
    let text = section("Reports");
    let (files, columns) = text.split_once("The columns of").unwrap();
    assert_eq!(keys(columns), header(directory.path().join("report/table.csv")).into_iter().collect());
    for entry in fs::read_dir(directory.path().join("report")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kind = name.split_once('-').map_or(name.clone(), |(kind, _)| format!("{kind}-*.svg"));
        assert!(files.contains(&format!("`{kind}`")), "{name}");
    }

    alrc_train(directory.path(), &["replay", "runs/a/losses.csv", "--out", "replay"]).assert().success();
    let columns = header(directory.path().join("replay/clipped.csv")).join(",");
    let text = section("Replays");
    assert!(text.contains(&format!("    {columns}\n")), "{columns}");
    for entry in fs::read_dir(directory.path().join("replay")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}
