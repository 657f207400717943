//! A loss curve of any length in bounded memory: thinned for drawing, averaged, its spikes counted.

use std::mem;

/// A loss above so many times the average of the steps before it is a spike.
pub const SPIKE: f64 = 5.0;

/// Most steps of the running average.
pub const WINDOW: usize = 500;

/// Fewest steps of a curve whose running average has so many; that of a shorter one has a thirtieth of its steps.
pub const STEPS_OF_WINDOW: usize = PARTS * WINDOW;

/// Running averages are over such a part of a curve.
const PARTS: usize = 30;

/// Most points of a thinned curve, about as many as a plot has pixel columns.
const BUCKETS: usize = 512;

/// Steps of the running average of a curve of `steps` steps. Spikes are counted by it: counts of curves of fewer
/// than [`STEPS_OF_WINDOW`] steps are not comparable with those of longer ones.
pub fn window(steps: u64) -> usize {
    usize::try_from(steps / PARTS as u64).unwrap_or(WINDOW).clamp(1, WINDOW)
}

/// The average of the last `window` finite values (a boxcar filter); of fewer at the start.
///
/// Nothing is ever subtracted, so that a huge value leaves no rounding error behind: the window consists of the end of
/// the block before, whose suffix sums are known, and the beginning of the present one (van Herk's algorithm).
#[derive(Clone, Debug)]
pub struct Boxcar {
    window: usize,
    /// The values of the present block.
    block: Vec<f64>,
    sum: Sum,
    /// Sums of the block before from each place to its end; the last is empty.
    suffixes: Vec<Sum>,
}

/// Sum and number of the finite values.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sum: f64,
    count: u32,
}

impl Sum {
    fn add(self, value: f64) -> Self {
        if value.is_finite() { Self { sum: self.sum + value, count: self.count + 1 } } else { self }
    }
}

impl Boxcar {
    /// Before the first value; `window` is at least 1.
    pub fn new(window: usize) -> Self {
        Self { window, block: Vec::new(), sum: Sum::default(), suffixes: Vec::new() }
    }

    /// Takes in a value; returns the average, NaN if the window holds no finite value.
    pub fn push(&mut self, value: f64) -> f64 {
        self.block.push(value);
        self.sum = self.sum.add(value);
        let before = self.suffixes.get(self.block.len()).copied().unwrap_or_default();
        let average = (before.sum + self.sum.sum) / f64::from(before.count + self.sum.count);
        if self.block.len() == self.window {
            self.suffixes = vec![Sum::default(); self.window + 1];
            for (index, value) in self.block.drain(..).enumerate().rev() {
                self.suffixes[index] = self.suffixes[index + 1].add(value);
            }
            self.sum = Sum::default();
        }
        average
    }
}

/// The smallest and largest finite value in each of at most 512 successive stretches of a curve: drawn, they look like
/// the whole. Where a stretch is one value, they are the whole.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Values of a stretch, a power of two.
    width: u64,
    len: u64,
    /// Low and high; infinity and -infinity where no value is finite.
    stretches: Vec<(f64, f64)>,
}

impl Default for Envelope {
    fn default() -> Self {
        Self { width: 1, len: 0, stretches: Vec::new() }
    }
}

impl Envelope {
    /// Takes in the next value.
    pub fn push(&mut self, value: f64) {
        if self.len == self.width * BUCKETS as u64 {
            self.coarsen();
        }
        if self.len.is_multiple_of(self.width) {
            self.stretches.push((f64::INFINITY, f64::NEG_INFINITY));
        }
        self.len += 1;
        if let (true, Some(last)) = (value.is_finite(), self.stretches.last_mut()) {
            *last = (last.0.min(value), last.1.max(value));
        }
    }

    /// Takes in another curve over the same steps.
    pub fn merge(&mut self, mut other: Self) {
        while self.width < other.width {
            self.coarsen();
        }
        while other.width < self.width {
            other.coarsen();
        }
        if self.len < other.len {
            mem::swap(self, &mut other);
        }
        for (own, other) in self.stretches.iter_mut().zip(other.stretches) {
            *own = (own.0.min(other.0), own.1.max(other.1));
        }
    }

    /// Number of values.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The curve as a line: step and value; the lowest and the highest of each stretch, in turns the one or the other
    /// first.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::with_capacity(2 * self.stretches.len());
        for (index, &(low, high)) in self.stretches.iter().enumerate() {
            if low > high {
                continue;
            }
            let start = index as u64 * self.width;
            let end = (start + self.width).min(self.len);
            let step = (start + end - 1) as f64 / 2.0;
            let (first, second) = if index.is_multiple_of(2) { (low, high) } else { (high, low) };
            points.push((step, first));
            if first != second {
                points.push((step, second));
            }
        }
        points
    }

    /// Joins stretches in pairs.
    fn coarsen(&mut self) {
        self.width *= 2;
        let join = |pair: &[(f64, f64)]| {
            pair.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)))
        };
        self.stretches = self.stretches.chunks(2).map(join).collect();
    }
}

/// The losses of a run.
#[derive(Clone, Debug)]
pub struct LossCurve {
    /// The losses.
    pub losses: Envelope,
    /// Their running average.
    pub average: Envelope,
    /// Spikes: finite losses above [`SPIKE`] times the running average before them.
    pub spikes: u64,
    /// The largest finite loss; NaN if there is none.
    pub largest: f64,
    boxcar: Boxcar,
    last_average: f64,
}

impl LossCurve {
    /// Before the first step, with an average over `window` steps.
    pub fn new(window: usize) -> Self {
        Self {
            losses: Envelope::default(),
            average: Envelope::default(),
            spikes: 0,
            largest: f64::NAN,
            boxcar: Boxcar::new(window),
            last_average: f64::NAN,
        }
    }

    /// Takes in the loss of the next step.
    pub fn push(&mut self, loss: f64) {
        if loss.is_finite() {
            self.spikes += u64::from(self.last_average > 0.0 && loss > SPIKE * self.last_average);
            self.largest = self.largest.max(loss);
        }
        self.last_average = self.boxcar.push(loss);
        self.losses.push(loss);
        self.average.push(self.last_average);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![8 => -10.0..10.0, 1 => Just(f64::NAN), 1 => Just(1e300)];
        proptest::collection::vec(value, 0..3000)
    }

    proptest! {
        #[test]
        fn boxcar_is_the_mean_of_the_window(values in values(), window in 1..600_usize) {
            let mut boxcar = Boxcar::new(window);
            for end in 0..values.len() {
                let part = values[(end + 1).saturating_sub(window)..=end].iter().filter(|x| x.is_finite());
                let (count, sum) = part.fold((0.0, 0.0), |(count, sum), x| (count + 1.0, sum + x));
                let (average, expected) = (boxcar.push(values[end]), sum / count);
                let is_close = (average - expected).abs() <= 1e-9 * expected.abs().max(1.0);
                prop_assert!(is_close || average.is_nan() && expected.is_nan(), "{average} {expected}");
            }
        }

        #[test]
        fn envelope_holds_every_extreme(values in values()) {
            let mut envelope = Envelope::default();
            values.iter().for_each(|&value| envelope.push(value));
            prop_assert!(envelope.stretches.len() <= BUCKETS);
            let points = envelope.points();
            let finite = || values.iter().copied().filter(|x| x.is_finite());
            let drawn = || points.iter().map(|point| point.1);
            prop_assert_eq!(finite().fold(0.0, f64::max), drawn().fold(0.0, f64::max));
            prop_assert_eq!(finite().fold(0.0, f64::min), drawn().fold(0.0, f64::min));
            prop_assert!(points.is_sorted_by(|a, b| a.0 <= b.0));
            for (step, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
                let (low, high) = envelope.stretches[step / envelope.width as usize];
                prop_assert!(low <= *value && *value <= high);
            }
        }
    }

    #[test]
    fn envelopes_of_different_lengths_merge() {
        let curve = |len: u64, value: f64| {
            let mut envelope = Envelope::default();
            (0..len).for_each(|_| envelope.push(value));
            envelope
        };
        let mut merged = curve(100, 1.0);
        merged.merge(curve(2000, 2.0));
        assert_eq!(merged.len(), 2000);
        let points = merged.points();
        assert_eq!(points[..2].iter().map(|point| point.1).collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(points.last().unwrap().1, 2.0);
    }

    #[test]
    fn spikes_stand_out_of_what_was_before() {
        let mut curve = LossCurve::new(4);
        // The first loss has nothing before it; 5 is not above 5 times 1; 11 is above 5 times 2.
        for loss in [100.0, 1.0, 1.0, 1.0, 1.0, 5.0, 11.0, f64::NAN, f64::INFINITY] {
            curve.push(loss);
        }
        assert_eq!((curve.spikes, curve.largest), (1, 100.0));
    }

    #[test]
    fn the_largest_loss_may_be_negative_or_none() {
        let mut curve = LossCurve::new(4);
        curve.push(f64::INFINITY);
        assert!(curve.largest.is_nan());
        [-3.0, -2.0, f64::NAN, -4.0].into_iter().for_each(|loss| curve.push(loss));
        assert_eq!(curve.largest, -2.0);
    }
}
