//! Calls that take turns: what they take is compared within one process, whatever else the machine does.

use std::time::Instant;

/// How often a call is repeated in its turn. The first time, which brings its memory into the caches, does not count.
const REPEATS: usize = 6;

/// Nanoseconds that one call took.
pub(crate) struct Times {
    pub(crate) median: f64,
    lower_quartile: f64,
    upper_quartile: f64,
}

/// Lets calls take turns, `rounds` times.
pub(crate) fn alternate<const N: usize>(rounds: usize, calls: [&mut dyn FnMut(); N]) -> [Times; N] {
    let mut times = [const { Vec::new() }; N];
    let mut turns: Vec<_> = calls.into_iter().zip(&mut times).collect();
    for _ in 0..rounds {
        for (call, times) in &mut turns {
            call();
            for _ in 1..REPEATS {
                let start = Instant::now();
                call();
                times.push(start.elapsed().as_nanos() as f64);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        let quantile = |quarters: usize| times[times.len() * quarters / 4];
        Times { median: quantile(2), lower_quartile: quantile(1), upper_quartile: quantile(3) }
    })
}

impl Times {
    /// One line: median and quartiles in units of `unit` nanoseconds, and, for comparison, how many times as fast.
    pub(crate) fn print(&self, name: &str, unit: f64, comparison: Option<(&str, &Times)>) {
        let Self { median, lower_quartile, upper_quartile } = self;
        let beside = comparison
            .map(|(than, other)| format!("  {:.0} % of the speed of {than}", 100.0 * other.median / median));
        println!(
            "{name:<44} {:>9.2}  ({:.2} to {:.2}){}",
            median / unit,
            lower_quartile / unit,
            upper_quartile / unit,
            beside.unwrap_or_default()
        );
    }
}
