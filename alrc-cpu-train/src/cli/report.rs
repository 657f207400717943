//! `alrc-train report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tracing::warn;

use super::options::directory;
use super::{Failure, counted};
use crate::report;
use crate::report::table::{self, Record};

/// The results of runs: the paper's table, learning curves, and one page with everything.
///
/// Finds all runs in the directories and below. Runs that differ only in their seed are repeats of one experiment;
/// what is under way is shown as unfinished. Writes report.html, which needs no other file, table.md, table.csv, and
/// the plots as SVG and PNG.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  alrc-train report runs
  alrc-train report runs/unstable-adam runs/unstable-sgd --out results")]
pub(super) struct Report {
    /// Directories of runs, or directories that hold such
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Directory for the files, created if absent [default: NAME-report beside the first DIR, which is called NAME]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    groups: Vec<Record>,
    left_out: &'a [String],
    files: Vec<PathBuf>,
}

/// `NAME-report` beside a directory `NAME`: never among the files of a run.
fn beside(directory: &Path) -> Result<PathBuf, Failure> {
    // `.` and the like have no name; the directories that they stand for have one.
    let named = match directory.file_name() {
        Some(_) => Ok(directory.to_owned()),
        None => directory.canonicalize(),
    };
    let named = named.ok().filter(|named| named.file_name().is_some());
    let named = named.ok_or_else(|| {
        let problem = "there is no place for the report beside it; give --out";
        Failure::Usage(format!("invalid value '{}' for 'DIR': {problem}", directory.display()))
    })?;
    let name = named.file_name().unwrap_or_default().to_string_lossy();
    Ok(named.with_file_name(format!("{name}-report")))
}

impl Report {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let report = report::read(&self.directories)?;
        for problem in &report.problems {
            warn!("left out: {problem}");
        }
        let unaffected = report.collection.without_effect();
        if unaffected > 0 {
            warn!(
                "in {} with clipping no loss was clipped: these runs went as they would have without it",
                counted(unaffected as u64, "row", "rows")
            );
        }
        let out = match self.out {
            Some(out) => out,
            None => beside(&self.directories[0])?,
        };
        let files = report.write(&out)?;
        if self.json {
            let groups = table::records(&report.collection);
            let document = Document { groups, left_out: &report.problems, files };
            say!("{}", serde_json::to_string_pretty(&document)?)?;
        } else {
            say!("{}", table::markdown(&report.collection))?;
            say!("report: {}", out.join("report.html").display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
