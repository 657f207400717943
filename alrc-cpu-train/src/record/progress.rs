//! A progress bar on a terminal, a plain line every few seconds elsewhere; both on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::train::StepRecord;

/// Time between two lines where standard error is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Weight of the newest step in the displayed loss and clipped share.
const NEWEST: f64 = 0.05;

/// The progress of several runs at a time.
#[derive(Debug, Default)]
pub struct Board {
    bars: MultiProgress,
}

impl Board {
    /// Shows a run of `steps` steps under `label`.
    pub fn run(&self, label: &str, steps: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{prefix} {wide_bar} {pos}/{len} {msg} {eta} left";
            let bar = self.bars.add(ProgressBar::new(steps));
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(label.to_owned());
            bar
        });
        let now = Instant::now();
        Progress { label: label.to_owned(), steps, bar, start: now, last_line: now, images: 0, shown: None }
    }
}

/// The progress of one run.
#[derive(Debug)]
pub struct Progress {
    label: String,
    steps: u64,
    bar: Option<ProgressBar>,
    start: Instant,
    last_line: Instant,
    images: usize,
    /// Running means of the unclipped loss and of the clipped share.
    shown: Option<(f64, f64)>,
}

impl Progress {
    /// Takes in a step.
    pub fn step(&mut self, record: &StepRecord) {
        let share = record.clipped as f64 / record.images.len() as f64;
        let (loss, clipped) = self.shown.unwrap_or((record.unclipped_loss, share));
        let loss = if loss.is_nan() {
            record.unclipped_loss
        } else {
            loss + NEWEST * (record.unclipped_loss - loss)
        };
        let clipped = clipped + NEWEST * (share - clipped);
        self.shown = Some((loss, clipped));
        self.images += record.images.len();

        let rate = self.images as f64 / self.start.elapsed().as_secs_f64();
        let limit = record.limit.map_or("off".to_owned(), |limit| format!("{limit:.3}"));
        let message =
            format!("loss {loss:.3} limit {limit} clipped {:.0}% {rate:.1} images/s", 100.0 * clipped);
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(record.step + 1);
        } else if self.last_line.elapsed() >= LINE_INTERVAL || record.step + 1 == self.steps {
            self.last_line = Instant::now();
            let done = record.step + 1;
            let left = self.start.elapsed().as_secs_f64() / done as f64 * (self.steps - done) as f64;
            eprintln!("{} step {done}/{} {message}, {left:.0} s left", self.label, self.steps);
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
