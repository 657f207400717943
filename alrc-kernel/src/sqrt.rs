//! Correctly rounded square roots in integer arithmetic, for builds without `std`.
//!
//! A positive number is m 2^e with an integer m and, after doubling m where needed, an even e. The integer square
//! root of m, shifted left so far that the root has one bit more than the significand, is rounded to nearest by that
//! bit: the root is never half-way between two numbers, as its square would need twice as many bits as m has.

macro_rules! square_root {
    ($float:ident, $bits:ident, $significand:expr, $wide:ident) => {
        /// The square root of a number, rounded to nearest.
        pub(crate) fn $float(x: $float) -> $float {
            if x.is_nan() || x <= 0.0 || x == $float::INFINITY {
                return if x < 0.0 { $float::NAN } else { x };
            }
            const STORED: u32 = $significand - 1;
            const BIAS: i32 = $float::MAX_EXP - 1;
            let biased = (x.to_bits() >> STORED) as i32;
            let fraction = x.to_bits() & ((1 << STORED) - 1);
            // A subnormal is shifted until it has the bits of a normal number.
            let (m, exponent) = if biased == 0 {
                let shift = fraction.leading_zeros() - ($bits::BITS - $significand);
                (fraction << shift, 1 - shift as i32)
            } else {
                (fraction | 1 << STORED, biased)
            };
            let exponent = exponent - BIAS;
            // x = m 2^(exponent - STORED), m of $significand bits.
            let odd = (exponent & 1) as u32;
            let root = integer_root($wide::from(m) << (STORED + 2 + odd));
            // The root has $significand + 1 bits, the last of which rounds.
            let rounded = (root >> 1) + (root & 1);
            let exponent = ((exponent - odd as i32) / 2 + BIAS - 1) as $bits;
            return $float::from_bits((exponent << STORED) + rounded as $bits);

            /// The largest integer whose square is at most `n`, bit by bit.
            fn integer_root(n: $wide) -> $wide {
                let (mut rest, mut root) = (n, 0);
                let mut bit: $wide = 1 << ($wide::BITS - 2 - (n.leading_zeros() & !1));
                while bit != 0 {
                    if rest >= root + bit {
                        rest -= root + bit;
                        root = (root >> 1) + bit;
                    } else {
                        root >>= 1;
                    }
                    bit >>= 2;
                }
                root
            }
        }
    };
}

square_root!(f32, u32, 24, u64);
square_root!(f64, u64, 53, u128);

#[cfg(test)]
mod tests {
    extern crate std;

    fn assert_f32(bits: u32) {
        let x = f32::from_bits(bits);
        let (own, expected) = (super::f32(x), f32::sqrt(x));
        assert!(own.to_bits() == expected.to_bits() || own.is_nan() && expected.is_nan(), "{x:e}");
    }

    fn assert_f64(bits: u64) {
        let x = f64::from_bits(bits);
        let (own, expected) = (super::f64(x), f64::sqrt(x));
        assert!(own.to_bits() == expected.to_bits() || own.is_nan() && expected.is_nan(), "{x:e}");
    }

    #[test]
    fn f32_agrees_with_the_processor() {
        (0..=u32::MAX).step_by(1_021).for_each(assert_f32);
    }

    /// `cargo test --release -p alrc-kernel -- --ignored`
    #[test]
    #[ignore = "takes 20 seconds"]
    fn every_f32_agrees_with_the_processor() {
        std::thread::scope(|scope| {
            for residue in 0..8 {
                scope.spawn(move || (residue..=u32::MAX).step_by(8).for_each(assert_f32));
            }
        });
    }

    /// A million bit patterns, every power of two, and their neighbours.
    #[test]
    fn f64_agrees_with_the_processor() {
        (0..1_000_000_u64).for_each(|index| assert_f64(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        for exponent in 0..=0x7ff_u64 {
            for sign in [0, 1 << 63] {
                let power = sign | exponent << 52;
                (0..64).for_each(|bit| assert_f64(power ^ (1_u64 << bit)));
                [power, power + 1, power.wrapping_sub(1)].into_iter().for_each(assert_f64);
            }
        }
    }
}
