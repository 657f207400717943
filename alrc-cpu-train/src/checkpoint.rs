//! Parameters on disk, as safetensors with the names and shapes of the published network's tensors.
//!
//! A checkpoint holds the parameters (`conv_in.weight`, OIHW, ...), Adam's moments under `adam.first_moment.` and
//! `adam.second_moment.`, and, as metadata, the number of steps done and the running moments of the clipping. It
//! is written to a temporary file, synced and renamed: a half-written one is never seen.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use thiserror::Error;

use crate::optim::Optimizer;
use crate::parameters::Layout;
use crate::train::Trainer;

/// Why a checkpoint could not be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{path} is no intact safetensors file: {source}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// A tensor is absent, has another shape or holds values that cannot be used.
    #[error("{path}: {name}: {problem}")]
    Tensor {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads starting parameters into `parameters`: f32 or f64 tensors under their own names or with the prefix `init.`;
/// other tensors are ignored.
pub fn read_parameters(path: &Path, layout: &Layout, parameters: &mut [f32]) -> Result<(), CheckpointError> {
    let unreadable = |source| CheckpointError::Unreadable { path: path.to_owned(), source };
    let format = |source| CheckpointError::Format { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let file = SafeTensors::deserialize(&bytes).map_err(format)?;
    for part in layout.parts() {
        let problem =
            |problem| CheckpointError::Tensor { path: path.to_owned(), name: part.name.clone(), problem };
        let tensor =
            file.tensor(&part.name).or_else(|_| file.tensor(&format!("init.{}", part.name))).map_err(
                |_| problem("is missing; the file must hold all parameters of the network".to_owned()),
            )?;
        if tensor.shape() != part.file_shape {
            let (found, wanted) = (tensor.shape(), &part.file_shape);
            return Err(problem(format!(
                "has shape {found:?}, not {wanted:?}; choose the --width that it was made for"
            )));
        }
        let values =
            floats(&tensor).ok_or_else(|| problem(format!("is {:?}, not F32 or F64", tensor.dtype())))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(problem("holds a value that is not finite".to_owned()));
        }
        part.from_file_order(&values, &mut parameters[part.range.clone()]);
    }
    Ok(())
}

/// The values of an f32 or f64 tensor.
fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Some(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        Dtype::F64 => {
            Some(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect())
        }
        _ => None,
    }
}

/// Writes the state of a trainer to `directory`, as `step-NNNNNNNN.safetensors`; returns the path.
pub fn write(trainer: &Trainer, directory: &Path) -> Result<PathBuf, CheckpointError> {
    let path = directory.join(format!("step-{:08}.safetensors", trainer.step));
    let layout = trainer.network.layout();
    let mut tensors = file_tensors("", layout, &trainer.parameters);
    if let Optimizer::Adam { first_moment, second_moment } = &trainer.optimizer {
        tensors.extend(file_tensors("adam.first_moment.", layout, first_moment));
        tensors.extend(file_tensors("adam.second_moment.", layout, second_moment));
    }
    let mut metadata = HashMap::from([("step".to_owned(), trainer.step.to_string())]);
    if let Some(alrc) = &trainer.alrc {
        metadata.insert("mu1".to_owned(), alrc.mu1().to_string());
        metadata.insert("mu2".to_owned(), alrc.mu2().to_string());
    }
    let format = |source| CheckpointError::Format { path: path.clone(), source };
    let mut views = Vec::with_capacity(tensors.len());
    for (name, shape, bytes) in &tensors {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(format)?));
    }
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(format)?;
    let unwritable = |source| CheckpointError::Unwritable { path: path.clone(), source };
    write_atomically(&path, &bytes).map_err(unwritable)?;
    Ok(path)
}

/// Name, shape and bytes of every part of an arena.
fn file_tensors(prefix: &str, layout: &Layout, arena: &[f32]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let tensors = layout.parts().iter().map(|part| {
        let values = part.to_file_order(&arena[part.range.clone()]);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (format!("{prefix}{}", part.name), part.file_shape.clone(), bytes)
    });
    tensors.collect()
}

/// Writes a file so that either all of it is there under its name or nothing.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(directory)?.sync_all()
}
