//! Ranks that MPI joins.
//!
//! One thread of the process makes all calls of MPI: it moves data while the others compute (without it, MPI moves
//! little outside its own calls), and it [watches](Watch) the other ranks. It carries out one job after the other, in
//! the order given, which is the same on every rank.

pub(super) mod guard;
mod pieces;
mod watch;

use std::process;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::datatype::PartitionMut;
use ::mpi::environment;
use ::mpi::request::{Request, Scope, scope};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator as _, CommunicatorCollectives as _};
use tracing::{info, warn};

use self::watch::Watch;
use super::{Communicator, TransportError};

/// Time between two looks at what MPI is moving: short beside a message, long beside the look itself.
const LOOK: Duration = Duration::from_micros(50);

/// Time between two looks when there is nothing to wait for.
const IDLE_LOOK: Duration = Duration::from_micros(500);

/// Most bytes of a rank that are gathered at once, 4 MiB: beside them the time of a message is nothing.
const PIECE: usize = 1 << 22;

/// Time after which the user is told that not all ranks have come.
const MEETING: Duration = Duration::from_secs(20);

/// Time for MPI to come to its end, once all ranks have left. That of MPICH 4.0 waits for ever now and then over TCP: a
/// rank that has ended its transport no longer answers the others'.
const FINALIZE: Duration = Duration::from_secs(3);

/// Time for the launcher to forward a message.
const FORWARDING: Duration = Duration::from_millis(200);

/// Time for MPI to end the processes. Where this machine is cut off, that of MPICH waits for the launcher's answer
/// without end.
const ABORT: Duration = Duration::from_secs(1);

/// The connection to the MPI thread.
#[derive(Debug)]
pub(super) struct Mpi {
    rank: usize,
    size: usize,
    jobs: Sender<Job>,
    answers: Mutex<Receiver<Answer>>,
    /// Buffers of sums that have ended, to be used again.
    free: Mutex<Vec<Sum>>,
}

/// What the MPI thread is to do.
enum Job {
    Sum(Sum),
    Gather(Vec<u8>),
    Leave,
    Abort(u8),
}

/// What it has done.
enum Answer {
    Sum(Sum),
    Gathered(Vec<Vec<u8>>),
    Left,
}

/// A sum over all ranks.
#[derive(Debug, Default)]
struct Sum {
    own: Vec<f32>,
    of_all: Vec<f32>,
}

impl Mpi {
    /// Joins the ranks that were started together.
    pub(super) fn start() -> Result<Self, TransportError> {
        let (jobs, job_receiver) = mpsc::channel();
        let (answer_sender, answers) = mpsc::channel();
        let (place_sender, place) = mpsc::channel();
        thread::spawn(move || serve(&job_receiver, answer_sender, &place_sender));
        let mut patience = MEETING;
        let (rank, size) = loop {
            match place.recv_timeout(patience) {
                Ok(place) => break place,
                Err(RecvTimeoutError::Disconnected) => return Err(TransportError::Unusable),
                Err(RecvTimeoutError::Timeout) => {
                    warn!("still waiting for the other ranks: is each started as 'run --comm mpi'?");
                    patience *= 2;
                }
            }
        };
        Ok(Self { rank, size, jobs, answers: Mutex::new(answers), free: Mutex::default() })
    }

    fn give(&self, job: Job) {
        self.jobs.send(job).expect(THREAD_LIVES);
    }

    fn answer(&self) -> Answer {
        self.answers.lock().expect(THREAD_LIVES).recv().expect(THREAD_LIVES)
    }
}

const THREAD_LIVES: &str = "the MPI thread lives as long as its users";
const IN_ORDER: &str = "jobs are answered in their order";

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn begin_sum(&self, values: &[f32]) {
        let mut sum = self.free.lock().expect(THREAD_LIVES).pop().unwrap_or_default();
        sum.own.clear();
        sum.own.extend_from_slice(values);
        sum.of_all.resize(values.len(), 0.0);
        self.give(Job::Sum(sum));
    }

    fn end_sum(&self, values: &mut [f32]) {
        let Answer::Sum(sum) = self.answer() else { unreachable!("{IN_ORDER}") };
        values.copy_from_slice(&sum.of_all);
        self.free.lock().expect(THREAD_LIVES).push(sum);
    }

    fn gather(&self, message: &[u8]) -> Vec<Vec<u8>> {
        self.give(Job::Gather(message.to_vec()));
        let Answer::Gathered(messages) = self.answer() else { unreachable!("{IN_ORDER}") };
        messages
    }

    fn leave(&self) {
        self.give(Job::Leave);
        let Answer::Left = self.answer() else { unreachable!("{IN_ORDER}") };
        // There is nothing to do if MPI does not come to its end.
        _ = self.answers.lock().expect(THREAD_LIVES).recv_timeout(FINALIZE);
    }

    fn abort(&self, status: u8) {
        self.give(Job::Abort(status));
        // Sums that were begun may still be answered; the thread never comes back from aborting.
        while let Ok(_answer) = self.answers.lock().expect(THREAD_LIVES).recv() {}
    }
}

/// The MPI thread.
fn serve(jobs: &Receiver<Job>, answers: Sender<Answer>, place: &Sender<(usize, usize)>) {
    // Funneled: the process has other threads, but this one alone calls MPI.
    let initialized = ::mpi::initialize_with_threading(Threading::Funneled);
    let Some((universe, _)) = initialized.filter(|(_, threading)| *threading >= Threading::Funneled) else {
        return;
    };
    let world = universe.world();
    let mut watch = Watch::new(&world);
    let host = environment::processor_name().unwrap_or_default();
    let own = format!("process {} on {host}", process::id());
    let names = gather(&world, own.as_bytes(), &mut watch);
    watch.set_names(&names);
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    if rank == 0 {
        watch.names().for_each(|name| info!("{name}"));
    }
    let mut is_listened_to = place.send((rank, size)).is_ok();
    while is_listened_to {
        watch.look();
        let answer = match jobs.recv_timeout(IDLE_LOOK) {
            Err(RecvTimeoutError::Timeout) => continue,
            // The process is ending.
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(Job::Sum(sum)) => Answer::Sum(sum_over_ranks(&world, sum, &mut watch)),
            Ok(Job::Gather(message)) => Answer::Gathered(gather(&world, &message, &mut watch)),
            Ok(Job::Abort(status)) => abort(&world, status),
            Ok(Job::Leave) => {
                watch.leave();
                _ = answers.send(Answer::Left);
                // This ends MPI, and with `answers` tells that it has ended.
                drop(universe);
                return;
            }
        };
        is_listened_to = answers.send(answer).is_ok();
    }
}

/// Ends the processes of all ranks.
fn abort(world: &SimpleCommunicator, status: u8) -> ! {
    // Launchers drop what they have not yet forwarded when they hear of it: first the user shall read why.
    thread::sleep(FORWARDING);
    thread::spawn(move || {
        thread::sleep(ABORT);
        // Without the handlers of MPI, which is busy.
        signal_hook::low_level::exit(status.into());
    });
    world.abort(status.into())
}

fn sum_over_ranks(world: &SimpleCommunicator, mut sum: Sum, watch: &mut Watch<'_>) -> Sum {
    scope(|scope| {
        let (own, of_all) = (&sum.own[..], &mut sum.of_all[..]);
        let operation = SystemOperation::sum();
        complete(world.immediate_all_reduce_into(scope, own, of_all, operation), watch);
    });
    sum
}

/// The messages of all ranks, of any length.
fn gather(world: &SimpleCommunicator, message: &[u8], watch: &mut Watch<'_>) -> Vec<Vec<u8>> {
    // MPI counts the bytes of all ranks together in 32 bits.
    let most = PIECE.min(i32::MAX as usize / world.size() as usize - 1);
    pieces::gather(message, most, |piece| gather_pieces(world, piece, watch))
}

/// The pieces of all ranks, which together are less than 2 GiB.
fn gather_pieces(world: &SimpleCommunicator, piece: &[u8], watch: &mut Watch<'_>) -> Vec<Vec<u8>> {
    // With a byte at its end none is empty: the address of an empty slice is 1, and so is OpenMPI's MPI_IN_PLACE.
    let piece = [piece, &[0]].concat();
    let len = i32::try_from(piece.len()).expect("pieces are short");
    let mut lens = vec![0_i32; world.size() as usize];
    scope(|scope| complete(world.immediate_all_gather_into(scope, &len, &mut lens[..]), watch));
    let starts: Vec<i32> = lens
        .iter()
        .scan(0, |end, len| {
            let start = *end;
            *end += len;
            Some(start)
        })
        .collect();
    let mut all = vec![0_u8; lens.iter().sum::<i32>() as usize];
    let mut parts = PartitionMut::new(&mut all[..], &lens[..], &starts[..]);
    scope(|scope| complete(world.immediate_all_gather_varcount_into(scope, &piece[..], &mut parts), watch));
    let mut rest = all.as_slice();
    let pieces = lens.into_iter().filter_map(|len| rest.split_off(..len as usize)?.split_last());
    pieces.map(|(_end, piece)| piece.to_vec()).collect()
}

/// Waits for an operation, and watches the other ranks meanwhile.
fn complete<'a, D: ?Sized, S: Scope<'a>>(mut request: Request<'a, D, S>, watch: &mut Watch<'_>) {
    while let Err(unfinished) = request.test() {
        watch.look();
        thread::sleep(LOOK);
        request = unfinished;
    }
}
