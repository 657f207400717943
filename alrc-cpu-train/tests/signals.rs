//! Ctrl-C, and other requests to stop.
#![cfg(unix)]

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use program::{assert_holds, directory, process};

/// Waits until a run has done some steps.
fn wait_for_steps(child: &mut Child, out: &Path, steps: usize) {
    let rows = || fs::read_to_string(out.join("losses.csv")).map_or(0, |losses| losses.lines().count());
    while rows() <= steps {
        assert!(child.try_wait().unwrap().is_none(), "ended too early");
        std::thread::yield_now();
    }
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Whether the tests were started by `nohup` or the like: what they start then ignores a closed terminal, too.
#[cfg(target_os = "linux")]
fn hangup_is_ignored(test: &str) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let is_ignored = u128::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1;
    if is_ignored {
        eprintln!("SKIPPED {test}: SIGHUP is ignored here");
    }
    is_ignored
}

fn summary(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap()
}

/// Ctrl-C: what has been trained is saved.
#[test]
fn an_interrupted_run_is_whole() {
    let directory = directory();
    let mut child = process(directory.path())
        .args(["run", "--width", "4", "--out", "out"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = directory.path().join("out");
    wait_for_steps(&mut child, &out, 30);
    send("-INT", &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let summary = summary(&out);
    assert_eq!(summary["ending"], "interrupted");
    let losses = fs::read_to_string(out.join("losses.csv")).unwrap();
    let unclipped = |row: &str| row.split(',').nth(2).unwrap().parse::<f64>().unwrap();
    let losses: Vec<_> = losses.lines().skip(1).map(unclipped).collect();
    assert_eq!(summary["steps"], losses.len());
    // Of the steps that it has done, not of those that it is to have.
    let last = &losses[losses.len() - (losses.len() / 10).max(1)..];
    let mean = last.iter().sum::<f64>() / last.len() as f64;
    assert!((summary["mean_last_unclipped_loss"].as_f64().unwrap() - mean).abs() <= 1e-9 * mean);
    let checkpoint = summary["final_checkpoint"].as_str().unwrap();
    assert!(directory.path().join(checkpoint).exists());
    let message = String::from_utf8(output.stderr).unwrap();
    let mut rest = &*message;
    for part in [
        "stopping after this step; Ctrl-C again stops at once",
        &*format!("saved in {checkpoint}"),
        "to go on: alrc-train run --resume --out out",
    ] {
        let (_, after) =
            rest.split_once(part).unwrap_or_else(|| panic!("no '{part}' in its place: {message}"));
        rest = after;
    }
}

/// The runs of a pair may have come to different steps.
#[test]
fn an_interrupted_comparison_tells_how_far_it_came() {
    let directory = directory();
    let mut child = process(directory.path())
        .args(["compare", "--width", "4", "--seeds", "1", "--out", "out", "--log-level", "off"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let run = directory.path().join("out/seed-0-unclipped");
    wait_for_steps(&mut child, &run, 3);
    send("-INT", &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let table = String::from_utf8(output.stdout).unwrap();
    let row = format!("| 0 | off (interrupted after {} steps) |", summary(&run)["steps"]);
    assert!(table.contains(&row), "no '{row}' in {table}");
}

/// While a long step is under way, a second Ctrl-C ends it, and says what that costs.
#[test]
fn a_second_ctrl_c_says_what_it_does() {
    let directory = directory();
    let mut child = process(directory.path())
        .args(["run", "--width", "8", "--batch-size", "1024", "--threads", "1", "--out", "out"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_steps(&mut child, &directory.path().join("out"), 1);
    send("-INT", &child);
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(messages.any(|message| message.contains("stopping after this step")), "the first says nothing");
    // What comes while it is being told ends the process without a word.
    std::thread::sleep(Duration::from_millis(200));
    send("-INT", &child);
    let rest: Vec<_> = messages.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_holds(&rest.join("\n"), &["stopped at once", "since the last checkpoint is lost"]);
    assert!(!directory.path().join("out/summary.json").exists());
}

/// Where nobody reads messages, so that to tell the first Ctrl-C takes for ever, the second one still ends a run.
#[cfg(target_os = "linux")]
#[test]
fn a_second_ctrl_c_needs_no_reader() {
    let directory = directory();
    let (_reader, mut messages) = std::io::pipe().unwrap();
    // As much as a pipe holds.
    messages.write_all(&[b'\n'; 1 << 16]).unwrap();
    let mut child = process(directory.path())
        .args(["run", "--width", "4", "--out", "out"])
        .stderr(messages)
        .spawn()
        .unwrap();
    wait_for_steps(&mut child, &directory.path().join("out"), 1);
    send("-INT", &child);
    // Signals that come together are one.
    while child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(200));
        send("-INT", &child);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A terminal that is closed: what has been trained is saved, whatever can no longer be printed.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_terminal_ends_training() {
    if hangup_is_ignored("a_closed_terminal_ends_training") {
        return;
    }
    for command in ["run", "compare", "run >printed", "compare >printed"] {
        let directory = directory();
        let program = env!("CARGO_BIN_EXE_alrc-train");
        // The shell, which is told that its terminal was closed, hands that on, outlives it and tells the status.
        let shell = format!(
            "trap 'kill -HUP $run' HUP; '{program}' {command} --width 4 --out out & run=$!; wait $run; wait $run; \
             echo $? >unfinished; mv unfinished status"
        );
        let script = Command::new("script")
            .current_dir(directory.path())
            .args(["-qc", &shell, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let Ok(mut script) = script else {
            eprintln!("SKIPPED a_closed_terminal_ends_training: no program `script`");
            return;
        };
        let out = directory.path().join("out");
        let run = if command.starts_with("run") { out.clone() } else { out.join("seed-0-clipped-at-2") };
        wait_for_steps(&mut script, &run, 1);
        script.kill().unwrap();
        script.wait().unwrap();
        let status = directory.path().join("status");
        let start = Instant::now();
        while !status.exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "{command} goes on");
            std::thread::yield_now();
        }
        assert_eq!(fs::read_to_string(status).unwrap().trim(), "75", "{command}");
        assert_eq!(summary(&run)["ending"], "interrupted");
        assert!(fs::read_dir(run.join("checkpoints")).unwrap().count() > 0);
    }
}

/// A run that is to outlive its terminal does.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_terminal_does_not_end_a_run_that_ignores_it() {
    let directory = directory();
    // As nohup does.
    let mut child = Command::new("sh")
        .current_dir(directory.path())
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_alrc-train")])
        .args(["run", "--width", "4", "--batch-size", "1", "--steps", "2000", "--out", "out"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = directory.path().join("out");
    wait_for_steps(&mut child, &out, 1);
    send("-HUP", &child);
    let rows = fs::read_to_string(out.join("losses.csv")).unwrap().lines().count();
    assert!(rows < 2000, "over before the signal came");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(summary(&out)["ending"], "finished");
}

/// On a terminal, which shows Ctrl-C, nothing of the progress is left.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_leaves_no_progress_bar() {
    let directory = directory();
    let program = env!("CARGO_BIN_EXE_alrc-train");
    let command = format!("stty rows 24 cols 80; exec '{program}' run --width 4 --out out");
    let script = Command::new("script")
        .current_dir(directory.path())
        .args(["-qefc", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut script) = script else {
        eprintln!("SKIPPED ctrl_c_leaves_no_progress_bar: no program `script`");
        return;
    };
    let mut shown = Vec::new();
    let mut output = script.stdout.take().unwrap();
    let mut read = |shown: &mut Vec<u8>| {
        let mut bytes = [0; 4096];
        let len = output.read(&mut bytes).unwrap();
        shown.extend_from_slice(&bytes[..len]);
        len > 0
    };
    while !String::from_utf8_lossy(&shown).contains("images/s") {
        assert!(read(&mut shown), "ended too early: {}", String::from_utf8_lossy(&shown));
    }
    script.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    while read(&mut shown) {}
    assert_eq!(script.wait().unwrap().code(), Some(130));
    let mut terminal = vt100::Parser::new(24, 80, 0);
    terminal.process(&shown);
    let screen = terminal.screen().contents();
    assert_holds(&screen, &["stopping after this step", "to go on: alrc-train run --resume --out out"]);
    assert!(!screen.contains("/100000") && !screen.contains("images/s"), "{screen}");
}
