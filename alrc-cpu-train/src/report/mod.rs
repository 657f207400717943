//! Results of runs: the paper's table, pictures, and a page that holds all of it.
//!
//! [`runs`] reads what runs have left, [`groups`] puts repeats together and compares them, [`table`], [`figures`] and
//! [`page`] show them; [`curves`], [`axis`] and [`plots`] are the means.

pub mod axis;
pub mod curves;
pub mod figures;
pub mod groups;
pub mod page;
pub mod plots;
pub mod runs;
pub mod table;
pub mod welch;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use crate::files::write_atomically;
use crate::record::files::is_run;
use figures::Described;
use groups::Collection;
use plots::PlotError;
use runs::Run;

/// Most problems in a message.
const PROBLEMS: usize = 3;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A directory cannot be searched.
    #[error("cannot read {path}: {source}; give directories of runs")]
    Unreadable {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to report.
    #[error("no run that can be read in {0}; a run is a directory with a config.toml and a losses.csv")]
    NoRuns(String),
    /// The files would lie among those of a run.
    #[error(
        "invalid value '{0}' for '--out': it is a run, among whose files a report has no place; choose another"
    )]
    OutIsRun(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}; choose another --out, or make room")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// See [`PlotError`].
    #[error(transparent)]
    Plot(#[from] PlotError),
}

impl ReportError {
    /// Whether the user can mend it with other directories.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::NoRuns(_) | Self::OutIsRun(_))
    }
}

/// What has been found and left out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The runs, in order.
    pub collection: Collection,
    /// What could not be read, or was left out.
    pub problems: Vec<String>,
}

/// Reads all runs in `directories` and below.
pub fn read(directories: &[PathBuf]) -> Result<Report, ReportError> {
    let mut found = BTreeSet::new();
    for directory in directories {
        runs::find(directory, &mut found)
            .map_err(|source| ReportError::Unreadable { path: directory.clone(), source })?;
    }
    let found: Vec<PathBuf> = found.into_iter().collect();
    let results: Vec<_> = found.par_iter().map(|directory| Run::read(directory)).collect();
    let mut runs = Vec::new();
    let mut problems = Vec::new();
    for result in results {
        match result {
            Ok(run) => runs.push(run),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if runs.is_empty() {
        let names: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
        let told = problems.len().min(PROBLEMS);
        let more = match problems.len() - told {
            0 => Vec::new(),
            more => vec![format!("and {more} more")],
        };
        let parts = [vec![names.join(", ")], problems[..told].to_vec(), more].concat();
        return Err(ReportError::NoRuns(parts.join("; ")));
    }
    let collection = Collection::new(runs);
    for copy in &collection.copies {
        let (directory, of) = (copy.directory.display(), copy.of.display());
        problems.push(format!("{directory}: the same run, seed and all, as {of}"));
    }
    Ok(Report { collection, problems })
}

impl Report {
    /// Writes `report.html`, `table.md`, `table.csv`, and the plots as SVG and PNG, to `out`; returns the files.
    pub fn write(&self, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
        let unwritable = |path: &Path, source| ReportError::Unwritable { path: path.to_owned(), source };
        if is_run(out) {
            return Err(ReportError::OutIsRun(out.to_owned()));
        }
        std::fs::create_dir_all(out).map_err(|source| unwritable(out, source))?;
        let mut files = Vec::new();
        let mut save = |name: String, bytes: &[u8]| {
            let path = out.join(name);
            write_atomically(&path, bytes).map_err(|source| unwritable(&path, source))?;
            files.push(path);
            Ok::<(), ReportError>(())
        };
        let collection = &self.collection;
        save("report.html".to_owned(), page::page(collection, &self.problems)?.as_bytes())?;
        save("table.md".to_owned(), table::markdown(collection).as_bytes())?;
        let csv = table::csv(collection).map_err(|error| unwritable(&out.join("table.csv"), error.into()))?;
        save("table.csv".to_owned(), &csv)?;
        type Kind = fn(&groups::Setting) -> Vec<Described>;
        let kinds: [(&str, Kind); 3] =
            [("curves", figures::curves), ("limits", figures::limits), ("scales", figures::scales)];
        for (setting, name) in collection.settings.iter().zip(collection.file_names()) {
            for (kind, panels) in kinds {
                let panels = panels(setting);
                if !panels.is_empty() {
                    let figure = figures::figure(&panels);
                    save(format!("{kind}-{name}.svg"), figure.svg()?.as_bytes())?;
                    save(format!("{kind}-{name}.png"), &figure.png()?)?;
                }
            }
        }
        Ok(files)
    }
}
