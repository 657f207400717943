//! `samples.png`: a row an image, with the network's input, its output and the target.

use std::io::Cursor;

use image::{ImageFormat, ImageResult, Rgb, RgbImage, imageops};

use crate::data::SIDE;
use crate::train::Trainer;

/// Most rows.
const ROWS: usize = 8;

/// Screen pixels for a pixel.
const ZOOM: u32 = 4;

/// A picture.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The PNG file.
    pub png: Vec<u8>,
}

/// Draws the last step's images.
pub fn draw(trainer: &Trainer) -> ImageResult<Sheet> {
    let rows = trainer.last_group().min(ROWS);
    let side = SIDE as u32;
    let mut sheet = RgbImage::new(3 * side, rows as u32 * side);
    for row in 0..rows {
        let columns = trainer.sample(row);
        // All three with the target's range of values, so that they can be compared.
        let [.., target] = columns;
        let low = target.iter().copied().fold(f32::INFINITY, f32::min);
        let high = target.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (column, values) in columns.iter().enumerate() {
            for (pixel, &[red, green, blue]) in values.as_chunks().0.iter().enumerate() {
                let byte = |value: f32| (255.0 * (value - low) / (high - low)) as u8;
                let (x, y) = (column * SIDE + pixel % SIDE, row * SIDE + pixel / SIDE);
                sheet.put_pixel(x as u32, y as u32, Rgb([red, green, blue].map(byte)));
            }
        }
    }
    Sheet::new(&sheet)
}

impl Sheet {
    /// Enlarges a picture for the screen.
    pub fn new(picture: &RgbImage) -> ImageResult<Self> {
        let (width, height) = (ZOOM * picture.width(), ZOOM * picture.height());
        let mut png = Cursor::new(Vec::new());
        imageops::resize(picture, width, height, imageops::FilterType::Nearest)
            .write_to(&mut png, ImageFormat::Png)?;
        Ok(Self { width, height, png: png.into_inner() })
    }
}
