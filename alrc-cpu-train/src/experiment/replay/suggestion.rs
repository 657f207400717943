//! Where the moments of a clipping should start for a curve.

use alrc_kernel::{Config, Start};
use serde::Serialize;

/// Estimates from which the moments start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// mu1 before the first step.
    pub mu1_start: f32,
    /// mu2 before the first step.
    pub mu2_start: f32,
}

impl From<Estimate> for Start<f32> {
    fn from(Estimate { mu1_start, mu2_start }: Estimate) -> Self {
        Self::Estimate { mu1: mu1_start, mu2: mu2_start }
    }
}

/// A start from the first losses: without the non-finite ones and the largest twentieth, at least one, which may be
/// spikes, `mu1_start` is their mean and `mu2_start` the square of the mean plus that of the standard deviation; the
/// standard deviation is taken as at least a twentieth of the mean, for a narrower limit would clip harmless
/// fluctuations.
pub fn suggest(losses: &[f64]) -> Option<Estimate> {
    let mut losses: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    losses.sort_by(f64::total_cmp);
    losses.truncate((losses.len() - losses.len().div_ceil(20)).max(1));
    let count = losses.len() as f64;
    let mean = round(losses.iter().sum::<f64>() / count);
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count;
    let std_dev = variance.sqrt().max(mean.abs() / 20.0).max(1e-6);
    let mu2 = round(mean * mean + std_dev * std_dev);
    let estimate = Estimate { mu1_start: mean as f32, mu2_start: mu2 as f32 };
    let is_permitted = Config { start: estimate.into(), ..Config::default() }.validate().is_ok();
    is_permitted.then_some(estimate)
}

/// To four significant digits.
fn round(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_among_few_losses_does_not_count() {
        for few in 1..20 {
            let losses: Vec<f64> = std::iter::repeat_n(2.0, few).chain([900.0]).collect();
            assert_eq!(suggest(&losses).map(|start| start.mu1_start), Some(2.0), "{few} losses and a spike");
        }
        assert_eq!(suggest(&[7.0]).map(|start| start.mu1_start), Some(7.0));
        assert_eq!(suggest(&[f64::NAN]), None);
    }
}
