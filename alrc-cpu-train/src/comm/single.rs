//! A run on its own.

use super::Communicator;

/// One rank: every sum is what it was begun with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Single;

impl Communicator for Single {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn begin_sum(&self, _values: &[f32]) {}

    fn end_sum(&self, _values: &mut [f32]) {}

    fn gather(&self, message: &[u8]) -> Vec<Vec<u8>> {
        vec![message.to_vec()]
    }

    fn leave(&self) {}

    fn abort(&self, _status: u8) {}
}
