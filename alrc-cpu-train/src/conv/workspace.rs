//! Memory for intermediate results.

use std::cell::RefCell;

use crate::tensor::{ALIGNMENT, Buffer};

/// Memory that the passes of all layers use one after the other; it grows to the largest need.
#[derive(Debug)]
pub struct Workspace {
    buffer: Buffer,
}

impl Default for Workspace {
    fn default() -> Self {
        Self { buffer: Buffer::new(ALIGNMENT) }
    }
}

impl Workspace {
    /// Buffers of these lengths, of any content, each aligned like a [`Buffer`].
    pub fn lend<const N: usize>(&mut self, lens: [usize; N]) -> [&mut [f32]; N] {
        let rounded = lens.map(|len| len.next_multiple_of(ALIGNMENT / size_of::<f32>()));
        let total = rounded.iter().sum();
        if self.buffer.len() < total {
            self.buffer.resize(total, 0.0);
        }
        let mut rest = &mut self.buffer[..];
        std::array::from_fn(|index| {
            let (lent, others) = std::mem::take(&mut rest).split_at_mut(rounded[index]);
            rest = others;
            &mut lent[..lens[index]]
        })
    }
}

/// Lends buffers that belong to the thread, others to each call within `work`.
pub(super) fn with_scratch<const N: usize, R>(
    lens: [usize; N],
    work: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    thread_local!(static KEPT: RefCell<Vec<Workspace>> = const { RefCell::new(Vec::new()) });
    let mut workspace = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(workspace.lend(lens));
    KEPT.with_borrow_mut(|kept| kept.push(workspace));
    result
}
