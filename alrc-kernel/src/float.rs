//! The floating-point type of losses and moments.

use core::fmt::Debug;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// A binary floating-point type with infinities, NaN and gradual underflow: `f32` and `f64`.
pub trait Float:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The largest finite number.
    const MAX: Self;
    /// The largest magnitude with which a loss enters the moments, about the 64th part of the square root of
    /// [`MAX`](Float::MAX): the square of any deviation, and its sum over a batch, is then finite.
    const MOMENT_BOUND: Self;

    /// The number nearest to `value`.
    fn from_f64(value: f64) -> Self;

    /// The number nearest to `count`.
    fn from_count(count: u64) -> Self;

    /// The double nearest to this number.
    fn to_f64(self) -> f64;

    /// The correctly rounded square root; NaN for a negative number.
    #[must_use]
    fn sqrt(self) -> Self;

    /// Whether the number is neither infinite nor NaN.
    fn is_finite(self) -> bool {
        self >= -Self::MAX && self <= Self::MAX
    }

    /// The nearest number in [-[`MOMENT_BOUND`](Float::MOMENT_BOUND), `MOMENT_BOUND`].
    #[must_use]
    fn saturate(self) -> Self {
        if self > Self::MOMENT_BOUND {
            Self::MOMENT_BOUND
        } else if self < -Self::MOMENT_BOUND {
            -Self::MOMENT_BOUND
        } else {
            self
        }
    }
}

macro_rules! implement {
    ($float:ident, $moment_bound:expr) => {
        impl Float for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const MAX: Self = $float::MAX;
            const MOMENT_BOUND: Self = $moment_bound;

            fn from_f64(value: f64) -> Self {
                value as $float
            }

            fn from_count(count: u64) -> Self {
                count as $float
            }

            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[cfg(feature = "std")]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }

            #[cfg(not(feature = "std"))]
            fn sqrt(self) -> Self {
                crate::sqrt::$float(self)
            }
        }
    };
}

implement!(f32, 2.0e17);
implement!(f64, 2.0e152);
