//! A custom optimiser: gradient descent with clipping, loss scaling and gradient accumulation.
//!
//! - **Accumulation.** All micro-batches of a step are clipped by the limits from before the step; each gradient is
//!   scaled *before* it is added, for afterwards the losses can no longer be told apart. The moments are updated once
//!   a step, with the merged sums.
//! - **Loss scaling.** Half-precision training multiplies the loss, and so every gradient, by a large factor. The kernel
//!   gets the true loss; the factor is divided out of the gradient, as without clipping.
//!
//! `cargo run -p alrc-kernel --example sgd_with_accumulation`

use alrc_kernel::{Alrc, BatchSums, Config, ConfigError};

/// Factor of losses and gradients during the backward pass.
const LOSS_SCALE: f32 = 1024.0;

struct ClippedSgd {
    learning_rate: f32,
    alrc: Alrc<f32>,
    /// Sum of the scaled gradients of the step's examples.
    gradient: Vec<f32>,
    sums: BatchSums<f32>,
}

impl ClippedSgd {
    fn new(parameters: usize, learning_rate: f32, config: Config<f32>) -> Result<Self, ConfigError> {
        Ok(Self {
            learning_rate,
            alrc: Alrc::new(config)?,
            gradient: vec![0.0; parameters],
            sums: BatchSums::default(),
        })
    }

    /// Takes in a micro-batch: the loss of each example, and its gradient times the loss scale.
    fn accumulate(&mut self, losses: &[f32], gradients: &[Vec<f32>]) {
        let mut scales = vec![0.0; losses.len()];
        let sums = self.alrc.limits().clip_batch(losses, &mut [], &mut scales);
        self.sums.merge(&sums);
        for (scale, gradient) in scales.iter().zip(gradients).filter(|(scale, _)| **scale != 0.0) {
            for (sum, gradient) in self.gradient.iter_mut().zip(gradient) {
                *sum += scale / LOSS_SCALE * gradient;
            }
        }
    }

    /// Moves the parameters by the mean gradient of everything accumulated, and the moments once.
    fn step(&mut self, parameters: &mut [f32]) {
        if self.alrc.update(&self.sums) {
            let rate = self.learning_rate / self.sums.count as f32;
            for (parameter, gradient) in parameters.iter_mut().zip(&self.gradient) {
                *parameter -= rate * gradient;
            }
        }
        self.gradient.fill(0.0);
        self.sums = BatchSums::default();
    }
}

/// The squared error of `a x + b` at a point, and its gradient, both times the loss scale.
fn backward(parameters: &[f32], x: f32, y: f32) -> (f32, Vec<f32>) {
    let error = parameters[0] * x + parameters[1] - y;
    (LOSS_SCALE * error * error, vec![LOSS_SCALE * 2.0 * error * x, LOSS_SCALE * 2.0 * error])
}

fn main() -> Result<(), ConfigError> {
    let config = Config { num_stddev: 2.0, decay1: 0.9, decay2: 0.9, ..Config::default() };
    let mut optimizer = ClippedSgd::new(2, 0.1, config)?;
    let mut parameters = [0.0, 0.0];
    for step in 0..2000 {
        for micro_batch in 0..4 {
            let points = (0..8).map(|index| {
                let x = ((step * 32 + micro_batch * 8 + index) % 97) as f32 / 97.0;
                // Every 500th step holds one point that is far off, and one that is not a number.
                let outlier = match (step % 500, micro_batch, index) {
                    (499, 0, 0) => 1e4,
                    (499, 1, 1) => f32::NAN,
                    _ => 0.0,
                };
                backward(&parameters, x, 3.0 * x - 1.0 + outlier)
            });
            let (scaled_losses, gradients): (Vec<f32>, Vec<Vec<f32>>) = points.unzip();
            let losses: Vec<f32> = scaled_losses.iter().map(|loss| loss / LOSS_SCALE).collect();
            optimizer.accumulate(&losses, &gradients);
        }
        optimizer.step(&mut parameters);
    }
    println!("y = {:.3} x + {:.3}, from y = 3 x - 1 with outliers", parameters[0], parameters[1]);
    assert!((parameters[0] - 3.0).abs() < 0.05 && (parameters[1] + 1.0).abs() < 0.05);
    Ok(())
}
