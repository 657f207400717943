//! The state of a run on disk, as safetensors with the names and shapes of the published network's tensors.
//!
//! A checkpoint holds everything that a resumed run needs to be the same, to the bit, as one that was never
//! interrupted:
//!
//! * the parameters: `conv_in.weight` (OIHW), `conv_in.bias`, ...;
//! * Adam's moments: the same names with `adam.first_moment.` and `adam.second_moment.` before them;
//! * `alrc.snapshot`: the state of the clipping, in the format of [`alrc_kernel`];
//! * as metadata `alrc-train`, a JSON document: format, number of steps done, configuration, checksum of the images,
//!   and what the summary counts;
//! * `checksum`: the SHA-256 of all bytes of the file before it; it is the last tensor, hence the last 32 bytes.
//!
//! Random numbers need no state ([`crate::random`]). A file is written whole or not at all.

mod directory;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use alrc_kernel::Alrc;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use directory::Directory;

use crate::files::write_atomically;
use crate::optim::Optimizer;
use crate::parameters::Layout;
use crate::record::summary::Counters;
use crate::train::Trainer;

/// Version of the format.
const FORMAT: u32 = 1;

/// Key of the metadata.
const METADATA: &str = "alrc-train";

const FIRST_MOMENT: &str = "adam.first_moment.";
const SECOND_MOMENT: &str = "adam.second_moment.";
const SNAPSHOT: &str = "alrc.snapshot";

/// Safetensors sorts by size of the element, then by name: no other name of bytes may come after this one.
const CHECKSUM: &str = "checksum";
const CHECKSUM_LEN: usize = 32;

/// The parameter with as many values as the network's trunk has channels.
const OF_WIDTH: &str = "conv_up.bias";

/// What is no tensor.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    format: u32,
    /// Steps done.
    step: u64,
    /// CRC-32 of the images of the data set.
    images: u32,
    counters: Counters,
    /// What determines the results of the run, as TOML.
    config: String,
}

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
    /// The file is damaged, or no checkpoint.
    #[error("{path}: {problem}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint belongs to another run.
    #[error("{path} was made with {made_with}; this run has {has}")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Option and value of the other run.
        made_with: String,
        /// Option and value of this run.
        has: String,
    },
    /// The checkpoint was made with other images.
    #[error("{path} was made with images whose CRC-32 is {made_with:08x}; that of this run's is {has:08x}")]
    OtherImages {
        /// Which file.
        path: PathBuf,
        /// CRC-32 of the images that the other run had.
        made_with: u32,
        /// CRC-32 of those of this run.
        has: u32,
    },
    /// The parameters are those of a wider or narrower network.
    #[error("{path} holds a network of width {found}, not {wanted}; give --width {found}, or another file")]
    Width {
        /// Which file.
        path: PathBuf,
        /// Channels of its trunk.
        found: usize,
        /// Channels of the trunk that they were to be for.
        wanted: usize,
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
/// other tensors are ignored, but for the checksum of a checkpoint.
pub fn read_parameters(path: &Path, layout: &Layout, parameters: &mut [f32]) -> Result<(), CheckpointError> {
    let bytes = read_bytes(path)?;
    let file = deserialize(path, &bytes)?;
    if file.tensor(CHECKSUM).is_ok() && !is_sealed(&bytes) {
        let problem =
            format!("is damaged: its checksum is wrong; a file that was edited must not hold `{CHECKSUM}`");
        return Err(CheckpointError::Damaged { path: path.to_owned(), problem });
    }
    let prefix = if file.names().iter().any(|name| name.starts_with("init.")) { "init." } else { "" };
    check_width(path, &file, prefix, layout)?;
    read_arena(path, &file, prefix, layout, parameters)
}

/// An error if the file holds a network of another width.
fn check_width(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    layout: &Layout,
) -> Result<(), CheckpointError> {
    let found = file.tensor(&format!("{prefix}{OF_WIDTH}")).ok();
    let wanted = layout.parts().iter().find(|part| part.name == OF_WIDTH);
    match (found.as_ref().map(TensorView::shape), wanted.map(|part| &*part.file_shape)) {
        (Some(&[found]), Some(&[wanted])) if found != wanted => {
            Err(CheckpointError::Width { path: path.to_owned(), found, wanted })
        }
        // What else is wrong is told of each tensor.
        _ => Ok(()),
    }
}

/// The state of `trainer` and `counters` as the bytes of a checkpoint; errors call it `path`.
pub fn to_bytes(path: &Path, trainer: &Trainer, counters: &Counters) -> Result<Vec<u8>, CheckpointError> {
    serialize(trainer, counters).map_err(|source| format_error(path, source))
}

fn serialize(trainer: &Trainer, counters: &Counters) -> Result<Vec<u8>, SafeTensorError> {
    let layout = trainer.network.layout();
    let mut tensors = arena_tensors("", layout, &trainer.parameters);
    if let Optimizer::Adam { first_moment, second_moment } = &trainer.optimizer {
        tensors.extend(arena_tensors(FIRST_MOMENT, layout, first_moment));
        tensors.extend(arena_tensors(SECOND_MOMENT, layout, second_moment));
    }
    let mut views = Vec::with_capacity(tensors.len() + 2);
    for (name, shape, bytes) in &tensors {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?));
    }
    let snapshot = trainer.alrc.map(|alrc| alrc.to_bytes());
    if let Some(snapshot) = &snapshot {
        views.push((SNAPSHOT, TensorView::new(Dtype::U8, vec![snapshot.len()], snapshot)?));
    }
    views.push((CHECKSUM, TensorView::new(Dtype::U8, vec![CHECKSUM_LEN], &[0; CHECKSUM_LEN])?));
    let metadata = Metadata {
        format: FORMAT,
        step: trainer.step,
        images: trainer.dataset().checksum(),
        counters: counters.clone(),
        config: trainer.config.defining().to_string(),
    };
    let metadata =
        serde_json::to_string(&metadata).map_err(|error| SafeTensorError::IoError(error.into()))?;
    let mut bytes = safetensors::serialize(views, Some(HashMap::from([(METADATA.to_owned(), metadata)])))?;
    seal(&mut bytes);
    Ok(bytes)
}

/// Makes the last bytes of a checkpoint the checksum of those before.
pub fn seal(bytes: &mut [u8]) {
    if let Some((content, checksum)) = bytes.split_last_chunk_mut::<CHECKSUM_LEN>() {
        checksum.copy_from_slice(&Sha256::digest(content));
    }
}

/// Whether the last bytes are the checksum of those before.
fn is_sealed(bytes: &[u8]) -> bool {
    let parts = bytes.split_last_chunk::<CHECKSUM_LEN>();
    parts.is_some_and(|(content, checksum)| Sha256::digest(content)[..] == *checksum)
}

/// Brings `trainer`, whose configuration must determine the same results, into the state of a checkpoint; returns the
/// counters. After an error the trainer holds parts of the state.
pub fn restore(path: &Path, trainer: &mut Trainer) -> Result<Counters, CheckpointError> {
    restore_bytes(&read_bytes(path)?, path, trainer)
}

/// The same with the content of a file that was read from `path`.
pub fn restore_bytes(bytes: &[u8], path: &Path, trainer: &mut Trainer) -> Result<Counters, CheckpointError> {
    let damaged = |problem: String| CheckpointError::Damaged { path: path.to_owned(), problem };
    if !is_sealed(bytes) {
        return Err(damaged("is damaged, or no checkpoint: its checksum is wrong".to_owned()));
    }
    let file = deserialize(path, bytes)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|source| format_error(path, source))?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
    let metadata: Metadata = metadata
        .and_then(|json| serde_json::from_str(json).ok())
        .filter(|metadata: &Metadata| metadata.format == FORMAT)
        .ok_or_else(|| damaged(format!("is no checkpoint of format {FORMAT}")))?;
    let config = metadata.config.parse().map_err(|error| damaged(format!("its configuration: {error}")))?;
    if let Some((made_with, has)) = trainer.config.first_difference(&config) {
        return Err(CheckpointError::Foreign { path: path.to_owned(), made_with, has });
    }
    let images = trainer.dataset().checksum();
    if metadata.images != images {
        let (path, made_with) = (path.to_owned(), metadata.images);
        return Err(CheckpointError::OtherImages { path, made_with, has: images });
    }

    let layout = trainer.network.layout();
    read_arena(path, &file, "", layout, &mut trainer.parameters)?;
    if let Optimizer::Adam { first_moment, second_moment } = &mut trainer.optimizer {
        read_arena(path, &file, FIRST_MOMENT, layout, first_moment)?;
        read_arena(path, &file, SECOND_MOMENT, layout, second_moment)?;
    }
    if let Some(alrc) = &mut trainer.alrc {
        let snapshot = file.tensor(SNAPSHOT).map_err(|source| format_error(path, source))?;
        let found =
            Alrc::from_bytes(snapshot.data()).map_err(|error| damaged(format!("{SNAPSHOT}: {error}")))?;
        if found.config() != alrc.config() {
            return Err(damaged(format!("{SNAPSHOT} is of another clipping than its configuration")));
        }
        *alrc = found;
    }
    trainer.step = metadata.step;
    trainer.state_changed();
    Ok(metadata.counters)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path).map_err(|source| CheckpointError::Unreadable { path: path.to_owned(), source })
}

fn deserialize<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(bytes).map_err(|source| format_error(path, source))
}

fn format_error(path: &Path, source: SafeTensorError) -> CheckpointError {
    CheckpointError::Format { path: path.to_owned(), source }
}

/// Name, shape and bytes of every part of an arena.
fn arena_tensors(prefix: &str, layout: &Layout, arena: &[f32]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let tensors = layout.parts().iter().map(|part| {
        let values = part.to_file_order(&arena[part.range.clone()]);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (format!("{prefix}{}", part.name), part.file_shape.clone(), bytes)
    });
    tensors.collect()
}

/// Reads every part of an arena, named with `prefix`.
fn read_arena(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    layout: &Layout,
    arena: &mut [f32],
) -> Result<(), CheckpointError> {
    for part in layout.parts() {
        let name = format!("{prefix}{}", part.name);
        let problem =
            |problem| CheckpointError::Tensor { path: path.to_owned(), name: name.clone(), problem };
        let tensor = file.tensor(&name).map_err(|_| {
            problem("is missing; the file must hold all parameters of the network".to_owned())
        })?;
        if tensor.shape() != part.file_shape {
            let (found, wanted) = (tensor.shape(), &part.file_shape);
            return Err(problem(format!("has shape {found:?}, not {wanted:?}: it is none of this network")));
        }
        let values =
            floats(&tensor).ok_or_else(|| problem(format!("is {:?}, not F32 or F64", tensor.dtype())))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(problem("holds a value that is not finite".to_owned()));
        }
        part.from_file_order(&values, &mut arena[part.range.clone()]);
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

/// Writes the state of a run as `path`.
fn write(path: &Path, trainer: &Trainer, counters: &Counters) -> Result<(), CheckpointError> {
    let bytes = to_bytes(path, trainer, counters)?;
    write_atomically(path, &bytes)
        .map_err(|source| CheckpointError::Unwritable { path: path.to_owned(), source })
}
