// The functions for one floating-point type; `build.rs` writes those for the other.

use alrc_kernel::{Alrc, Clipped, Config};

use crate::memory::{self, Batch, Output};
use crate::status::{answer, of_config, of_snapshot};
use crate::structs_f32::*;
use crate::{ALRC_ERROR_LENGTH, ALRC_SNAPSHOT_LEN, alrc_status};

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
        let (state, config) = unsafe { (Output::required(state)?, memory::input(config)?) };
        let alrc = Alrc::new(config.kernel()?).map_err(of_config)?;
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
            (memory::input(state)?, after, Output::optional(clipped)?, Output::optional(scale)?)
        };
        let mut alrc = before.kernel()?;
        let result: Clipped<f32> = alrc.step(loss);
        after.change(|state| state.set(&alrc));
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
            (memory::input(state)?, after, report, Batch::new(losses, clipped, scales, len)?)
        };
        let mut alrc = before.kernel()?;
        let result = alrc.step_buffers(batch.losses, batch.clipped, batch.scales);
        after.change(|state| state.set(&alrc));
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
        let (state, limits) = unsafe { (memory::input(state)?, Output::required(limits)?) };
        limits.write(state.kernel()?.limits().into());
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
            let (limits, sums) = (memory::input(limits)?, Output::optional(sums)?);
            (limits, sums, Batch::new(losses, clipped, scales, len)?)
        };
        let limits = limits.kernel()?;
        let result = match batch.losses {
            Some(losses) => limits.clip_batch(losses, batch.clipped, batch.scales),
            None => limits.clip_batch_in_place(batch.clipped, batch.scales),
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
            unsafe { (Output::required(into)?, memory::input(into)?, memory::input(other)?) };
        let mut sums = own.kernel()?;
        sums.merge(&other.kernel()?);
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
            unsafe { (Output::required(state)?, memory::input(state)?, memory::input(sums)?) };
        let mut alrc = before.kernel()?;
        alrc.update(&sums.kernel()?);
        after.change(|state| state.set(&alrc));
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
            unsafe { (memory::input(state)?, Output::optional(mu1)?, Output::optional(mu2)?) };
        let alrc = state.kernel()?;
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
        let (state, bytes) = unsafe { (memory::input(state)?, memory::bytes_mut(bytes, len)?) };
        *bytes = state.kernel()?.to_bytes();
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
