//! `a window that was seen before -> the scores that it had`, bounded in bytes.
//!
//! Contracts share boilerplate and plants their phrases. What a window scores depends on its model
//! and its tokens alone, so a kept answer is the answer: on the processor bit for bit, since company
//! changes nothing there, on a card as near as calls of different shapes are.
//!
//! All scores lie in one ring that is taken once, the oldest overwritten first: where scores of all
//! sizes came and went one by one, what the process held crept up for more than an hour.
//! Deliberately keeps no token and no text: a window is known by its digest.

#![expect(clippy::disallowed_types, reason = "the map is asked by key, and never walked")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::session::RowScores;
use crate::types::{Chunk, Digest};

/// What the books hold for one window at most: its place by age, and up to 4.6 slots by key.
const ENTRY_BYTES: usize = 320;
/// One part in so many of the bytes is for the books.
const BOOKS_SHARE: usize = 4;

/// Digest of a model's number, of the tokens of a window and of those that are its own.
pub(super) type Key = Digest;

/// The windows of all models that were scored lately.
pub(super) struct Cache(Option<Mutex<Ring>>);

impl Cache {
    /// One that takes at most so many bytes; none with 0.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self((bytes_max > 0).then(|| Mutex::new(Ring::new(bytes_max))))
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
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    /// Keeps what a window scores, and forgets the oldest where there is no room.
    pub(super) fn keep(&self, key: Key, scores: &RowScores) {
        if let Some(ring) = &self.0 {
            ring.lock().unwrap_or_else(PoisonError::into_inner).keep(key, scores);
        }
    }
}

/// Where scores lie: logits, then classes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Scores before it, counted on from the first turn of the ring.
    start: usize,
    logits_count: usize,
    classes_count: usize,
}

/// Scores one behind the other, and the books of where whose are.
struct Ring {
    scores: Vec<f32>,
    /// Where the next scores go, counted on from the first turn.
    end: usize,
    places: HashMap<Key, Place>,
    /// All places by age, those too whose key has a younger one.
    ages: VecDeque<(Key, Place)>,
    entries_max: usize,
}

impl Ring {
    fn new(bytes_max: usize) -> Self {
        let books = bytes_max / BOOKS_SHARE;
        let entries_max = (books / ENTRY_BYTES).max(1);
        Self {
            // Zeroes that nobody has written take no memory yet.
            scores: vec![0.0; ((bytes_max - books) / size_of::<f32>()).max(1)],
            end: 0,
            // A map that is at most half full cleans up where it is and never grows.
            places: HashMap::with_capacity(2 * entries_max),
            ages: VecDeque::with_capacity(entries_max),
            entries_max,
        }
    }

    fn get(&mut self, key: &Key) -> Option<RowScores> {
        let place = *self.places.get(key)?;
        let at = place.start % self.scores.len();
        let (logits, classes) = self.scores.get(at..)?.split_at_checked(place.logits_count)?;
        let classes = classes.get(..place.classes_count)?;
        let found = RowScores { logits: logits.to_vec(), classes: classes.to_vec() };
        // What still comes does not leave with what came first at its time.
        if self.end - place.start > self.scores.len() / 2 {
            self.keep(*key, &found);
        }
        Some(found)
    }

    fn keep(&mut self, key: Key, scores: &RowScores) {
        let (logits_count, classes_count) = (scores.logits.len(), scores.classes.len());
        let size = self.scores.len();
        let length = logits_count + classes_count;
        if length > size {
            return;
        }
        // Scores lie in one piece: what does not fit before the seam begins behind it.
        let left = size - self.end % size;
        let start = if length > left { self.end + left } else { self.end };
        let place = Place { start, logits_count, classes_count };
        let at = start % size;
        while let Some((old, overwritten)) = self.ages.front().copied() {
            let is_overwritten = start + length > overwritten.start + size;
            if !is_overwritten && self.ages.len() < self.entries_max {
                break;
            }
            self.ages.pop_front();
            // It may have been kept again since.
            if self.places.get(&old) == Some(&overwritten) {
                self.places.remove(&old);
            }
        }
        if let Some(room) = self.scores.get_mut(at..at + length) {
            let (logits, classes) = room.split_at_mut(logits_count);
            logits.copy_from_slice(&scores.logits);
            classes.copy_from_slice(&scores.classes);
            self.end = start + length;
            self.places.insert(key, place);
            self.ages.push_back((key, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;

    use proptest::prelude::*;

    use super::{BOOKS_SHARE, Cache, ENTRY_BYTES, Key, Ring};
    use crate::infer::session::RowScores;
    use crate::types::{Chunk, Digest, Sensitive};

    fn window(ids: &[i64], tokens: Range<usize>, owned: Range<usize>) -> Chunk {
        Chunk { ids: Sensitive::new(ids.to_vec()), padded_tokens: 32, tokens, owned }
    }

    fn scores(first: f32, count: usize) -> RowScores {
        RowScores { logits: vec![first; count], classes: Vec::new() }
    }

    fn key(number: u16) -> Key {
        Digest::of(&number.to_le_bytes())
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
    fn the_oldest_leaves_and_what_still_comes_stays() {
        // Room for ten of a hundred scores.
        let mut ring = Ring::new(1 + 10 * 400 * BOOKS_SHARE / (BOOKS_SHARE - 1));
        ring.entries_max = 100;
        for number in 0..100 {
            ring.keep(key(number), &scores(f32::from(number), 100));
            assert_eq!(ring.get(&key(0)), Some(scores(0.0, 100)), "after {number}");
        }
        let held: Vec<_> = (1..100).filter(|it| ring.get(&key(*it)).is_some()).collect();
        assert!((7..=9).contains(&held.len()) && held.contains(&99), "{held:?}");
    }

    #[test]
    fn without_bytes_there_is_none() {
        let cache = Cache::new(0);
        assert!(cache.key(0, &window(&[2, 3], 0..0, 0..0)).is_none());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_kept_last_and_the_books_stay_within_their_bounds(
            bytes_max in 1_usize..20_000,
            steps in prop::collection::vec((0_u16..40, 0_usize..300, 0_usize..3), 1..300),
        ) {
            let mut ring = Ring::new(bytes_max);
            let mut kept = BTreeMap::new();
            for (number, (of, logits, classes)) in steps.into_iter().enumerate() {
                let value = f32::from(u16::try_from(number).unwrap());
                let one = RowScores { logits: vec![value; logits], classes: vec![-value; classes] };
                ring.keep(key(of), &one);
                let fits = logits + classes <= ring.scores.len();
                if fits {
                    kept.insert(of, one.clone());
                    prop_assert_eq!(ring.get(&key(of)), Some(one));
                }
                for (of, one) in &kept {
                    let found = ring.get(&key(*of));
                    prop_assert!(found.is_none_or(|found| found == *one));
                }
                prop_assert!(ring.places.len() <= ring.ages.len());
                prop_assert!(ring.ages.len() <= (bytes_max / BOOKS_SHARE / ENTRY_BYTES).max(1));
            }
        }
    }
}
