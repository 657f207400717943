//! What a user chooses, and what may be chosen.

use core::fmt;

use crate::Float;

/// Parameters of the clipping; the default is the published rule's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config<F> {
    /// n: standard deviations above the mean at which losses are clipped, in [0, 1e9]. Default 3.
    pub num_stddev: F,
    /// Standard deviations below the mean to which losses are lifted, in [0, 1e9]; `None`, the default, lifts none.
    pub num_stddev_below: Option<F>,
    /// beta1, the decay of the running mean mu1, in [0, 1). Default 0.999.
    pub decay1: F,
    /// beta2, the decay of the running mean square mu2, in [0, 1). Default 0.999. Where it is not beta1, sigma can be
    /// larger than that of raw moments; see the crate's first page.
    pub decay2: F,
    /// The moments before the first step. Default: the published estimate, mu1 = 25 and mu2 = 900.
    pub start: Start<F>,
    /// Added to the variance under the square root, in squared units of the loss, in [0, 1e9]. Default 1e-8.
    pub epsilon: F,
    /// How the gradient of a clipped loss is scaled. Default: [`Scaling::Ratio`].
    pub scaling: Scaling,
    /// What a NaN or an infinite loss does to its batch. Default: [`NonFinite::Skip`].
    pub non_finite: NonFinite,
}

/// Where the moments come from before there were losses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Start<F> {
    /// A guess, as published. Too high a guess clips too little for about 1/(1 - decay) steps, too low a guess
    /// clips almost every loss for as long.
    Estimate {
        /// Mean of the losses, in units of the loss; magnitude at most [`Float::moment_bound`].
        mu1: F,
        /// Mean of the squared losses, finite, above mu1^2.
        mu2: F,
    },
    /// No guess: the first steps pass unclipped, while the moments are plain averages over the steps.
    WarmUp {
        /// Number of steps that pass unclipped, at least 1; about 1/(1 - decay) makes a steady start. A step without
        /// a finite loss does not count. In f32 the weight of a step rounds to 0 from step 2^25 on, and the averages
        /// stand still.
        steps: u32,
    },
}

/// The factor of a clipped loss's gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Scaling {
    /// limit/loss, as published, where limit and loss are positive; as `Deviation` elsewhere.
    #[default]
    Ratio,
    /// (limit - mean)/(loss - mean): does not change when a constant is added to every loss.
    Deviation,
}

/// What a NaN or an infinite loss does to its batch. In either case its own scale and clipped value are 0 and it
/// never enters the moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum NonFinite {
    /// Nothing: the other losses are clipped, and enter the moments, as if it had not been there.
    #[default]
    Skip,
    /// The whole batch is refused: every scale and clipped value is 0, and the state stays as it was.
    Reject,
}

impl<F: Float> Default for Config<F> {
    fn default() -> Self {
        Self {
            num_stddev: F::from_f64(3.0),
            num_stddev_below: None,
            decay1: F::from_f64(0.999),
            decay2: F::from_f64(0.999),
            start: Start::Estimate { mu1: F::from_f64(25.0), mu2: F::from_f64(900.0) },
            epsilon: F::from_f64(1e-8),
            scaling: Scaling::default(),
            non_finite: NonFinite::default(),
        }
    }
}

impl<F: Float> Config<F> {
    /// How many standard deviations below the mean losses are lifted to: infinitely many where none is lifted.
    pub(crate) fn num_stddev_below(&self) -> F {
        self.num_stddev_below.unwrap_or(F::max_value() + F::max_value())
    }

    /// Whether every parameter lies in its range; the error names the first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let from_0_to_1e9 = |parameter, value: F| {
            let is_permitted = value >= F::zero() && value <= F::from_f64(1e9);
            ConfigError::unless(is_permitted, parameter, value, "from 0 to 1e9")
        };
        let decay = |parameter, value: F| {
            let is_permitted = value >= F::zero() && value < F::one();
            ConfigError::unless(is_permitted, parameter, value, "at least 0 and below 1")
        };
        from_0_to_1e9("num_stddev", self.num_stddev)?;
        if let Some(num_stddev_below) = self.num_stddev_below {
            from_0_to_1e9("num_stddev_below", num_stddev_below)?;
        }
        decay("decay1", self.decay1)?;
        decay("decay2", self.decay2)?;
        self.start.validate()?;
        from_0_to_1e9("epsilon", self.epsilon)
    }
}

impl<F: Float> Start<F> {
    fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Estimate { mu1, mu2 } => {
                let is_permitted = mu1.is_within(F::moment_bound());
                ConfigError::unless(is_permitted, "mu1", mu1, "in magnitude at most 1.4e17 (f64: 1e152)")?;
                let is_permitted = mu2 > mu1 * mu1 && mu2 <= F::max_value();
                ConfigError::unless(is_permitted, "mu2", mu2, "finite and above the square of mu1")
            }
            Self::WarmUp { steps } => {
                ConfigError::unless(steps >= 1, "warm-up steps", F::from_count(steps.into()), "at least 1")
            }
        }
    }
}

/// A number outside its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigError {
    /// The field of [`Config`] or [`Start`], or, where a state is restored, of [`State`](crate::State).
    pub parameter: &'static str,
    /// Its value.
    pub value: f64,
    /// What it may be.
    pub permitted: &'static str,
}

impl ConfigError {
    pub(crate) fn unless<F: Float>(
        is_permitted: bool,
        parameter: &'static str,
        value: F,
        permitted: &'static str,
    ) -> Result<(), Self> {
        if is_permitted {
            Ok(())
        } else {
            Err(Self { parameter, value: value.to_f64(), permitted })
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, permitted: {}", self.parameter, self.value, self.permitted)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for ConfigError {}
