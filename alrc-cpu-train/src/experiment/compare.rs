//! One setting with and without clipping, on the same seeds and data.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::run::{self, Run, RunError};
use super::side_by_side::side_by_side;
use crate::config::Config;
use crate::data::Dataset;
use crate::record::progress::Board;
use crate::record::summary::{Ending, Summary};
use crate::report::axis::Axis;
use crate::report::curves::{LossCurve, window};
use crate::report::figures::{clipping, color, lines, loss_panel};
use crate::report::plots::{Figure, Line, Panel};
use crate::signal::Stop;

/// Width and height of the plot of a seed, in pixels.
const PANEL: (u32, u32) = (900, 330);

/// One of the runs.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its seed.
    pub seed: u64,
    /// Standard deviations at which its losses were clipped; none: not at all.
    pub num_stddev: Option<f32>,
    /// Steps whose unclipped loss stood out; see [`LossCurve::spikes`].
    pub spikes: u64,
    /// Its largest unclipped loss.
    pub largest_unclipped_loss: f64,
    /// The rest.
    pub summary: Summary,
}

/// Trains `config` with clipping and without for each seed, as many runs side by side as there are threads, and
/// writes their files, `curves.svg` and `curves.png` to `directory`.
pub fn compare(
    config: &Config,
    seeds: u64,
    directory: &Path,
    stop: &Stop,
) -> Result<Vec<Compared>, RunError> {
    let dataset = Arc::new(run::load(config)?);
    let configs: Vec<Config> = (config.seed..config.seed.saturating_add(seeds))
        .flat_map(|seed| {
            [None, config.num_stddev].map(|num_stddev| Config { seed, num_stddev, ..config.clone() })
        })
        .collect();
    let jobs = config.threads.min(configs.len());
    let board = Board::default();
    let runs = side_by_side(jobs, configs, |run| {
        let run = Config { threads: config.threads / jobs, ..run };
        train(run, Arc::clone(&dataset), directory, &board, stop)
    })?;
    let figure = Figure { panels: panels(&runs), columns: 1, panel_size: PANEL };
    run::save(&directory.join("curves.svg"), figure.svg()?.as_bytes())?;
    run::save(&directory.join("curves.png"), &figure.png()?)?;
    Ok(runs.into_iter().map(Trained::compared).collect())
}

/// A run and the losses of its steps.
struct Trained {
    config: Config,
    curve: LossCurve,
    summary: Summary,
}

fn train(
    config: Config,
    dataset: Arc<Dataset>,
    directory: &Path,
    board: &Board,
    stop: &Stop,
) -> Result<Trained, RunError> {
    let label = label(&config);
    let run = Run::create(config.clone(), dataset, &directory.join(label.replace(' ', "-")))?;
    let mut progress = board.run(&label, 0, config.steps);
    let mut curve = LossCurve::new(window(config.steps));
    let summary = run.train(Some(&mut progress), stop, |record| curve.push(record.unclipped_loss))?;
    Ok(Trained { config, curve, summary })
}

/// The name of a run in its comparison.
fn label(config: &Config) -> String {
    match config.num_stddev {
        Some(n) => format!("seed {} clipped at {n}", config.seed),
        None => format!("seed {} unclipped", config.seed),
    }
}

/// A panel for each seed.
fn panels(runs: &[Trained]) -> Vec<Panel> {
    let of_seed = runs.chunk_by(|a, b| a.config.seed == b.config.seed);
    let panel = |runs: &[Trained]| {
        let lines: Vec<_> = runs.iter().flat_map(Trained::lines).collect();
        let axis = Axis::of_losses(lines.iter().flat_map(|line| &line.points).map(|point| point.1));
        let title = format!("seed {}", runs[0].config.seed);
        loss_panel(title, lines, axis, runs[0].config.steps as f64)
    };
    of_seed.map(panel).collect()
}

impl Trained {
    fn lines(&self) -> [Line; 2] {
        let threshold = self.config.num_stddev;
        lines(&self.curve, &clipping(threshold), color(threshold))
    }

    fn compared(self) -> Compared {
        Compared {
            seed: self.config.seed,
            num_stddev: self.config.num_stddev,
            spikes: self.curve.spikes,
            largest_unclipped_loss: self.curve.largest,
            summary: self.summary,
        }
    }
}

/// A table of the runs, in Markdown.
pub fn table(runs: &[Compared]) -> String {
    let mut table = String::from(
        "| seed | clipping | mean loss of the last tenth | spikes | largest loss | clipped | images/s |\n\
         | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for run in runs {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let clipping = run.num_stddev.map_or("off".to_owned(), |n| format!("{n} standard deviations"));
        let ending = match run.summary.ending {
            Ending::Finished => "",
            Ending::Interrupted => " (interrupted)",
            Ending::Diverged => " (diverged)",
        };
        table += &format!(
            "| {} | {clipping}{ending} | {} | {} | {:.1} | {:.1} % | {} |\n",
            run.seed,
            number(run.summary.mean_last_unclipped_loss),
            run.spikes,
            run.largest_unclipped_loss,
            100.0 * run.summary.clipped_fraction,
            number(run.summary.images_per_second),
        );
    }
    table
}
