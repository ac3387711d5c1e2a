//! `sentences -> those that the model reads`: a linear model over hashed pairs of tokens says where
//! it would find nothing (`training/DECODER.md`, section 10; `training/gate.py` makes it).
//!
//! Integers only, so that every machine decides alike. Deliberately knows no label: what it lets
//! through is for the model to judge.

use std::ops::Range;

use super::windows::{self, Place};
use crate::config::bundle::{Bundle, GateSpec, Window};
use crate::error::{Fault, FaultClass};

/// Stands before the first token of a sentence and behind the last one: ids that no text has.
const EDGES: (u32, u32) = (1, 2);
/// Tell features of one token, of two and of the place apart.
const SALTS: (u32, u32, u32) = (1, 2, 3);

/// A bundle's gate. Shared between threads; asking changes nothing in it.
pub(super) struct Gate {
    spec: GateSpec,
    /// Weights by hash; their number is a power of two.
    weights: Vec<i16>,
}

impl Gate {
    /// The gate of `bundle`, if it has one; compares its digest again.
    pub(super) fn load(bundle: &Bundle) -> Result<Option<Self>, Fault> {
        let Some(spec) = &bundle.gate else { return Ok(None) };
        let context = || format!("loading gate `{}`", spec.path.display());
        let bytes =
            spec.bytes().map_err(|error| Fault::new(FaultClass::Fatal, context(), error))?;
        let (pairs, rest) = bytes.as_chunks();
        let weights: Vec<_> = pairs.iter().copied().map(i16::from_le_bytes).collect();
        if !rest.is_empty() || !weights.len().is_power_of_two() {
            let what = "it holds no power of two of 16-bit weights; fetch the bundle again";
            return Err(Fault::plain(FaultClass::Fatal, format!("{}: {what}", context())));
        }
        Ok(Some(Self { spec: spec.clone(), weights }))
    }

    /// The windows over what is read of a text: the sentences that reach the threshold, those that
    /// begin in the opening, and a margin of tokens on both sides, whose scores nobody reads.
    pub(super) fn places(
        &self,
        ids: &[i64],
        sentences: &[Range<usize>],
        window: &Window,
    ) -> Vec<Place> {
        let margin = self.spec.margin_tokens;
        let mut islands: Vec<Range<usize>> = Vec::new();
        for sentence in sentences {
            let is_opening = sentence.start < self.spec.opening_tokens;
            let tokens = ids.get(sentence.clone()).unwrap_or_default();
            if !is_opening && self.score(tokens, sentence.start) < self.spec.threshold {
                continue;
            }
            match islands.last_mut() {
                // A window of its own would read as much.
                Some(last) if sentence.start - last.end <= 2 * margin + self.spec.joined_tokens => {
                    last.end = sentence.end;
                }
                _ => islands.push(sentence.clone()),
            }
        }
        let places = islands.into_iter().flat_map(|island| {
            let read = island.start.saturating_sub(margin)..(island.end + margin).min(ids.len());
            windows::over(read, &[], window).into_iter().map(move |(tokens, owned)| {
                (tokens, owned.start.max(island.start)..owned.end.min(island.end))
            })
        });
        places.filter(|(_, owned)| !owned.is_empty()).collect()
    }

    /// The sum of the weights of all different features of a sentence that begins with token
    /// `first` of its text: tokens, pairs, and how many bits its place takes.
    fn score(&self, tokens: &[i64], first: usize) -> i64 {
        let mut slots: Vec<usize> = Vec::with_capacity(2 * tokens.len() + 2);
        let mut before = EDGES.0;
        for id in tokens {
            let id = u32::try_from(*id).unwrap_or_default();
            slots.extend([self.slot(id, 0, SALTS.0), self.slot(before, id, SALTS.1)]);
            before = id;
        }
        slots.extend([
            self.slot(before, EDGES.1, SALTS.1),
            self.slot(usize::BITS - first.leading_zeros(), 0, SALTS.2),
        ]);
        slots.sort_unstable();
        slots.dedup();
        slots.iter().filter_map(|slot| self.weights.get(*slot)).copied().map(i64::from).sum()
    }

    /// Where the weight of a feature stands: the high bits of an integer hash of Hash Prospector
    /// (<https://github.com/skeeto/hash-prospector>).
    fn slot(&self, one: u32, other: u32, salt: u32) -> usize {
        let mixed = one
            .wrapping_mul(0x9E37_79B1)
            .wrapping_add(other.wrapping_mul(0x85EB_CA6B))
            .wrapping_add(salt);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
        let mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297A_2D39);
        let mixed = u64::from(mixed ^ (mixed >> 15));
        let bits = self.weights.len().trailing_zeros();
        usize::try_from((mixed << bits) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Range;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::Gate;
    use crate::chunk::windows::{self, Place};
    use crate::config::bundle::{Cut, GateSpec, Window};
    use crate::types::Digest;

    const WINDOW: Window = Window {
        tokens_max: 12,
        cut: Cut::Stride,
        stride_tokens: 7,
        pad_multiple_tokens: 1,
        has_independent_rows: true,
        first_id: 101,
        last_id: 102,
        pad_id: 0,
    };

    /// A gate of `1 << bits` weights that lets through sentences with any of `wanted`.
    fn gate(bits: usize, wanted: &[i64]) -> Gate {
        let spec = GateSpec {
            threshold: 1,
            opening_tokens: 1,
            margin_tokens: 1,
            joined_tokens: 2,
            unread_logit: -9.0,
            path: PathBuf::new(),
            digest: Digest::of(b""),
        };
        let mut gate = Gate { spec, weights: vec![0; 1 << bits] };
        for id in wanted {
            let slot = gate.slot(u32::try_from(*id).unwrap(), 0, super::SALTS.0);
            gate.weights[slot] = 1;
        }
        gate
    }

    /// What is read of sentences that each are one token several times.
    fn places(sentences: &[(i64, usize)]) -> Vec<Place> {
        let mut start = 0;
        let range = |(_, length): &(i64, usize)| {
            let range = start..start + length;
            start = range.end;
            range
        };
        let ranges: Vec<_> = sentences.iter().map(range).collect();
        let ids: Vec<_> =
            sentences.iter().flat_map(|(id, length)| std::iter::repeat_n(*id, *length)).collect();
        gate(16, &[7]).places(&ids, &ranges, &WINDOW)
    }

    /// As `training/gate.py` gives them.
    #[test]
    fn features_have_the_places_of_the_reference() {
        for (bits, tokens, first, expected) in [
            (17, &[101][..], 300, &[84142, 84470, 102_916, 109_684][..]),
            (17, &[2023, 3820, 2023], 0, &[18042, 30827, 39379, 57597, 73279, 111_282, 116_514]),
            (10, &[30521, 1], 7, &[252, 598, 758, 762, 784, 824]),
            (10, &[], 1, &[339, 824]),
        ] {
            let mut gate = gate(bits, &[]);
            let mut found = BTreeSet::new();
            for slot in 0..gate.weights.len() {
                gate.weights[slot] = 1;
                // One feature counts once, however often it comes.
                found.extend((gate.score(tokens, first) == 1).then_some(slot));
                gate.weights[slot] = 0;
            }
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_opening_and_what_reaches_the_threshold_is_read_with_its_margins() {
        let none: [Place; 0] = [];
        assert_eq!(places(&[]), none);
        // The first sentence is the opening.
        assert_eq!(places(&[(3, 4), (3, 20)]), [(0..5, 0..4)]);
        assert_eq!(places(&[(3, 4), (3, 20), (7, 3)]), [(0..5, 0..4), (23..27, 24..27)]);
        assert_eq!(places(&[(3, 4), (3, 5), (7, 3), (3, 9)]), [(0..5, 0..4), (8..13, 9..12)]);
    }

    #[test]
    fn what_lies_between_two_that_are_near_is_read_too() {
        // Two margins of 1, and 2 that are joined.
        assert_eq!(places(&[(7, 3), (3, 4), (7, 3)]), [(0..10, 0..10)]);
        assert_eq!(places(&[(7, 3), (3, 5), (7, 3)]), [(0..4, 0..3), (7..11, 8..11)]);
        // Longer than a window.
        assert_eq!(
            places(&[(3, 1), (3, 9), (7, 12)]),
            [(0..2, 0..1), (9..19, 10..18), (16..22, 18..22)]
        );
    }

    proptest! {
        #[test]
        fn each_token_that_is_wanted_is_read_once(
            sentences in prop::collection::vec((prop::sample::select(vec![3_i64, 7]), 1_usize..30), 1..30),
        ) {
            let places = places(&sentences);
            let count: usize = sentences.iter().map(|(_, length)| length).sum();
            let mut times = vec![0; count];
            let mut last = 0;
            for (held, owned) in &places {
                prop_assert!(held.start <= owned.start && owned.end <= held.end);
                prop_assert!(held.end <= count && held.len() <= WINDOW.content_tokens_max());
                prop_assert!(owned.start >= last && !owned.is_empty());
                last = owned.end;
                times[owned.clone()].iter_mut().for_each(|times| *times += 1);
            }
            prop_assert!(times.iter().all(|times| *times <= 1));
            let mut start = 0;
            for (id, length) in &sentences {
                let is_read = start == 0 || *id == 7;
                prop_assert!(!is_read || times[start..start + length].iter().all(|times| *times == 1));
                start += length;
            }
        }

        #[test]
        fn where_all_is_wanted_windows_are_those_without_a_gate(
            lengths in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let sentences: Vec<_> = lengths.iter().map(|length| (7, *length)).collect();
            let whole: Range<usize> = 0..lengths.iter().sum();
            prop_assert_eq!(places(&sentences), windows::over(whole, &[], &WINDOW));
        }
    }
}
