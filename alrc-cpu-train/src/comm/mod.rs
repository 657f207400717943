//! Data-parallel training: several processes, the ranks, train one network.
//!
//! Each rank computes the gradients of its part of every batch; their sum moves the parameters, which are the same on
//! every rank, to the bit. Ranks differ in nothing but their part, and in that rank 0 alone writes files.
//!
//! [`Communicator`] is all that training knows of the transport: [`Single`] is a run on its own, and the feature `mpi`
//! adds MPI. [`GradientSum`] sums gradients while the backward pass goes on, [`fixed_order`] to the same bits for any
//! number of ranks; [`agreement`] makes all ranks fail where one does.

pub mod agreement;
pub mod fixed_order;
mod gradient;
#[cfg(feature = "mpi")]
mod mpi;
mod single;

use std::fmt::Debug;
use std::sync::Arc;

use thiserror::Error;

pub use gradient::GradientSum;
#[cfg(feature = "mpi")]
pub(crate) use mpi::guard::guard;
pub use single::Single;

/// What ranks do together. Every rank calls the same methods in the same order.
///
/// No method fails: when a rank is lost there is no way to go on, and the transport ends the processes of all ranks.
pub trait Communicator: Debug + Send + Sync {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks, at least 1.
    fn size(&self) -> usize;

    /// Begins to sum `values` over all ranks, and returns at once.
    fn begin_sum(&self, values: &[f32]);

    /// Waits for the oldest sum that has not ended, and writes it to `values`, which must hold what it was begun with.
    /// Every rank gets the same bits.
    fn end_sum(&self, values: &mut [f32]);

    /// The messages of all ranks, in the order of ranks.
    fn gather(&self, message: &[u8]) -> Vec<Vec<u8>>;

    /// Waits until every rank has come here; the last thing that ranks do together.
    fn leave(&self);

    /// Ends the processes of all ranks at once, with `status` as far as the launcher hands it on.
    fn abort(&self, status: u8);
}

/// How ranks reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// One process.
    #[default]
    Single,
    /// The processes that mpirun or srun has started.
    Mpi,
}

/// Why the ranks cannot reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// The feature `mpi` is off.
    #[error(
        "invalid value 'mpi' for '--comm': this alrc-train was built without MPI; build it with `--features mpi`"
    )]
    NotBuilt,
    /// MPI has been initialised before, or does not allow other threads beside its own.
    #[error("this MPI cannot be used: it must allow MPI_THREAD_FUNNELED, and be initialised once")]
    Unusable,
}

impl Transport {
    /// Joins the other ranks.
    pub fn start(self) -> Result<Arc<dyn Communicator>, TransportError> {
        match self {
            Self::Single => Ok(Arc::new(Single)),
            #[cfg(feature = "mpi")]
            Self::Mpi => Ok(Arc::new(mpi::Mpi::start()?)),
            #[cfg(not(feature = "mpi"))]
            Self::Mpi => Err(TransportError::NotBuilt),
        }
    }
}
