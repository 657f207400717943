//! One setting with and without clipping, on the same seeds and data.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::run::{self, RunError};
use crate::config::Config;
use crate::record::progress::Board;
use crate::record::summary::{Ending, Summary};
use crate::report::plots::{self, Curve, Panel};

/// A loss above so many times the running average of its run counts as a spike.
const SPIKE: f64 = 5.0;

/// Steps of the running average, at most; a shorter comparison takes a thirtieth of its steps.
const WINDOW: usize = 500;

/// One of the runs.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its seed.
    pub seed: u64,
    /// Standard deviations at which its losses were clipped; none: not at all.
    pub num_stddev: Option<f32>,
    /// Steps whose unclipped loss was above five times the average of the steps before.
    pub spikes: usize,
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
    stop: &AtomicBool,
) -> Result<Vec<Compared>, RunError> {
    run::create_directory(directory)?;
    let dataset = run::load(config)?;
    let configs: Vec<Config> = (config.seed..config.seed + seeds)
        .flat_map(|seed| {
            [None, config.num_stddev].map(|num_stddev| Config { seed, num_stddev, ..config.clone() })
        })
        .collect();
    let side_by_side = config.threads.min(configs.len());
    let board = Board::default();
    let queue = Mutex::new(configs.iter().enumerate());
    let results = Mutex::new(Vec::new());

    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let next = queue.lock().map(|mut queue| queue.next());
                    let Ok(Some((index, config))) = next else { return };
                    let threads = config.threads / side_by_side;
                    let config = Config { threads, ..config.clone() };
                    let result = train(&config, dataset.clone(), directory, &board, stop);
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                }
            });
        }
    });

    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(index, _)| *index);
    let runs = results.into_iter().map(|(_, result)| result).collect::<Result<Vec<_>, _>>()?;
    let window = (config.steps as usize / 30).clamp(1, WINDOW);
    let panels = panels(&runs);
    let unwritable = |error| std::io::Error::other(error);
    run::save(
        &directory.join("curves.svg"),
        plots::svg(&panels, window).map(String::into_bytes).map_err(unwritable),
    )?;
    run::save(&directory.join("curves.png"), plots::png(&panels, window).map_err(unwritable))?;
    Ok(runs.into_iter().map(|run| run.compared(window)).collect())
}

/// A run and the losses of its steps.
struct Trained {
    config: Config,
    losses: Vec<f64>,
    summary: Summary,
}

fn train(
    config: &Config,
    dataset: crate::data::Dataset,
    directory: &Path,
    board: &Board,
    stop: &AtomicBool,
) -> Result<Trained, RunError> {
    let label = label(config);
    let directory = directory.join(label.replace(' ', "-"));
    run::create_directory(&directory)?;
    let mut trainer = run::prepare(config, dataset)?;
    let mut progress = board.run(&label, config.steps);
    let mut losses = Vec::new();
    let summary =
        run::run(&mut trainer, &directory, &mut progress, stop, |record| losses.push(record.unclipped_loss))?;
    Ok(Trained { config: config.clone(), losses, summary })
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
    of_seed
        .map(|runs| Panel {
            title: format!("seed {}", runs[0].config.seed),
            curves: runs.iter().map(Trained::curve).collect(),
        })
        .collect()
}

impl Trained {
    fn curve(&self) -> Curve {
        let label = match self.config.num_stddev {
            Some(n) => format!("clipped at {n} standard deviations"),
            None => "without clipping".to_owned(),
        };
        Curve { label, losses: self.losses.clone() }
    }

    fn compared(self, window: usize) -> Compared {
        let averages = plots::boxcar(&self.losses, window);
        let spikes =
            self.losses.iter().skip(1).zip(&averages).filter(|(loss, average)| **loss > SPIKE * **average);
        Compared {
            seed: self.config.seed,
            num_stddev: self.config.num_stddev,
            spikes: spikes.count(),
            largest_unclipped_loss: self
                .losses
                .iter()
                .copied()
                .filter(|loss| loss.is_finite())
                .fold(0.0, f64::max),
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
