//! `ends of parts, in any order -> the messages of a delivery, in the order of its parts`.
//!
//! All parts of a delivery leave together, so what has ended waits for the rest. It is counted
//! while it does: nothing else bounds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the begun deliveries of a flow hold that is not in the ledger yet.
#[derive(Default)]
pub struct Backlog {
    parts_count: AtomicUsize,
    bytes: AtomicUsize,
}

impl Backlog {
    /// Whether the begun deliveries have fewer parts, and fewer bytes of ended ones, than these.
    pub fn is_below(&self, parts_max: usize, bytes_max: usize) -> bool {
        self.parts_count.load(Ordering::Acquire) < parts_max
            && self.bytes.load(Ordering::Acquire) < bytes_max
    }
}

/// The messages of a delivery's parts. What one part gives is a `T`, several messages as a rule.
pub struct Parts<T> {
    open_count: usize,
    ended: Vec<Option<T>>,
    bytes: usize,
    bytes_max: usize,
    /// What of this the backlog counts: parts, and bytes that are kept.
    counted: (usize, usize),
    backlog: Arc<Backlog>,
}

/// How a delivery ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Whole<T> {
    /// What its parts gave, in order.
    Fits(Vec<T>),
    /// Its parts gave more than allowed; so many bytes.
    TooLarge(usize),
}

impl<T: Default> Parts<T> {
    /// `count` open parts, whose messages may have `bytes_max` bytes together. A single part has
    /// the limit of its own messages alone.
    pub fn new(count: usize, bytes_max: usize, backlog: &Arc<Backlog>) -> Self {
        backlog.parts_count.fetch_add(count, Ordering::AcqRel);
        Self {
            counted: (count, 0),
            open_count: count,
            ended: std::iter::repeat_with(|| None).take(count).collect(),
            bytes: 0,
            bytes_max: if count == 1 { usize::MAX } else { bytes_max },
            backlog: Arc::clone(backlog),
        }
    }

    /// One part has ended, with so many bytes; the delivery, once it was the last.
    ///
    /// The sum over all parts decides what fits, so that their order of ending does not; from the
    /// limit on no message is kept.
    ///
    /// # Panics
    /// Where there is no such part or it has ended before: two outcomes for one part must never
    /// be, nor an outcome be lost.
    pub fn end(&mut self, part: u32, message: T, bytes: usize) -> Option<Whole<T>> {
        let slot = usize::try_from(part).ok().and_then(|part| self.ended.get_mut(part));
        let is_open = slot.as_ref().is_some_and(|slot| slot.is_none());
        assert!(is_open, "part {part} ended twice or was never opened");
        if let Some(slot) = slot {
            *slot = Some(message);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let is_too_large = self.bytes > self.bytes_max;
        if is_too_large {
            self.ended.iter_mut().flatten().for_each(|message| *message = T::default());
        }
        self.count(self.counted.0, if is_too_large { 0 } else { self.bytes });
        self.open_count -= 1;
        if self.open_count > 0 {
            return None;
        }
        let messages = std::mem::take(&mut self.ended).into_iter().flatten().collect();
        self.count(0, 0);
        Some(if is_too_large { Whole::TooLarge(self.bytes) } else { Whole::Fits(messages) })
    }
}

impl<T> Parts<T> {
    /// Tells the backlog what of it is this delivery's now.
    fn count(&mut self, parts: usize, bytes: usize) {
        let (parts_before, bytes_before) = std::mem::replace(&mut self.counted, (parts, bytes));
        self.backlog.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.backlog.bytes.fetch_sub(bytes_before, Ordering::AcqRel);
        self.backlog.parts_count.fetch_add(parts, Ordering::AcqRel);
        self.backlog.parts_count.fetch_sub(parts_before, Ordering::AcqRel);
    }
}

impl<T> Drop for Parts<T> {
    /// Work of a dead lease goes without an end.
    fn drop(&mut self) {
        self.count(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Backlog, Parts, Whole};

    #[test]
    #[should_panic(expected = "ended twice")]
    fn a_part_that_ends_twice_stops_the_worker() {
        let mut parts = Parts::new(2, 9, &Arc::default());
        assert!(parts.end(1, (), 0).is_none());
        parts.end(1, (), 0);
    }

    #[test]
    fn what_is_held_is_counted_until_it_leaves_or_is_dropped() {
        let backlog = Arc::new(Backlog::default());
        let mut parts = Parts::new(3, 100, &backlog);
        assert!(backlog.is_below(4, 1) && !backlog.is_below(3, 1));
        assert_eq!(parts.end(0, 'a', 40), None);
        assert!(backlog.is_below(4, 41) && !backlog.is_below(4, 40));
        let dropped = Parts::<char>::new(5, 100, &backlog);
        assert!(!backlog.is_below(8, 41));
        drop(dropped);
        assert_eq!([parts.end(2, 'c', 30), parts.end(1, 'b', 30)].len(), 2);
        assert!(backlog.is_below(1, 1), "nothing is held any more");
    }

    #[test]
    fn one_part_is_never_too_large() {
        let whole = Parts::new(1, 1, &Arc::default()).end(0, 'a', 50);
        assert_eq!(whole, Some(Whole::Fits(vec!['a'])));
    }

    proptest! {
        #[test]
        fn parts_leave_together_and_in_order_in_whatever_order_they_end(
            order in (2..40_u32).prop_flat_map(|count| {
                Just((0..count).collect::<Vec<_>>()).prop_shuffle()
            }),
            bytes_max in 0_usize..1_000,
        ) {
            let backlog = Arc::default();
            let mut parts = Parts::new(order.len(), bytes_max, &backlog);
            let size = |part: &u32| usize::try_from(*part).unwrap();
            let (last, others) = order.split_last().unwrap();
            for part in others {
                prop_assert!(parts.end(*part, *part, size(part)).is_none());
                prop_assert!(backlog.is_below(usize::MAX, bytes_max + 1), "more is held than allowed");
            }
            let total: usize = order.iter().map(size).sum();
            match parts.end(*last, *last, size(last)).unwrap() {
                Whole::Fits(all) => {
                    prop_assert!(all.is_sorted() && all.len() == order.len());
                    prop_assert!(total <= bytes_max);
                }
                Whole::TooLarge(bytes) => prop_assert!(bytes == total && total > bytes_max),
            }
            prop_assert!(backlog.is_below(1, 1));
        }
    }
}
