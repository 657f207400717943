//! Optimisers and the schedule of the learning rate.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::simd::{InstructionSet, Simd, with_token};
use crate::tensor::{Buffer, zeros};

/// Parameters in one piece of work.
const PIECE: usize = 1 << 14;

/// Which optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with beta1 0.9, beta2 0.999, epsilon 1e-8 (Kingma and Ba 2014).
    #[default]
    Adam,
    /// Gradient descent without momentum.
    Sgd,
}

/// How the learning rate changes during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Falls tenfold every int(350 * 10000 / batch size) steps.
    #[default]
    Published,
    /// Does not.
    Constant,
}

impl Schedule {
    /// The learning rate of step `step` (from 0).
    pub fn learning_rate(self, start: f32, step: u64, batch_size: usize) -> f32 {
        match self {
            Self::Constant => start,
            Self::Published => {
                let period = (3_500_000 / batch_size as u64).max(1);
                (f64::from(start) * 0.1_f64.powi(i32::try_from(step / period).unwrap_or(i32::MAX))) as f32
            }
        }
    }
}

/// An optimiser and its state.
#[derive(Clone, Debug)]
pub enum Optimizer {
    /// See [`OptimizerKind::Sgd`].
    Sgd,
    /// See [`OptimizerKind::Adam`].
    Adam {
        /// Running mean of the gradient.
        first_moment: Buffer,
        /// Running mean of the gradient's square.
        second_moment: Buffer,
    },
}

impl Optimizer {
    /// The optimiser for `parameters` parameters, before the first step.
    pub fn new(kind: OptimizerKind, parameters: usize) -> Self {
        match kind {
            OptimizerKind::Sgd => Self::Sgd,
            OptimizerKind::Adam => {
                Self::Adam { first_moment: zeros(parameters), second_moment: zeros(parameters) }
            }
        }
    }

    /// What it keeps from step to step, in the layout of the parameters.
    pub fn moments(&self) -> impl Iterator<Item = &Buffer> {
        let moments = match self {
            Self::Sgd => [None, None],
            Self::Adam { first_moment, second_moment } => [Some(first_moment), Some(second_moment)],
        };
        moments.into_iter().flatten()
    }

    /// The same, to write.
    pub fn moments_mut(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let moments = match self {
            Self::Sgd => [None, None],
            Self::Adam { first_moment, second_moment } => [Some(first_moment), Some(second_moment)],
        };
        moments.into_iter().flatten()
    }

    /// Moves the parameters against the gradient; `step` counts from 0. No rounding depends on the instruction set.
    pub fn update(
        &mut self,
        set: InstructionSet,
        step: u64,
        learning_rate: f32,
        parameters: &mut [f32],
        gradient: &[f32],
    ) {
        let pieces = parameters.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        match self {
            Self::Sgd => pieces.for_each(|(parameters, gradient)| {
                for (p, g) in parameters.iter_mut().zip(gradient) {
                    *p -= learning_rate * g;
                }
            }),
            Self::Adam { first_moment, second_moment } => {
                let adam = Adam::new(step, learning_rate);
                let moments = first_moment.par_chunks_mut(PIECE).zip(second_moment.par_chunks_mut(PIECE));
                with_token!(set, |simd| {
                    pieces.zip(moments).for_each(|((p, g), (m, v))| {
                        simd.run(
                            #[inline(always)]
                            || adam.update(p, g, m, v),
                        );
                    });
                });
            }
        }
    }
}

/// Adam's constants of one step t (from 1):
///
/// ```text
/// m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
/// p <- p - rate / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + epsilon)
/// ```
pub(crate) struct Adam {
    /// Learning rate / (1 - b1^t).
    pub(crate) rate: f32,
    /// 1 / sqrt(1 - b2^t).
    pub(crate) root_correction: f32,
}

impl Adam {
    pub(crate) const BETA1: f64 = 0.9;
    pub(crate) const BETA2: f64 = 0.999;
    pub(crate) const EPSILON: f32 = 1e-8;

    pub(crate) fn new(step: u64, learning_rate: f32) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64 + 1.0);
        Self {
            rate: (f64::from(learning_rate) / correction(Self::BETA1)) as f32,
            root_correction: (1.0 / correction(Self::BETA2).sqrt()) as f32,
        }
    }

    /// Bound by square roots and divisions unless compiled for wide vectors, then by memory.
    #[inline(always)]
    fn update(&self, parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let (beta1, beta2) = (Self::BETA1 as f32, Self::BETA2 as f32);
        for (((p, &g), m), v) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * (g * g);
            *p -= self.rate * *m / (v.sqrt() * self.root_correction + Self::EPSILON);
        }
    }
}
