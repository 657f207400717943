//! What every caller may rely on.

use alrc_kernel::{Alrc, BatchSums, Clipped, Config, Start};

fn alrc() -> Alrc<f32> {
    Alrc::new(Config { num_stddev: 2.0, decay1: 0.9, decay2: 0.9, ..Config::default() }).unwrap()
}

#[test]
fn non_finite_losses_have_no_gradient_and_leave_the_state_alone() {
    for loss in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut clipping = alrc();
        assert_eq!(clipping.step(loss), Clipped { loss: 0.0, scale: 0.0 });
        assert_eq!(clipping, alrc());
        let report = clipping.step_batch(&[1.0, loss], &mut [], &mut []);
        assert_eq!(report.non_finite, 1);
        let mut without = alrc();
        without.step(1.0);
        assert_eq!(clipping, without);
    }
}

#[test]
fn finite_losses_give_finite_results() {
    let mut clipping = alrc();
    for loss in [f32::MAX, -f32::MAX, 0.0, f32::MIN_POSITIVE, 1e-45, 1e30, -1e30].repeat(50) {
        let Clipped { loss: clipped, scale } = clipping.step(loss);
        assert!(clipped.is_finite() && (0.0..=1.0).contains(&scale), "{loss}: {clipped}, {scale}");
        assert!(
            clipping.mu1().is_finite() && clipping.mu2().is_finite() && clipping.limits().upper().is_finite()
        );
    }
}

/// The published float32 rule turns NaN after 15,000 to 46,000 such steps.
#[test]
fn constant_losses_never_give_nan() {
    for loss in [1.0, 0.3, 25.0, 1e-3, 1e15] {
        let mut clipping = Alrc::new(Config::<f32>::default()).unwrap();
        for _ in 0..100_000 {
            clipping.step(loss);
        }
        assert!(clipping.std_dev() >= 0.0 && clipping.limits().upper().is_finite(), "{loss}");
    }
}

#[test]
fn two_phases_are_one_step() {
    let losses = [3.0, 90.0, 0.5, 200.0, f32::NAN, 12.0];
    let mut whole = alrc();
    whole.step_batch(&losses, &mut [], &mut []);
    let mut parts = alrc();
    let limits = parts.limits();
    let mut sums = BatchSums::default();
    for part in losses.chunks(4) {
        sums.merge(&limits.clip_batch(part, &mut [], &mut []));
    }
    parts.update(&sums);
    assert_eq!((sums.count, sums.clipped, sums.non_finite), (5, 2, 1));
    assert!((parts.mu1() / whole.mu1() - 1.0).abs() < 1e-6);
    assert!((parts.std_dev() / whole.std_dev() - 1.0).abs() < 1e-6);
}

#[test]
fn errors_name_the_parameter() {
    let parameter = |config: Config<f32>| Alrc::new(config).unwrap_err().parameter;
    assert_eq!(parameter(Config { num_stddev: -1.0, ..Config::default() }), "num_stddev");
    assert_eq!(parameter(Config { decay1: 1.0, ..Config::default() }), "decay1");
    assert_eq!(parameter(Config { decay2: f32::NAN, ..Config::default() }), "decay2");
    let start = |mu1, mu2| Config { start: Start::Estimate { mu1, mu2 }, ..Config::default() };
    assert_eq!(parameter(start(f32::INFINITY, 900.0)), "mu1");
    assert_eq!(parameter(start(25.0, 625.0)), "mu2");
    let start = Start::WarmUp { steps: 0 };
    assert_eq!(parameter(Config { start, ..Config::default() }), "warm-up steps");
    assert_eq!(parameter(Config { epsilon: -1e-9, ..Config::default() }), "epsilon");
}
