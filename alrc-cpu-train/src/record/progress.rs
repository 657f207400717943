//! Progress bars on a terminal, a plain line every few seconds elsewhere; both on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use tracing::info;

use crate::train::StepRecord;

/// Time between two lines where standard error is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Weight of the newest step in the displayed loss and clipped share.
const NEWEST: f64 = 0.05;

/// All bars of the process, which has one terminal.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Standard error as messages go to it: above the bars, not into them.
#[derive(Debug)]
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // To suspend bars is a panic where the terminal has been closed.
        if io::stderr().is_terminal() {
            BARS.suspend(|| io::stderr().write(bytes))
        } else {
            io::stderr().write(bytes)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A bar on a terminal, none elsewhere.
///
/// An empty line stands above the first: a terminal that shows Ctrl-C as `^C` moves down by a line, after which the
/// topmost line is not removed with the others.
fn bar(label: &str, first: u64, len: u64, style: &str) -> Option<ProgressBar> {
    static HAS_BARS: AtomicBool = AtomicBool::new(false);
    io::stderr().is_terminal().then(|| {
        let above = if HAS_BARS.swap(true, Ordering::Relaxed) { "" } else { "\n" };
        let style = ProgressStyle::with_template(&format!("{above}{style}"))
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = BARS.add(ProgressBar::new(len).with_style(style).with_position(first));
        bar.set_prefix(label.to_owned());
        bar
    })
}

/// Tells the time since the start, and whether a line is due.
#[derive(Debug)]
struct Clock {
    start: Instant,
    last_line: Instant,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self { start: now, last_line: now }
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn line_is_due(&mut self) -> bool {
        let due = self.last_line.elapsed() >= LINE_INTERVAL;
        if due {
            self.last_line = Instant::now();
        }
        due
    }

    /// The time for `left` pieces of work, if `done` have been done since the start.
    fn time_left(&self, done: u64, left: u64) -> String {
        duration(self.seconds() / done as f64 * left as f64)
    }
}

/// A time in words; `?` for one that is not finite.
pub fn duration(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds).map(HumanDuration);
    duration.map_or_else(|_| "?".to_owned(), |duration| duration.to_string())
}

/// The progress of one run.
///
/// Its speed is the mean since the run was started or resumed, from which the time left comes.
#[derive(Debug)]
pub struct Progress {
    label: String,
    steps: u64,
    bar: Option<ProgressBar>,
    clock: Clock,
    images: usize,
    /// Steps since the run was started or resumed.
    steps_here: u64,
    /// Running means over some twenty steps of the unclipped loss and of the clipped share.
    shown: Option<(f64, f64)>,
}

impl Progress {
    /// Shows a run of `steps` steps, `first` of which are done, under `label`.
    pub fn new(label: &str, first: u64, steps: u64) -> Self {
        Self {
            label: label.to_owned(),
            steps,
            bar: bar(label, first, steps, "{prefix} {wide_bar} {pos}/{len}\n{msg}"),
            clock: Clock::start(),
            images: 0,
            steps_here: 0,
            shown: None,
        }
    }

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
        self.steps_here += 1;

        let done = record.step + 1;
        let rate = self.images as f64 / self.clock.seconds();
        let limit = record.limit.map_or("off".to_owned(), |limit| format!("{limit:.3}"));
        let left = self.clock.time_left(self.steps_here, self.steps - done);
        let message = format!(
            "smoothed loss {loss:.3} limit {limit} clipped {:.0}% {rate:.1} images/s on average, {left} left",
            100.0 * clipped
        );
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(done);
        } else if self.clock.line_is_due() || done == self.steps {
            info!("{}: step {done}/{} {message}", self.label, self.steps);
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The progress of a series of runs, which may go on side by side.
///
/// Speed and time left come from what is trained here, from when the first run begins.
#[derive(Debug)]
pub struct Overall {
    label: String,
    bar: Option<ProgressBar>,
    state: Mutex<OverallState>,
}

#[derive(Debug)]
struct OverallState {
    clock: Option<Clock>,
    /// Images trained on here.
    trained: u64,
    /// Images that need no training any more.
    done: u64,
    /// Images of all runs that are to be trained here.
    images: u64,
    /// Runs that have ended.
    runs: usize,
}

impl Overall {
    /// Shows how far a series of runs has come, of which `runs` have ended; `done` of its `images` images need no
    /// training any more.
    pub fn new(label: &str, runs: usize, done: u64, images: u64) -> Self {
        let bar = bar(label, done, images, "{prefix} {wide_bar} {percent}%\n{msg}");
        let state = OverallState { clock: None, trained: 0, done, images, runs };
        Self { label: label.to_owned(), bar, state: Mutex::new(state) }
    }

    /// Takes in that a run begins, or goes on; instead of `expected` images, `done` need no training any more.
    pub fn run_begins(&self, expected: u64, done: u64) {
        self.update(|state| {
            state.done = (state.done + done).saturating_sub(expected);
            state.clock.get_or_insert_with(Clock::start);
        });
    }

    /// Takes in images on which a run has trained.
    pub fn trained(&self, images: u64) {
        self.update(|state| {
            state.trained += images;
            state.done += images;
        });
    }

    /// Takes in the end of a run.
    pub fn run_ends(&self) {
        self.update(|state| state.runs += 1);
    }

    /// Takes in that so many images are not to be trained here.
    pub fn leave_out(&self, images: u64) {
        self.update(|state| state.images = state.images.saturating_sub(images));
    }

    fn update(&self, change: impl FnOnce(&mut OverallState)) {
        // A poisoned lock only means that another thread has panicked, which ends the program anyway.
        let Ok(mut state) = self.state.lock() else { return };
        change(&mut state);
        let (runs, done, images) = (state.runs, state.done, state.images);
        let trained = state.trained;
        let Some(clock) = &mut state.clock else { return };
        let left = clock.time_left(trained, images.saturating_sub(done));
        let rate = trained as f64 / clock.seconds();
        let message = format!("{runs} runs done, {rate:.1} images/s on average, {left} left");
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_length(images);
            bar.set_position(done);
        } else if clock.line_is_due() {
            info!("{}: {:.1}% {message}", self.label, 100.0 * done as f64 / images.max(1) as f64);
        }
    }
}

/// The progress of a download.
#[derive(Debug)]
pub struct Download {
    label: String,
    size: u64,
    bar: Option<ProgressBar>,
    clock: Clock,
}

impl Download {
    /// Shows a download of `size` bytes.
    pub fn new(label: &str, size: u64) -> Self {
        let style = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        Self { label: label.to_owned(), size, bar: bar(label, 0, size, style), clock: Clock::start() }
    }

    /// Takes in how many bytes are there.
    pub fn at(&mut self, len: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(len);
        } else if self.clock.line_is_due() {
            info!("{}: {} of {}", self.label, HumanBytes(len), HumanBytes(self.size));
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three runs of 100 images: one was done before; of the second 50 seemed done, but a checkpoint is damaged and it
    /// goes on from 30; another process takes the third.
    #[test]
    fn what_was_done_before_is_not_training() {
        let overall = Overall::new("sweep", 1, 150, 300);
        overall.run_begins(50, 30);
        overall.trained(20);
        overall.leave_out(100);
        overall.run_ends();
        let state = overall.state.lock().unwrap();
        assert_eq!((state.trained, state.done, state.images, state.runs), (20, 150, 200, 2));
    }

    /// The clock of the speed starts with the first run, not with what comes before it.
    #[test]
    fn preparation_does_not_count_into_the_speed() {
        let overall = Overall::new("sweep", 0, 0, 100);
        assert!(overall.state.lock().unwrap().clock.is_none());
        overall.run_begins(0, 0);
        assert!(overall.state.lock().unwrap().clock.is_some());
    }
}
