//! `(time, item) -> items when they are due`: work that is tried again later without a thread that
//! waits for it.
//!
//! Deliberately unbounded, as [`crate::queue`] is: what is in flight is bounded by the source.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

struct Items<T> {
    /// By when they are due, then in the order in which they came.
    by_time: BTreeMap<(Instant, u64), T>,
    pushed_count: u64,
    is_closed: bool,
}

/// Items between threads, each with the time at which it is due.
pub struct Agenda<T> {
    items: Mutex<Items<T>>,
    changed: Condvar,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        let items = Items { by_time: BTreeMap::new(), pushed_count: 0, is_closed: false };
        Self { items: Mutex::new(items), changed: Condvar::new() }
    }
}

impl<T> Agenda<T> {
    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item that is due at `due`. A closed agenda drops it.
    pub fn push(&self, due: Instant, item: T) {
        let mut items = self.lock();
        if items.is_closed {
            return;
        }
        items.pushed_count += 1;
        let number = items.pushed_count;
        items.by_time.insert((due, number), item);
        drop(items);
        self.changed.notify_one();
    }

    /// Waits until an item is due, the earliest first; `None` once the agenda is closed.
    pub fn pop(&self) -> Option<T> {
        let mut items = self.lock();
        loop {
            if items.is_closed {
                return None;
            }
            let Some(((due, _), _)) = items.by_time.first_key_value() else {
                items = self.changed.wait(items).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return items.by_time.pop_first().map(|(_, item)| item);
            }
            let waited = self.changed.wait_timeout(items, left);
            items = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends every present and future `pop` with `None`, and drops what is left.
    pub fn close(&self) {
        let mut items = self.lock();
        items.is_closed = true;
        let left = std::mem::take(&mut items.by_time);
        drop(items);
        drop(left);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::Agenda;

    #[test]
    fn items_come_when_they_are_due_and_else_in_their_order() {
        let agenda = Agenda::default();
        let now = Instant::now();
        agenda.push(now + Duration::from_millis(30), "later");
        agenda.push(now, "first");
        agenda.push(now, "second");
        assert_eq!([agenda.pop(), agenda.pop()], [Some("first"), Some("second")]);
        assert_eq!(agenda.pop(), Some("later"));
        assert!(now.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn an_item_that_is_due_sooner_wakes_a_thread_that_waits_for_a_later_one() {
        let agenda = Arc::new(Agenda::default());
        agenda.push(Instant::now() + Duration::from_hours(1), "late");
        let waiting = thread::spawn({
            let agenda = Arc::clone(&agenda);
            move || [agenda.pop(), agenda.pop()]
        });
        agenda.push(Instant::now(), "now");
        thread::sleep(Duration::from_millis(20));
        agenda.close();
        assert_eq!(waiting.join().unwrap(), [Some("now"), None]);
        agenda.push(Instant::now(), "dropped");
        assert_eq!(agenda.pop(), None);
    }
}
