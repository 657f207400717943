//! Clipping applied to a loss curve that was logged before: how much it would clip, and where to start it.
//!
//! Every value counts as the loss of one step, in single precision as in a training loop. A logged curve is that of
//! the training that was: with clipping, the later losses would have been others.

mod clipped;
mod suggestion;
mod trial;

use std::io;

use alrc_kernel::Config;
pub use clipped::ClippedWriter;
use serde::Serialize;
pub use suggestion::{Estimate, suggest};
use thiserror::Error;
pub use trial::Trial;

use super::log::{Log, LogError};
use crate::report::axis::Axis;
use crate::report::curves::{LossCurve, STEPS_OF_WINDOW, window};
use crate::report::figures::lines;
use crate::report::plots::{Content, Figure, Hue, Line, Panel};
use crate::report::table::number;

/// Fewest first losses from which a start is derived, where there are as many.
pub const FEWEST: usize = 100;

/// Width and height of the plot of a threshold, in pixels.
const PANEL: (u32, u32) = (900, 360);

/// Why a curve could not be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The curve cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The clipped losses cannot be written.
    #[error(transparent)]
    Unwritable(#[from] io::Error),
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Replay {
    /// The column that was read.
    pub column: String,
    /// Losses, finite or not.
    pub losses: u64,
    /// The first tenth of the losses, or of the first 15,000: where a curve may fall steeply.
    pub first: u64,
    /// Those that are NaN or infinite in single precision.
    pub non_finite: u64,
    /// Rows without a value.
    pub empty_rows: u64,
    /// Steps of the running average.
    pub window: usize,
    /// Losses that stand out; see [`LossCurve::spikes`].
    pub spikes: u64,
    /// The largest finite loss.
    pub largest: f64,
    /// A start that suits the curve; see [`suggest`].
    pub suggestion: Option<Estimate>,
    /// Finite losses from which that start comes.
    pub suggested_from: u64,
    /// A trial for each threshold with the given start, and one with the suggested start.
    pub trials: Vec<Trial>,
    #[serde(skip)]
    curve: LossCurve,
}

/// Reads the whole curve and clips it as each of `configs` says, from its own start and from the suggested one.
/// `clipped` gets every loss that is clipped.
pub fn replay(
    mut log: Log,
    configs: &[Config<f32>],
    mut clipped: Option<&mut ClippedWriter>,
) -> Result<Replay, ReplayError> {
    let mut empty_rows = 0;
    let mut next = || -> Result<Option<f64>, LogError> {
        while let Some(value) = log.next_value()? {
            match value {
                Some(value) => return Ok(Some(value)),
                None => empty_rows += 1,
            }
        }
        Ok(None)
    };
    let mut head = Vec::new();
    // Until it is known how many steps the running average has.
    while head.len() < STEPS_OF_WINDOW {
        let Some(loss) = next()? else { break };
        head.push(loss);
    }
    if head.is_empty() {
        let column = log.column().to_owned();
        let rows = empty_rows;
        return Err(if rows == 0 { LogError::Empty } else { LogError::NoValues { column, rows } }.into());
    }
    let remembered = configs.first().map_or(1.0, |config| 1.0 / (1.0 - config.decay1)) as usize;
    let beginning = &head[..remembered.max(FEWEST).min(head.len())];
    let suggestion = suggest(beginning);
    let suggested_from = beginning.iter().filter(|loss| loss.is_finite()).count() as u64;
    let first = head.len() as u64 / 10;
    let window = window(head.len() as u64);
    let mut curve = LossCurve::new(window);
    let mut trials = trials(configs, suggestion);
    let (mut losses, mut non_finite) = (0, 0);
    let mut step = |loss: f64| -> io::Result<()> {
        curve.push(loss);
        for trial in &mut trials {
            if let (Some((limit, scale)), Some(clipped)) =
                (trial.step(loss as f32, losses < first), &mut clipped)
            {
                clipped.write(trial, losses, loss, limit, scale)?;
            }
        }
        losses += 1;
        non_finite += u64::from(!(loss as f32).is_finite());
        Ok(())
    };
    for loss in head {
        step(loss)?;
    }
    while let Some(loss) = next()? {
        step(loss)?;
    }
    let column = log.column().to_owned();
    if non_finite == losses {
        return Err(LogError::NotFinite { column, losses }.into());
    }
    trials.iter_mut().for_each(|trial| trial.finish(losses));
    let (spikes, largest) = (curve.spikes, curve.largest);
    Ok(Replay {
        column,
        losses,
        first,
        non_finite,
        empty_rows,
        window,
        spikes,
        largest,
        suggestion,
        suggested_from,
        trials,
        curve,
    })
}

/// Each configuration with its own start and with the suggested one, where they are permitted.
fn trials(configs: &[Config<f32>], suggestion: Option<Estimate>) -> Vec<Trial> {
    let both = configs.iter().flat_map(|config| {
        let suggested = suggestion.map(|start| (true, start.into()));
        let starts = [Some((false, config.start)), suggested].into_iter().flatten();
        starts.map(move |(is_suggested, start)| Trial::new(Config { start, ..*config }, is_suggested))
    });
    both.filter_map(Result::ok).collect()
}

impl Replay {
    /// The losses with their limits: a panel for each threshold.
    pub fn figure(&self) -> Figure {
        let panels = self.trials.chunk_by(|a, b| a.num_stddev == b.num_stddev).map(|trials| {
            let mut all = Vec::from(lines(&self.curve, &format!("average over {}", self.window), Hue::Blue));
            for trial in trials {
                let color = if trial.is_suggested { Hue::Vermilion } else { Hue::Green };
                let label = Some(format!("limit, {} start", trial.start_name()));
                all.push(Line { label, color, is_pale: false, points: trial.limits.points() });
            }
            let axis = Axis::of_losses(all.iter().flat_map(|line| &line.points).map(|point| point.1));
            Panel {
                title: format!("clipped at {} standard deviations", trials[0].num_stddev),
                names: ("logged value".to_owned(), self.column.clone()),
                end: self.losses as f64,
                axis,
                content: Content::Lines(all),
            }
        });
        Figure { panels: panels.collect(), columns: 1, panel_size: PANEL }
    }

    /// A table of the trials, in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| num-stddev | start | mu1-start | mu2-start | clipped | smallest scale | mu1 | mu2 | limit |\n\
             | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for trial in &self.trials {
            let number = |value: f32| number(f64::from(value));
            let [start, mu1, mu2] = match trial.start {
                Some(Estimate { mu1_start, mu2_start }) => {
                    [trial.start_name().to_owned(), mu1_start.to_string(), mu2_start.to_string()]
                }
                None => {
                    [format!("{}: warm-up {}", trial.start_name(), trial.warm_up), "–".into(), "–".into()]
                }
            };
            table += &format!(
                "| {} | {start} | {mu1} | {mu2} | {:.3} % | {} | {} | {} | {} |\n",
                trial.num_stddev,
                100.0 * trial.clipped_fraction,
                number(trial.smallest_scale),
                number(trial.mu1),
                number(trial.mu2),
                trial.limit.map_or("–".to_owned(), number),
            );
        }
        table
    }
}
