//! `--log-level debug`: what share of the time of training steps each of their phases takes.
//!
//! The phases are the spans of that level, of which one, [`STEP`], holds all others; below that level they cost nothing.
//! The arithmetic of a step has phases of its own on the processor alone; that of other backends is in the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::span::{Attributes, Id};
use tracing::{Level, Subscriber, debug};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The phase that consists of the others.
const STEP: &str = "step";

/// How often each phase was gone through, and its time from beginning to end on the clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Phases(Arc<Mutex<BTreeMap<&'static str, (u64, Duration)>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Phases {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && *attributes.metadata().level() == Level::DEBUG
        {
            span.extensions_mut().insert(Instant::now());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(start) = span.extensions().get::<Instant>()
        {
            let mut phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (count, time) = phases.entry(span.name()).or_default();
            *count += 1;
            *time += start.elapsed();
        }
    }
}

impl Phases {
    /// Tells the shares, if steps were done.
    pub(super) fn report(&self) {
        let phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(&(steps, total)) = phases.get(STEP) else { return };
        debug!("a step: {:.3} ms, the mean of {steps}", 1e3 * total.as_secs_f64() / steps as f64);
        let parts =
            || phases.iter().filter(|(name, _)| **name != STEP).map(|(name, (_, time))| (*name, *time));
        let rest = total.saturating_sub(parts().map(|(_, time)| time).sum());
        for (name, time) in parts().chain([("the rest", rest)]) {
            debug!("{name}: {:.3} %", 100.0 * time.as_secs_f64() / total.as_secs_f64());
        }
    }
}
