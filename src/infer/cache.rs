//! `a window that was seen before -> the scores that it had`, bounded in bytes.
//!
//! Contracts share boilerplate and plants their phrases. What a window scores depends on its model
//! and its tokens alone, so a kept answer is the answer: on the processor bit for bit, since company
//! changes nothing there, on a card as near as calls of different shapes are.
//! Deliberately keeps no token and no text: a window is known by its digest.

use quick_cache::Weighter;
use quick_cache::sync::Cache as Inner;

use super::session::RowScores;
use crate::types::{Chunk, Digest};

/// What keeping one window takes besides its scores: key, two vectors, and the cache's own books.
const ENTRY_BYTES: usize = 192;
/// Scores of a short window, for the first guess at how many there will be.
const USUAL_BYTES: usize = 4_096;

/// Digest of a model's number, of the tokens of a window and of those that are its own.
pub(super) type Key = Digest;

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, RowScores> for Weigh {
    fn weight(&self, _key: &Key, scores: &RowScores) -> u64 {
        bytes(ENTRY_BYTES + size_of::<f32>() * (scores.logits.len() + scores.classes.len()))
    }
}

/// The windows of all models that were scored lately.
pub(super) struct Cache(Option<Inner<Key, RowScores, Weigh>>);

impl Cache {
    /// One that holds at most so many bytes; none with 0.
    pub(super) fn new(bytes_max: usize) -> Self {
        let guess = bytes_max / USUAL_BYTES;
        Self((bytes_max > 0).then(|| Inner::with_weighter(guess, bytes(bytes_max), Weigh)))
    }

    /// The key of a window; `None` where nothing is kept.
    pub(super) fn key(&self, model: usize, window: &Chunk) -> Option<Key> {
        self.0.as_ref()?;
        let owned = [window.owned.start, window.owned.end].map(|at| at - window.tokens.start);
        let mut hashed = Vec::with_capacity(size_of::<i64>() * (3 + window.ids.len()));
        hashed.extend([model, owned[0], owned[1]].map(usize::to_le_bytes).as_flattened());
        hashed.extend(window.ids.iter().flat_map(|id| id.to_le_bytes()));
        Some(Digest::of(&hashed))
    }

    /// What a window scored before.
    pub(super) fn get(&self, key: &Key) -> Option<RowScores> {
        self.0.as_ref()?.get(key)
    }

    /// Keeps what a window scores, and forgets others where there is no room.
    pub(super) fn keep(&self, key: Key, scores: &RowScores) {
        if let Some(inner) = &self.0 {
            inner.insert(key, scores.clone());
        }
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::{Cache, Weigh};
    use crate::infer::session::RowScores;
    use crate::types::{Chunk, Sensitive};
    use quick_cache::Weighter;

    fn window(ids: &[i64], tokens: Range<usize>, owned: Range<usize>) -> Chunk {
        Chunk { ids: Sensitive::new(ids.to_vec()), padded_tokens: 32, tokens, owned }
    }

    fn scores(first: f32, count: usize) -> RowScores {
        RowScores { logits: vec![first; count], classes: Vec::new() }
    }

    #[test]
    fn a_window_is_known_wherever_it_stands_and_by_its_own_tokens_only() {
        let cache = Cache::new(1 << 20);
        let key = |model, window: &Chunk| cache.key(model, window).unwrap();
        let one = window(&[2, 7, 8, 3], 0..2, 0..2);
        let moved = window(&[2, 7, 8, 3], 190..192, 190..192);
        assert_eq!(key(0, &one), key(0, &moved));
        for (model, other) in [
            (1, window(&[2, 7, 8, 3], 0..2, 0..2)),
            (0, window(&[2, 7, 9, 3], 0..2, 0..2)),
            (0, window(&[2, 7, 8, 3], 0..2, 0..1)),
            (0, window(&[2, 7, 8, 3], 0..2, 1..2)),
        ] {
            assert_ne!(key(0, &one), key(model, &other));
        }
        assert!(cache.get(&key(0, &one)).is_none());
        cache.keep(key(0, &one), &scores(0.5, 4));
        assert_eq!(cache.get(&key(0, &moved)), Some(scores(0.5, 4)));
        assert!(cache.get(&key(1, &one)).is_none());
    }

    #[test]
    fn it_holds_no_more_than_its_bytes() {
        let cache = Cache::new(100_000);
        let keys: Vec<_> =
            (0..1_000).map(|id| cache.key(0, &window(&[2, id, 3], 0..1, 0..1)).unwrap()).collect();
        for key in &keys {
            cache.keep(*key, &scores(1.0, 100));
        }
        let held: u64 =
            keys.iter().filter_map(|key| Some(Weigh.weight(key, &cache.get(key)?))).sum();
        assert!((50_000..=100_000).contains(&held), "{held}");
    }

    #[test]
    fn without_bytes_there_is_none() {
        let cache = Cache::new(0);
        assert!(cache.key(0, &window(&[2, 3], 0..0, 0..0)).is_none());
    }
}
