//! `losses.csv`: one row a step.

use std::fs::File;
use std::path::Path;

use crate::train::StepRecord;

const HEADER: [&str; 6] = ["step", "loss", "unclipped_loss", "limit", "clipped", "learning_rate"];

/// Writes `losses.csv`.
#[derive(Debug)]
pub struct LossWriter {
    csv: csv::Writer<File>,
}

impl LossWriter {
    /// Creates the file with its header.
    pub fn create(path: &Path) -> csv::Result<Self> {
        let mut csv = csv::Writer::from_path(path)?;
        csv.write_record(HEADER)?;
        Ok(Self { csv })
    }

    /// Adds a step, at once: others may be reading, and a killed run keeps its losses.
    pub fn write(&mut self, record: &StepRecord) -> csv::Result<()> {
        self.csv.write_record([
            record.step.to_string(),
            record.loss.to_string(),
            record.unclipped_loss.to_string(),
            record.limit.map(|limit| limit.to_string()).unwrap_or_default(),
            record.clipped.to_string(),
            record.learning_rate.to_string(),
        ])?;
        Ok(self.csv.flush()?)
    }
}
