//! How an image is covered with tiles of 4x4 pixels, and how tiles are grouped into bands.

use std::ops::Range;

use super::TILE;
use crate::tensor::ImageSize;

/// The tiles of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) size: ImageSize,
    /// Rows of tiles; the last may reach over the image's edge.
    pub(super) rows: usize,
    /// Tiles of a row; the last may reach over the image's edge.
    pub(super) columns: usize,
}

/// Rows of tiles of one image that are computed together: a piece of work.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// Number of the image.
    pub(super) image: usize,
    /// Its rows of tiles.
    pub(super) rows: Range<usize>,
}

impl Grid {
    pub(super) fn new(size: ImageSize) -> Self {
        Self { size, rows: size.height.div_ceil(TILE), columns: size.width.div_ceil(TILE) }
    }

    /// Rows of a band of at most `tiles` tiles, but at least one row.
    pub(super) fn band_rows(self, tiles: usize) -> usize {
        (tiles / self.columns).clamp(1, self.rows)
    }

    /// The bands of `images` images, each of `band_rows` rows but for the last of an image.
    pub(super) fn bands(self, images: Range<usize>, band_rows: usize) -> impl Iterator<Item = Band> {
        images.flat_map(move |image| {
            let starts = (0..self.rows).step_by(band_rows);
            starts.map(move |start| Band { image, rows: start..(start + band_rows).min(self.rows) })
        })
    }

    /// The tiles (row, column) of `rows`, in order.
    pub(super) fn tiles(self, rows: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        rows.flat_map(move |row| (0..self.columns).map(move |column| (row, column)))
    }
}
