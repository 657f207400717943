//! What holds for every configuration and every stream of losses.

mod support;

use alrc_kernel::{Alrc, BatchSums, Config, Limits, NonFinite, Scaling, Start, MAX_SCALE};
use proptest::prelude::*;
use support::{config, losses, usual_losses};

/// Whether two numbers are within `ulps` units in the last place of the larger.
fn near(a: f32, b: f32, ulps: f32) -> bool {
    (a - b).abs() <= ulps * f32::EPSILON * a.abs().max(b.abs()) + f32::from_bits(1) * ulps
}

/// Whether the state is one from which training can go on.
fn assert_sound(alrc: &Alrc<f32>) {
    let state = alrc.state();
    assert!(state.mean.is_finite() && state.carry.is_finite(), "{state:?}");
    assert!(state.variance >= 0.0 && state.variance.is_finite(), "{state:?}");
    let limits = alrc.limits();
    assert!(limits.lower().is_finite() && limits.upper().is_finite(), "{limits:?}");
    assert!(limits.lower() <= limits.mean() && limits.mean() <= limits.upper(), "{limits:?}");
    assert!(Alrc::from_state(*alrc.config(), *state).is_ok(), "{state:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn clipping_keeps_its_contract(config in config(), losses in losses()) {
        let mut alrc = Alrc::new(config).unwrap();
        for loss in losses {
            let (before, limits) = (alrc, alrc.limits());
            let clipped = alrc.step(loss);
            prop_assert_eq!(clipped, limits.clip(loss));
            assert_sound(&alrc);
            if !loss.is_finite() {
                prop_assert_eq!((clipped.loss, clipped.scale), (0.0, 0.0));
                prop_assert_eq!(alrc, before);
                continue;
            }
            prop_assert!((limits.lower()..=limits.upper()).contains(&clipped.loss));
            let highest_scale = if loss < limits.lower() { MAX_SCALE as f32 } else { 1.0 };
            prop_assert!((0.0..=highest_scale).contains(&clipped.scale), "{:?}", clipped);
            if loss >= limits.lower() && loss <= limits.upper() {
                prop_assert_eq!(clipped.loss.to_bits(), loss.to_bits());
                prop_assert_eq!(clipped.scale, 1.0);
            } else if config.scaling == Scaling::Ratio && clipped.loss > 0.0 && loss > limits.upper() {
                prop_assert!(near(clipped.loss, clipped.scale * loss, 2.0) || clipped.scale < f32::MIN_POSITIVE);
            }
        }
    }

    #[test]
    fn the_clipped_loss_grows_with_the_loss(config in config(), losses in losses(), more in losses()) {
        let mut alrc = Alrc::new(config).unwrap();
        alrc.step_batch(&more, &mut [], &mut []);
        let mut losses: Vec<f32> = losses.into_iter().filter(|loss| loss.is_finite()).collect();
        losses.sort_by(f32::total_cmp);
        let clipped: Vec<f32> = losses.iter().map(|&loss| alrc.limits().clip(loss).loss).collect();
        prop_assert!(clipped.is_sorted());
    }

    #[test]
    fn a_batch_clips_each_loss_as_a_step_would(config in config(), losses in losses()) {
        let mut alrc = Alrc::new(config).unwrap();
        let (before, limits) = (alrc, alrc.limits());
        let (mut clipped, mut scales) = (losses.clone(), losses.clone());
        let report = alrc.step_batch(&losses, &mut clipped, &mut scales);
        assert_sound(&alrc);
        let non_finite = losses.iter().filter(|loss| !loss.is_finite()).count() as u64;
        prop_assert_eq!(report.non_finite, non_finite);
        prop_assert_eq!(report.limit, limits.upper());
        if config.non_finite == NonFinite::Reject && non_finite > 0 {
            prop_assert!(clipped.iter().chain(&scales).all(|&value| value == 0.0));
            prop_assert_eq!(report.clipped, 0);
            prop_assert!(!report.updated && alrc == before);
        } else {
            for (index, &loss) in losses.iter().enumerate() {
                let expected = limits.clip(loss);
                prop_assert_eq!((clipped[index], scales[index]), (expected.loss, expected.scale));
            }
            let outside = |loss: &&f32| loss.is_finite() && limits.clip(**loss).loss != **loss;
            prop_assert_eq!(report.clipped, losses.iter().filter(outside).count() as u64);
            prop_assert_eq!(report.updated, non_finite < losses.len() as u64);
        }
        // The same without room for the results, and in place.
        let (mut bare, mut in_place) = (before, before);
        prop_assert_eq!(bare.step_batch(&losses, &mut [], &mut []), report);
        let mut values = losses.clone();
        prop_assert_eq!(in_place.step_batch_in_place(&mut values, &mut scales.clone()), report);
        prop_assert!(bare == alrc && in_place == alrc);
        prop_assert!(values == clipped);
    }

    #[test]
    fn a_batch_of_one_is_a_step(config in config(), losses in losses()) {
        let mut batches = Alrc::new(config).unwrap();
        let mut steps = batches;
        for loss in losses {
            let (mut clipped, mut scale) = ([7.0], [7.0]);
            batches.step_batch(&[loss], &mut clipped, &mut scale);
            let step = steps.step(loss);
            prop_assert_eq!((clipped[0], scale[0]), (step.loss, step.scale));
            prop_assert_eq!(batches, steps);
        }
    }

    /// Each merge rounds a few times: with k parts the sums differ by at most 8 k units in the last place.
    #[test]
    fn any_grouping_gives_nearly_the_same_sums(
        losses in usual_losses(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let limits = Alrc::new(Config::<f32>::default()).unwrap().limits();
        let whole = limits.clip_batch(&losses, &mut [], &mut []);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(losses.len())).collect();
        cuts.extend([0, losses.len()]);
        cuts.sort_unstable();
        let parts: Vec<BatchSums<f32>> = cuts
            .windows(2)
            .map(|ends| limits.clip_batch(&losses[ends[0]..ends[1]], &mut [], &mut []))
            .collect();
        let merge = |parts: &mut dyn Iterator<Item = &BatchSums<f32>>| {
            parts.fold(BatchSums::default(), |mut sums, part| {
                sums.merge(part);
                sums
            })
        };
        let merged = merge(&mut parts.iter());
        // In one order, the same bits.
        prop_assert_eq!(merged, merge(&mut parts.iter()));
        for sums in [merged, merge(&mut parts.iter().rev())] {
            let ulps = 8.0 * parts.len() as f32;
            prop_assert_eq!((sums.count, sums.clipped), (whole.count, whole.clipped));
            prop_assert!(near(sums.mean, whole.mean, ulps), "{:?} {:?}", sums, whole);
            // An error e of a part's mean enters the squares as count e^2 and, by Cauchy and Schwarz, at most
            // 2 e sqrt(count squares).
            let (count, epsilon) = (whole.count as f32, ulps * f32::EPSILON);
            let e = epsilon * whole.mean;
            let bound = epsilon * whole.squares + 2.0 * e * (count * whole.squares).sqrt() + count * e * e;
            prop_assert!((sums.squares - whole.squares).abs() <= bound, "{:?} {:?}", sums, whole);
        }
    }

    /// As from a rank whose memory is damaged.
    #[test]
    fn sums_that_are_not_valid_spoil_what_they_are_merged_with(
        losses in prop::collection::vec(0.0_f32..100.0, 1..40),
        (mean, squares) in prop::sample::select(vec![
            (f32::NAN, 1.0), (1e30, 1.0), (1.0, f32::NAN), (1.0, f32::INFINITY), (1.0, -1.0),
        ]),
    ) {
        let mut alrc = Alrc::new(Config::<f32>::default()).unwrap();
        let before = alrc;
        let good = alrc.limits().clip_batch(&losses, &mut [], &mut []);
        let bad = BatchSums { count: 1, mean, squares, ..BatchSums::default() };
        for (mut sums, other) in [(good, bad), (bad, good), (BatchSums::default(), bad)] {
            sums.merge(&other);
            sums.merge(&good);
            prop_assert!(!sums.is_valid(), "{:?}", sums);
            prop_assert!(!alrc.update(&sums) && alrc == before);
        }
    }

    #[test]
    fn sums_agree_with_those_in_f64(losses in losses(), config in config()) {
        let alrc = Alrc::new(config).unwrap();
        let limits = alrc.limits();
        let sums = limits.clip_batch(&losses, &mut [], &mut []);
        let bound = 1.4e17;
        let values: Vec<f64> = losses
            .iter()
            .filter(|loss| loss.is_finite())
            .map(|&loss| f64::from(limits.clip(loss).loss).clamp(-bound, bound))
            .collect();
        if config.non_finite == NonFinite::Reject && values.len() < losses.len() || values.is_empty() {
            prop_assert_eq!(sums.count, 0);
            return Ok(());
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let epsilon = f64::from(f32::EPSILON);
        // The mean is wrong by some units of the largest loss; moments beyond the bound by 2 % (1.4e17 stands for
        // 1.44e17).
        let relative = if largest >= bound { 0.03 } else { 64.0 * epsilon };
        // Each of two passes leaves a unit of the distance from its centre, the first of which is the running mean: what
        // is that much smaller than the running mean does not move it.
        let residue = 4.0 * epsilon * epsilon * f64::from(alrc.mu1()).abs();
        let tolerance = relative * largest + residue + 1e-43;
        prop_assert!((f64::from(sums.mean) - mean).abs() <= tolerance, "{:?} {}", sums, mean);
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let noise = values.len() as f64 * tolerance.powi(2);
        let error = (f64::from(sums.squares) - squares).abs();
        prop_assert!(error <= 64.0 * epsilon.max(relative) * squares + noise + 1e-40, "{:?} {}", sums, squares);
    }

    /// The same numbers in a type of another crate.
    #[cfg(feature = "num-traits")]
    #[test]
    fn another_type_gives_the_same_bits(losses in losses()) {
        use ordered_float::OrderedFloat;

        let mut own = Alrc::new(Config::<f32>::default()).unwrap();
        let mut other = Alrc::new(Config::<OrderedFloat<f32>>::default()).unwrap();
        let wrapped: Vec<OrderedFloat<f32>> = losses.iter().copied().map(OrderedFloat).collect();
        let (mut clipped, mut scales) = (losses.clone(), losses.clone());
        for _ in 0..2 {
            let report = own.step_batch(&losses, &mut clipped, &mut scales);
            let mut values = wrapped.clone();
            let other_report = other.step_batch_in_place(&mut values, &mut wrapped.clone());
            prop_assert!(values.iter().map(|value| value.0.to_bits()).eq(clipped.iter().map(|value| value.to_bits())));
            prop_assert_eq!(other_report.clipped, report.clipped);
            prop_assert_eq!(other.limits().upper().0.to_bits(), own.limits().upper().to_bits());
        }
        for &loss in &losses {
            let (own, other) = (own.step(loss), other.step(OrderedFloat(loss)));
            prop_assert_eq!((own.loss.to_bits(), own.scale.to_bits()), (other.loss.0.to_bits(), other.scale.0.to_bits()));
        }
    }

    #[test]
    fn a_snapshot_brings_back_the_same_bits(config in config(), losses in losses()) {
        let mut alrc = Alrc::new(config).unwrap();
        alrc.step_batch(&losses, &mut [], &mut []);
        let restored = Alrc::<f32>::from_bytes(&alrc.to_bytes()).unwrap();
        prop_assert_eq!(restored, alrc);
        prop_assert_eq!(restored.to_bytes(), alrc.to_bytes());
    }

    #[test]
    fn damaged_snapshots_are_errors(config in config(), index in 0..100_usize, flip in 1..=255_u8) {
        let mut bytes = Alrc::new(config).unwrap().to_bytes();
        bytes[index] ^= flip;
        prop_assert!(Alrc::<f32>::from_bytes(&bytes).is_err());
        prop_assert!(Alrc::<f64>::from_bytes(&Alrc::new(config).unwrap().to_bytes()).is_err());
    }

    /// Of losses on a grid of 1/16, on which shifting is exact.
    #[test]
    fn shifting_the_losses_shifts_the_limits(
        losses in prop::collection::vec(0_i32..1_000, 1..200),
        shift in -1_000_i32..1_000,
    ) {
        let at = |shift: i32| {
            let shift = f64::from(shift);
            let mut alrc = Alrc::new(Config {
                scaling: Scaling::Deviation,
                start: Start::Estimate { mu1: 25.0 + shift, mu2: (25.0 + shift).powi(2) + 275.0 },
                decay1: 0.99,
                decay2: 0.99,
                ..Config::<f64>::default()
            })
            .unwrap();
            let scales = losses.iter().map(|&loss| alrc.step(f64::from(loss) / 16.0 + shift).scale);
            let scales: Vec<f64> = scales.collect();
            (scales, alrc.limits())
        };
        let ((scales, limits), (shifted_scales, shifted)) = (at(0), at(shift));
        for (scale, shifted) in scales.iter().zip(&shifted_scales) {
            prop_assert!((scale - shifted).abs() < 1e-10, "{} {}", scale, shifted);
        }
        let difference = shifted.upper() - limits.upper() - f64::from(shift);
        prop_assert!(difference.abs() < 1e-9, "{}", difference);
    }

    #[test]
    fn a_factor_of_a_power_of_two_is_exact(losses in usual_losses(), exponent in -12_i32..12) {
        let factor = 2.0_f32.powi(exponent);
        let run = |factor: f32| {
            let mut alrc = Alrc::new(Config {
                num_stddev: 1.0,
                decay1: 0.9,
                decay2: 0.9,
                start: Start::Estimate { mu1: 25.0 * factor, mu2: 900.0 * factor * factor },
                epsilon: 1e-8 * factor * factor,
                ..Config::default()
            })
            .unwrap();
            let mut results = Vec::new();
            for losses in losses.chunks(700) {
                let losses: Vec<f32> = losses.iter().map(|loss| factor * loss).collect();
                let (mut clipped, mut scales) = (losses.clone(), losses.clone());
                alrc.step_batch(&losses, &mut clipped, &mut scales);
                results.push((clipped.iter().map(|loss| loss / factor).collect::<Vec<_>>(), scales));
            }
            let limits: Limits<f32> = alrc.limits();
            (results, limits.upper() / factor, limits.mean() / factor)
        };
        prop_assert_eq!(run(factor), run(1.0));
    }
}
