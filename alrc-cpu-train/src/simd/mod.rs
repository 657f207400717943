//! Vectors of floats on each instruction set, chosen when the program runs.
//!
//! Every fast loop of this crate is written once, as a generic function over [`Simd`], and compiled once for each
//! instruction set:
//!
//! | set | vector | needs |
//! | --- | --- | --- |
//! | [`Avx512`] | 16 floats | AVX-512F |
//! | [`Avx2`] | 8 floats | AVX2 and FMA |
//! | [`Portable`] | 8 floats of the crate `wide`: SSE2, NEON, WebAssembly's SIMD | nothing |
//! | [`Scalar`] | 8 floats in an array | nothing |
//!
//! A value of such a type is a *token*: [`Avx512::detect`] makes one only where the processor has the instructions,
//! so that whoever holds a token may use them, and no other function is unsafe to call. Two things must happen for
//! the instructions to become a tight loop. The loop's body must be inlined into a function that is compiled for the
//! instruction set, which is what [`Simd::run`] is; so the generic bodies are `#[inline(always)]` and the closure
//! that is given to `run` is so too. And the types must not hide anything from the compiler: a vector is the
//! processor's own type, a memory operand is a slice.
//!
//! Crates exist that offer the same mechanism (`pulp`, `fearless_simd`). Used here are some ten operations, of
//! which the two that matter (a load that masks, a comparison that gives bits) are not among those that they share
//! between instruction sets; a trait of our own is shorter than the adapter would be.
//!
//! **Short slices.** [`Simd::load`] fills up with zeros where a slice has fewer values than a vector, and
//! [`Simd::store`] writes as many as there is room for. Channels that do not fill the last vector need no other care.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
pub mod product;
mod scalar;
pub(crate) mod strided;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use portable::Portable;
use product::Product;
pub use scalar::Scalar;

/// An instruction set; a value proves that the processor has it.
pub trait Simd: Copy + Debug + Send + Sync + 'static {
    /// Several floats.
    type Vector: Copy;

    /// The name, as for `--simd`.
    const NAME: &'static str;

    /// Floats of a vector, a multiple of 8.
    const LANES: usize;

    /// Floats of a row of the [`product`]'s register tile, a multiple of [`LANES`](Self::LANES).
    const PANEL: usize;

    /// Runs `work` compiled for this instruction set, provided that it is inlined.
    fn run<R>(self, work: impl FnOnce() -> R) -> R;

    /// The same value in each lane.
    fn splat(self, value: f32) -> Self::Vector;

    /// The first values of `from`, and zeros where it has fewer than a vector.
    fn load(self, from: &[f32]) -> Self::Vector;

    /// Writes as many lanes as `to` has room for.
    fn store(self, vector: Self::Vector, to: &mut [f32]);

    /// a + b
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// a - b
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// a b
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// a b + c, rounded once where the instruction set can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// The greater of a and b; either where one of them is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The lanes whose bits are set, and zeros, whatever they held, for the others.
    fn keep(self, bits: u32, vector: Self::Vector) -> Self::Vector;

    /// The bits of the lanes that a ReLU lets pass: all that are not zero or less, NaN among them, so that it is
    /// noticed.
    fn passing(self, vector: Self::Vector) -> u32;

    /// See [`product`].
    fn product(self, product: Product<'_>);
}

/// Asks for the cache line at an address, which may be any, to be fetched for use in the near future.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a prefetch has no effect that a program could notice, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Calls `$body` with `$simd` standing for the token of the instruction set `$set`.
macro_rules! with_token {
    ($set:expr, |$simd:ident| $body:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx512($simd) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx2($simd) => $body,
            $crate::simd::InstructionSet::Portable($simd) => $body,
            $crate::simd::InstructionSet::Scalar($simd) => $body,
        }
    };
}
pub(crate) use with_token;

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug)]
pub enum InstructionSet {
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// What the crate `wide` makes of the instructions that the program was compiled for.
    Portable(Portable),
    /// No vector types.
    Scalar(Scalar),
}

/// Which instruction set computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The fastest that the processor has.
    #[default]
    Auto,
    /// AVX-512F.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// SSE2, NEON or WebAssembly's SIMD, whichever the program was compiled for.
    Portable,
    /// No vector types: for tests.
    Scalar,
}

impl Choice {
    /// Every instruction set by itself, fastest first.
    pub const SETS: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Portable, Self::Scalar];

    /// The instruction set, if the processor has it.
    pub fn resolve(self) -> Option<InstructionSet> {
        match self {
            Self::Auto => Some(fastest()),
            Self::Avx512 => avx512(),
            Self::Avx2 => avx2(),
            Self::Portable => Some(InstructionSet::Portable(Portable)),
            Self::Scalar => Some(InstructionSet::Scalar(Scalar)),
        }
    }
}

impl InstructionSet {
    /// The name, as for `--simd`.
    pub fn name(self) -> &'static str {
        fn name<S: Simd>(_: S) -> &'static str {
            S::NAME
        }
        with_token!(self, |simd| name(simd))
    }
}

fn fastest() -> InstructionSet {
    avx512().or_else(avx2).unwrap_or(InstructionSet::Portable(Portable))
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> Option<InstructionSet> {
    Avx512::detect().map(InstructionSet::Avx512)
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> Option<InstructionSet> {
    Avx2::detect().map(InstructionSet::Avx2)
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> Option<InstructionSet> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> Option<InstructionSet> {
    None
}
