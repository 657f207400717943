//! Requests to stop, by the user or by the system.

mod hangup;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::exit;

/// Time between two looks whether a signal has come: to wait for one without looking is not possible on every system.
const LOOK: Duration = Duration::from_millis(20);

/// Exit status after Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 128 + SIGINT as u8;

/// Exit status after a termination signal, EX_TEMPFAIL: run the same command again.
const TERMINATED: u8 = 75;

/// Which Ctrl-C has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The first, which has training stop.
    First,
    /// The second, after which the process ends.
    Second,
}

/// Whether, and by which signal, the process has been asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Listens for Ctrl-C, for termination, and for a terminal that is closed, which counts as termination. A second
    /// Ctrl-C ends the process at once; `tell` is called at each of the two, before anything stops.
    pub fn on_signal(tell: impl Fn(Interrupt) + Send + 'static) -> io::Result<Self> {
        let (stop, came) = (Self::default(), Arc::new(AtomicUsize::new(0)));
        let at_once = Arc::new(AtomicBool::new(false));
        flag::register_conditional_shutdown(SIGINT, INTERRUPTED.into(), Arc::clone(&at_once))?;
        for signal in [SIGINT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&came), signal as usize)?;
        }
        if let Some(signal) = hangup::signal() {
            flag::register_usize(signal, Arc::clone(&came), SIGTERM as usize)?;
        }
        let asked = stop.clone();
        // A thread tells it: nothing may be printed by what the system calls at a signal.
        thread::Builder::new().spawn(move || {
            let mut is_interrupted = false;
            loop {
                let signal = came.swap(0, Ordering::Relaxed);
                if signal == SIGINT as usize {
                    // Where nobody reads what is told, telling may take for ever: the next one then needs no thread.
                    at_once.store(true, Ordering::Relaxed);
                    if is_interrupted {
                        tell(Interrupt::Second);
                        exit(INTERRUPTED.into());
                    }
                    tell(Interrupt::First);
                    at_once.store(false, Ordering::Relaxed);
                    is_interrupted = true;
                }
                asked.ask(signal as u8);
                thread::sleep(LOOK);
            }
        })?;
        Ok(stop)
    }

    /// The number of the signal that has come; 0: none.
    pub fn signal(&self) -> u8 {
        self.signal.load(Ordering::Relaxed) as u8
    }

    /// Has this process stop as if `signal` had come; 0: does nothing.
    pub fn ask(&self, signal: u8) {
        if signal != 0 {
            self.signal.store(signal.into(), Ordering::Relaxed);
        }
    }

    /// Whether a signal has come.
    pub fn is_asked(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// The exit status that tells who asked: the user, or the system, which may start the program again.
    pub fn status(&self) -> u8 {
        if i32::from(self.signal()) == SIGTERM { TERMINATED } else { INTERRUPTED }
    }
}
