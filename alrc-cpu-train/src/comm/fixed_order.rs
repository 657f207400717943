//! The sum of a gradient in an order that does not depend on the number of ranks.
//!
//! A batch consists of pieces of a few images. The gradients of pieces 0, 1, 2, ... are the leaves of a binary tree,
//! whose shape is a function of their number alone: blocks of 2^k pieces that start at a multiple of 2^k are added up
//! first, the left half plus the right half; the last block may be shorter. A rank has some pieces in a row, and adds
//! up the blocks that lie within them; then every rank gets the blocks of all, and adds them up to the root. So the
//! result has the same bits for any number of ranks.
//!
//! Each rank receives the blocks of all others, where [`GradientSum`](super::GradientSum) receives about twice the
//! gradient however many they are.

use std::ops::Range;

use super::Communicator;
use crate::parameters::Layout;

/// Images of a piece.
pub const PIECE: usize = 4;

/// Blocks of pieces that have been added up as far as they go, in order.
#[derive(Debug)]
pub struct PieceSums {
    /// Pieces of the batch.
    pieces: usize,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    pieces: Range<usize>,
    sum: Vec<f32>,
}

impl PieceSums {
    /// For a batch of `batch_size` images.
    pub fn new(batch_size: usize) -> Self {
        Self::of_pieces(batch_size.div_ceil(PIECE))
    }

    fn of_pieces(pieces: usize) -> Self {
        Self { pieces, blocks: Vec::new() }
    }

    /// Takes in the gradient of the piece that begins with image `first` of the batch.
    pub fn add(&mut self, first: usize, gradient: &[f32]) {
        let piece = first / PIECE;
        self.push(Block { pieces: piece..piece + 1, sum: gradient.to_vec() });
    }

    /// Takes in the next block.
    fn push(&mut self, mut block: Block) {
        while let Some(left) = self.blocks.pop_if(|left| are_halves(left, &block, self.pieces)) {
            let Block { pieces, mut sum } = left;
            sum.iter_mut().zip(&block.sum).for_each(|(left, right)| *left += right);
            block = Block { pieces: pieces.start..block.pieces.end, sum };
        }
        self.blocks.push(block);
    }

    /// Writes the sum over the pieces of all ranks to `gradient`, layer by layer.
    pub fn complete(self, communicator: &dyn Communicator, layout: &Layout, gradient: &mut [f32]) {
        for layer in 0..layout.layers() {
            let range = layout.layer_range(layer);
            let own: Vec<u8> = self.blocks.iter().flat_map(|block| block.to_bytes(range.clone())).collect();
            let mut all = Self::of_pieces(self.pieces);
            for message in communicator.gather(&own) {
                let block_len = 2 * size_of::<u64>() + range.len() * size_of::<f32>();
                message.chunks_exact(block_len).for_each(|bytes| all.push(Block::from_bytes(bytes)));
            }
            if let [Block { sum, .. }] = &all.blocks[..] {
                gradient[range].copy_from_slice(sum);
            } else {
                unreachable!("the pieces of all ranks are the batch");
            }
        }
    }
}

/// Whether two blocks are the halves of one.
fn are_halves(left: &Block, right: &Block, pieces: usize) -> bool {
    let (start, len) = (left.pieces.start, left.pieces.len());
    len.is_power_of_two()
        && start.is_multiple_of(2 * len)
        && right.pieces == (start + len..(start + 2 * len).min(pieces))
}

impl Block {
    /// First piece, end of the pieces, and a part of the values.
    fn to_bytes(&self, range: Range<usize>) -> impl Iterator<Item = u8> {
        let ends =
            [self.pieces.start, self.pieces.end].into_iter().flat_map(|end| (end as u64).to_le_bytes());
        ends.chain(self.sum[range].iter().flat_map(|value| value.to_le_bytes()))
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (ends, values) = bytes.split_at(2 * size_of::<u64>());
        let end = |index: usize| u64::from_le_bytes(ends.as_chunks().0[index]) as usize;
        let sum = values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Self { pieces: end(0)..end(1), sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a batch is divided, its pieces add up along the same tree.
    #[test]
    fn the_tree_does_not_depend_on_the_division() {
        for pieces in 1..40 {
            let leaf =
                |piece: usize| Block { pieces: piece..piece + 1, sum: vec![1.1_f32.powi(piece as i32)] };
            let mut whole = PieceSums::of_pieces(pieces);
            (0..pieces).for_each(|piece| whole.push(leaf(piece)));
            assert_eq!((whole.blocks.len(), whole.blocks[0].pieces.clone()), (1, 0..pieces));
            for ranks in 1..10 {
                let mut merged = PieceSums::of_pieces(pieces);
                for rank in 0..ranks {
                    let mut part = PieceSums::of_pieces(pieces);
                    let start = |rank: usize| (rank * pieces).div_ceil(ranks);
                    (start(rank)..start(rank + 1)).for_each(|piece| part.push(leaf(piece)));
                    part.blocks.into_iter().for_each(|block| merged.push(block));
                }
                assert_eq!((merged.blocks.len(), merged.blocks[0].pieces.clone()), (1, 0..pieces));
                assert_eq!(merged.blocks[0].sum[0].to_bits(), whole.blocks[0].sum[0].to_bits());
            }
        }
    }
}
