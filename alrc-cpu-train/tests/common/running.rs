//! A run on several ranks while it goes on: its processes, and how it ends.

use std::fs::{self, DirEntry};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::ranks;

/// All ranks of a run that has lost one stop within this time.
const STOP: Duration = Duration::from_secs(10);

/// A run of three ranks that would go on for long.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    /// Begins or continues the run, and waits until one of its first two checkpoints is there.
    pub(crate) fn start(directory: &Path, out: &str) -> Self {
        let arguments = ["--steps", "1000000", "--checkpoint-every", "5", "--resume", "--out", out];
        let mut command = ranks(directory, &[(3, &arguments)]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mpirun starts");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let checkpoint = directory.join(out).join("checkpoints/step-00000005.safetensors");
        let newer = directory.join(out).join("checkpoints/step-00000010.safetensors");
        while !checkpoint.exists() && !newer.exists() {
            assert!(child.try_wait().unwrap().is_none(), "the run has ended");
            thread::sleep(Duration::from_millis(10));
        }
        Self { child, lines, said: Vec::new() }
    }

    /// The process of a rank.
    pub(crate) fn process(&mut self, rank: usize) -> String {
        let start = format!("rank {rank} is process ");
        loop {
            let line = self.lines.recv_timeout(STOP).expect("the ranks tell their processes");
            let process =
                line.split_once(&start).and_then(|(_, rest)| Some(rest.split_once(' ')?.0.to_owned()));
            self.said.push(line);
            if let Some(process) = process {
                return process;
            }
        }
    }

    pub(crate) fn signal(&mut self, signal: &str, rank: usize) {
        send(signal, &self.process(rank));
    }

    /// Waits until all ranks have stopped; the exit status and what they said.
    pub(crate) fn stopped(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > STOP {
                self.child.kill().unwrap();
                panic!("the ranks have not stopped: {}", self.said.join("\n"));
            }
            thread::sleep(Duration::from_millis(10));
        };
        self.said.extend(self.lines.iter());
        (status.code(), self.said.join("\n"))
    }
}

/// Asserts that no process works in the directory any more, or that the last ones are about to end.
#[track_caller]
pub(crate) fn assert_all_gone(directory: &Path) {
    let directory = directory.canonicalize().unwrap();
    let is_there = |process: io::Result<DirEntry>| {
        fs::read_link(process.unwrap().path().join("cwd")).is_ok_and(|place| place == directory)
    };
    let Ok(mut processes) = fs::read_dir("/proc") else {
        eprintln!("skipped: without /proc, what is left of a run is not known");
        return;
    };
    let start = Instant::now();
    while processes.any(is_there) {
        assert!(start.elapsed() < STOP, "a process is left behind");
        thread::sleep(Duration::from_millis(10));
        processes = fs::read_dir("/proc").unwrap();
    }
}

/// The guard of a rank, where the launcher does not name ranks itself.
pub(crate) fn guard(rank: &str) -> Option<String> {
    let ps = |column: &str, process: &str| {
        let output = Command::new("ps").args(["-o", column, "-p", process]).output().expect("ps starts");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let parent = ps("ppid=", rank);
    if ps("comm=", &parent) == "alrc-train" {
        return Some(parent);
    }
    eprintln!("skipped: under this launcher ranks have no guards");
    None
}

pub(crate) fn send(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}
