//! The loss of an image, and its gradient.
//!
//! The raw loss is 25 mean(|output - target|^p) with p = 2 or 4; where that is 50 or more, its square root is taken.

use num_traits::Float;
use serde::{Deserialize, Serialize};

/// Factor of the mean error.
pub(crate) const FACTOR: f64 = 25.0;

/// Raw losses from here on are replaced by their square roots.
pub(crate) const SQUARE_ROOT_FROM: f64 = 50.0;

/// The power of the error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// |error|^2.
    #[default]
    Squared,
    /// |error|^4.
    Quartic,
}

/// The loss of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageLoss {
    /// 25 mean(|error|^p).
    pub raw: f64,
    /// The same after the square-root rule.
    pub value: f64,
    /// d value / d raw.
    slope: f64,
}

impl ImageLoss {
    /// The loss whose raw value is `raw`.
    pub fn of_raw(raw: f64) -> Self {
        if raw < SQUARE_ROOT_FROM {
            Self { raw, value: raw, slope: 1.0 }
        } else {
            Self { raw, value: raw.sqrt(), slope: 0.5 / raw.sqrt() }
        }
    }
}

impl Loss {
    pub(crate) fn power(self) -> i32 {
        match self {
            Self::Squared => 2,
            Self::Quartic => 4,
        }
    }

    /// The loss of one image; `output` and `target` have the same layout.
    pub fn of_image<T: Float>(self, output: &[T], target: &[T]) -> ImageLoss {
        let errors = output.iter().zip(target).map(|(&output, &target)| output - target);
        let sum: f64 = errors.map(|error| error.powi(self.power()).to_f64().unwrap_or(f64::NAN)).sum();
        ImageLoss::of_raw(FACTOR * sum / output.len() as f64)
    }

    /// Writes `factor` times the gradient of the loss's value with respect to the output.
    pub fn gradient<T: Float>(
        self,
        loss: ImageLoss,
        factor: f64,
        output: &[T],
        target: &[T],
        gradient: &mut [T],
    ) {
        let power = self.power();
        let scale = factor * loss.slope * FACTOR * f64::from(power) / output.len() as f64;
        let scale = T::from(scale).unwrap_or_else(T::nan);
        for ((gradient, &output), &target) in gradient.iter_mut().zip(output).zip(target) {
            *gradient = scale * (output - target).powi(power - 1);
        }
    }
}
