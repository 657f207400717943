//! The sum of a gradient over all ranks, bucket by bucket while the backward pass goes on.
//!
//! The backward pass finishes the gradients of layers from the last to the first, and layers lie one behind the other
//! in the arena: what is finished is always an end piece of it. As soon as a bucket is finished its sum is begun, so
//! that it travels while the layers before are computed.

use std::ops::Range;
use std::sync::Arc;

use super::Communicator;
use crate::parameters::Layout;

/// Least values of a bucket but the last, 256 KiB: a small one costs as many messages as a large one.
const BUCKET: usize = 1 << 16;

/// Sums gradients over all ranks.
pub struct GradientSum {
    communicator: Arc<dyn Communicator>,
    /// Pieces of the arena, in the order in which the backward pass finishes them.
    buckets: Vec<Range<usize>>,
    overlap: bool,
    begun: usize,
}

impl GradientSum {
    /// For gradients of `layout`. Without `overlap`, sums are begun only when the whole gradient is finished.
    pub fn new(communicator: Arc<dyn Communicator>, layout: &Layout, overlap: bool) -> Self {
        Self { communicator, buckets: buckets(layout), overlap, begun: 0 }
    }

    /// Takes in that `gradient` has reached its final value on this rank from `start` on.
    pub fn finished_from(&mut self, start: usize, gradient: &[f32]) {
        if self.overlap {
            self.begin_from(start, gradient);
        }
    }

    /// Waits until `gradient`, which is finished on this rank, holds the sum over all ranks.
    pub fn complete(&mut self, gradient: &mut [f32]) {
        self.begin_from(0, gradient);
        for bucket in &self.buckets {
            self.communicator.end_sum(&mut gradient[bucket.clone()]);
        }
        self.begun = 0;
    }

    fn begin_from(&mut self, start: usize, gradient: &[f32]) {
        while let Some(bucket) = self.buckets.get(self.begun).filter(|bucket| bucket.start >= start) {
            self.communicator.begin_sum(&gradient[bucket.clone()]);
            self.begun += 1;
        }
    }
}

/// Whole layers, the last ones first.
fn buckets(layout: &Layout) -> Vec<Range<usize>> {
    let mut buckets = Vec::new();
    let mut end = layout.len();
    for layer in (0..layout.layers()).rev() {
        let start = layout.layer_range(layer).start;
        if end - start >= BUCKET || start == 0 {
            buckets.push(start..end);
            end = start;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::buckets;
    use crate::conv::Algorithm;
    use crate::model::Network;
    use crate::simd::{InstructionSet, Scalar};
    use crate::tensor::ImageSize;

    #[test]
    fn buckets_cover_the_arena_from_its_end() {
        for width in [2, 32, 128] {
            let size = ImageSize { height: 4, width: 4 };
            let network = Network::new(width, size, Algorithm::Auto, InstructionSet::Scalar(Scalar));
            let buckets = buckets(network.layout());
            let mut end = network.layout().len();
            for bucket in &buckets {
                assert!(bucket.end == end && bucket.start < end);
                end = bucket.start;
            }
            assert_eq!(end, 0);
            assert!(width < 128 || buckets.len() == 9);
        }
    }
}
