//! Notices ranks that are gone.
//!
//! MPI waits without end for a rank whose machine has lost power or whose cable was pulled, and launchers may take
//! minutes to notice. So every rank sends rank 0 a beat each second, and rank 0 sends one to every rank; who has been
//! silent for too long is lost, and with it the run: all processes end. Beats come from the MPI thread, which has
//! nothing else to do: neither a long step nor a slow disk delays them.

use std::time::{Duration, Instant};

use ::mpi::Tag;
use ::mpi::request::{Request, StaticScope};
use ::mpi::topology::{Process, SimpleCommunicator};
use ::mpi::traits::{Communicator as _, Destination as _, Source as _};
use tracing::error;

use super::{LOOK, abort};

/// Time between two beats.
const BEAT: Duration = Duration::from_secs(1);

/// A rank that has been silent for so long is lost.
const SILENCE: Duration = Duration::from_secs(6);

/// Tag of the messages.
const TAG: Tag = 1;

static ALIVE: [u8; 1] = [0];
static LEAVING: [u8; 1] = [1];

/// What this rank knows of the others.
pub(super) struct Watch<'a> {
    world: &'a SimpleCommunicator,
    names: Vec<String>,
    peers: Vec<Peer<'a>>,
    last_beat: Instant,
    last_look: Instant,
    /// Whether this rank has sent its last message.
    is_silent: bool,
}

/// A rank to which this one listens: all others for rank 0, rank 0 for all others.
struct Peer<'a> {
    process: Process<'a>,
    heard: Instant,
    has_left: bool,
    /// The last beat, while it is on its way.
    beat: Option<Beat>,
}

type Beat = Request<'static, [u8; 1], StaticScope>;

impl<'a> Watch<'a> {
    pub(super) fn new(world: &'a SimpleCommunicator) -> Self {
        let now = Instant::now();
        let peers = if world.rank() == 0 { 1..world.size() } else { 0..1 };
        let peer =
            |rank| Peer { process: world.process_at_rank(rank), heard: now, has_left: false, beat: None };
        Self {
            world,
            names: Vec::new(),
            peers: peers.map(peer).collect(),
            last_beat: now,
            last_look: now,
            is_silent: false,
        }
    }

    /// Takes in what each rank calls itself.
    pub(super) fn set_names(&mut self, names: &[Vec<u8>]) {
        self.names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    }

    /// Each rank's number and name.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.names.iter().enumerate().map(|(rank, name)| format!("rank {rank} is {name}"))
    }

    /// Listens to the others, lets them hear this rank, and ends the processes of all ranks if one is lost.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        if now - self.last_look > BEAT {
            // It was this process that stood still, as under a debugger or a suspended job.
            self.peers.iter_mut().for_each(|peer| peer.heard = now);
        }
        self.last_look = now;
        self.listen(now);
        if let Some(lost) = self.peers.iter().find(|peer| !peer.has_left && now - peer.heard > SILENCE) {
            let rank = lost.process.rank();
            let name = self.names.get(rank as usize).map_or("", String::as_str);
            error!(
                "rank {rank} ({name}) is lost: no sign of life for {} seconds; all ranks stop, --resume continues \
                 from the last checkpoint",
                SILENCE.as_secs()
            );
            abort(self.world, 1);
        }
        if now - self.last_beat >= BEAT && !self.is_silent {
            self.last_beat = now;
            self.peers.iter_mut().for_each(|peer| peer.send(&ALIVE));
        }
    }

    fn listen(&mut self, now: Instant) {
        while let Some((message, status)) = self.world.any_process().immediate_matched_probe_with_tag(TAG) {
            let (beat, _) = message.matched_receive::<u8>();
            let sender = self.peers.iter_mut().find(|peer| peer.process.rank() == status.source_rank());
            if let Some(peer) = sender {
                peer.heard = now;
                peer.has_left |= beat == LEAVING[0];
            }
        }
    }

    /// Waits until every rank is here, as MPI wants it before its end: rank 0 answers when it has heard all others.
    pub(super) fn leave(&mut self) {
        if self.world.rank() == 0 {
            self.wait_for_others();
        }
        self.is_silent = true;
        for peer in &mut self.peers {
            peer.finish_sending();
            peer.send(&LEAVING);
            peer.finish_sending();
        }
        if self.world.rank() != 0 {
            self.wait_for_others();
        }
    }

    fn wait_for_others(&mut self) {
        while !self.peers.iter().all(|peer| peer.has_left) {
            self.look();
            std::thread::sleep(LOOK);
        }
    }
}

impl Peer<'_> {
    /// Sends a beat, unless the last one is still on its way.
    fn send(&mut self, message: &'static [u8; 1]) {
        if self.beat.take().is_none_or(|beat| beat.test().map_err(|beat| self.beat = Some(beat)).is_ok()) {
            self.beat = Some(self.process.immediate_send_with_tag(StaticScope, message, TAG));
        }
    }

    fn finish_sending(&mut self) {
        if let Some(beat) = self.beat.take() {
            beat.wait_without_status();
        }
    }
}
