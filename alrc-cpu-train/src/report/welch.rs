//! Welch's t-test: whether two samples of unequal variance have the same mean.

use serde::Serialize;
use special::Beta;

/// Number, mean and standard deviation of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Number of values.
    pub count: usize,
    /// Their mean; NaN if there is none.
    pub mean: f64,
    /// Their standard deviation (with n - 1); none for less than two.
    pub std_dev: Option<f64>,
}

impl Sample {
    /// The sample of some values.
    pub fn new(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { count: values.len(), mean, std_dev: (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()) }
    }
}

/// The comparison of a sample with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Test {
    /// Mean of the sample less mean of the reference.
    pub difference: f64,
    /// The 95 % confidence interval of the difference.
    pub interval: (f64, f64),
    /// Student's t.
    pub t: f64,
    /// Degrees of freedom, by Welch and Satterthwaite.
    pub degrees_of_freedom: f64,
    /// Probability of a t at least as far from 0 if the means are equal.
    pub p: f64,
}

/// With variances s^2 of the means, that is of a sample over its number n, and v the degrees of freedom:
///
/// ```text
/// t = (mean - mean') / sqrt(s^2 + s'^2)
/// v = (s^2 + s'^2)^2 / (s^4 / (n - 1) + s'^4 / (n' - 1))
/// p = I_x(v / 2, 1 / 2)   with x = v / (v + t^2)
/// ```
///
/// where I is the regularised incomplete beta function. None where a sample has less than two values, or neither
/// varies.
pub fn test(sample: &Sample, reference: &Sample) -> Option<Test> {
    let variance = |sample: &Sample| Some(sample.std_dev?.powi(2) / sample.count as f64);
    let (s2, r2) = (variance(sample)?, variance(reference)?);
    let error = (s2 + r2).sqrt();
    let weight = |variance: f64, sample: &Sample| variance.powi(2) / (sample.count - 1) as f64;
    let v = (s2 + r2).powi(2) / (weight(s2, sample) + weight(r2, reference));
    let difference = sample.mean - reference.mean;
    let t = difference / error;
    if !t.is_finite() || !v.is_finite() {
        return None;
    }
    let (a, b) = (v / 2.0, 0.5);
    let ln_beta = a.ln_beta(b);
    let p = (v / (v + t * t)).inc_beta(a, b, ln_beta);
    let x = 0.05.inv_inc_beta(a, b, ln_beta);
    let half_width = error * (v * (1.0 - x) / x).sqrt();
    let interval = (difference - half_width, difference + half_width);
    Some(Test { difference, interval, t, degrees_of_freedom: v, p })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-6 * expected.abs(), "{actual} is not {expected}");
    }

    /// Expected values: SciPy's `ttest_ind(a, b, equal_var=False)` and its `confidence_interval()`.
    #[test]
    fn agrees_with_scipy() {
        let a = Sample::new(&[27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6]);
        let b = Sample::new(&[27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2]);
        let difference = test(&a, &b).unwrap();
        assert_close(difference.t, -2.035661877068064);
        assert_close(difference.degrees_of_freedom, 15.497898882594495);
        assert_close(difference.p, 0.059253737007745146);
        assert_close(difference.interval.0, -5.21253808097388);
        assert_close(difference.interval.1, 0.1125380809738794);

        let [a, b] = [&[27.5, 21.0, 19.0][..], &[27.1, 22.0]].map(Sample::new);
        let difference = test(&a, &b).unwrap();
        assert_close(difference.p, 0.61490315775921);
        assert_close(difference.interval.0, -14.387643047740852);
    }

    #[test]
    fn says_nothing_about_single_or_constant_values() {
        let [single, constant, sample] = [&[1.0][..], &[1.0, 1.0], &[1.0, 2.0]].map(Sample::new);
        assert_eq!(test(&single, &sample), None);
        assert_eq!(test(&sample, &single), None);
        assert_eq!(test(&constant, &constant), None);
        assert!(test(&constant, &sample).is_some());
    }
}
