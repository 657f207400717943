//! The order in which a run meets the images: a function of seed and place alone.

use serde::{Deserialize, Serialize};

use crate::random::{Purpose, Random};

/// How images are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Every epoch anew, in a random order.
    #[default]
    Shuffled,
    /// As in the files, round and round.
    Sequential,
}

/// Gives the image for each place of a run.
#[derive(Clone, Debug)]
pub struct Sampler {
    order: Order,
    seed: u64,
    /// The epoch that `permutation` holds.
    epoch: u64,
    permutation: Vec<u32>,
}

impl Sampler {
    /// For a data set of `images` images, at least 1.
    pub fn new(order: Order, seed: u64, images: usize) -> Self {
        let mut sampler = Self { order, seed, epoch: 0, permutation: (0..images as u32).collect() };
        sampler.shuffle(0);
        sampler
    }

    /// The image for sample number `sample`, counted from the start of the run.
    pub fn image(&mut self, sample: u64) -> usize {
        let images = self.permutation.len() as u64;
        let epoch = sample / images;
        if epoch != self.epoch {
            self.shuffle(epoch);
        }
        self.permutation[(sample % images) as usize] as usize
    }

    fn shuffle(&mut self, epoch: u64) {
        self.epoch = epoch;
        if self.order == Order::Shuffled {
            (0..).zip(&mut self.permutation).for_each(|(index, image)| *image = index);
            Random::new(self.seed, Purpose::Order, epoch).shuffle(&mut self.permutation);
        }
    }
}
