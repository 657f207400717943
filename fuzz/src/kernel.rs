//! Any losses under any configuration: every invariant, and the textbook rule in f64.

use alrc_kernel::{Alrc, Config, MAX_SCALE, NonFinite, Scaling, Start};
use arbitrary::{Arbitrary, Unstructured};

#[derive(Arbitrary, Debug)]
struct Input {
    numbers: [f32; 5],
    below: Option<f32>,
    start: Result<[f32; 2], u8>,
    deviation: bool,
    reject: bool,
    batches: Vec<Vec<f32>>,
}

impl Input {
    fn config(&self) -> Config<f32> {
        let [num_stddev, decay1, decay2, epsilon, _] = self.numbers;
        Config {
            num_stddev,
            num_stddev_below: self.below,
            decay1,
            decay2,
            start: match self.start {
                Ok([mu1, mu2]) => Start::Estimate { mu1, mu2 },
                Err(steps) => Start::WarmUp { steps: steps.into() },
            },
            epsilon,
            scaling: if self.deviation { Scaling::Deviation } else { Scaling::Ratio },
            non_finite: if self.reject { NonFinite::Reject } else { NonFinite::Skip },
        }
    }
}

/// Panics where the file's first line does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(input) = <Input>::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let Ok(mut alrc) = Alrc::new(input.config()) else { return };
    for losses in &input.batches {
        step(&mut alrc, losses);
    }
}

fn step(alrc: &mut Alrc<f32>, losses: &[f32]) {
    let (before, limits) = (*alrc, alrc.limits());
    let (mut clipped, mut scales) = (losses.to_vec(), losses.to_vec());
    let report = alrc.step_batch(losses, &mut clipped, &mut scales);

    let state = alrc.state();
    assert!(state.mean.is_finite() && state.carry.is_finite() && state.variance >= 0.0 && state.variance.is_finite());
    assert!(alrc.limits().lower() <= alrc.limits().mean() && alrc.limits().mean() <= alrc.limits().upper());
    assert!(alrc.limits().upper().is_finite() && alrc.limits().lower().is_finite());
    assert_eq!(Alrc::from_bytes(&alrc.to_bytes()), Ok(*alrc));

    let non_finite = losses.iter().filter(|loss| !loss.is_finite()).count();
    assert_eq!(report.non_finite, non_finite as u64);
    if non_finite > 0 && alrc.config().non_finite == NonFinite::Reject || non_finite == losses.len() {
        assert_eq!(*alrc, before);
        assert!(clipped.iter().chain(&scales).all(|&value| value == 0.0));
        return;
    }
    for ((&loss, &clipped), &scale) in losses.iter().zip(&clipped).zip(&scales) {
        let highest = if loss < limits.lower() { MAX_SCALE as f32 } else { 1.0 };
        assert!((0.0..=highest).contains(&scale));
        if !loss.is_finite() {
            assert_eq!((clipped, scale), (0.0, 0.0));
        } else if (limits.lower()..=limits.upper()).contains(&loss) {
            assert_eq!((clipped, scale), (loss, 1.0));
        } else {
            assert_eq!(clipped, if loss > limits.upper() { limits.upper() } else { limits.lower() });
        }
    }
    compare_with_textbook(&before, alrc, &clipped, losses);
}

/// mu1 and the variance from raw moments in f64, where those have digits enough.
fn compare_with_textbook(before: &Alrc<f32>, after: &Alrc<f32>, clipped: &[f32], losses: &[f32]) {
    let values: Vec<f64> =
        clipped.iter().zip(losses).filter(|(_, loss)| loss.is_finite()).map(|(&y, _)| f64::from(y)).collect();
    let [mean, carry] = [before.state().mean, before.state().carry].map(f64::from);
    let largest = values.iter().fold(mean.abs().max((mean + carry).abs()), |a, b| a.max(b.abs()));
    if before.state().warm_up_left > 0 || !(1e-10..1e10).contains(&largest) {
        return;
    }
    let count = values.len() as f64;
    let mean_value = values.iter().sum::<f64>() / count;
    let mean_square = values.iter().map(|value| value * value).sum::<f64>() / count;
    let [b1, b2] = [before.config().decay1, before.config().decay2].map(f64::from);
    let (m, v) = (mean + carry, before.state().variance);
    let mu1 = b1 * m + (1.0 - b1) * mean_value;
    let mu2 = b2 * (m * m + f64::from(v)) + (1.0 - b2) * mean_square;
    let variance = (mu2 - mu1 * mu1).max(0.0);
    let epsilon = 1e-5;
    let own = after.state();
    assert!((f64::from(after.mu1()) - mu1).abs() <= epsilon * largest, "{own:?} {mu1}");
    // Each term is at most of the size of the squares.
    let bound = epsilon * (largest * largest + f64::from(v)) + 1e-37;
    assert!((f64::from(own.variance) - variance).abs() <= bound, "{own:?} {variance}");
}
