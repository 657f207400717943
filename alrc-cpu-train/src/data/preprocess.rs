//! From the bytes of a record to the network's input and target.

use std::sync::LazyLock;

use super::{CHANNELS, RECORD_SIZE, SIDE};
use crate::random::Random;

/// Pixels of an image.
const PIXELS: usize = SIDE * SIDE;

/// Side of the low-resolution image.
const LOW_SIDE: usize = SIDE / 2;

/// Largest random change of brightness, in units of a byte.
const BRIGHTNESS: f32 = 63.0;

/// Range of the random factor of contrast.
const CONTRAST: (f32, f32) = (0.2, 1.8);

/// The image of a record, `[channels, rows, columns]` bytes, as `[rows, columns, channels]` floats.
pub fn unpack(record: &[u8; RECORD_SIZE], image: &mut [f32]) {
    for (index, value) in image.iter_mut().enumerate() {
        *value = f32::from(record[index % CHANNELS * PIXELS + index / CHANNELS]);
    }
}

/// Random left-right flip, brightness (+-63) and contrast (factor 0.2 to 1.8 about each channel's mean).
pub fn augment(image: &mut [f32], random: &mut Random) {
    if random.coin() {
        for row in image.chunks_exact_mut(SIDE * CHANNELS) {
            for column in 0..SIDE / 2 {
                for channel in 0..CHANNELS {
                    row.swap(column * CHANNELS + channel, (SIDE - 1 - column) * CHANNELS + channel);
                }
            }
        }
    }
    let brightness = random.between(-BRIGHTNESS, BRIGHTNESS);
    let contrast = random.between(CONTRAST.0, CONTRAST.1);
    for channel in 0..CHANNELS {
        let values = image.iter().skip(channel).step_by(CHANNELS);
        let mean = (values.map(|&x| f64::from(x)).sum::<f64>() / PIXELS as f64) as f32;
        for value in image.iter_mut().skip(channel).step_by(CHANNELS) {
            *value = (*value - mean) * contrast + mean + brightness;
        }
    }
}

/// (x - mean) / max(standard deviation, 1 / sqrt(number of values)), over the whole image.
pub fn standardize(image: &mut [f32]) {
    let count = image.len() as f64;
    let mean = image.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = image.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / f64::max(variance.sqrt(), 1.0 / count.sqrt());
    for value in image {
        *value = ((f64::from(*value) - mean) * scale) as f32;
    }
}

/// The image at half the resolution and back: what the network gets to see.
pub fn degrade(target: &[f32], input: &mut [f32]) {
    let mut low = [0.0; LOW_SIDE * LOW_SIDE * CHANNELS];
    resize(target, &TO_LOW, &mut low);
    resize(&low, &TO_FULL, input);
}

static TO_LOW: LazyLock<Vec<Sample>> = LazyLock::new(|| samples(SIDE, LOW_SIDE));
static TO_FULL: LazyLock<Vec<Sample>> = LazyLock::new(|| samples(LOW_SIDE, SIDE));

/// Where a resized row or column comes from: between two neighbours.
struct Sample {
    first: usize,
    second: usize,
    /// Weight of the second, in [0, 1).
    weight: f32,
}

/// Linear interpolation from `from` to `to` points with the end points aligned.
fn samples(from: usize, to: usize) -> Vec<Sample> {
    let sample = |index: usize| {
        let position = (index * (from - 1)) as f64 / (to - 1) as f64;
        let first = position as usize;
        Sample { first, second: (first + 1).min(from - 1), weight: (position - first as f64) as f32 }
    };
    (0..to).map(sample).collect()
}

/// Resizes a square image, `[rows, columns, channels]`, bilinearly.
fn resize(source: &[f32], samples: &[Sample], out: &mut [f32]) {
    let side = (source.len() / CHANNELS).isqrt();
    let mix = |a: f32, b: f32, weight: f32| a + (b - a) * weight;
    let mut values = out.iter_mut();
    for row in samples {
        for column in samples {
            for channel in 0..CHANNELS {
                let at = |row: usize, column: usize| source[(row * side + column) * CHANNELS + channel];
                let across = |row: usize| mix(at(row, column.first), at(row, column.second), column.weight);
                if let Some(value) = values.next() {
                    *value = mix(across(row.first), across(row.second), row.weight);
                }
            }
        }
    }
}
