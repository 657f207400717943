//! The losses that were clipped, in a file.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::Trial;
use crate::files::NewFile;

/// `clipped.csv`: a row for every clipped loss.
pub struct ClippedWriter(BufWriter<NewFile>);

impl ClippedWriter {
    /// Begins the file with its header.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(NewFile::create(path)?);
        writeln!(file, "index,num_stddev,start,loss,limit,scale")?;
        Ok(Self(file))
    }

    pub(super) fn write(
        &mut self,
        trial: &Trial,
        index: u64,
        loss: f64,
        limit: f32,
        scale: f32,
    ) -> io::Result<()> {
        writeln!(self.0, "{index},{},{},{loss},{limit},{scale}", trial.num_stddev, trial.start_name())
    }

    /// Ends the file, which is there from now on.
    pub fn finish(self) -> io::Result<()> {
        self.0.into_inner()?.finish()
    }
}
