//! Whether there is memory for a run, asked before it begins: an allocation that fails later ends the process at once.

use std::hint::black_box;

use crate::backend::cpu::GROUP;
use crate::backend::{BackendError, BackendKind};
use crate::config::Config;
use crate::model::Network;
use crate::optim::OptimizerKind;

/// An error if the system refuses to give the memory that a run takes at least, others beside it not counted. It may
/// promise more than it has, as Linux does; what is more than all of its memory is refused there, too.
pub(crate) fn check(config: &Config, network: &Network) -> Result<(), BackendError> {
    let needed = needed(config, network);
    let mut room = Vec::<u8>::new();
    let is_given = usize::try_from(needed).is_ok_and(|len| room.try_reserve_exact(len).is_ok());
    // Without a use of it the compiler may leave out the request.
    black_box(&room);
    if is_given {
        return Ok(());
    }
    Err(BackendError::NoMemory { width: config.width, batch_size: config.batch_size, needed })
}

/// Bytes that a run takes at least: no thread's scratch is counted, nor the images.
///
/// Widths are at most 4096, so that no number here comes near 2^64.
fn needed(config: &Config, network: &Network) -> u64 {
    let parameters = network.layout().len() as u64;
    let state = match config.optimizer {
        OptimizerKind::Sgd => parameters,
        // Two moments.
        OptimizerKind::Adam => 3 * parameters,
    };
    let gradient = parameters;
    // While a checkpoint is written, the state is there in the order of the file, and once more as its bytes.
    let checkpoint = 2 * state;
    let images = match config.backend {
        BackendKind::Cpu => config.batch_size.min(GROUP) as u64,
        BackendKind::Wgpu => 0,
    };
    let values = state + gradient + checkpoint + images * network.values_per_image() as u64;
    values * size_of::<f32>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand for a trunk of 2 channels: 75 + 18 + 6 x 36 + 18 + 75 weights and 1 + 2 + 6 x 2 + 1 + 3 biases; an image
    /// has 1024 pixels of 3 channels, with a target, the outputs of the layers, and three gradients of 3 channels.
    #[test]
    fn what_is_counted() {
        let config = Config { width: 2, batch_size: 20, ..Config::default() };
        let network = Network::of(&config);
        let (parameters, outputs) = (402 + 19, 1 + 2 + 6 * 2 + 1 + 3);
        let images = 16 * 1024 * (3 + 3 + outputs + 3 * 3);
        assert_eq!(needed(&config, &network), 4 * (10 * parameters + images));
        let sgd = Config { optimizer: OptimizerKind::Sgd, ..config };
        assert_eq!(needed(&sgd, &network), 4 * (4 * parameters + images));
    }
}
