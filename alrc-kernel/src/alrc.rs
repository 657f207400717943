//! The state machine: limits, then an update, step after step.

use crate::limits::Band;
use crate::state::Distances;
use crate::{BatchSums, Clipped, Config, ConfigError, Float, Limits, NonFinite, State};

/// Adaptive learning rate clipping: a configuration and the running moments of the clipped losses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Parts<F>", into = "Parts<F>", bound(serialize = "F: Float + serde::Serialize")),
    serde(bound(deserialize = "F: Float + serde::Deserialize<'de>"))
)]
pub struct Alrc<F> {
    config: Config<F>,
    state: State<F>,
}

/// What one call of [`Alrc::step_batch`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Report<F> {
    /// Number of losses that were clipped.
    pub clipped: u64,
    /// Number of losses that were NaN or infinite.
    pub non_finite: u64,
    /// The largest distance of a loss from the limit that clipped it, in units of the loss; 0 if none was clipped.
    pub largest_excess: F,
    /// The limit above which losses were clipped, in units of the loss.
    pub limit: F,
    /// Whether the moments moved: not if no loss was finite or the batch was rejected. There is no gradient then,
    /// and nothing for an optimiser to do.
    pub updated: bool,
}

impl<F: Float> Alrc<F> {
    /// The state before the first step.
    pub fn new(config: Config<F>) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, state: State::new(config.start) })
    }

    /// A state from its plain numbers, in whatever way they were kept.
    pub fn from_state(config: Config<F>, state: State<F>) -> Result<Self, ConfigError> {
        config.validate()?;
        state.validate(&config)?;
        Ok(Self { config, state })
    }

    /// The state that had these numbers, which are not validated again: from others no useful results come. For the C
    /// interface, whose structs hold a state between two steps.
    #[doc(hidden)]
    pub fn from_parts_of_another(config: Config<F>, state: State<F>) -> Self {
        Self { config, state }
    }

    /// The configuration.
    pub fn config(&self) -> &Config<F> {
        &self.config
    }

    /// The state in plain numbers.
    pub fn state(&self) -> &State<F> {
        &self.state
    }

    /// The first phase: the limits of the next step.
    pub fn limits(&self) -> Limits<F> {
        self.limits_from(self.std_dev())
    }

    #[inline(always)]
    fn limits_from(&self, std_dev: F) -> Limits<F> {
        let (lower, upper) = self.lower_and_upper(std_dev, F::max_value());
        let band = Band { lower, mean: self.state.mu1(), upper };
        Limits { band, scaling: self.config.scaling, non_finite: self.config.non_finite }
    }

    /// The limits, the lower one at least -bound and the upper one at most bound.
    #[inline(always)]
    fn lower_and_upper(&self, std_dev: F, bound: F) -> (F, F) {
        let mean = self.state.mu1();
        let (mut lower, mut upper) = (-bound, bound);
        if self.state.warm_up_left == 0 {
            upper = (mean + self.config.num_stddev * std_dev).at_most(upper);
            if let Some(num_stddev_below) = self.config.num_stddev_below {
                lower = (mean - num_stddev_below * std_dev).at_least(lower);
            }
        }
        (lower, upper)
    }

    /// The second phase: moves the moments by the sums of all the losses of the step, and returns whether it did.
    ///
    /// It does not if there was no finite loss, if one was not finite under [`NonFinite::Reject`], or if the sums are
    /// not [valid](BatchSums::is_valid); the state is then the same to the bit.
    pub fn update(&mut self, sums: &BatchSums<F>) -> bool {
        let is_rejected = self.config.non_finite == NonFinite::Reject && sums.non_finite > 0;
        let updated = !is_rejected && sums.is_valid() && sums.count > 0;
        if updated {
            let std_dev = self.std_dev();
            let mean = sums.mean.saturate();
            let variance = sums.squares / F::from_count(sums.count);
            let variance = variance.at_most(F::mean_bound() * F::mean_bound());
            let are_all_clipped = sums.clipped == sums.count;
            self.advance(&self.limits_from(std_dev).band, std_dev, mean, variance, are_all_clipped);
        }
        updated
    }

    /// Moves the moments by the mean and the variance of a step's clipped losses.
    // Inlined, so that the numbers of a state stay in registers.
    #[inline(always)]
    fn advance(&mut self, band: &Band<F>, std_dev: F, mean: F, variance: F, are_all_clipped: bool) {
        let distances = self.distances_to(band, std_dev, mean, are_all_clipped);
        self.state.advance(&self.config, distances, variance);
    }

    /// From the moments to the mean of a step's clipped losses. If all were clipped to one limit, they are n sigma from
    /// mu1: that has more digits than a difference of rounded numbers, and is known before it.
    #[inline(always)]
    fn distances_to(&self, band: &Band<F>, std_dev: F, mean: F, are_all_clipped: bool) -> Distances<F> {
        if are_all_clipped & (band.lower < band.upper) {
            let at = |n: F| {
                let std_dev_squared = self.state.variance + self.config.epsilon;
                self.state.distances_of(n * std_dev, n * (n * std_dev_squared))
            };
            if mean == band.upper {
                return at(self.config.num_stddev);
            }
            // Never where no loss is lifted: no mean is as low as that limit.
            if mean == band.lower {
                return at(-self.config.num_stddev_below());
            }
        }
        self.state.distances_to(mean)
    }

    /// Both phases for a single loss.
    #[inline(always)]
    pub fn step(&mut self, loss: F) -> Clipped<F> {
        if self.state.warm_up_left > 0 {
            return self.step_in_warm_up(loss);
        }
        let std_dev = self.std_dev();
        // Most losses are neither clipped nor too large for the moments, as two comparisons tell.
        let (lower, upper) = self.lower_and_upper(std_dev, F::moment_bound());
        if loss >= lower && loss <= upper {
            self.state.advance(&self.config, self.state.distances_to(loss), F::zero());
            return Clipped { loss, scale: F::one() };
        }
        let limits = self.limits_from(std_dev);
        let clipped = limits.clip(loss);
        let distances = if limits.band.contains(loss) {
            self.state.distances_to(loss.saturate())
        } else if loss.is_finite() {
            self.distances_to(&limits.band, std_dev, clipped.loss.saturate(), true)
        } else {
            return clipped;
        };
        self.state.advance(&self.config, distances, F::zero());
        clipped
    }

    /// A step of the warm-up, in which no loss is clipped.
    // Inlined, so that the numbers of a state stay in registers; cold, so that the compiler favours the other steps.
    #[cold]
    #[inline(always)]
    fn step_in_warm_up(&mut self, loss: F) -> Clipped<F> {
        if !loss.is_finite() {
            return Clipped::nothing();
        }
        self.state.advance(&self.config, self.state.distances_to(loss.saturate()), F::zero());
        Clipped { loss, scale: F::one() }
    }

    /// Both phases for the losses of a batch. `clipped` and `scales` receive the value and the scale of each loss for
    /// which they have room; see [`Limits::clip_batch`].
    pub fn step_batch(&mut self, losses: &[F], clipped: &mut [F], scales: &mut [F]) -> Report<F> {
        self.step_buffers(Some(losses), clipped, scales)
    }

    /// Both phases, with the clipped values in the place of the losses; see [`Limits::clip_batch_in_place`].
    pub fn step_batch_in_place(&mut self, losses: &mut [F], scales: &mut [F]) -> Report<F> {
        self.step_buffers(None, losses, scales)
    }

    /// Either of the two: in place without `losses`. For the C interface, which would hold the code of both.
    #[doc(hidden)]
    pub fn step_buffers(&mut self, losses: Option<&[F]>, clipped: &mut [F], scales: &mut [F]) -> Report<F> {
        let std_dev = self.std_dev();
        let limits = self.limits_from(std_dev);
        let (moments, tally) = limits.clip_buffers(losses, clipped, scales);
        let updated = moments.count > 0;
        if updated {
            let variance = moments.squares / F::from_count(moments.count as u64);
            self.advance(&limits.band, std_dev, moments.mean, variance, tally.clipped == moments.count);
        }
        Report {
            clipped: tally.clipped as u64,
            non_finite: tally.non_finite as u64,
            largest_excess: tally.largest_excess,
            limit: limits.upper(),
            updated,
        }
    }

    /// mu1: the running mean of the clipped losses.
    pub fn mu1(&self) -> F {
        self.state.mu1()
    }

    /// mu2: the running mean of the squares of the clipped losses.
    pub fn mu2(&self) -> F {
        (self.state.variance + self.mu1() * self.mu1()).at_most(F::max_value())
    }

    /// sigma: the root of the running variance plus epsilon, in units of the loss.
    pub fn std_dev(&self) -> F {
        (self.state.variance + self.config.epsilon).sqrt()
    }
}

/// What serde reads and writes, so that a state that is read is validated.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Parts<F> {
    config: Config<F>,
    state: State<F>,
}

#[cfg(feature = "serde")]
impl<F: Float> From<Alrc<F>> for Parts<F> {
    fn from(Alrc { config, state }: Alrc<F>) -> Self {
        Self { config, state }
    }
}

#[cfg(feature = "serde")]
impl<F: Float> TryFrom<Parts<F>> for Alrc<F> {
    type Error = ConfigError;

    fn try_from(Parts { config, state }: Parts<F>) -> Result<Self, ConfigError> {
        Self::from_state(config, state)
    }
}
