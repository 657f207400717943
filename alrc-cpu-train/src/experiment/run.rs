//! One training run, with everything that it writes.

mod error;
mod newest;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::RunError;
use newest::Newest;
use tracing::{Span, debug_span, info};

use super::files::{lock, read_toml, save, save_toml, unwritable};
use crate::checkpoint;
use crate::comm::{Communicator, Single, agreement};
use crate::config::Config;
use crate::data::Dataset;
use crate::data::cifar10::DataError;
use crate::files::{DirectoryLock, sync_directory};
use crate::record::events::EventWriter;
use crate::record::files::{self, CHECKPOINTS, CONFIG, EVENTS, LOSSES, SAMPLES, SUMMARY};
use crate::record::losses::LossWriter;
use crate::record::progress::Progress;
use crate::record::samples;
use crate::record::summary::{Counters, Ending, Statistics, Summary};
use crate::signal::Stop;
use crate::train::{StepRecord, Trainer};

/// A run without one finite loss in so many successive steps has diverged.
pub(crate) const LOST_STEPS: u32 = 10;

/// A run that has been begun.
pub struct Run {
    /// The network and where its training stands.
    pub trainer: Trainer,
    communicator: Arc<dyn Communicator>,
    statistics: Statistics,
    /// Of several ranks only the first writes.
    files: Option<Files>,
}

/// A run to go on with.
pub enum Resumed {
    /// It has something left to do.
    Unfinished(Box<Run>),
    /// It has nothing left to do.
    Finished(Summary),
}

impl Resumed {
    /// The summary of a run that has nothing left to do.
    pub fn finished(&self) -> Option<&Summary> {
        match self {
            Self::Unfinished(_) => None,
            Self::Finished(summary) => Some(summary),
        }
    }
}

/// The files of a run, open.
struct Files {
    directory: PathBuf,
    checkpoints: checkpoint::Directory,
    losses: LossWriter,
    events: EventWriter,
    /// The newest checkpoint.
    good: Option<PathBuf>,
    /// Whether it is not known yet that a step from the newest checkpoint has a finite loss.
    is_untried: bool,
    _lock: DirectoryLock,
}

impl Run {
    /// Begins a run in `directory`, which must not hold one. Nothing is written if the starting parameters cannot be
    /// read.
    pub fn create(config: Config, dataset: Arc<Dataset>, directory: &Path) -> Result<Self, RunError> {
        let check = || {
            let is_run = directory.join(CONFIG).exists();
            if is_run { Err(RunError::Occupied(directory.to_owned())) } else { check_room(directory) }
        };
        check()?;
        let trainer = at_first_step(config, dataset)?;
        let lock = lock(directory)?;
        // Again, for what another process may have done since.
        check()?;
        Self::start(trainer, directory, lock)
    }

    /// Continues the run in `directory` from its newest good checkpoint, with the options in `config` that do not
    /// determine its results; begins it where there is no run. Nothing is written if starting parameters are needed and
    /// cannot be read, or if there is nothing left to do.
    pub fn resume(config: Config, dataset: Arc<Dataset>, directory: &Path) -> Result<Resumed, RunError> {
        let is_new = check_config(&config, directory)?.is_none();
        let mut trainer = Trainer::open(config, dataset)?;
        if is_new {
            check_room(directory)?;
            read_init(&mut trainer)?;
        }
        let lock = lock(directory)?;
        // Again, for what another process may have done since.
        if let Some(found) = check_config(&trainer.config, directory)? {
            let images = || Ok(trainer.dataset().checksum());
            if let Some(summary) = nothing_left(&trainer.config, directory, images)? {
                return Ok(Resumed::Finished(summary));
            }
            let checkpoints = checkpoint::Directory::new(directory.join(CHECKPOINTS), trainer.config.keep);
            if let Some(newest) = Newest::restore(&checkpoints, &mut trainer, directory, &found.data)? {
                info!("continuing after step {} from {}", trainer.step, newest.checkpoint.display());
                let path = directory.join(EVENTS);
                let files = Files {
                    directory: directory.to_owned(),
                    checkpoints,
                    losses: newest.losses,
                    events: EventWriter::resume(&path, trainer.step).map_err(unwritable(&path))?,
                    good: Some(newest.checkpoint),
                    is_untried: true,
                    _lock: lock,
                };
                save_toml(&directory.join(CONFIG), &trainer.config)?;
                let run = Self::new(trainer, newest.statistics, Some(files));
                return Ok(Resumed::Unfinished(Box::new(run)));
            }
            info!("no checkpoint yet: starting from the first step");
        }
        if !is_new {
            read_init(&mut trainer)?;
        }
        Ok(Resumed::Unfinished(Box::new(Self::start(trainer, directory, lock)?)))
    }

    /// Opens the files of a run that is at its first step.
    fn start(trainer: Trainer, directory: &Path, lock: DirectoryLock) -> Result<Self, RunError> {
        let checkpoints = directory.join(CHECKPOINTS);
        std::fs::create_dir_all(&checkpoints).map_err(unwritable(&checkpoints))?;
        save_toml(&directory.join(CONFIG), &trainer.config)?;
        let (losses, events) = (directory.join(LOSSES), directory.join(EVENTS));
        let files = Files {
            directory: directory.to_owned(),
            checkpoints: checkpoint::Directory::new(checkpoints, trainer.config.keep),
            losses: LossWriter::create(&losses).map_err(unwritable(&losses))?,
            events: EventWriter::create(&events).map_err(unwritable(&events))?,
            good: None,
            is_untried: false,
            _lock: lock,
        };
        // No checkpoint may outlive a power cut that takes the names of these files.
        sync_directory(directory).map_err(unwritable(directory))?;
        let statistics = Statistics::new(&trainer.config, Counters::default());
        Ok(Self::new(trainer, statistics, Some(files)))
    }

    /// A run on a rank that writes nothing; [`join`](Self::join) gives it its state.
    pub fn without_files(config: Config, dataset: Arc<Dataset>) -> Result<Self, RunError> {
        let statistics = Statistics::new(&config, Counters::default());
        Ok(Self::new(Trainer::open(config, dataset)?, statistics, None))
    }

    fn new(trainer: Trainer, statistics: Statistics, files: Option<Files>) -> Self {
        Self { trainer, communicator: Arc::new(Single), statistics, files }
    }

    /// Has this run go on together with those of the other ranks, from the state of rank 0. With `overlap`, gradients
    /// are summed while the backward pass goes on.
    pub fn join(&mut self, communicator: Arc<dyn Communicator>, overlap: bool) -> Result<(), RunError> {
        if communicator.size() > 1 {
            let path = Path::new("the state of rank 0");
            let own = checkpoint::to_bytes(path, &self.trainer, &self.statistics.counters)?;
            let state = agreement::from_first(&*communicator, &own);
            self.statistics.counters = checkpoint::restore_bytes(&state, path, &mut self.trainer)?;
        }
        self.trainer.join(Arc::clone(&communicator), overlap)?;
        self.communicator = communicator;
        Ok(())
    }

    /// Trains to the last step on `threads` threads of the configuration.
    ///
    /// Ends early when `stop` asks for it, on any rank, or when the loss has not been finite for ten steps; what has
    /// been trained is saved. `observe` is called after each step.
    pub fn train(
        mut self,
        mut progress: Option<&mut Progress>,
        stop: &Stop,
        observe: impl FnMut(&StepRecord) + Send,
    ) -> Result<Summary, RunError> {
        let first = self.trainer.step;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.trainer.config.threads).build()?;
        // All steps on the pool's own threads: to wake one for each step, and to be woken, would take time.
        let span = Span::current();
        let ending = pool.install(|| span.in_scope(|| self.steps(progress.as_deref_mut(), stop, observe)))?;
        if let Some(progress) = progress {
            progress.finish();
        }
        self.trainer.fetch()?;
        let has_trained = self.trainer.step > first;
        if let Some(files) = &mut self.files
            && has_trained
        {
            files.save_samples(&self.trainer)?;
        }
        self.save_checkpoint()?;
        if let Some(files) = &mut self.files
            && ending == Ending::Finished
            && self.statistics.counters.lost_steps == 0
        {
            // No step follows that could try the last checkpoint.
            files.remove_old(self.trainer.step + 1)?;
        }
        self.finish(ending, has_trained)
    }

    /// One step after the other, until there is a reason to end.
    fn steps(
        &mut self,
        mut progress: Option<&mut Progress>,
        stop: &Stop,
        mut observe: impl FnMut(&StepRecord),
    ) -> Result<Ending, RunError> {
        let Config { steps, checkpoint_every, .. } = self.trainer.config;
        loop {
            if self.statistics.counters.lost_steps >= LOST_STEPS {
                return Ok(Ending::Diverged);
            }
            if self.trainer.step >= steps {
                return Ok(Ending::Finished);
            }
            // A signal that comes from here on counts before the next step: all ranks must stop after the same one.
            let signal = agreement::greatest(&*self.communicator, stop.signal());
            if signal != 0 {
                stop.ask(signal);
                return Ok(Ending::Interrupted);
            }
            let record = self.step()?;
            if let Some(progress) = &mut progress {
                progress.step(&record);
            }
            observe(&record);
            if self.trainer.step.is_multiple_of(checkpoint_every) && self.trainer.step < steps {
                self.save_checkpoint()?;
            }
        }
    }

    /// One step, and what is recorded of it.
    fn step(&mut self) -> Result<StepRecord, RunError> {
        let _step = debug_span!("step").entered();
        let record = self.trainer.try_step()?;
        let _recording = debug_span!("recording").entered();
        self.statistics.step(&record);
        if let Some(files) = &mut self.files {
            files.record(&record)?;
            if !record.is_lost() {
                files.remove_old(self.trainer.step)?;
            }
        }
        Ok(record)
    }

    fn save_checkpoint(&mut self) -> Result<(), RunError> {
        let Some(files) = &mut self.files else { return Ok(()) };
        self.trainer.fetch()?;
        files.save_checkpoint(&self.trainer, &self.statistics.counters)
    }

    fn finish(self, ending: Ending, has_trained: bool) -> Result<Summary, RunError> {
        let good = self.files.as_ref().and_then(|files| files.good.clone());
        let images = self.trainer.dataset().checksum();
        let mut summary = self.statistics.summary(ending, images, good);
        if let Some(files) = self.files {
            if !has_trained && let Ok(Some(former)) = Summary::read(&files.directory) {
                summary.take_speed(&former);
            }
            let path = files.directory.join(SUMMARY);
            let json = serde_json::to_vec_pretty(&summary).map_err(io::Error::other);
            save(&path, &json.map_err(unwritable(&path))?)?;
        }
        Ok(summary)
    }
}

impl Files {
    fn record(&mut self, record: &StepRecord) -> Result<(), RunError> {
        self.losses.write(record).map_err(|source| self.unwritable(LOSSES, source))?;
        self.events.write_step(record).map_err(|source| self.unwritable(EVENTS, source))
    }

    /// Saves the state, unless it holds a NaN or an infinity; the losses go to the disk first, so that they are never
    /// older than a checkpoint.
    fn save_checkpoint(&mut self, trainer: &Trainer, counters: &Counters) -> Result<(), RunError> {
        if !trainer.is_finite() {
            return Ok(());
        }
        self.losses.sync().map_err(|source| self.unwritable(LOSSES, source))?;
        self.events.sync().map_err(|source| self.unwritable(EVENTS, source))?;
        self.good = Some(self.checkpoints.write(trainer, counters)?);
        self.is_untried = true;
        Ok(())
    }

    /// Removes the checkpoint that was kept in case the newest is of no use, once `finite_steps` steps have come to a
    /// finite loss.
    fn remove_old(&mut self, finite_steps: u64) -> Result<(), RunError> {
        if std::mem::take(&mut self.is_untried) {
            self.checkpoints.remove_old(finite_steps)?;
        }
        Ok(())
    }

    /// Draws the images of the last step.
    fn save_samples(&mut self, trainer: &Trainer) -> Result<(), RunError> {
        let path = self.directory.join(SAMPLES);
        let sheet = samples::draw(trainer).map_err(io::Error::other).map_err(unwritable(&path))?;
        save(&path, &sheet.png)?;
        let last_step = trainer.step - 1;
        let written = self.events.write_samples(last_step, &sheet);
        written.map_err(|source| self.unwritable(EVENTS, source))
    }

    fn unwritable(&self, file: &str, source: io::Error) -> RunError {
        RunError::Unwritable { path: self.directory.join(file), source }
    }
}

/// Takes the starting parameters from the file that the configuration names, if it names one.
fn read_init(trainer: &mut Trainer) -> Result<(), RunError> {
    let Some(path) = &trainer.config.init else { return Ok(()) };
    let (layout, parameters) = (trainer.network.layout(), &mut trainer.parameters);
    checkpoint::read_parameters(path, layout, parameters).map_err(RunError::Init)
}

/// What a new run begins with; an error if there is no memory or no device for it, or if its starting parameters cannot
/// be read.
pub(super) fn at_first_step(config: Config, dataset: Arc<Dataset>) -> Result<Trainer, RunError> {
    let mut trainer = Trainer::open(config, dataset)?;
    read_init(&mut trainer)?;
    Ok(trainer)
}

/// The configuration of the run in `directory`; none where there is no run.
pub fn read_config(directory: &Path) -> Result<Option<Config>, RunError> {
    read_toml(&directory.join(CONFIG), Config::validate)
}

/// An error if `directory`, in which there is no run, holds other results.
fn check_room(directory: &Path) -> Result<(), RunError> {
    if files::holds_results(directory) { Err(RunError::NoRun(directory.to_owned())) } else { Ok(()) }
}

/// An error if `directory`, which is to hold several runs, is one.
pub(super) fn check_is_no_run(directory: &Path) -> Result<(), RunError> {
    if directory.join(CONFIG).exists() { Err(RunError::InRun(directory.to_owned())) } else { Ok(()) }
}

/// The configuration of the run in `directory`, none where there is no run; an error if `config` would not continue it.
pub fn check_config(config: &Config, directory: &Path) -> Result<Option<Config>, RunError> {
    let Some(found) = read_config(directory)? else { return Ok(None) };
    match found.first_difference(&config.defining()) {
        Some((wanted, made_with)) => {
            Err(RunError::OtherRun { directory: directory.to_owned(), made_with, wanted })
        }
        None => Ok(Some(found)),
    }
}

/// An error unless the images of `--data` that are given have the checksum of those with which `directory` was begun.
pub(super) fn check_images(
    directory: &Path,
    began_with: (&str, u32),
    given: (&str, u32),
) -> Result<(), RunError> {
    if began_with.1 == given.1 {
        return Ok(());
    }
    Err(RunError::OtherData {
        path: directory.to_owned(),
        began_with: began_with.0.to_owned(),
        given: given.0.to_owned(),
        checksums: (began_with.1, given.1),
    })
}

/// The summary of the run in `directory`, if `config` leaves nothing of it to do; an error if it is another run, or had
/// other images. `images` gives the checksum of those that `config` names, if these must be looked at.
pub fn nothing_left(
    config: &Config,
    directory: &Path,
    images: impl FnOnce() -> Result<u32, DataError>,
) -> Result<Option<Summary>, RunError> {
    let Some(found) = check_config(config, directory)? else { return Ok(None) };
    let Some(summary) = finished(directory, config.steps) else { return Ok(None) };
    if found.data != config.data
        && let Some(began_with) = summary.images_crc32
    {
        check_images(directory, (&found.data, began_with), (&config.data, images()?))?;
    }
    Ok(Some(summary))
}

/// The summary of the run in `directory`, if it has come to its last step or has diverged.
pub fn finished(directory: &Path, steps: u64) -> Option<Summary> {
    Summary::read(directory)
        .ok()?
        .filter(|summary| directory.join(CONFIG).exists() && summary.is_final(steps))
}

/// How many of the `steps` steps of the run in `directory` need not be done again: all if it is [`finished`], else those
/// of its newest checkpoint.
pub fn steps_done(directory: &Path, steps: u64) -> u64 {
    if finished(directory, steps).is_some() {
        return steps;
    }
    let checkpoints = checkpoint::Directory::new(directory.join(CHECKPOINTS), 1);
    checkpoints.newest_step().unwrap_or(0).min(steps)
}
