//! `lengths of rows -> shapes of calls`: which rows may share a call of the model, and how large
//! it then is.
//!
//! On the processor a long row goes alone: a core is busy with it, and int8 by dynamic quantisation
//! takes the range of activations over a call, so that company would change it. Short rows leave a
//! core waiting for the next kernel most of the time; those of exactly one length share calls where
//! the model says that its rows do not depend on each other. A card is busy with thousands of tokens
//! only, and plans its memory and its kernels by shape: there, rows of nearly one length fill calls
//! of few fixed shapes, and what lacks is filled up with blank rows.
//! Deliberately waits for nothing and knows no queue: it is asked about rows that are there.

use crate::config::bundle::Window;
use crate::config::settings::Device;

/// Shortest length of a row on a card, in tokens; each next one is twice as long.
const LENGTH_MIN: usize = 32;
/// Each size of a call on a card has so many times the rows of the next smaller one.
const SIZE_STEP: usize = 4;
/// Sizes of a call on a card, for each length.
const SIZE_COUNT: usize = 4;
/// Limit: tokens of one call on a card, filling included: 128 rows of 256 tokens. The widest
/// activations of the largest model shipped then take 32,768 times 1,536 half floats, 100 MB.
/// Not measured on a card yet; `benches/gpu.sh` tells what larger and smaller ones give.
const CALL_TOKENS_MAX: usize = 32_768;
/// Limit: tokens of one call of several rows on the processor, see `benches/README.md`.
const CALL_TOKENS_MAX_CPU: usize = 128;

/// Rows and tokens of one call of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Rows, blank ones included.
    pub rows: usize,
    /// Tokens of each row, padding included.
    pub tokens: usize,
}

impl Shape {
    /// Tokens of the call, all filling included.
    pub const fn size(self) -> usize {
        self.rows.saturating_mul(self.tokens)
    }
}

/// How rows share calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One row a call, as long as it is.
    Alone,
    /// Rows of exactly one length, as many as are there.
    Equal {
        /// Most tokens of one call; a row that alone has more goes alone.
        call_tokens_max: usize,
    },
    /// Rows of nearly one length, in few shapes.
    Filled {
        /// Most tokens of one call, filling included; a row that alone has more goes alone.
        call_tokens_max: usize,
    },
}

impl Policy {
    /// What suits a model of these windows on `device`.
    pub const fn of(device: Device, window: &Window) -> Self {
        match device {
            Device::Cpu if window.has_independent_rows => {
                Self::Equal { call_tokens_max: CALL_TOKENS_MAX_CPU }
            }
            Device::Cpu => Self::Alone,
            Device::Cuda => Self::Filled { call_tokens_max: CALL_TOKENS_MAX },
        }
    }

    /// The length to which a row of `tokens` is brought, where the model takes `tokens_max`.
    pub fn length(self, tokens: usize, tokens_max: usize) -> usize {
        match self {
            Self::Alone | Self::Equal { .. } => tokens,
            Self::Filled { .. } => {
                let longest = tokens_max.max(tokens);
                lengths(longest).find(|length| *length >= tokens).unwrap_or(longest)
            }
        }
    }

    /// Most rows of that length in one call.
    pub fn rows_max(self, length: usize) -> usize {
        match self {
            Self::Alone => 1,
            Self::Equal { call_tokens_max } | Self::Filled { call_tokens_max } => {
                (call_tokens_max / length.max(1)).max(1)
            }
        }
    }

    /// The smallest shape that takes `rows` rows of that length; at most [`Self::rows_max`].
    pub fn shape(self, rows: usize, length: usize) -> Shape {
        if !matches!(self, Self::Filled { .. }) {
            return Shape { rows: rows.min(self.rows_max(length)), tokens: length };
        }
        let fits = self.sizes(length).filter(|size| *size >= rows).last();
        Shape { rows: fits.unwrap_or_else(|| self.rows_max(length)), tokens: length }
    }

    /// How many of `rows` rows of that length go on together after a call of all of them failed:
    /// as many as the next smaller shape takes, so that it needs less memory, or half of them. At
    /// least one, and less than `rows` where these are several.
    pub fn piece(self, rows: usize, length: usize) -> usize {
        let smaller = self.sizes(length).find(|size| *size < rows);
        smaller.unwrap_or(rows / 2).max(1)
    }

    /// Every shape in which a model that takes `tokens_max` is called on a card; on the processor,
    /// where they are many, the largest.
    pub fn shapes(self, tokens_max: usize) -> Vec<Shape> {
        match self {
            Self::Alone | Self::Equal { .. } => vec![Shape { rows: 1, tokens: tokens_max }],
            Self::Filled { .. } => lengths(tokens_max)
                .flat_map(|tokens| self.sizes(tokens).map(move |rows| Shape { rows, tokens }))
                .collect(),
        }
    }

    /// Rows of a call, from the most to the fewest.
    fn sizes(self, length: usize) -> impl Iterator<Item = usize> {
        let next = |size: &usize| Some(size / SIZE_STEP).filter(|next| *next > 0);
        std::iter::successors(Some(self.rows_max(length)), next).take(SIZE_COUNT)
    }
}

/// Lengths of rows on a card, ascending, the longest as it is.
fn lengths(longest: usize) -> impl Iterator<Item = usize> {
    let twice = |length: &usize| length.checked_mul(2);
    std::iter::successors(Some(LENGTH_MIN), twice)
        .take_while(move |length| *length < longest)
        .chain([longest])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{CALL_TOKENS_MAX, Policy, SIZE_COUNT, Shape};
    use crate::config::bundle::{Cut, Window};
    use crate::config::settings::Device;
    use crate::queue::{FairQueue, FlowId};

    /// Rows by number, with the lengths to which they are brought, through the queue as a session
    /// thread takes them.
    fn batches(policy: Policy, rows: &[(u64, usize)], tokens_max: usize) -> Vec<Vec<usize>> {
        let queue = FairQueue::default();
        for (number, (flow, tokens)) in rows.iter().enumerate() {
            let row = (number, policy.length(*tokens, tokens_max));
            let cost = u64::try_from(*tokens).unwrap();
            assert!(queue.push(FlowId(*flow), cost, row).is_ok());
        }
        let mut batches = Vec::new();
        while !queue.is_empty() {
            let most = |first: &(usize, usize)| policy.rows_max(first.1);
            let joins = |first: &(usize, usize), other: &(usize, usize)| first.1 == other.1;
            let batch = queue.pop_group(|_| true, most, joins).unwrap();
            batches.push(batch.into_iter().map(|(number, _)| number).collect());
        }
        batches
    }

    fn policy(device: Device, has_independent_rows: bool) -> Policy {
        let (tokens_max, stride_tokens, pad_multiple_tokens) = (256, 190, 1);
        let (first_id, last_id, pad_id) = (2, 3, 0);
        let window = Window {
            tokens_max,
            cut: Cut::Stride,
            stride_tokens,
            pad_multiple_tokens,
            has_independent_rows,
            first_id,
            last_id,
            pad_id,
        };
        Policy::of(device, &window)
    }

    #[test]
    fn the_processor_runs_one_row_a_call_as_long_as_it_is() {
        let policy = policy(Device::Cpu, false);
        assert_eq!(policy.length(37, 256), 37);
        assert_eq!(policy.rows_max(37), 1);
        assert_eq!(policy.shape(1, 37), Shape { rows: 1, tokens: 37 });
        assert_eq!(policy.shapes(256), [Shape { rows: 1, tokens: 256 }]);
        let rows = [(0, 37), (0, 37), (1, 37)];
        assert_eq!(batches(policy, &rows, 256), [[0], [2], [1]]);
    }

    #[test]
    fn short_rows_of_one_length_share_calls_on_the_processor_where_they_are_independent() {
        let policy = policy(Device::Cpu, true);
        assert_eq!(policy.shape(3, 37), Shape { rows: 3, tokens: 37 });
        assert_eq!(policy.rows_max(65), 1);
        assert_eq!(policy.shapes(256), [Shape { rows: 1, tokens: 256 }]);
        let rows = [(0, 37), (0, 36), (1, 37), (0, 37), (0, 37), (0, 200), (0, 200)];
        assert_eq!(
            batches(policy, &rows, 256),
            [vec![0, 2, 3], vec![1], vec![4], vec![5], vec![6]]
        );
        assert_eq!((policy.piece(3, 37), policy.piece(2, 37)), (1, 1));
    }

    #[test]
    fn a_card_has_few_shapes_and_the_largest_fills_the_budget() {
        let shapes = policy(Device::Cuda, false).shapes(256);
        assert_eq!(shapes.len(), 4 * SIZE_COUNT);
        let largest = shapes.iter().map(|shape| shape.size()).max();
        assert_eq!(largest, Some(CALL_TOKENS_MAX));
        let small = Policy::Filled { call_tokens_max: 512 };
        let of_longest: Vec<_> =
            small.shapes(200).into_iter().filter(|shape| shape.tokens == 200).collect();
        assert_eq!(of_longest, [Shape { rows: 2, tokens: 200 }]);
    }

    #[test]
    fn a_row_longer_than_the_budget_goes_alone() {
        let policy = Policy::Filled { call_tokens_max: 100 };
        assert_eq!(policy.shape(1, 256), Shape { rows: 1, tokens: 256 });
        assert_eq!(batches(policy, &[(0, 256), (0, 256)], 256), [[0], [1]]);
    }

    #[test]
    fn a_failed_batch_goes_on_in_smaller_shapes_down_to_single_rows() {
        let policy = policy(Device::Cuda, false);
        let mut rows = policy.rows_max(256);
        let mut seen = vec![rows];
        while rows > 1 {
            rows = policy.piece(rows, 256);
            seen.push(rows);
        }
        assert_eq!(seen, [128, 32, 8, 2, 1]);
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_of_its_length_within_the_budget(
            rows in prop::collection::vec((0_u64..3, 1_usize..300), 0..400),
            call_tokens_max in 1_usize..4_000,
            tokens_max in 16_usize..300,
        ) {
            let rows: Vec<_> =
                rows.into_iter().map(|(flow, tokens)| (flow, tokens.min(tokens_max))).collect();
            let policy = Policy::Filled { call_tokens_max };
            let batches = batches(policy, &rows, tokens_max);
            let mut met: Vec<usize> = batches.iter().flatten().copied().collect();
            met.sort_unstable();
            prop_assert_eq!(met, (0..rows.len()).collect::<Vec<_>>());
            let shapes: BTreeSet<Shape> = policy.shapes(tokens_max).into_iter().collect();
            prop_assert!(shapes.len() <= SIZE_COUNT * 5, "{} shapes", shapes.len());
            for batch in &batches {
                let length = policy.length(rows[batch[0]].1, tokens_max);
                for row in batch {
                    prop_assert_eq!(policy.length(rows[*row].1, tokens_max), length);
                    prop_assert!(rows[*row].1 <= length);
                }
                let shape = policy.shape(batch.len(), length);
                prop_assert!(shapes.contains(&shape), "{:?} is none of them", shape);
                prop_assert!(shape.rows >= batch.len());
                prop_assert!(shape.size() <= call_tokens_max.max(length));
                let is_next = |size: &Shape| {
                    size.tokens == length && size.rows >= batch.len() && size.rows < shape.rows
                };
                prop_assert!(!shapes.iter().any(is_next), "a smaller shape would do");
            }
        }

        #[test]
        fn pieces_are_smaller_and_in_no_larger_a_shape(
            rows in 1_usize..2_000, length in 1_usize..300, call_tokens_max in 1_usize..40_000,
        ) {
            let policy = Policy::Filled { call_tokens_max };
            let rows = rows.min(policy.rows_max(length));
            let piece = policy.piece(rows, length);
            prop_assert!(piece >= 1 && (piece < rows || rows == 1));
            prop_assert!(policy.shape(piece, length) <= policy.shape(rows, length));
        }
    }
}
