//! `alrc-train report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Failure;
use crate::report::{self, table};

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
    /// Directory for the files, created if absent [default: `report` in the first DIR]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Report {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let report = report::read(&self.directories)?;
        for problem in &report.problems {
            eprintln!("warning: left out: {problem}");
        }
        let out = self.out.unwrap_or_else(|| self.directories[0].join("report"));
        let files = report.write(&out)?;
        if self.json {
            let groups: Vec<_> = table::records(&report.collection);
            let document = json!({ "groups": groups, "left_out": report.problems, "files": files });
            say!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            say!("{}", table::markdown(&report.collection));
            say!("report: {}", out.join("report.html").display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
