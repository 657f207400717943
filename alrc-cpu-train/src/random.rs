//! Random numbers that are a function of the seed, their purpose and their place, so that a run resumes anywhere
//! without a saved generator.
//!
//! The generator is ChaCha8. Its key comes from the seed, its 64-bit stream number is the purpose (upper 8 bits) and
//! the index (lower 56 bits): of the sample drawn, of the epoch, of the image made, of the layer.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// What random numbers are for; no two purposes share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Starting weights; index: the layer.
    Weights = 1,
    /// Order of an epoch; index: the epoch.
    Order = 2,
    /// Augmentation; index: the sample, counted from the start of the run.
    Augmentation = 3,
    /// Made-up images; index: the image.
    Images = 4,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    generator: ChaCha8Rng,
}

impl Random {
    /// The stream for one index of a purpose.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(((purpose as u64) << 56) | index);
        Self { generator }
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.generator.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in [low, high]; `high` itself only by rounding.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..bound (to one part in 2^32 / bound).
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.generator.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// True or false, evenly.
    pub fn coin(&mut self) -> bool {
        self.generator.next_u32() >> 31 == 1
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            let other = self.below(last as u32 + 1) as usize;
            values.swap(last, other);
        }
    }
}
