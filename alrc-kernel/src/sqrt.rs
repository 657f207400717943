//! Correctly rounded square roots in integer arithmetic, for builds without `std`.
//!
//! A positive number is m 2^e with an integer m and, after doubling m where needed, an even e. The root of m is found
//! digit by digit, one more than the significand has, and rounded to nearest by that one: the root is never half-way
//! between two numbers, as its square would need twice as many bits as m has.

macro_rules! square_root {
    ($float:ident, $bits:ident) => {
        /// The square root of a number, rounded to nearest.
        pub(crate) fn $float(x: $float) -> $float {
            let bits = x.to_bits();
            // In the order of their bits come zero, the numbers with a root, infinity, NaN, and all with a sign.
            if bits.wrapping_sub(1) >= $float::INFINITY.to_bits() - 1 {
                return if x < 0.0 { $float::NAN } else { x };
            }
            const SIGNIFICAND: u32 = $float::MANTISSA_DIGITS;
            const STORED: u32 = SIGNIFICAND - 1;
            const BIAS: i32 = $float::MAX_EXP - 1;
            let biased = (bits >> STORED) as i32;
            let fraction = bits & ((1 << STORED) - 1);
            // A subnormal is shifted until it has the bits of a normal number.
            let (m, exponent) = if biased == 0 {
                let shift = fraction.leading_zeros() - ($bits::BITS - SIGNIFICAND);
                (fraction << shift, 1 - shift as i32)
            } else {
                (fraction | 1 << STORED, biased)
            };
            let exponent = exponent - BIAS;
            // x = m 2^(exponent - STORED), m of SIGNIFICAND bits.
            let odd = (exponent & 1) as u32;

            // (root + digit)^2 - root^2 = (2 root + digit) digit. Where the digit would be halved in this product, what
            // is left of the number is doubled.
            let (mut rest, mut root, mut digit) = (m << (1 + odd), 0, 1 << SIGNIFICAND);
            while digit != 0 {
                let step = 2 * root + digit;
                if rest >= step {
                    rest -= step;
                    root += digit;
                }
                rest *= 2;
                digit /= 2;
            }
            // The root has SIGNIFICAND + 1 bits, the last of which rounds.
            let rounded = (root >> 1) + (root & 1);
            let exponent = ((exponent - odd as i32) / 2 + BIAS - 1) as $bits;
            $float::from_bits((exponent << STORED) + rounded)
        }
    };
}

square_root!(f32, u32);
square_root!(f64, u64);

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
