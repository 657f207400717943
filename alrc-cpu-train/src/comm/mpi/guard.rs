//! Names a rank that is killed, where the launcher does not.
//!
//! Hydra, the launcher of MPICH, kills all processes once one of them has closed its connection to it. Then it tells of
//! one that it has found dead, which may be one that it has killed itself, and never of a rank. So the process that
//! Hydra starts does not train: it is the guard of a second one, the rank, and waits for it. The guard learns from the
//! system how its rank has ended, and Hydra hears of it only when the guard has told the user and ends as well, for
//! until then the guard holds the same connection open. What Hydra itself kills is guard and rank together, as one
//! process group: nobody is left to name a rank that was not the first.
//!
//! A guard that is killed is told by its rank. Under the launchers of OpenMPI and Slurm, which name the rank
//! themselves, there is no guard.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::process::{self, Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::system::uname;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::FORWARDING;

/// The environment variable that tells a rank the process of its guard.
const GUARD: &str = "ALRC_GUARD";

/// Time between two looks of a rank whether its guard is there.
const LOOK: Duration = Duration::from_secs(1);

/// Where Hydra has started this process: starts the rank and, once it has ended, returns its exit status. Returns at
/// once in the rank itself, and under any other launcher.
pub(crate) fn guard() -> Option<ExitCode> {
    // Slurm sets the first as well, only Hydra both.
    let rank = env::var("PMI_RANK").ok().filter(|_| env::var_os("MPI_LOCALRANKID").is_some())?;
    if let Some(guard) = env::var(GUARD).ok().and_then(|guard| guard.parse().ok()) {
        thread::spawn(move || outlive(guard, &rank));
        return None;
    }
    Some(stand_guard(&rank).unwrap_or_else(|error| {
        eprintln!("error: rank {rank}: cannot start the process that trains: {error}");
        ExitCode::FAILURE
    }))
}

fn stand_guard(rank: &str) -> io::Result<ExitCode> {
    // Ctrl-C is for the process group: the rank gets it as well, and would take another for the user's second one.
    flag::register(SIGINT, Arc::default())?;
    // A termination may be for the guard alone; a second one does no harm.
    let (mut terminations, sender) = UnixStream::pair()?;
    low_level::pipe::register(SIGTERM, sender)?;
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(GUARD, process::id().to_string())
        .spawn()?;
    let pid = Pid::from_child(&child);
    thread::spawn(move || {
        while terminations.read_exact(&mut [0]).is_ok() {
            // It fails where the rank has ended.
            _ = kill_process(pid, Signal::TERM);
        }
    });
    let status = child.wait()?;
    let status = status.code().unwrap_or_else(|| {
        let signal = status.signal().unwrap_or_default();
        let name = low_level::signal_name(signal).unwrap_or("of the system");
        tell(rank, child.id(), &format!("was killed by signal {signal} ({name})"));
        128 + signal
    });
    Ok(ExitCode::from(status as u8))
}

/// Ends this process, the rank, and with it all others, once its guard is gone.
fn outlive(guard: u32, rank: &str) {
    while parent_id() == guard {
        thread::sleep(LOOK);
    }
    tell(rank, process::id(), &format!("stops, for process {guard}, which had started it, was killed"));
    // Without the handlers of MPI, which is busy.
    low_level::exit(1);
}

fn tell(rank: &str, process: u32, what: &str) {
    let host = uname();
    let host = host.nodename().to_string_lossy();
    // It fails where the launcher, which reads this, has died as well.
    _ = writeln!(
        io::stderr(),
        "error: rank {rank} (process {process} on {host}) {what}; all ranks stop, --resume continues from the last \
         checkpoint"
    );
    // Launchers drop what they have not yet forwarded when they hear of it.
    thread::sleep(FORWARDING);
}
