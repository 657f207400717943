//! `losses.csv`: one row a step, written and read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use crate::train::StepRecord;

const HEADER: &str = "step,loss,unclipped_loss,limit,clipped,learning_rate";

/// Place of the unclipped loss in a row.
const UNCLIPPED_LOSS: usize = 2;

/// Writes `losses.csv`.
#[derive(Debug)]
pub struct LossWriter {
    file: File,
}

impl LossWriter {
    /// Creates the file with its header.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        writeln!(file, "{HEADER}")?;
        Ok(Self { file })
    }

    /// Reopens the file of a run that goes on after `steps` steps; drops later rows and calls `each` with the
    /// unclipped loss of every step before. None if the file holds less, or something else.
    pub fn resume(path: &Path, steps: u64, mut each: impl FnMut(f64)) -> io::Result<Option<Self>> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let mut reader = BufReader::new(&file);
        let mut line = String::new();
        let mut kept = reader.read_line(&mut line)?;
        if line.trim_end() != HEADER {
            return Ok(None);
        }
        for step in 0..steps {
            line.clear();
            kept += reader.read_line(&mut line)?;
            let fields: Vec<&str> = line.trim_end().split(',').collect();
            let unclipped_loss = fields.get(UNCLIPPED_LOSS).and_then(|field| field.parse().ok());
            match unclipped_loss {
                Some(loss) if line.ends_with('\n') && fields[0] == step.to_string() => each(loss),
                _ => return Ok(None),
            }
        }
        file.set_len(kept as u64)?;
        file.seek(SeekFrom::Start(kept as u64))?;
        Ok(Some(Self { file }))
    }

    /// Adds a step, at once: others may be reading, and a killed run keeps its losses.
    pub fn write(&mut self, record: &StepRecord) -> io::Result<()> {
        let StepRecord { step, loss, unclipped_loss, clipped, learning_rate, .. } = record;
        let limit = record.limit.map(|limit| limit.to_string()).unwrap_or_default();
        // One call of the system, so that a reader meets whole rows.
        let row = format!("{step},{loss},{unclipped_loss},{limit},{clipped},{learning_rate}\n");
        self.file.write_all(row.as_bytes())
    }

    /// Waits until the rows are on the disk, so that no checkpoint is newer than its losses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What a row tells of its step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Mean over the batch of the losses before clipping.
    pub unclipped_loss: f64,
    /// Losses above it were clipped; none during a warm-up and without clipping.
    pub limit: Option<f64>,
    /// Images whose loss was clipped.
    pub clipped: u64,
}

/// Calls `each` with every row of a file, which may be in the middle of being written.
pub fn read(path: &Path, mut each: impl FnMut(Row)) -> csv::Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(File::open(path)?);
    let columns = reader.headers()?.clone();
    let missing = |name| io::Error::other(format!("it has no column {name}"));
    let find = |name| columns.iter().position(|column| column == name).ok_or_else(|| missing(name));
    let (unclipped, limit, clipped) = (find("unclipped_loss")?, find("limit")?, find("clipped")?);
    let mut row = csv::StringRecord::new();
    let mut number = 0_u64;
    // A row with too few cells is the last one of a run that is being written or was killed.
    while reader.read_record(&mut row)? && row.len() == columns.len() {
        number += 1;
        let unclipped_loss = row[unclipped]
            .parse()
            .map_err(|_| io::Error::other(format!("row {number} has the loss '{}'", &row[unclipped])))?;
        let (limit, clipped) = (row[limit].parse().ok(), row[clipped].parse().unwrap_or(0));
        each(Row { unclipped_loss, limit, clipped });
    }
    Ok(())
}
