// The structs of one floating-point type, and how the kernel's types come from them and go into them; `build.rs` writes
// those for the other.

use alrc_kernel::{Alrc, BatchSums, Config, Limits, NonFinite, Report, Scaling, Start, State};

use crate::choices::{non_finite_from_kernel, non_finite_to_kernel, scaling_from_kernel, scaling_to_kernel};
use crate::memory::Plain;
use crate::status::*;

/// Parameters. Fill with `alrc_f32_config_default` and change what is to differ.
#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct alrc_f32_config {
    /// Standard deviations above the mean at which losses are clipped, in [0, 1e9]. Default 3.
    pub num_stddev: f32,
    /// Standard deviations below the mean to which losses are lifted, in [0, 1e9], or infinity, the default, to lift
    /// none.
    pub num_stddev_below: f32,
    /// Decay of the running mean mu1, in [0, 1). Default 0.999.
    pub decay1: f32,
    /// Decay of the running mean square mu2, in [0, 1). Default 0.999. Where it is not decay1, the deviation can be
    /// larger, most where it is above, because mu2 is not allowed to fall below the square of mu1.
    pub decay2: f32,
    /// mu1 before the first step, in units of the loss. Default 25. Not used with a warm-up.
    pub mu1_start: f32,
    /// mu2 before the first step, above the square of mu1_start. Default 900. Not used with a warm-up.
    pub mu2_start: f32,
    /// Added to the variance under the square root, in squared units of the loss, in [0, 1e9]. Default 1e-8.
    pub epsilon: f32,
    /// Number of first steps that pass unclipped while the moments are plain averages; 0, the default, for none.
    pub warm_up_steps: u32,
    /// How the gradient of a clipped loss is scaled: ALRC_SCALING_RATIO, the default, or ALRC_SCALING_DEVIATION.
    pub scaling: u32,
    /// What a NaN or an infinite loss does to its batch: ALRC_NON_FINITE_SKIP, the default, or
    /// ALRC_NON_FINITE_REJECT.
    pub non_finite: u32,
}

/// Parameters and running moments. To be read at will, and changed by the functions alone: that a state was initialised
/// is checked, not what became of its numbers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct alrc_f32 {
    /// The parameters.
    pub config: alrc_f32_config,
    /// The running mean of the clipped losses before the last step; `alrc_f32_moments` gives the one after it.
    pub mean: f32,
    /// What the last step adds to the mean, with what rounding has cut off before.
    pub carry: f32,
    /// mu2 - mu1^2, the running variance.
    pub variance: f32,
    /// Steps of the warm-up that are still to come.
    pub warm_up_left: u32,
    /// The same in every state, to tell one from memory that was not initialised.
    pub tag: u32,
}

/// The limits of one step: a small value to copy to where the losses are.
#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct alrc_f32_limits {
    /// Smaller losses are lifted to this value; the lowest finite number where none is lifted.
    pub lower: f32,
    /// mu1.
    pub mean: f32,
    /// Larger losses are clipped to this value; the largest finite number during a warm-up.
    pub upper: f32,
    /// As in the configuration.
    pub scaling: u32,
    /// As in the configuration.
    pub non_finite: u32,
}

/// The sums of (a part of) a step's clipped losses.
#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct alrc_f32_sums {
    /// Number of finite losses.
    pub count: u64,
    /// Number of losses that were clipped.
    pub clipped: u64,
    /// Number of losses that were NaN or infinite; they are in none of the other fields.
    pub non_finite: u64,
    /// Mean of the clipped losses.
    pub mean: f32,
    /// Sum of the squares of the clipped losses about their mean.
    pub squares: f32,
    /// The largest distance of a loss from the limit that clipped it; 0 if none was clipped.
    pub largest_excess: f32,
}

/// What a step did.
#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct alrc_f32_report {
    /// Number of losses that were clipped.
    pub clipped: u64,
    /// Number of losses that were NaN or infinite.
    pub non_finite: u64,
    /// The largest distance of a loss from the limit that clipped it; 0 if none was clipped.
    pub largest_excess: f32,
    /// The limit above which losses were clipped.
    pub limit: f32,
    /// 1 if the moments moved, 0 if not: no loss was finite, or the batch was rejected.
    pub updated: u32,
}

// SAFETY: structs of numbers.
unsafe impl Plain for alrc_f32_config {}
// SAFETY: structs of numbers.
unsafe impl Plain for alrc_f32 {}
// SAFETY: structs of numbers.
unsafe impl Plain for alrc_f32_limits {}
// SAFETY: structs of numbers.
unsafe impl Plain for alrc_f32_sums {}
// SAFETY: structs of numbers.
unsafe impl Plain for alrc_f32_report {}

impl alrc_f32_config {
    /// Parameters that are to be validated.
    pub(crate) fn kernel(&self) -> Result<Config<f32>, alrc_status> {
        let scaling = scaling_to_kernel(self.scaling).ok_or(ALRC_ERROR_SCALING)?;
        let non_finite = non_finite_to_kernel(self.non_finite).ok_or(ALRC_ERROR_NON_FINITE)?;
        Ok(self.with_choices(scaling, non_finite))
    }

    /// Parameters that a state holds, and which were validated before it did.
    // Inlined here and below, a state's numbers stay in registers until the result of a step.
    #[inline(always)]
    fn kernel_of_state(&self) -> Config<f32> {
        let scaling = scaling_to_kernel(self.scaling).unwrap_or_default();
        self.with_choices(scaling, non_finite_to_kernel(self.non_finite).unwrap_or_default())
    }

    #[inline(always)]
    fn with_choices(&self, scaling: Scaling, non_finite: NonFinite) -> Config<f32> {
        Config {
            num_stddev: self.num_stddev,
            num_stddev_below: (self.num_stddev_below != f32::INFINITY).then_some(self.num_stddev_below),
            decay1: self.decay1,
            decay2: self.decay2,
            start: match self.warm_up_steps {
                0 => Start::Estimate { mu1: self.mu1_start, mu2: self.mu2_start },
                steps => Start::WarmUp { steps },
            },
            epsilon: self.epsilon,
            scaling,
            non_finite,
        }
    }
}

impl From<&Config<f32>> for alrc_f32_config {
    fn from(config: &Config<f32>) -> Self {
        let (mu1_start, mu2_start, warm_up_steps) = match config.start {
            Start::Estimate { mu1, mu2 } => (mu1, mu2, 0),
            Start::WarmUp { steps } => (0.0, 0.0, steps),
        };
        Self {
            num_stddev: config.num_stddev,
            num_stddev_below: config.num_stddev_below.unwrap_or(f32::INFINITY),
            decay1: config.decay1,
            decay2: config.decay2,
            mu1_start,
            mu2_start,
            epsilon: config.epsilon,
            warm_up_steps,
            scaling: scaling_from_kernel(config.scaling),
            non_finite: non_finite_from_kernel(config.non_finite),
        }
    }
}

impl alrc_f32 {
    const TAG: u32 = u32::from_be_bytes(*b"ALRC");

    #[inline(always)]
    pub(crate) fn kernel(&self) -> Result<Alrc<f32>, alrc_status> {
        let Self { config, mean, carry, variance, warm_up_left, tag } = *self;
        if tag != Self::TAG {
            return Err(ALRC_ERROR_STATE);
        }
        let state = State { mean, carry, variance, warm_up_left };
        Ok(Alrc::from_parts_of_another(config.kernel_of_state(), state))
    }

    /// What a step changes.
    pub(crate) fn set(&mut self, alrc: &Alrc<f32>) {
        let &State { mean, carry, variance, warm_up_left } = alrc.state();
        (self.mean, self.carry, self.variance, self.warm_up_left) = (mean, carry, variance, warm_up_left);
    }
}

impl From<&Alrc<f32>> for alrc_f32 {
    fn from(alrc: &Alrc<f32>) -> Self {
        let &State { mean, carry, variance, warm_up_left } = alrc.state();
        Self { config: alrc.config().into(), mean, carry, variance, warm_up_left, tag: Self::TAG }
    }
}

impl alrc_f32_limits {
    pub(crate) fn kernel(&self) -> Result<Limits<f32>, alrc_status> {
        let scaling = scaling_to_kernel(self.scaling).ok_or(ALRC_ERROR_LIMITS)?;
        let non_finite = non_finite_to_kernel(self.non_finite).ok_or(ALRC_ERROR_LIMITS)?;
        Limits::from_parts(self.lower, self.mean, self.upper, scaling, non_finite).ok_or(ALRC_ERROR_LIMITS)
    }
}

impl From<Limits<f32>> for alrc_f32_limits {
    fn from(limits: Limits<f32>) -> Self {
        Self {
            lower: limits.lower(),
            mean: limits.mean(),
            upper: limits.upper(),
            scaling: scaling_from_kernel(limits.scaling()),
            non_finite: non_finite_from_kernel(limits.non_finite()),
        }
    }
}

impl alrc_f32_sums {
    pub(crate) fn kernel(&self) -> Result<BatchSums<f32>, alrc_status> {
        let Self { count, clipped, non_finite, mean, squares, largest_excess } = *self;
        let sums = BatchSums { count, clipped, non_finite, mean, squares, largest_excess };
        if sums.is_valid() { Ok(sums) } else { Err(ALRC_ERROR_SUMS) }
    }
}

impl From<BatchSums<f32>> for alrc_f32_sums {
    fn from(sums: BatchSums<f32>) -> Self {
        let BatchSums { count, clipped, non_finite, mean, squares, largest_excess } = sums;
        Self { count, clipped, non_finite, mean, squares, largest_excess }
    }
}

impl From<Report<f32>> for alrc_f32_report {
    fn from(report: Report<f32>) -> Self {
        let Report { clipped, non_finite, largest_excess, limit, updated } = report;
        Self { clipped, non_finite, largest_excess, limit, updated: updated.into() }
    }
}
