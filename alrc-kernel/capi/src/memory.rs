//! Following a caller's pointers, after the checks that can be made of them.
//!
//! What cannot be checked is the duty of the caller, and the `Safety` section of each function here: that a pointer
//! which is neither null nor misaligned leads to as much memory as the header says, which nobody else is writing.

use core::slice;

use crate::{ALRC_ERROR_ALIGNMENT, ALRC_ERROR_LENGTH, ALRC_ERROR_NULL, ALRC_ERROR_OVERLAP, alrc_status};

/// Types of which any bytes are a value.
///
/// # Safety
/// Only for numbers and for structs of numbers.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: numbers.
unsafe impl Plain for u8 {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: numbers.
unsafe impl Plain for f64 {}

fn check<T>(pointer: *const T) -> Result<(), alrc_status> {
    if pointer.is_null() {
        Err(ALRC_ERROR_NULL)
    } else if !pointer.is_aligned() {
        Err(ALRC_ERROR_ALIGNMENT)
    } else {
        Ok(())
    }
}

fn check_len<T>(len: usize) -> Result<(), alrc_status> {
    if len > isize::MAX as usize / size_of::<T>() { Err(ALRC_ERROR_LENGTH) } else { Ok(()) }
}

/// What the pointer leads to; to be turned into a value of the kernel before anything is written, for a result may go to
/// the same place.
///
/// # Safety
/// `pointer` is null, misaligned, or valid for reads as long as the reference lives, and nobody writes there.
pub(crate) unsafe fn input<'a, T: Plain>(pointer: *const T) -> Result<&'a T, alrc_status> {
    check(pointer)?;
    // SAFETY: neither null nor misaligned, thus valid for reads; any bytes are a T.
    Ok(unsafe { &*pointer })
}

/// The place for a result.
pub(crate) struct Output<T>(*mut T);

impl<T: Plain> Output<T> {
    /// # Safety
    /// `pointer` is null, misaligned, or valid for reads and writes as long as this value lives.
    pub(crate) unsafe fn required(pointer: *mut T) -> Result<Self, alrc_status> {
        check(pointer)?;
        Ok(Self(pointer))
    }

    /// A place that may be null, for a result that is not wanted.
    ///
    /// # Safety
    /// `pointer` is null, misaligned, or valid for writes as long as this value lives.
    pub(crate) unsafe fn optional(pointer: *mut T) -> Result<Self, alrc_status> {
        if pointer.is_aligned() { Ok(Self(pointer)) } else { Err(ALRC_ERROR_ALIGNMENT) }
    }

    pub(crate) fn write(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: aligned and not null, thus valid for writes.
            unsafe { self.0.write(value) }
        }
    }

    /// Writes to parts of what is there.
    pub(crate) fn change(self, change: impl FnOnce(&mut T)) {
        // SAFETY: null, or aligned and thus valid; nobody else uses the place while the call lasts.
        if let Some(value) = unsafe { self.0.as_mut() } {
            change(value);
        }
    }
}

/// A buffer for reading.
///
/// # Safety
/// `pointer` is null, misaligned, or valid for reads of `len` values, which nobody writes while the slice lives.
pub(crate) unsafe fn slice<'a, T: Plain>(pointer: *const T, len: usize) -> Result<&'a [T], alrc_status> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer)?;
    check_len::<T>(len)?;
    // SAFETY: neither null nor misaligned, thus valid for reads; any bytes are a T; no longer than a slice can be.
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

/// The buffers of a batch.
pub(crate) struct Batch<'a, T> {
    /// Where they are not in the place of their clipped values.
    pub(crate) losses: Option<&'a [T]>,
    /// Empty where it is not wanted.
    pub(crate) clipped: &'a mut [T],
    /// Empty where it is not wanted.
    pub(crate) scales: &'a mut [T],
}

impl<T: Plain> Batch<'_, T> {
    /// # Safety
    /// Each pointer is null, misaligned, or valid for `len` values, `losses` for reads, the others for reads and
    /// writes, and nobody else uses that memory while this value lives.
    // Inlined, so that the buffers stay in registers.
    #[inline(always)]
    pub(crate) unsafe fn new(
        losses: *const T,
        clipped: *mut T,
        scales: *mut T,
        len: usize,
    ) -> Result<Self, alrc_status> {
        if len == 0 {
            return Ok(Self { losses: None, clipped: &mut [], scales: &mut [] });
        }
        check(losses)?;
        if !clipped.is_aligned() || !scales.is_aligned() {
            return Err(ALRC_ERROR_ALIGNMENT);
        }
        check_len::<T>(len)?;
        let is_in_place = clipped.cast_const() == losses;
        let bytes = len * size_of::<T>();
        if overlap(losses, scales, bytes)
            || overlap(clipped, scales, bytes)
            || (!is_in_place && overlap(losses, clipped, bytes))
        {
            return Err(ALRC_ERROR_OVERLAP);
        }
        // SAFETY: null, or aligned and thus valid, and not too long; of three buffers, or two where `losses` is
        // `clipped`, none overlaps another.
        unsafe {
            Ok(Self {
                losses: if is_in_place { None } else { Some(slice::from_raw_parts(losses, len)) },
                clipped: slice_or_empty(clipped, len),
                scales: slice_or_empty(scales, len),
            })
        }
    }
}

/// # Safety
/// `pointer` is null, or aligned and valid for reads and writes of `len` values, no more than a slice can have, which
/// nobody else reads or writes while the slice lives.
unsafe fn slice_or_empty<'a, T: Plain>(pointer: *mut T, len: usize) -> &'a mut [T] {
    if pointer.is_null() {
        &mut []
    } else {
        // SAFETY: not null; the caller vouches for the rest.
        unsafe { slice::from_raw_parts_mut(pointer, len) }
    }
}

/// Whether two buffers of one length are there and overlap.
fn overlap<T>(first: *const T, second: *const T, bytes: usize) -> bool {
    let is_in = |pointer: *const T, buffer: *const T| {
        let len = if buffer.is_null() { 0 } else { bytes };
        pointer.addr().wrapping_sub(buffer.addr()) < len
    };
    is_in(first, second) || is_in(second, first)
}

/// A snapshot's buffer for writing.
///
/// # Safety
/// As for [`slice`], with writes.
pub(crate) unsafe fn bytes_mut<'a, const N: usize>(
    pointer: *mut u8,
    len: usize,
) -> Result<&'a mut [u8; N], alrc_status> {
    check(pointer)?;
    if len != N {
        return Err(ALRC_ERROR_LENGTH);
    }
    // SAFETY: not null, thus valid for reads and writes of as many bytes; any bytes are an array of them.
    Ok(unsafe { &mut *pointer.cast() })
}
