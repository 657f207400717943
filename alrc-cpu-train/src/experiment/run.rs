//! One training run, with everything that it writes.

mod directory;
mod error;
mod files;
mod newest;

use std::io;
use std::path::Path;
use std::sync::Arc;

use directory::check_room;
pub use directory::{
    check_config, check_is_no_comparison, finished, nothing_left, read_config, read_resumed_config,
    steps_done,
};
pub(super) use directory::{check_images, check_is_no_run};
pub use error::RunError;
use files::Files;
use newest::Newest;
use tracing::{Span, debug_span, info};

use super::files::{lock, save, unwritable};
use crate::checkpoint;
use crate::comm::{Communicator, Single, agreement};
use crate::config::Config;
use crate::data::Dataset;
use crate::files::DirectoryLock;
use crate::record::files::{CHECKPOINTS, CONFIG, SUMMARY};
use crate::record::progress::Progress;
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
                let Newest { checkpoint, losses, statistics } = newest;
                let files = Files::resume(directory, &trainer, checkpoints, checkpoint, losses, lock)?;
                let run = Self::new(trainer, statistics, Some(files));
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
        let files = Files::create(directory, &trainer.config, lock)?;
        let statistics = Statistics::new(trainer.config.batch_size, Counters::default());
        Ok(Self::new(trainer, statistics, Some(files)))
    }

    /// A run on a rank that writes nothing; [`join`](Self::join) gives it its state.
    pub fn without_files(config: Config, dataset: Arc<Dataset>) -> Result<Self, RunError> {
        let statistics = Statistics::new(config.batch_size, Counters::default());
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
