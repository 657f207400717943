//! The figure of merit of a run: the mean of its last unclipped losses.

use std::collections::VecDeque;

/// It is taken over so many last steps, or over the last tenth of a shorter run.
const LAST: u64 = 5_000;

/// Number of last steps over which the figure of merit of a run that has done `steps` steps is taken.
pub fn last_steps(steps: u64) -> u64 {
    if steps < 10 * LAST { (steps / 10).max(1) } else { LAST }
}

/// Gathers the unclipped losses of a run, of which it keeps those that may count.
#[derive(Clone, Debug, Default)]
pub struct LastLosses {
    steps: u64,
    last: VecDeque<f64>,
}

impl LastLosses {
    /// Takes in the loss of the next step.
    pub fn push(&mut self, unclipped_loss: f64) {
        self.steps += 1;
        if self.last.len() as u64 == LAST {
            self.last.pop_front();
        }
        self.last.push_back(unclipped_loss);
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The mean of the finite ones of the last losses; none if there is none.
    pub fn mean(&self) -> Option<f64> {
        let others = self.last.len().saturating_sub(last_steps(self.steps) as usize);
        let finite: Vec<f64> =
            self.last.iter().skip(others).copied().filter(|loss| loss.is_finite()).collect();
        (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_mean_is_that_of_the_finite_ones_of_the_last_steps(
            losses in prop::collection::vec(prop_oneof![9 => 0.0..10.0, 1 => Just(f64::NAN)], 0..200),
            earlier in prop_oneof![Just(0_usize), 40_000..60_000_usize],
        ) {
            let all: Vec<f64> = std::iter::repeat_n(1e9, earlier).chain(losses).collect();
            let mut gathered = LastLosses::default();
            all.iter().for_each(|&loss| gathered.push(loss));
            let last = if all.len() >= 50_000 { 5_000 } else { all.len() / 10 }.max(1);
            let counted = all.iter().rev().take(last).filter(|loss| loss.is_finite());
            let (sum, count) = counted.fold((0.0, 0), |(sum, count), loss| (sum + loss, count + 1));
            prop_assert_eq!(gathered.steps(), all.len() as u64);
            match gathered.mean() {
                Some(mean) => prop_assert!((mean - sum / f64::from(count)).abs() <= 1e-9 * mean.abs()),
                None => prop_assert_eq!(count, 0),
            }
        }
    }
}
