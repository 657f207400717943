//! One setting with and without clipping, on the same seeds and data.

use std::collections::BTreeSet;
use std::path::Path;

use indicatif::HumanCount;
use serde::{Deserialize, Serialize};

use super::files::{lock, read_toml, save, save_toml};
use super::grid::GridRun;
use super::run::{self, RunError};
use super::sweep::{Datasets, Outcome, Swept, share_threads, sweep};
use crate::config::{Config, ConfigError};
use crate::record::files::{COMPARISON, is_run};
use crate::record::summary::{Ending, Summary};
use crate::report::axis::Axis;
use crate::report::curves::LossCurve;
use crate::report::figures::{clipping, color, lines, loss_panel};
use crate::report::plots::{Figure, Line, Panel};
use crate::report::runs::Run;
use crate::signal::Stop;

/// Width and height of the plot of a seed, in pixels.
const PANEL: (u32, u32) = (900, 330);

/// How many seeds there may be.
pub const PERMITTED_SEEDS: &str = "1 to 100";

/// What the threshold of the clipping may be.
pub const PERMITTED_THRESHOLDS: &str =
    "one number from 0 to 1e9 (sweep takes several); runs without clipping are made anyway";

/// What is compared: runs of one configuration with and without its clipping.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Pairs of runs, with successive seeds from the configured one on.
    pub seeds: u64,
    /// The configuration of all runs but for seed and clipping; its clipping is on.
    pub options: Config,
}

/// A comparison as its file tells it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    seeds: u64,
    /// CRC-32 of the images of the first seed.
    images: u32,
    options: Config,
}

/// One of the runs.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its seed.
    pub seed: u64,
    /// Standard deviations at which its losses were clipped; none: not at all.
    pub num_stddev: Option<f32>,
    /// Steps whose unclipped loss stood out; see [`LossCurve::spikes`].
    pub spikes: u64,
    /// Its largest unclipped loss; none if no loss was finite.
    pub largest_unclipped_loss: Option<f64>,
    /// The rest.
    pub summary: Summary,
}

impl Comparison {
    /// Whether every value lies in its range, in each of the runs; the error names the first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { seeds, options } = self;
        if !(1..=100).contains(seeds) {
            let (option, value) = ("seeds", seeds.to_string());
            return Err(ConfigError { option, value, permitted: PERMITTED_SEEDS.into() });
        }
        if options.num_stddev.is_none() {
            let (option, value) = ("num-stddev", "off".to_owned());
            return Err(ConfigError { option, value, permitted: PERMITTED_THRESHOLDS.into() });
        }
        self.runs().iter().try_for_each(|run| run.config.validate())
    }

    /// The comparison in `directory`, none where there is none; an error if it is a run.
    pub fn read(directory: &Path) -> Result<Option<Self>, RunError> {
        run::check_is_no_run(directory)?;
        Ok(Description::read(directory)?.map(|found| found.comparison()))
    }

    /// Trains the runs, as many side by side as there are threads, and writes their files, `curves.svg` and
    /// `curves.png` to `directory`. What is there is finished, not done again, with `resume`, and an error without.
    /// An error, before anything is written, if it is a run, or another comparison, has more seeds or steps or other
    /// images, if another process is at work there, or if its runs cannot begin.
    ///
    /// Returns the runs that have been begun; an error, when the others have been trained and drawn, if one of them
    /// cannot go on.
    pub fn carry_out(&self, directory: &Path, resume: bool, stop: &Stop) -> Result<Vec<Compared>, RunError> {
        let is_new = self.check(directory, resume)?.is_none();
        let datasets = Datasets::default();
        // Data that cannot be read are refused before anything is written; the first runs use what is read here.
        let first = datasets.load(&self.options)?;
        let images = first.checksum();
        if is_new {
            run::at_first_step(self.options.clone(), first)?;
        }
        let _lock = lock(directory)?;
        // Again, for what another process may have done since.
        if let Some(found) = self.check(directory, resume)? {
            let began_with = (&*found.options.data, found.images);
            run::check_images(directory, began_with, (&self.options.data, images))?;
        }
        let description = Description { seeds: self.seeds, images, options: self.options.clone() };
        save_toml(&directory.join(COMPARISON), &description)?;

        let runs = self.runs();
        let jobs = self.options.threads.min(runs.len());
        let runs = share_threads(runs, jobs);
        let swept = sweep(runs.clone(), directory, jobs, "compare", &datasets, stop)?;
        let (mut trained, mut failure) = (Vec::new(), None);
        for (run, swept) in runs.into_iter().zip(swept) {
            match Trained::new(run.config, swept) {
                Ok(begun) => trained.extend(begun),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if !trained.is_empty() {
            let figure = Figure { panels: panels(&trained), columns: 1, panel_size: PANEL };
            save(&directory.join("curves.svg"), figure.svg()?.as_bytes())?;
            save(&directory.join("curves.png"), &figure.png()?)?;
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(trained.into_iter().map(Trained::compared).collect()),
        }
    }

    /// The comparison in `directory`, none where there is none; an error if it is not to be resumed, or if this one
    /// would not continue it.
    fn check(&self, directory: &Path, resume: bool) -> Result<Option<Description>, RunError> {
        run::check_is_no_run(directory)?;
        let runs = self.runs();
        if !resume {
            let is_occupied = directory.join(COMPARISON).exists()
                || runs.iter().any(|run| is_run(&directory.join(&run.name)));
            return if is_occupied { Err(RunError::Occupied(directory.to_owned())) } else { Ok(None) };
        }
        let found = Description::read(directory)?;
        if let Some((made_with, wanted)) = found.as_ref().and_then(|found| found.difference(self)) {
            return Err(RunError::OtherRun { directory: directory.to_owned(), made_with, wanted });
        }
        for run in &runs {
            run::check_config(&run.config, &directory.join(&run.name))?;
        }
        Ok(found)
    }

    /// For each seed a run without clipping and one with it.
    fn runs(&self) -> Vec<GridRun> {
        let first = self.options.seed;
        let seeds = first..first.saturating_add(self.seeds);
        let configs = seeds.flat_map(|seed| {
            [None, self.options.num_stddev].map(|num_stddev| Config {
                seed,
                num_stddev,
                ..self.options.clone()
            })
        });
        configs.map(|config| GridRun { name: name(&config), config }).collect()
    }
}

impl Description {
    fn read(directory: &Path) -> Result<Option<Self>, RunError> {
        read_toml(&directory.join(COMPARISON), |found: &Self| found.comparison().validate())
    }

    fn comparison(&self) -> Comparison {
        Comparison { seeds: self.seeds, options: self.options.clone() }
    }

    /// The first option, here and there, in which `wanted` is not this comparison gone on with: seeds and steps may
    /// grow, and what determines the results stays.
    fn difference(&self, wanted: &Comparison) -> Option<(String, String)> {
        let shrinks = |option, found: u64, wanted: u64| {
            (wanted < found).then(|| (format!("--{option} {found}"), format!("--{option} {wanted}")))
        };
        wanted
            .options
            .first_difference(&self.options.defining())
            .or_else(|| shrinks("seeds", self.seeds, wanted.seeds))
            .or_else(|| shrinks("steps", self.options.steps, wanted.options.steps))
    }
}

/// The name of a run in its comparison.
fn name(config: &Config) -> String {
    match config.num_stddev {
        Some(n) => format!("seed-{}-clipped-at-{n}", config.seed),
        None => format!("seed-{}-unclipped", config.seed),
    }
}

/// A run and the losses of its steps.
struct Trained {
    config: Config,
    curve: LossCurve,
    summary: Summary,
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
    /// What a run has left; none if it has not been begun.
    fn new(config: Config, swept: Swept) -> Result<Option<Self>, RunError> {
        let summary = match swept.outcome {
            Outcome::Skipped(summary) | Outcome::Trained(summary) => summary,
            Outcome::Elsewhere => return Err(RunError::Locked(swept.directory)),
            Outcome::Failed(error) => return Err(error),
            Outcome::NotBegun => return Ok(None),
        };
        let curve = Run::read(&swept.directory)?.curve;
        Ok(Some(Self { config, curve, summary }))
    }

    fn lines(&self) -> [Line; 2] {
        let threshold = self.config.num_stddev;
        lines(&self.curve, &clipping(threshold), color(threshold))
    }

    fn compared(self) -> Compared {
        Compared {
            seed: self.config.seed,
            num_stddev: self.config.num_stddev,
            spikes: self.curve.spikes,
            largest_unclipped_loss: Some(self.curve.largest).filter(|largest| largest.is_finite()),
            summary: self.summary,
        }
    }
}

/// A table of the runs, in Markdown.
pub fn table(runs: &[Compared]) -> String {
    let mut table = String::from(
        "| seed | clipping | mean of the last losses | spikes | largest loss | clipped | median images/s |\n\
         | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    // A run may have been resumed by itself, and gone farther than the others.
    let finished = runs.iter().filter(|run| run.summary.ending == Ending::Finished);
    let of_one_length = finished.map(|run| run.summary.steps).collect::<BTreeSet<_>>().len() <= 1;
    for run in runs {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let clipping = run.num_stddev.map_or("off".to_owned(), |n| format!("{n} standard deviations"));
        let ending = match run.summary.ending {
            Ending::Interrupted => format!(" (interrupted after {} steps)", HumanCount(run.summary.steps)),
            _ if run.summary.has_diverged() => " (diverged)".to_owned(),
            _ if !of_one_length => format!(" ({} steps)", HumanCount(run.summary.steps)),
            _ => String::new(),
        };
        table += &format!(
            "| {} | {clipping}{ending} | {} | {} | {} | {:.1} % | {} |\n",
            run.seed,
            number(run.summary.mean_last_unclipped_loss, 3),
            run.spikes,
            number(run.largest_unclipped_loss, 1),
            100.0 * run.summary.clipped_fraction,
            number(run.summary.images_per_second, 1),
        );
    }
    table
}
