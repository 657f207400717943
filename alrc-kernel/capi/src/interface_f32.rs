// Structs and functions for one floating-point type; `build.rs` writes those for the other.

use alrc_kernel::{Alrc, BatchSums, Clipped, Config, Limits, Report, Start, State};

use crate::choices::{
    non_finite_from_kernel, non_finite_to_kernel, scaling_from_kernel, scaling_to_kernel,
};
use crate::memory::{self, Batch, Output, Plain};
use crate::status::{answer, of_config, of_snapshot};
use crate::*;

/// Parameters. Fill with `alrc_f32_config_default` and change what is to differ.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct alrc_f32_config {
    /// Standard deviations above the mean at which losses are clipped, in [0, 1e9]. Default 3.
    pub num_stddev: f32,
    /// Standard deviations below the mean to which losses are lifted, in [0, 1e9], or infinity, the default, to lift
    /// none.
    pub num_stddev_below: f32,
    /// Decay of the running mean mu1, in [0, 1). Default 0.999.
    pub decay1: f32,
    /// Decay of the running mean square mu2, in [0, 1). Default 0.999.
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

/// Parameters and running moments. To be read at will, and changed by the functions alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct alrc_f32 {
    /// The parameters.
    pub config: alrc_f32_config,
    /// mu1, the running mean of the clipped losses.
    pub mean: f32,
    /// What rounding has cut off the mean.
    pub carry: f32,
    /// mu2 - mu1^2, the running variance.
    pub variance: f32,
    /// Steps of the warm-up that are still to come.
    pub warm_up_left: u32,
}

/// The limits of one step: a small value to copy to where the losses are.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// Writes the published parameters to `config`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_config_default(config: *mut alrc_f32_config) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointer.
        let config = unsafe { Output::required(config)? };
        config.write((&Config::default()).into());
        Ok(())
    })
}

/// Makes `state` the state before the first step.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_init(state: *mut alrc_f32, config: *const alrc_f32_config) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (state, config) = unsafe { (Output::required(state)?, memory::read(config)?) };
        let alrc = Alrc::new(config.to_kernel()?).map_err(of_config)?;
        state.write((&alrc).into());
        Ok(())
    })
}

/// Clips the loss of one step. `clipped`, the value within the limits, and `scale`, the factor of the loss's gradient,
/// may be NULL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_step(
    state: *mut alrc_f32,
    loss: f32,
    clipped: *mut f32,
    scale: *mut f32,
) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (before, after, clipped, scale) = unsafe {
            let after = Output::required(state)?;
            (memory::read(state)?, after, Output::optional(clipped)?, Output::optional(scale)?)
        };
        let mut alrc = before.to_kernel()?;
        let result: Clipped<f32> = alrc.step(loss);
        after.write((&alrc).into());
        clipped.write(result.loss);
        scale.write(result.scale);
        Ok(())
    })
}

/// Clips the `len` losses of one step: `clipped[i]` is the value of `losses[i]` within the limits, `scales[i]` the
/// factor of its gradient. `clipped`, `scales` and `report` may be NULL; `clipped` may be `losses`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_step_batch(
    state: *mut alrc_f32,
    losses: *const f32,
    clipped: *mut f32,
    scales: *mut f32,
    len: usize,
    report: *mut alrc_f32_report,
) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers. `before` is a copy, and `after` and `report` are written when
        // the buffers are no longer in use.
        let (before, after, report, batch) = unsafe {
            let (after, report) = (Output::required(state)?, Output::optional(report)?);
            (memory::read(state)?, after, report, Batch::new(losses, clipped, scales, len)?)
        };
        let mut alrc = before.to_kernel()?;
        let result = match batch {
            Batch::Apart { losses, clipped, scales } => alrc.step_batch(losses, clipped, scales),
            Batch::InPlace { losses, scales } => alrc.step_batch_in_place(losses, scales),
        };
        after.write((&alrc).into());
        report.write(result.into());
        Ok(())
    })
}

/// The first phase of a step whose losses arise in several places: the limits for all of them. Call it by either name,
/// `alrc_f32_limits` or this one.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_get_limits(
    state: *const alrc_f32,
    limits: *mut alrc_f32_limits,
) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (state, limits) = unsafe { (memory::read(state)?, Output::required(limits)?) };
        limits.write(state.to_kernel()?.limits().into());
        Ok(())
    })
}

/// cbindgen:ignore
///
/// [`alrc_f32_get_limits`] for those who look up symbols. In C, where a type and a function of one name clash, the
/// header makes the call a macro.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_limits(
    state: *const alrc_f32,
    limits: *mut alrc_f32_limits,
) -> alrc_status {
    // SAFETY: the same duties.
    unsafe { alrc_f32_get_limits(state, limits) }
}

/// Clips `len` losses of a step and sums them for `alrc_f32_update`. `clipped`, `scales` and `sums` may be NULL;
/// `clipped` may be `losses`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_clip(
    limits: *const alrc_f32_limits,
    losses: *const f32,
    clipped: *mut f32,
    scales: *mut f32,
    len: usize,
    sums: *mut alrc_f32_sums,
) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers. `limits` is copied, and `sums` is written when the buffers are
        // no longer in use.
        let (limits, sums, batch) = unsafe {
            let (limits, sums) = (memory::read(limits)?, Output::optional(sums)?);
            (limits, sums, Batch::new(losses, clipped, scales, len)?)
        };
        let limits = limits.to_kernel()?;
        let result = match batch {
            Batch::Apart { losses, clipped, scales } => limits.clip_batch(losses, clipped, scales),
            Batch::InPlace { losses, scales } => limits.clip_batch_in_place(losses, scales),
        };
        sums.write(result.into());
        Ok(())
    })
}

/// Takes the sums of another part of the step into `into`. Merge in one order wherever states are to stay equal to the
/// bit.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_sums_merge(
    into: *mut alrc_f32_sums,
    other: *const alrc_f32_sums,
) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (merged, own, other) =
            unsafe { (Output::required(into)?, memory::read(into)?, memory::read(other)?) };
        let mut sums = own.to_kernel()?;
        sums.merge(&other.to_kernel()?);
        merged.write(sums.into());
        Ok(())
    })
}

/// The second phase: moves the moments by the sums of all losses of the step. Without a finite loss, or with one that
/// is not under ALRC_NON_FINITE_REJECT, they stay as they are.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_update(state: *mut alrc_f32, sums: *const alrc_f32_sums) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (after, before, sums) =
            unsafe { (Output::required(state)?, memory::read(state)?, memory::read(sums)?) };
        let mut alrc = before.to_kernel()?;
        alrc.update(&sums.to_kernel()?);
        after.write((&alrc).into());
        Ok(())
    })
}

/// The running mean of the clipped losses and the running mean of their squares. `mu1` and `mu2` may be NULL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_moments(
    state: *const alrc_f32,
    mu1: *mut f32,
    mu2: *mut f32,
) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (state, mu1, mu2) =
            unsafe { (memory::read(state)?, Output::optional(mu1)?, Output::optional(mu2)?) };
        let alrc = state.to_kernel()?;
        mu1.write(alrc.mu1());
        mu2.write(alrc.mu2());
        Ok(())
    })
}

/// Writes parameters and moments to `bytes`, the same on every machine; `len` is ALRC_SNAPSHOT_LEN.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_save(state: *const alrc_f32, bytes: *mut u8, len: usize) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (state, bytes) = unsafe { (memory::read(state)?, memory::bytes_mut(bytes, len)?) };
        *bytes = state.to_kernel()?.to_bytes();
        Ok(())
    })
}

/// Makes `state` the one that `alrc_f32_save` wrote, to the bit; `len` is ALRC_SNAPSHOT_LEN.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alrc_f32_load(state: *mut alrc_f32, bytes: *const u8, len: usize) -> alrc_status {
    answer(|| {
        // SAFETY: the caller vouches for the pointers.
        let (state, bytes) = unsafe { (Output::required(state)?, memory::slice(bytes, len)?) };
        if len != ALRC_SNAPSHOT_LEN {
            return Err(ALRC_ERROR_LENGTH);
        }
        let alrc = Alrc::<f32>::from_bytes(bytes).map_err(of_snapshot)?;
        state.write((&alrc).into());
        Ok(())
    })
}

impl alrc_f32_config {
    fn to_kernel(self) -> Result<Config<f32>, alrc_status> {
        Ok(Config {
            num_stddev: self.num_stddev,
            num_stddev_below: (self.num_stddev_below != f32::INFINITY).then_some(self.num_stddev_below),
            decay1: self.decay1,
            decay2: self.decay2,
            start: match self.warm_up_steps {
                0 => Start::Estimate { mu1: self.mu1_start, mu2: self.mu2_start },
                steps => Start::WarmUp { steps },
            },
            epsilon: self.epsilon,
            scaling: scaling_to_kernel(self.scaling).ok_or(ALRC_ERROR_SCALING)?,
            non_finite: non_finite_to_kernel(self.non_finite).ok_or(ALRC_ERROR_NON_FINITE)?,
        })
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
    fn to_kernel(self) -> Result<Alrc<f32>, alrc_status> {
        let config = self.config.to_kernel().map_err(|_| ALRC_ERROR_STATE)?;
        let state = State {
            mean: self.mean,
            carry: self.carry,
            variance: self.variance,
            warm_up_left: self.warm_up_left,
        };
        Alrc::from_state(config, state).map_err(|_| ALRC_ERROR_STATE)
    }
}

impl From<&Alrc<f32>> for alrc_f32 {
    fn from(alrc: &Alrc<f32>) -> Self {
        let &State { mean, carry, variance, warm_up_left } = alrc.state();
        Self { config: alrc.config().into(), mean, carry, variance, warm_up_left }
    }
}

impl alrc_f32_limits {
    fn to_kernel(self) -> Result<Limits<f32>, alrc_status> {
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
    fn to_kernel(self) -> Result<BatchSums<f32>, alrc_status> {
        let Self { count, clipped, non_finite, mean, squares, largest_excess } = self;
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

