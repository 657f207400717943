//! Images: fetched, checked, read, made up, put in order, augmented, and brought into the network's form.

mod archive;
pub mod cifar10;
mod download;
pub mod fetch;
pub mod preprocess;
pub mod preview;
pub mod sampler;
pub mod synthetic;
pub mod unpack;
pub mod verify;

use std::path::Path;

use crate::tensor::ImageSize;
use cifar10::DataError;

/// Rows and columns of an image.
pub const SIDE: usize = 32;

/// Size of every image.
pub const SIZE: ImageSize = ImageSize { height: SIDE, width: SIDE };

/// Channels of an image: red, green and blue.
pub const CHANNELS: usize = 3;

/// The name of the images that are made up, where others have a path.
pub const BUILTIN: &str = "builtin";

/// Bytes of an image: a plane for each channel, rows from the top.
pub const RECORD_SIZE: usize = CHANNELS * SIDE * SIDE;

/// An image as stored.
pub type Record = [u8; RECORD_SIZE];

/// Loads what `--data` names; the images that are made up belong to `seed`.
pub fn load(data: &str, seed: u64) -> Result<Dataset, DataError> {
    match data {
        BUILTIN => Ok(synthetic::generate(seed)),
        path => cifar10::read(Path::new(path)),
    }
}

/// An error if what `--data` names is missing, as far as that shows without reading it.
pub fn check(data: &str) -> Result<(), DataError> {
    match data {
        BUILTIN => Ok(()),
        path => cifar10::check(Path::new(path)),
    }
}

/// The images of a data set, in order; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The images.
    pub records: Vec<Record>,
}

impl Dataset {
    /// CRC-32 of all images, in order.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.records.iter().for_each(|record| hasher.update(record));
        hasher.finalize()
    }
}
