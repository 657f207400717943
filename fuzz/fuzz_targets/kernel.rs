//! Any losses under any valid configuration: the results stay finite and the scales in [0, 1].
#![no_main]

use alrc_kernel::{Alrc, Config, Start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([f32; 6], Vec<f32>)| {
    let ([num_stddev, decay1, decay2, mu1, mu2, epsilon], losses) = input;
    let config = Config {
        num_stddev,
        decay1,
        decay2,
        start: Start::Estimate { mu1, mu2 },
        epsilon,
        ..Config::default()
    };
    let Ok(mut alrc) = Alrc::new(config) else { return };
    for loss in losses {
        let before = alrc;
        let clipped = alrc.step(loss);
        assert!(clipped.loss.is_finite());
        assert!((0.0..=1.0).contains(&clipped.scale));
        assert!(alrc.mu1().is_finite() && alrc.std_dev() >= 0.0 && alrc.limits().upper().is_finite());
        if !loss.is_finite() {
            assert_eq!((clipped.loss, clipped.scale), (0.0, 0.0));
            assert!(alrc == before);
        }
    }
});
