//! The floating-point type of losses and moments.

use core::fmt::Debug;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// A binary floating-point type with infinities, NaN and gradual underflow: `f32`, `f64` and, with the feature
/// `num-traits`, every `num_traits::Float`.
///
/// The trait cannot be implemented elsewhere, so that features only ever add types.
pub trait Float:
    sealed::Sealed
    + Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 0.
    fn zero() -> Self;

    /// 1.
    fn one() -> Self;

    /// The largest finite number.
    fn max_value() -> Self;

    /// The largest magnitude with which a loss enters the moments, the 128th part of the square root of
    /// [`max_value`](Float::max_value): 1.4e17 in f32, 1e152 in f64. No square of a deviation overflows below it.
    fn moment_bound() -> Self;

    /// Twice [`moment_bound`](Float::moment_bound). Means of losses within that bound stay below it, rounding errors
    /// included.
    fn mean_bound() -> Self {
        Self::moment_bound() + Self::moment_bound()
    }

    /// Digits of the significand, the hidden one included: 24 in f32, 53 in f64.
    fn significand_bits() -> u8;

    /// The number nearest to `value`.
    fn from_f64(value: f64) -> Self;

    /// The finite number nearest to `count`.
    fn from_count(count: u64) -> Self;

    /// The double nearest to this number: the number itself, unless the type is wider than f64.
    fn to_f64(self) -> f64;

    /// The correctly rounded square root; NaN for a negative number.
    #[must_use]
    fn sqrt(self) -> Self;

    /// Whether the number is neither infinite nor NaN.
    fn is_finite(self) -> bool {
        self.is_within(Self::max_value())
    }

    /// Whether the number is in [-bound, bound]; NaN never is.
    fn is_within(self, bound: Self) -> bool {
        self >= -bound && self <= bound
    }

    /// The smaller of two numbers; `other` where this one is NaN.
    #[must_use]
    fn at_most(self, other: Self) -> Self {
        if self < other {
            self
        } else {
            other
        }
    }

    /// The larger of two numbers; `other` where this one is NaN.
    #[must_use]
    fn at_least(self, other: Self) -> Self {
        if self > other {
            self
        } else {
            other
        }
    }

    /// The nearest number in [-bound, bound] of [`moment_bound`](Float::moment_bound).
    #[must_use]
    fn saturate(self) -> Self {
        self.at_most(Self::moment_bound()).at_least(-Self::moment_bound())
    }
}

pub(crate) mod sealed {
    use core::ops::BitOr;

    /// For loops that are to become vector instructions.
    pub trait Sealed {
        /// A word as wide as the number, where that is known.
        type Mask: Copy + Default + PartialEq + BitOr<Output = Self::Mask>;

        /// 0 unless the number, or a NaN that is taken for one, is above `bound`, which is not negative.
        fn mask_above(self, bound: Self) -> Self::Mask;
    }
}

#[cfg(not(feature = "num-traits"))]
mod primitive {
    use super::{sealed::Sealed, Float};

    macro_rules! implement {
        ($float:ident, $integer:ident, $libm_sqrt:ident, $moment_bound:expr, $is_above:expr) => {
            impl Sealed for $float {
                type Mask = $integer;

                #[inline(always)]
                fn mask_above(self, bound: Self) -> $integer {
                    if $is_above(self, bound) {
                        !0
                    } else {
                        0
                    }
                }
            }

            impl Float for $float {
                fn zero() -> Self {
                    0.0
                }

                fn one() -> Self {
                    1.0
                }

                fn max_value() -> Self {
                    $float::MAX
                }

                fn moment_bound() -> Self {
                    $moment_bound
                }

                fn significand_bits() -> u8 {
                    $float::MANTISSA_DIGITS as u8
                }

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

                #[cfg(all(feature = "libm", not(feature = "std")))]
                fn sqrt(self) -> Self {
                    libm::$libm_sqrt(self)
                }

                #[cfg(not(any(feature = "libm", feature = "std")))]
                fn sqrt(self) -> Self {
                    crate::sqrt::$float(self)
                }
            }
        };
    }

    // Numbers that are not negative are in the order of their bits, and others have the sign bit. A processor can compare
    // twice as many integers of 32 bits at a time as floats, but SSE2 has no comparison of those of 64.
    implement!(f32, i32, sqrtf, 1.441_151_8e17, |number: f32, bound: f32| {
        number.to_bits() as i32 > bound.to_bits() as i32
    });
    implement!(f64, i64, sqrt, 1.047_484_994_526_765_3e152, |number, bound| number > bound);
}

#[cfg(feature = "num-traits")]
mod any {
    use super::{sealed::Sealed, Float};
    use core::fmt::Debug;

    impl<T: num_traits::Float + Debug> Sealed for T {
        type Mask = bool;

        fn mask_above(self, bound: Self) -> bool {
            self > bound
        }
    }

    impl<T: num_traits::Float + Debug> Float for T {
        fn zero() -> Self {
            <T as num_traits::Zero>::zero()
        }

        fn one() -> Self {
            <T as num_traits::One>::one()
        }

        fn max_value() -> Self {
            <T as num_traits::Float>::max_value()
        }

        fn moment_bound() -> Self {
            num_traits::Float::sqrt(Self::max_value()) / Self::from_f64(128.0)
        }

        fn significand_bits() -> u8 {
            let (significand, ..) = Self::max_value().integer_decode();
            (64 - significand.leading_zeros()) as u8
        }

        fn from_f64(value: f64) -> Self {
            <T as num_traits::NumCast>::from(value).unwrap_or_else(Self::nan)
        }

        fn from_count(count: u64) -> Self {
            let nearest = <T as num_traits::NumCast>::from(count);
            nearest.unwrap_or_else(Self::max_value).at_most(Self::max_value())
        }

        fn to_f64(self) -> f64 {
            num_traits::ToPrimitive::to_f64(&self).unwrap_or(f64::NAN)
        }

        fn sqrt(self) -> Self {
            num_traits::Float::sqrt(self)
        }
    }
}
