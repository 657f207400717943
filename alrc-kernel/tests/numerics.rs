//! Long runs, where the published float32 rule loses its digits and turns NaN; oracles in f64 and in exact numbers.

#[path = "support/published.rs"]
mod published;

use alrc_kernel::{Alrc, Config, Float, Start};
use num_rational::BigRational;
use num_traits::{FromPrimitive, ToPrimitive, Zero};
use published::Published;

/// Pseudo-random numbers in [0, 1), from a linear congruential generator (Knuth's MMIX constants).
fn uniform() -> impl Iterator<Item = f64> {
    let mut random = 1_u64;
    core::iter::repeat_with(move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// Ten million steps of constant losses, and of losses that vary in the last digits.
#[test]
fn nearly_constant_losses_never_give_nan() {
    for loss in [1.0_f32, 0.3, 25.0, 1e-3, 1e30] {
        for jitter in [0.0, 2.0 * f32::EPSILON] {
            let mut alrc = Alrc::new(Config::<f32>::default()).unwrap();
            for (step, random) in uniform().take(1_000_000).enumerate() {
                let clipped = alrc.step(loss * (1.0 + jitter * random as f32));
                assert!(clipped.loss.is_finite() && clipped.scale <= 1.0, "{loss}, step {step}: {clipped:?}");
            }
            let (upper, std_dev) = (alrc.limits().upper(), alrc.std_dev());
            assert!(upper.is_finite() && std_dev >= 0.0, "{loss}: limit {upper}, deviation {std_dev}");
        }
    }
}

/// So that the test above is about something.
#[test]
fn the_published_rule_turns_nan_on_constant_losses() {
    for loss in [1.0_f32, 0.3] {
        let mut published = Published::new();
        let first = (0..100_000).find(|_| {
            published.step(loss);
            published.limit().is_nan()
        });
        let first = first.unwrap_or_else(|| panic!("{loss}: no NaN"));
        assert!((10_000..60_000).contains(&first), "{loss}: {first}");
    }
}

/// A million losses with mean 1e4 and deviation 1: the limit is within 0.01 deviations of that in f64, where the
/// published rule has no digit right.
#[test]
fn small_deviations_from_a_large_mean_keep_their_digits() {
    let start = |mu1: f64, mu2: f64| (mu1, mu2);
    let (mu1, mu2) = start(9_990.0, 9_990.0 * 9_990.0 + 200.0);
    let mut alrc = Alrc::new(Config {
        start: Start::Estimate { mu1: 9_990.0_f32, mu2: mu2 as f32 },
        ..Config::default()
    })
    .unwrap();
    let mut published = Published { mu1: mu1 as f32, mu2: mu2 as f32, ..Published::new() };
    let mut reference =
        Alrc::new(Config { start: Start::Estimate { mu1, mu2 }, ..Config::<f64>::default() }).unwrap();
    // The sum of twelve uniform numbers has variance 1.
    let mut random = uniform();
    for _ in 0..1_000_000 {
        let loss = (1e4 - 6.0 + random.by_ref().take(12).sum::<f64>()) as f32;
        alrc.step(loss);
        published.step(loss);
        reference.step(f64::from(loss));
    }
    let sigma = reference.std_dev();
    assert!((0.5..2.0).contains(&sigma), "{sigma}");
    let error = |limit: f32| (f64::from(limit) - reference.limits().upper()).abs() / sigma;
    let own = error(alrc.limits().upper());
    assert!(own < 1e-2, "{own} deviations");
    let published = error(published.limit());
    assert!(published.is_nan() || published > 1.0, "the published rule: {published} deviations");
}

/// A step of 0.001 times 0.25 is below half a unit in the last place of 1e4; many are not.
#[test]
fn the_mean_does_not_stall() {
    let start = Start::Estimate { mu1: 9_999.75_f32, mu2: 1.1e8 };
    let mut alrc = Alrc::new(Config { start, ..Config::default() }).unwrap();
    for _ in 0..20_000 {
        alrc.step(1e4);
    }
    assert!((alrc.mu1() - 1e4).abs() < 1e-3, "{}", alrc.mu1());
}

/// Three deviations of 1e-4 are lost in a limit near 1e4, but not in the moments: they rise until the limit does.
#[test]
fn a_limit_that_rounding_takes_onto_the_mean_does_not_stay_there() {
    fn averaging_once<F: Float>(num_stddev: F, num_stddev_below: Option<F>) -> Alrc<F> {
        let start = Start::WarmUp { steps: 1 };
        Alrc::new(Config { num_stddev, num_stddev_below, start, ..Config::default() }).unwrap()
    }
    let above = (averaging_once::<f32>(3.0, None), averaging_once::<f64>(3.0, None), 1e5);
    let below = (averaging_once::<f32>(1e9, Some(3.0)), averaging_once::<f64>(1e9, Some(3.0)), -1e5);
    for (mut alrc, mut reference, loss) in [above, below] {
        alrc.step(1e4);
        reference.step(1e4);
        assert_eq!(alrc.limits().clip(loss).loss, alrc.mu1());
        for _ in 0..2_000 {
            alrc.step(loss);
            reference.step(loss.into());
            let error = f64::from(alrc.std_dev()) / reference.std_dev() - 1.0;
            assert!(error.abs() < 1e-3, "{loss}: {error}");
        }
        assert!(alrc.std_dev() > 0.1, "{loss}: {}", alrc.std_dev());
        assert_eq!(alrc.mu1() > 1e4, loss > 0.0);
    }
}

/// The textbook rule on raw moments in f64, with separate decays.
#[test]
fn f32_follows_raw_moments_in_f64() {
    let config = Config { num_stddev: 1.5_f32, decay1: 0.95, decay2: 0.99, ..Config::default() };
    let mut alrc = Alrc::new(config).unwrap();
    let (decay1, decay2) = (f64::from(config.decay1), f64::from(config.decay2));
    let (mut mu1, mut mu2) = (25.0_f64, 900.0_f64);
    for random in uniform().take(10_000) {
        let loss = (30.0 * random * random) as f32;
        let limit = mu1 + 1.5 * (mu2 - mu1 * mu1 + 1e-8).sqrt();
        let clipped = alrc.step(loss);
        assert!((f64::from(clipped.loss) - f64::from(loss).min(limit)).abs() < 1e-4, "{loss} {limit}");
        let value = f64::from(loss).min(limit);
        mu1 = decay1 * mu1 + (1.0 - decay1) * value;
        mu2 = decay2 * mu2 + (1.0 - decay2) * value * value;
        assert!(
            (f64::from(alrc.mu1()) - mu1).abs() < 1e-5 * mu1
                && (f64::from(alrc.mu2()) - mu2).abs() < 1e-5 * mu2
        );
    }
}

/// With decays of their own mu2 is often less than mu1^2. The variance is then 0, and mu2 goes on from mu1^2: sigma,
/// and that of raw moments, are as the crate's first page says.
#[test]
fn a_deficit_of_mu2_is_forgotten() {
    for (decay1, decay2, expected) in [(0.9, 0.999, [3.1, 1.1]), (0.999, 0.9, [1.6, 1.1])] {
        let start = Start::Estimate { mu1: 10.0, mu2: 101.0 };
        let mut alrc =
            Alrc::new(Config { num_stddev: 1e9, decay1, decay2, start, ..Config::default() }).unwrap();
        let (mut mu1, mut mu2, mut raw_mu2) = (10.0_f64, 101.0_f64, 101.0_f64);
        let mut mean_std_devs = [0.0; 2];
        let (steps, a1, a2) = (100_000, 1.0 - decay1, 1.0 - decay2);
        for random in uniform().take(steps) {
            let loss = 10.0 + 12_f64.sqrt() * (random - 0.5);
            alrc.step(loss);
            mu1 += a1 * (loss - mu1);
            raw_mu2 += a2 * (loss * loss - raw_mu2);
            mu2 = (mu2 + a2 * (loss * loss - mu2)).max(mu1 * mu1);
            assert!((alrc.mu2() - mu2).abs() < 1e-9 * mu2, "{} {mu2}", alrc.mu2());
            mean_std_devs[0] += alrc.std_dev() / steps as f64;
            mean_std_devs[1] += (raw_mu2 - mu1 * mu1).max(0.0).sqrt() / steps as f64;
        }
        for (mean, expected) in mean_std_devs.into_iter().zip(expected) {
            assert!((mean - expected).abs() < 0.06, "{decay1} {decay2}: {mean}");
        }
    }
}

/// mu1 and mu2 in rational numbers, from the published formulas, batch after batch.
#[test]
fn f64_follows_exact_moments() {
    let exact = |x: f64| BigRational::from_f64(x).unwrap();
    for (decay1, decay2) in [(0.999, 0.999), (0.5, 0.5), (0.9, 0.99), (0.0, 0.99)] {
        let mut alrc =
            Alrc::new(Config { num_stddev: 1e9, decay1, decay2, ..Config::<f64>::default() }).unwrap();
        let (mut mu1, mut mu2) = (exact(25.0), exact(900.0));
        let mut random = uniform();
        for batch_size in (1..=4).cycle().take(24) {
            let losses: Vec<f64> = random.by_ref().take(batch_size).map(|x| 10.0 + 10.0 * x).collect();
            alrc.step_batch(&losses, &mut [], &mut []);
            let mean_of = |power: i32| {
                let sum = losses.iter().fold(BigRational::zero(), |sum, &loss| sum + exact(loss).pow(power));
                sum / exact(batch_size as f64)
            };
            mu1 = exact(decay1) * &mu1 + exact(1.0 - decay1) * mean_of(1);
            mu2 = exact(decay2) * &mu2 + exact(1.0 - decay2) * mean_of(2);
            let variance = (&mu2 - &mu1 * &mu1).to_f64().unwrap();
            let mean = mu1.to_f64().unwrap();
            // Where mu2 lagged so far behind that this were negative, the kernel would keep 0.
            assert!(variance > 0.0, "the test's losses must fall");
            assert!((alrc.mu1() - mean).abs() <= 4.0 * f64::EPSILON * mean, "{} {mean}", alrc.mu1());
            // The terms of the update are up to mean^2 where the decays differ.
            let bound = if decay1 == decay2 { variance } else { mean * mean };
            let error = (alrc.state().variance - variance).abs();
            assert!(error <= 64.0 * f64::EPSILON * bound, "{} {variance}", alrc.state().variance);
        }
    }
}
