//! `losses.csv`: one row a step.

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
