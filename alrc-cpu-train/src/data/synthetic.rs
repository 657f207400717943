//! Images with the statistics of natural ones, made up: "dead leaves" (Lee, Mumford and Huang 2001).
//!
//! Discs and rectangles whose sizes follow a power law lie on top of each other, so that an image has edges at every
//! scale, as photographs have. Colours vary a lot in brightness and little in hue; a little texture and a blur of
//! half a pixel take the computer-made look away. Each image is a function of the seed and its number.

use rayon::prelude::*;

use super::{CHANNELS, Dataset, RECORD_SIZE, Record, SIDE};
use crate::random::{Purpose, Random};

/// Images of the made-up data set.
pub const IMAGES: usize = 4096;

/// Leaves that fall on an image.
const LEAVES: usize = 60;

/// Smallest and largest radius of a leaf, in pixels; the density of radii falls with their third power.
const RADII: (f32, f32) = (1.5, 24.0);

/// Standard deviation of brightness, and of the colour opponents red-green and yellow-blue, in units of a byte.
const BRIGHTNESS: f32 = 55.0;
const HUE: f32 = 14.0;

/// Points of a pixel and its neighbourhood whose mean is its colour: edges without steps.
const POINTS: [(f32, f32); 4] = [(-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4)];

/// The data set for a seed.
pub fn generate(seed: u64) -> Dataset {
    let records = (0..IMAGES as u64).into_par_iter();
    Dataset { records: records.map(|index| draw(&mut Random::new(seed, Purpose::Images, index))).collect() }
}

/// Red, green and blue.
type Color = [f32; CHANNELS];

/// Something that lies on the image.
struct Leaf {
    centre: (f32, f32),
    radius: f32,
    /// Height over width, 0 for a disc.
    aspect: f32,
    /// Cosine and sine of a rectangle's inclination and of the stripes on the leaf.
    direction: (f32, f32),
    color: Color,
    /// Amplitude, in units of a byte, and spatial frequency, in radians a pixel, of the stripes.
    stripes: (f32, f32),
}

impl Leaf {
    fn random(random: &mut Random, color: Color) -> Self {
        let side = SIDE as f32;
        // Inverse of the distribution function of a density that falls with the third power.
        let (low, high) = (RADII.0.powi(-2), RADII.1.powi(-2));
        let radius = random.between(high, low).powf(-0.5);
        let angle = random.between(0.0, std::f32::consts::TAU);
        Self {
            centre: (random.between(-4.0, side + 4.0), random.between(-4.0, side + 4.0)),
            radius,
            aspect: if random.coin() { 0.0 } else { random.between(0.2, 1.0) },
            direction: (angle.cos(), angle.sin()),
            color: vary(random, color),
            stripes: (random.between(0.0, 12.0), random.between(0.3, 2.0)),
        }
    }

    /// Whether the leaf may cover a point of the pixels of row `y`.
    fn reaches(&self, y: f32) -> bool {
        let reach = self.radius * (1.0 + self.aspect * self.aspect).sqrt();
        (y - self.centre.1).abs() <= reach + 1.0
    }

    /// The colour at a point, if the leaf covers it.
    fn color_at(&self, x: f32, y: f32) -> Option<Color> {
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        let along = dx * self.direction.0 + dy * self.direction.1;
        let across = dy * self.direction.0 - dx * self.direction.1;
        let covers = if self.aspect == 0.0 {
            dx * dx + dy * dy <= self.radius * self.radius
        } else {
            along.abs() <= self.radius && across.abs() <= self.radius * self.aspect
        };
        let texture = self.stripes.0 * (along * self.stripes.1).sin();
        covers.then(|| self.color.map(|value| value + texture))
    }
}

/// A colour near `color`.
fn vary(random: &mut Random, color: Color) -> Color {
    let (brightness, red, blue) =
        (BRIGHTNESS * random.normal(), HUE * random.normal(), HUE * random.normal());
    [color[0] + brightness + red, color[1] + brightness - 0.3 * red, color[2] + brightness + blue - 0.3 * red]
}

/// Draws one image.
fn draw(random: &mut Random) -> Record {
    let ground = vary(random, [115.0, 112.0, 105.0]);
    let leaves: Vec<Leaf> = (0..LEAVES).map(|_| Leaf::random(random, ground)).collect();
    let mut record = [0; RECORD_SIZE];
    for row in 0..SIDE {
        let near: Vec<&Leaf> = leaves.iter().filter(|leaf| leaf.reaches(row as f32)).collect();
        let color_at = |x: f32, y: f32| near.iter().find_map(|leaf| leaf.color_at(x, y)).unwrap_or(ground);
        for column in 0..SIDE {
            let (x, y) = (column as f32, row as f32);
            let colors = POINTS.map(|(dx, dy)| color_at(x + dx, y + dy));
            let noise = 2.0 * random.normal();
            for channel in 0..CHANNELS {
                let mean = colors.iter().map(|color| color[channel].clamp(0.0, 255.0)).sum::<f32>() / 4.0;
                record[(channel * SIDE + row) * SIDE + column] = (mean + noise) as u8;
            }
        }
    }
    record
}
