//! `opened and settled deliveries -> what may be committed`: one lease per assigned partition.
//!
//! The ledger is pure bookkeeping: no clock, no Kafka, no thread. It deliberately waits for no
//! offset that was never opened, since compaction, control records and aborted transactions leave
//! gaps in every real topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A partition of the input topic of a flow.
pub type Partition = i32;

/// The right to commit for one assignment of one partition. It dies when the partition is revoked
/// and never comes back: a later assignment of the same partition gets another lease.
#[derive(Clone, Debug)]
pub struct Lease {
    partition: Partition,
    number: u64,
    is_dead: Arc<AtomicBool>,
}

impl Lease {
    /// Whether the partition is still assigned under this lease.
    pub fn is_alive(&self) -> bool {
        !self.is_dead.load(Ordering::Acquire)
    }

    /// A flag that is set when the lease dies, for work that should stop then.
    pub fn death(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_dead)
    }

    /// The partition that was assigned.
    pub const fn partition(&self) -> Partition {
        self.partition
    }
}

/// One open delivery: who may settle it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Under which assignment it was opened.
    pub lease: Lease,
    /// Its offset.
    pub offset: i64,
}

/// A delivery that was taken in.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Who may settle it.
    pub ticket: Ticket,
    /// Where the position of the partition went back: the lowest offset that could have followed.
    /// The lease that had got so far is dead, and the ticket is of a new one.
    pub rewound_from: Option<i64>,
}

enum State<T> {
    /// In work.
    Open,
    /// All parts have ended; waits for a commit.
    Settled(Vec<T>),
    /// Its outcomes are in a commit that is under way.
    InCommit,
}

impl<T> State<T> {
    const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

struct Entry<T> {
    offset: i64,
    size_bytes: usize,
    /// Outcomes that it settled with, and their size in bytes; 0 while it is open.
    outcomes_count: usize,
    outcome_bytes: usize,
    state: State<T>,
}

struct Book<T> {
    lease: Lease,
    entries: VecDeque<Entry<T>>,
    /// One past the highest offset that was ever opened under this lease.
    next_offset: i64,
}

/// The outcomes of consecutive deliveries of one partition.
pub struct Group<T> {
    /// Assignment that they belong to.
    pub lease: Lease,
    /// Offset to commit: one past the last delivery of the group.
    pub next_offset: i64,
    /// Number of deliveries.
    pub deliveries_count: usize,
    /// Outcomes in the order of their offsets.
    pub outcomes: Vec<T>,
}

/// Outcomes and the offsets that go with them, to be made visible together.
pub struct Commit<T> {
    /// At most one group per partition.
    pub groups: Vec<Group<T>>,
}

impl<T> Commit<T> {
    /// Drops the groups whose lease has died: the new owner does that work again.
    pub fn retain_alive(&mut self) {
        self.groups.retain(|group| group.lease.is_alive());
    }

    /// Whether every lease is alive.
    pub fn is_alive(&self) -> bool {
        self.groups.iter().all(|group| group.lease.is_alive())
    }

    /// Partitions and the offsets from which they are read on after it.
    pub fn next_offsets(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.groups.iter().map(|group| (group.lease.partition(), group.next_offset))
    }
}

/// How much a flow has consumed and not yet committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Deliveries.
    pub deliveries_count: usize,
    /// Their size in bytes.
    pub bytes: usize,
    /// Bytes beside them that are reserved for documents which they claim.
    pub claimed_bytes: usize,
    /// Of the deliveries, those that have ended and wait for a commit or are in one.
    pub settled_count: usize,
    /// Outcomes of those.
    pub outcomes_count: usize,
    /// Size of those outcomes in bytes.
    pub outcome_bytes: usize,
}

/// Knows, per assigned partition, which deliveries are open, settled, or in a commit.
///
/// Invariants: under one lease offsets are opened in rising order; the offset of a group never passes an open
/// delivery; the offsets handed out for one lease only rise; a dead lease yields nothing.
pub struct Ledger<T> {
    books: BTreeMap<Partition, Book<T>>,
    leases_count: u64,
    in_flight: InFlight,
    /// Partition after which the next cut begins, so that none is starved.
    cut_after: Partition,
    /// Nothing is cut while the flow is held.
    is_held: bool,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            books: BTreeMap::new(),
            leases_count: 0,
            in_flight: InFlight::default(),
            cut_after: Partition::MIN,
            is_held: false,
        }
    }
}

impl<T> Ledger<T> {
    /// Begins a lease on `partition`; one that still lives dies.
    pub fn assign(&mut self, partition: Partition) -> Lease {
        self.revoke(partition);
        self.leases_count += 1;
        let lease = Lease {
            partition,
            number: self.leases_count,
            is_dead: Arc::new(AtomicBool::new(false)),
        };
        let book = Book { lease: lease.clone(), entries: VecDeque::new(), next_offset: 0 };
        self.books.insert(partition, book);
        lease
    }

    /// Ends the lease on `partition` and drops its open work.
    pub fn revoke(&mut self, partition: Partition) {
        let Some(book) = self.books.remove(&partition) else { return };
        book.lease.is_dead.store(true, Ordering::Release);
        for entry in &book.entries {
            self.in_flight.release(entry);
        }
    }

    /// Ends all leases.
    pub fn revoke_all(&mut self) {
        for partition in self.partitions() {
            self.revoke(partition);
        }
    }

    /// Partitions with a living lease, in order.
    pub fn partitions(&self) -> Vec<Partition> {
        self.books.keys().copied().collect()
    }

    /// Opens a delivery of `partition`; `None` where the partition has no lease.
    ///
    /// Kafka hands out rising offsets. One that is not above the last means that the log itself is
    /// another one now: cut by the election of a leader that lacked its end, or of a topic that was
    /// made anew. What the offset names now may never have been worked on, so it is opened, under a
    /// new lease: what was open under the old one names what is no longer there.
    pub fn open(&mut self, partition: Partition, offset: i64, size_bytes: usize) -> Option<Opened> {
        let next_offset = self.books.get(&partition)?.next_offset;
        let rewound_from = (offset < next_offset).then_some(next_offset);
        if rewound_from.is_some() {
            self.assign(partition);
        }
        let book = self.books.get_mut(&partition)?;
        book.next_offset = offset + 1;
        book.entries.push_back(Entry {
            offset,
            size_bytes,
            outcomes_count: 0,
            outcome_bytes: 0,
            state: State::Open,
        });
        self.in_flight.deliveries_count += 1;
        self.in_flight.bytes += size_bytes;
        Some(Opened { ticket: Ticket { lease: book.lease.clone(), offset }, rewound_from })
    }

    /// Ends a delivery with the outcomes of all its parts, of so many bytes together. False where the lease has died: the
    /// outcomes are dropped, and the new owner makes them again.
    ///
    /// # Panics
    /// Where the delivery was settled before: two outcomes for one part must never be.
    pub fn settle(&mut self, ticket: &Ticket, outcomes: Vec<T>, outcome_bytes: usize) -> bool {
        let Some(book) = self.books.get_mut(&ticket.lease.partition) else { return false };
        if book.lease.number != ticket.lease.number {
            return false;
        }
        let found = book.entries.binary_search_by_key(&ticket.offset, |entry| entry.offset);
        let entry = found.ok().and_then(|index| book.entries.get_mut(index));
        let is_open = entry.as_ref().is_some_and(|entry| entry.state.is_open());
        assert!(is_open, "offset {} settled twice or never opened", ticket.offset);
        if let Some(entry) = entry {
            self.in_flight.outcomes_count += outcomes.len();
            self.in_flight.outcome_bytes += outcome_bytes;
            entry.outcomes_count = outcomes.len();
            entry.outcome_bytes = outcome_bytes;
            entry.state = State::Settled(outcomes);
        }
        self.in_flight.settled_count += 1;
        true
    }

    /// The outcomes of each delivery that [`Self::cut`] would take now, in its order.
    pub fn ready(&self, deliveries_max: usize) -> impl Iterator<Item = &[T]> {
        let books = self.cut_order().into_iter().filter_map(|partition| self.books.get(&partition));
        books.flat_map(Book::ready).take(deliveries_max)
    }

    /// Partitions in the order in which they are cut.
    fn cut_order(&self) -> Vec<Partition> {
        let mut order = self.partitions();
        let next = order.partition_point(|partition| *partition <= self.cut_after);
        order.rotate_left(next);
        order
    }

    /// Takes the settled deliveries below the first open one of each partition, at most
    /// `deliveries_max` of them; `None` where there is nothing, or the flow is held. The caller ends the commit by
    /// [`Self::committed`], or keeps it and tries again; it must not cut another one before.
    pub fn cut(&mut self, deliveries_max: usize) -> Option<Commit<T>> {
        if self.is_held {
            return None;
        }
        let mut groups = Vec::new();
        let mut room = deliveries_max;
        for partition in self.cut_order() {
            let group = self.books.get_mut(&partition).and_then(|book| book.cut(room));
            let Some(group) = group else { continue };
            room -= group.deliveries_count;
            self.cut_after = partition;
            groups.push(group);
            if room == 0 {
                break;
            }
        }
        (!groups.is_empty()).then_some(Commit { groups })
    }

    /// The outcomes and offsets of `commit` are visible: forgets its deliveries.
    ///
    /// # Panics
    /// Where the commit passed an open delivery: its work would be lost.
    pub fn committed(&mut self, commit: &Commit<T>) {
        for group in &commit.groups {
            let Some(book) = self.books.get_mut(&group.lease.partition) else { continue };
            if book.lease.number != group.lease.number {
                continue;
            }
            let done = book.entries.partition_point(|entry| entry.offset < group.next_offset);
            for entry in book.entries.drain(..done) {
                assert!(matches!(entry.state, State::InCommit), "a commit passed open work");
                self.in_flight.release(&entry);
            }
        }
    }

    /// Cuts nothing any more, until [`Self::release`].
    pub const fn hold(&mut self) {
        self.is_held = true;
    }

    /// Cuts again.
    pub const fn release(&mut self) {
        self.is_held = false;
    }

    /// Whether the flow is held.
    pub const fn is_held(&self) -> bool {
        self.is_held
    }

    /// Drops what is consumed and not committed, under new leases, and gives the offset from which
    /// each of their partitions is to be read again. `None` while a commit is under way: it may go
    /// through, and what is in it must not be worked on twice.
    pub fn restart(&mut self) -> Option<Vec<(Lease, i64)>> {
        let is_moving = |book: &Book<T>| {
            book.entries.iter().any(|entry| matches!(entry.state, State::InCommit))
        };
        if self.books.values().any(is_moving) {
            return None;
        }
        let first = |book: &Book<T>| book.entries.front().map(|entry| entry.offset);
        let behind: Vec<_> = self
            .books
            .iter()
            .filter_map(|(partition, book)| Some((*partition, first(book)?)))
            .collect();
        let renewed =
            behind.into_iter().map(|(partition, offset)| (self.assign(partition), offset));
        Some(renewed.collect())
    }

    /// Whether `outcomes_max` outcomes or `outcome_bytes_max` bytes of them or more wait for a commit,
    /// and a commit is possible or under way. What waits behind an open delivery alone does not
    /// count: work that is held back could
    /// be what it waits for.
    pub fn is_full(&self, outcomes_max: usize, outcome_bytes_max: usize) -> bool {
        let is_moving =
            |book: &Book<T>| book.entries.front().is_some_and(|entry| !entry.state.is_open());
        let InFlight { outcomes_count, outcome_bytes, .. } = self.in_flight;
        (outcomes_count >= outcomes_max || outcome_bytes >= outcome_bytes_max)
            && self.books.values().any(is_moving)
    }

    /// Reserves `bytes` beside what is in flight, where that stays within `bytes_max`. Where nothing
    /// is reserved it always does: what is in flight may wait for just this.
    fn reserve(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let in_flight = &mut self.in_flight;
        let has_room = in_flight.claimed_bytes == 0
            || in_flight.all_bytes().saturating_add(bytes) <= bytes_max;
        if has_room {
            in_flight.claimed_bytes += bytes;
        }
        has_room
    }

    /// What is consumed and not yet committed.
    pub const fn in_flight(&self) -> InFlight {
        self.in_flight
    }
}

/// A ledger that the source, the finishing thread and the sink of one flow share.
pub struct SharedLedger<T> {
    ledger: Mutex<Ledger<T>>,
    changed: Condvar,
}

impl<T> Default for SharedLedger<T> {
    fn default() -> Self {
        Self { ledger: Mutex::default(), changed: Condvar::new() }
    }
}

impl<T> SharedLedger<T> {
    /// The ledger itself. Hold the guard briefly: the rebalance callback waits for it.
    ///
    /// A poisoned lock is taken as it is: each method leaves the ledger whole or has ended the
    /// process by its assertion.
    pub fn lock(&self) -> MutexGuard<'_, Ledger<T>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits in [`Self::wait`].
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits at most `time` for room of `bytes` beside what is in flight, all within `bytes_max`;
    /// where nothing else is reserved there always is. `None` where there was none.
    pub fn reserve(
        self: &Arc<Self>,
        bytes: usize,
        bytes_max: usize,
        time: Duration,
    ) -> Option<Reservation<T>> {
        let mut has_room = false;
        let ledger = self.lock();
        let waited = self.changed.wait_timeout_while(ledger, time, |ledger| {
            has_room = ledger.reserve(bytes, bytes_max);
            !has_room
        });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        has_room.then(|| Reservation { ledger: Arc::clone(self), bytes })
    }

    /// Waits at most `time` until `is_due` says so of what is in flight; returns its last answer.
    pub fn wait(&self, time: Duration, is_due: impl Fn(InFlight) -> bool) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, |ledger| !is_due(ledger.in_flight()));
        let (ledger, _) = waited.unwrap_or_else(PoisonError::into_inner);
        is_due(ledger.in_flight())
    }
}

/// Bytes that are reserved beside the deliveries in flight; given back when this is dropped.
pub struct Reservation<T> {
    ledger: Arc<SharedLedger<T>>,
    bytes: usize,
}

impl<T> Drop for Reservation<T> {
    fn drop(&mut self) {
        self.ledger.lock().in_flight.claimed_bytes -= self.bytes;
        self.ledger.notify();
    }
}

impl InFlight {
    /// Bytes of deliveries and of what they claim.
    pub const fn all_bytes(&self) -> usize {
        self.bytes.saturating_add(self.claimed_bytes)
    }

    /// Whether there is something, and all of it has ended.
    pub const fn has_ended(&self) -> bool {
        self.deliveries_count > 0 && self.settled_count == self.deliveries_count
    }

    fn release<T>(&mut self, entry: &Entry<T>) {
        self.deliveries_count -= 1;
        self.bytes -= entry.size_bytes;
        self.outcomes_count -= entry.outcomes_count;
        self.outcome_bytes -= entry.outcome_bytes;
        if !entry.state.is_open() {
            self.settled_count -= 1;
        }
    }
}

impl<T> Book<T> {
    /// Outcomes of the settled deliveries below the first open one.
    fn ready(&self) -> impl Iterator<Item = &[T]> {
        self.entries.iter().map_while(|entry| match &entry.state {
            State::Settled(outcomes) => Some(outcomes.as_slice()),
            State::Open | State::InCommit => None,
        })
    }

    fn cut(&mut self, deliveries_max: usize) -> Option<Group<T>> {
        let mut outcomes = Vec::new();
        let mut deliveries_count = 0;
        let mut next_offset = None;
        for entry in self.entries.iter_mut().take(deliveries_max) {
            let state = std::mem::replace(&mut entry.state, State::InCommit);
            match state {
                State::Settled(mut settled) => outcomes.append(&mut settled),
                State::InCommit => continue,
                State::Open => {
                    entry.state = State::Open;
                    break;
                }
            }
            deliveries_count += 1;
            next_offset = Some(entry.offset + 1);
        }
        let lease = self.lease.clone();
        next_offset.map(|next_offset| Group { lease, next_offset, deliveries_count, outcomes })
    }
}

#[cfg(test)]
mod tests;
