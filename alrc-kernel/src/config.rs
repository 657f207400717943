//! What a user chooses, and what may be chosen.

use core::fmt;

use crate::Float;

/// Parameters of the clipping; the default is the published rule's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config<F> {
    /// n: standard deviations above the mean at which losses are clipped, in [0, 1e9]. Default 3.
    pub num_stddev: F,
    /// beta of the running mean mu1, in [0, 1). Default 0.999.
    pub decay1: F,
    /// beta of the running mean square mu2, in [0, 1). Default 0.999.
    pub decay2: F,
    /// mu1 before the first step, finite, in units of the loss. Default 25.
    pub mu1_start: F,
    /// mu2 before the first step, finite, above `mu1_start`^2. Default 900.
    pub mu2_start: F,
    /// Added to the variance under the square root, in [0, 1e9]. Default 1e-8.
    pub epsilon: F,
}

impl<F: Float> Default for Config<F> {
    fn default() -> Self {
        Self {
            num_stddev: F::from_f64(3.0),
            decay1: F::from_f64(0.999),
            decay2: F::from_f64(0.999),
            mu1_start: F::from_f64(25.0),
            mu2_start: F::from_f64(900.0),
            epsilon: F::from_f64(1e-8),
        }
    }
}

impl<F: Float> Config<F> {
    /// Whether every parameter lies in its range; the error names the first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let large = F::from_f64(1e9);
        let check = |parameter, value: F, permitted, is_permitted: bool| {
            if is_permitted {
                Ok(())
            } else {
                Err(ConfigError { parameter, value: value.to_f64(), permitted })
            }
        };
        let within_large = |value: F| value >= F::ZERO && value <= large;
        let decay = |value: F| value >= F::ZERO && value < F::ONE;
        let (mu1, mu2) = (self.mu1_start, self.mu2_start);
        check("num_stddev", self.num_stddev, "from 0 to 1e9", within_large(self.num_stddev))?;
        check("decay1", self.decay1, "at least 0 and below 1", decay(self.decay1))?;
        check("decay2", self.decay2, "at least 0 and below 1", decay(self.decay2))?;
        check("mu1_start", mu1, "from -2e17 (f64: -2e152) to 2e17 (2e152)", mu1.saturate() == mu1)?;
        check("mu2_start", mu2, "finite and above mu1_start squared", mu2 > mu1 * mu1 && mu2.is_finite())?;
        check("epsilon", self.epsilon, "from 0 to 1e9", within_large(self.epsilon))
    }
}

/// A parameter outside its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigError {
    /// The field of [`Config`].
    pub parameter: &'static str,
    /// Its value.
    pub value: f64,
    /// What it may be.
    pub permitted: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, permitted: {}", self.parameter, self.value, self.permitted)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for ConfigError {}
