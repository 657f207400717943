//! Messages of any length by way of a transport that counts in 32 bits.

/// The messages of all ranks, given that `gather` does so with at most `most` bytes of each rank, at least 1.
///
/// A piece of less than `most` bytes is the last of its message; ranks go on until every message has come to its end.
/// So short messages cost nothing more, and no rank needs to know the others' lengths beforehand.
pub(super) fn gather(
    message: &[u8],
    most: usize,
    mut gather: impl FnMut(&[u8]) -> Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let mut rest = message;
    let mut messages: Vec<Vec<u8>> = Vec::new();
    loop {
        let (piece, after) = rest.split_at(rest.len().min(most));
        rest = after;
        let pieces = gather(piece);
        let is_last = pieces.iter().all(|piece| piece.len() < most);
        messages.resize_with(pieces.len(), Vec::new);
        for (message, piece) in messages.iter_mut().zip(pieces) {
            message.extend(piece);
        }
        if is_last {
            return messages;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::gather;

    /// Lengths about multiples of `most`.
    fn lens(most: usize) -> impl Strategy<Value = Vec<usize>> {
        let len = (0_usize..5, -2_i32..3)
            .prop_map(move |(pieces, more)| (pieces * most).saturating_add_signed(more as isize));
        prop::collection::vec(len, 1..6)
    }

    proptest! {
        /// Every rank gets all messages, and all ranks give as many pieces: none waits for another for ever.
        #[test]
        fn messages_arrive_whole((most, lens) in (1_usize..40).prop_flat_map(|most| (Just(most), lens(most)))) {
            let messages: Vec<Vec<u8>> = lens
                .iter()
                .enumerate()
                .map(|(rank, &len)| (0..len).map(|index| (7 * rank + index) as u8).collect())
                .collect();
            let piece = |message: &[u8], round: usize| -> Vec<u8> {
                message.iter().copied().skip(round * most).take(most).collect()
            };
            let rounds = lens.iter().max().unwrap() / most + 1;
            for own in &messages {
                let mut round = 0;
                let gathered = gather(own, most, |given| {
                    assert!(given == piece(own, round) && given.len() <= most);
                    round += 1;
                    messages.iter().map(|message| piece(message, round - 1)).collect()
                });
                prop_assert_eq!(&gathered, &messages);
                prop_assert_eq!(round, rounds);
            }
        }
    }
}
