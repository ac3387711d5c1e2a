//! `ends of a range, what was read -> which partitions are done`.
//!
//! A partition is done at the first message at or past its end, or at the end of the partition, which
//! lay at or past it when the range was fixed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Where work on a range ends.
#[derive(Default)]
pub(super) struct Bound {
    /// One past the last offset of each partition; a partition that is not named has none to do.
    ends: Option<BTreeMap<i32, i64>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: BTreeSet<i32>,
    /// Paused since they are done; the client keeps a pause when a partition is assigned anew.
    paused: BTreeSet<i32>,
}

impl Bound {
    /// A bound at `ends`; none where work never ends.
    pub(super) fn new(ends: Option<BTreeMap<i32, i64>>) -> Self {
        Self { ends, state: Mutex::default() }
    }

    /// Whether the message is past the end of its partition, which is then done.
    pub(super) fn is_past(&self, partition: i32, offset: i64) -> bool {
        let Some(ends) = &self.ends else { return false };
        let is_past = ends.get(&partition).is_none_or(|end| offset >= *end);
        if is_past {
            self.reached(partition);
        }
        is_past
    }

    /// The partition has been read to its end.
    pub(super) fn reached(&self, partition: i32) {
        if self.ends.is_some() {
            self.with(|state| state.done.insert(partition));
        }
    }

    /// The partition is assigned anew, from the offset of the group on.
    pub(super) fn assigned(&self, partition: i32) {
        self.with(|state| state.done.remove(&partition));
    }

    /// Whether the partition is done.
    pub(super) fn is_done(&self, partition: i32) -> bool {
        self.with(|state| state.done.contains(&partition))
    }

    /// Whether an assigned partition is to be paused now, or resumed; `None` where it is as it should
    /// be.
    pub(super) fn turned(&self, partition: i32) -> Option<bool> {
        self.with(|state| {
            if state.done.contains(&partition) {
                state.paused.insert(partition).then_some(true)
            } else {
                state.paused.remove(&partition).then_some(false)
            }
        })
    }

    /// Whether all that is assigned is done; never where nothing is, since another worker of the
    /// range may leave its partitions to this one.
    pub(super) fn is_over(&self, assigned: &[i32]) -> bool {
        self.ends.is_some()
            && !assigned.is_empty()
            && assigned.iter().all(|partition| self.is_done(*partition))
    }

    fn with<A>(&self, act: impl FnOnce(&mut State) -> A) -> A {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn a_range_is_over_when_each_assigned_partition_has_reached_its_end() {
        let bound = Bound::new(Some([(0, 5), (1, 0)].into()));
        assert!(!bound.is_past(0, 4));
        assert!(!bound.is_over(&[0]));
        assert!(bound.is_past(0, 5) && bound.is_over(&[0]));
        assert!(!bound.is_over(&[0, 1]) && !bound.is_over(&[]));
        bound.reached(1);
        assert!(bound.is_over(&[0, 1]));
        assert!(bound.is_past(2, 0), "a partition that is not named has nothing to do");
        assert_eq!((bound.turned(0), bound.turned(0)), (Some(true), None));
        bound.assigned(0);
        assert!(!bound.is_over(&[0, 1]));
        assert_eq!((bound.turned(0), bound.turned(0)), (Some(false), None));
    }

    #[test]
    fn without_a_range_nothing_is_past_it() {
        let bound = Bound::new(None);
        bound.reached(0);
        assert!(!bound.is_past(0, i64::MAX) && !bound.is_over(&[0]));
    }
}
