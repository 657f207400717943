//! A contact sheet: a look at a data set.

use image::{Rgb, RgbImage};

use super::{Dataset, Record, SIDE};

/// Pixels between images.
const GAP: usize = 1;

/// Colour between images.
const BACKGROUND: Rgb<u8> = Rgb([255; 3]);

/// Up to `count` images (at least 1), evenly spaced over the data set in its order, in as many columns as rows or one
/// more.
pub fn contact_sheet(dataset: &Dataset, count: usize) -> RgbImage {
    let len = dataset.records.len();
    let count = count.min(len);
    let columns = (1..).find(|columns| columns * columns >= count).unwrap_or(1);
    let pixels = |images: usize| (images * (SIDE + GAP) + GAP) as u32;
    let mut sheet = RgbImage::from_pixel(pixels(columns), pixels(count.div_ceil(columns)), BACKGROUND);
    for index in 0..count {
        let (row, column) = (index / columns, index % columns);
        draw(&dataset.records[index * len / count], &mut sheet, (pixels(column), pixels(row)));
    }
    sheet
}

/// Draws an image with its upper left corner at a place.
fn draw(record: &Record, sheet: &mut RgbImage, (left, top): (u32, u32)) {
    for row in 0..SIDE {
        for column in 0..SIDE {
            let channel = |channel: usize| record[(channel * SIDE + row) * SIDE + column];
            let color = Rgb([channel(0), channel(1), channel(2)]);
            sheet.put_pixel(left + column as u32, top + row as u32, color);
        }
    }
}
