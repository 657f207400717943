//! The ordinate of a plot: which values it spans, and which of them have a line and a label.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Digits with a line on a logarithmic ordinate of few, some or many decades.
const DIGITS: [(f64, &[f64]); 3] =
    [(1.5, &[1.0, 2.0, 3.0, 5.0]), (3.0, &[1.0, 3.0]), (f64::INFINITY, &[1.0])];

/// Most lines of an ordinate, roughly.
const LINES: f64 = 7.0;

/// An ordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    is_logarithmic: bool,
}

impl Axis {
    /// From `low` to `high`, both above 0, on a logarithmic scale.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        Self { low, high, is_logarithmic: true }
    }

    /// For losses: logarithmic over at least a decade where all are positive, otherwise linear with 0.
    pub fn of_losses(losses: impl IntoIterator<Item = f64>) -> Self {
        let losses = losses.into_iter().filter(|loss| loss.is_finite());
        let extremes = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = losses.fold(extremes, |(low, high), loss| (low.min(loss), high.max(loss)));
        if low > 0.0 {
            let low = low.clamp(1e-30, 1e30);
            Self::logarithmic(low, high.clamp(10.0 * low, 1e40))
        } else {
            let (low, high) = (low.clamp(-1e40, 0.0), high.clamp(0.0, 1e40));
            Self { low, high: if low < high { high } else { 1.0 }, is_logarithmic: false }
        }
    }

    /// Where a value stands on a linear scale; beyond the ends at the ends.
    fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        if self.is_logarithmic { value.log10() } else { value }
    }

    /// Values with lines.
    fn lines(&self) -> Vec<f64> {
        let (low, high) = (self.place(self.low), self.place(self.high));
        if !self.is_logarithmic {
            let exact = (high - low) / LINES;
            let power = 10_f64.powf(exact.log10().floor());
            let step =
                [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= exact);
            return multiples(step.unwrap_or(10.0 * power), low, high);
        }
        let digits =
            DIGITS.iter().find(|(decades, _)| high - low < *decades).map_or(&[1.0][..], |some| some.1);
        let step = ((high - low) / LINES).floor().max(1.0);
        let decades = multiples(step, low.floor(), high);
        let lines = decades.iter().flat_map(|decade| digits.iter().map(|digit| digit * 10_f64.powf(*decade)));
        lines.filter(|line| (self.low..=self.high).contains(line)).collect()
    }

    /// What is written at a line.
    fn label(value: f64) -> String {
        let exponent = (value.abs().log10() + 1e-9).floor();
        if value == 0.0 {
            "0".to_owned()
        } else if (-3.0..5.0).contains(&exponent) {
            // As many decimals as two digits need, without zeros at the end.
            let label = format!("{value:.*}", (1.0 - exponent).max(0.0) as usize);
            if label.contains('.') {
                label.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                label
            }
        } else {
            format!("{value:.0e}")
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let (low, high) = (self.place(self.low), self.place(self.high));
        let fraction = (self.place(*value) - low) / (high - low);
        first + (fraction * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.lines() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        Self::label(*value)
    }
}

/// The multiples of a step from `low` to `high`.
fn multiples(step: f64, low: f64, high: f64) -> Vec<f64> {
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|factor| factor as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.lines().into_iter().map(Axis::label).collect()
    }

    #[test]
    fn lines_have_round_values() {
        assert_eq!(labels(Axis::of_losses([0.9, 24.0])), ["1", "2", "3", "5", "10", "20"]);
        assert_eq!(labels(Axis::of_losses([0.02, 5.0])), ["0.03", "0.1", "0.3", "1", "3"]);
        assert_eq!(
            labels(Axis::of_losses([5e-5, 2e4])),
            ["1e-4", "0.001", "0.01", "0.1", "1", "10", "100", "1000", "10000"]
        );
        assert_eq!(labels(Axis::of_losses([-3.0, 4.5])), ["-2", "0", "2", "4"]);
    }

    proptest! {
        #[test]
        fn every_axis_has_a_few_lines(losses in proptest::collection::vec(any::<f64>(), 0..4)) {
            let axis = Axis::of_losses(losses.iter().copied());
            let (low, high) = (axis.low, axis.high);
            prop_assert!(low.is_finite() && low < high && high.is_finite(), "{axis:?}");
            let lines = axis.lines();
            prop_assert!((1..=16).contains(&lines.len()), "{axis:?} {lines:?}");
            prop_assert!(lines.iter().all(|line| (low..=high).contains(line)));
            prop_assert_eq!((axis.map(&low, (300, 20)), axis.map(&high, (300, 20))), (300, 20));
        }
    }
}
