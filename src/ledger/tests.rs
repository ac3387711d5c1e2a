//! What may be committed, and what must not.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{InFlight, Ledger, SharedLedger, Ticket};

fn opened(ledger: &mut Ledger<i64>, offsets: &[i64]) -> Vec<Ticket> {
    offsets.iter().map(|offset| ledger.open(0, *offset, 10).unwrap().ticket).collect()
}

#[test]
fn it_is_full_of_what_can_be_committed() {
    let mut ledger = Ledger::default();
    ledger.assign(0);
    let tickets = opened(&mut ledger, &[0, 1]);
    assert!(ledger.settle(&tickets[1], vec![1, 1, 1], 20));
    assert!(!ledger.is_full(3, usize::MAX), "all of it waits for offset 0");
    assert!(ledger.settle(&tickets[0], vec![0], 10));
    assert!(ledger.is_full(4, usize::MAX) && !ledger.is_full(5, usize::MAX));
    assert!(ledger.is_full(5, 30) && !ledger.is_full(5, 31), "by bytes");
    let commit = ledger.cut(100).unwrap();
    assert!(ledger.is_full(4, usize::MAX), "the commit is under way");
    ledger.committed(&commit);
    assert!(!ledger.is_full(1, usize::MAX));
}

#[test]
fn a_cut_stops_at_the_first_open_delivery() {
    let mut ledger = Ledger::default();
    ledger.assign(0);
    assert!(!ledger.in_flight().has_ended(), "nothing came yet");
    let tickets = opened(&mut ledger, &[0, 1, 2]);
    assert!(ledger.settle(&tickets[0], vec![0], 1));
    assert!(ledger.settle(&tickets[2], vec![2], 1));
    assert!(!ledger.in_flight().has_ended(), "one is open");
    let commit = ledger.cut(100).unwrap();
    assert_eq!((commit.groups[0].next_offset, &commit.groups[0].outcomes), (1, &vec![0]));
    assert!(ledger.cut(100).is_none(), "what is in a commit is not cut again");
    ledger.committed(&commit);
    assert_eq!(
        ledger.in_flight(),
        InFlight {
            deliveries_count: 2,
            bytes: 20,
            claimed_bytes: 0,
            settled_count: 1,
            outcomes_count: 1,
            outcome_bytes: 1,
        }
    );
    assert!(ledger.settle(&tickets[1], vec![1], 1));
    assert!(ledger.in_flight().has_ended(), "what is left waits for a commit only");
}

#[test]
fn a_held_flow_commits_nothing_and_reads_again_what_was_not_committed() {
    let mut ledger = Ledger::default();
    ledger.assign(0);
    ledger.assign(1);
    let tickets = opened(&mut ledger, &[3, 5, 8]);
    assert!(ledger.settle(&tickets[0], vec![3], 1) && ledger.settle(&tickets[1], vec![5], 1));
    let commit = ledger.cut(1).unwrap();
    ledger.hold();
    assert!(ledger.is_held() && ledger.cut(100).is_none());
    assert!(ledger.restart().is_none(), "a commit is under way and may go through");
    ledger.committed(&commit);
    let again = ledger.restart().unwrap();
    let again: Vec<_> = again.iter().map(|(it, offset)| (it.partition(), *offset)).collect();
    assert_eq!(again, [(0, 5)], "partition 1 has nothing that is not committed");
    assert!(!ledger.settle(&tickets[2], vec![8], 1), "its lease is dead");
    assert_eq!(ledger.in_flight(), InFlight::default());
    assert_eq!(ledger.restart().map(|again| again.len()), Some(0));
    ledger.release();
    let tickets = opened(&mut ledger, &[5, 8]);
    assert!(ledger.settle(&tickets[0], vec![5], 1) && ledger.settle(&tickets[1], vec![8], 1));
    assert_eq!(ledger.cut(100).unwrap().groups[0].outcomes, [5, 8]);
}

#[test]
fn room_for_claims_stays_within_the_bound_but_for_one_that_is_alone() {
    let shared = Arc::new(SharedLedger::<i64>::default());
    shared.lock().assign(0);
    assert!(shared.lock().open(0, 0, 60).is_some());
    let none = Duration::ZERO;
    let first = shared.reserve(30, 100, none).unwrap();
    assert!(shared.reserve(11, 100, none).is_none());
    let second = shared.reserve(10, 100, none).unwrap();
    assert_eq!(shared.lock().in_flight().all_bytes(), 100);
    shared.lock().revoke(0);
    assert_eq!(shared.lock().in_flight().all_bytes(), 40, "the documents are still held");
    drop((first, second));
    assert_eq!(shared.lock().in_flight(), InFlight::default());
    let alone = shared.reserve(1_000, 100, none).unwrap();
    assert!(shared.reserve(1, 100, none).is_none(), "one at a time above the bound");
    drop(alone);
}

#[test]
fn room_that_is_given_back_wakes_who_waits_for_it() {
    let shared = Arc::new(SharedLedger::<i64>::default());
    let held = shared.reserve(90, 100, Duration::ZERO).unwrap();
    let waiting = std::thread::spawn({
        let shared = Arc::clone(&shared);
        move || shared.reserve(90, 100, Duration::from_mins(5)).is_some()
    });
    drop(held);
    assert!(waiting.join().unwrap());
}

#[test]
fn gaps_between_offsets_hold_nothing_up() {
    let mut ledger = Ledger::default();
    ledger.assign(0);
    for ticket in opened(&mut ledger, &[3, 9, 40]) {
        assert!(ledger.settle(&ticket, vec![ticket.offset], 1));
    }
    assert_eq!(ledger.cut(100).unwrap().groups[0].next_offset, 41);
}

#[test]
fn a_dead_lease_commits_nothing() {
    let mut ledger = Ledger::default();
    let lease = ledger.assign(0);
    let tickets = opened(&mut ledger, &[0, 1]);
    assert!(ledger.settle(&tickets[0], vec![0], 1));
    let mut commit = ledger.cut(100).unwrap();
    ledger.revoke(0);
    assert!(!lease.is_alive() && !commit.is_alive());
    commit.retain_alive();
    assert!(commit.groups.is_empty());
    ledger.assign(0);
    assert!(!ledger.settle(&tickets[1], vec![1], 1), "a ticket of a dead lease settles nothing");
    assert_eq!(ledger.in_flight(), InFlight::default());
}

#[test]
fn a_commit_of_a_dead_lease_leaves_the_next_lease_alone() {
    let mut ledger = Ledger::default();
    ledger.assign(0);
    let tickets = opened(&mut ledger, &[0]);
    assert!(ledger.settle(&tickets[0], vec![0], 1));
    let commit = ledger.cut(100).unwrap();
    ledger.assign(0);
    opened(&mut ledger, &[0]);
    ledger.committed(&commit);
    assert_eq!(ledger.in_flight().deliveries_count, 1);
}

#[test]
#[should_panic(expected = "settled twice")]
fn settling_twice_is_a_bug_that_stops_the_worker() {
    let mut ledger = Ledger::default();
    ledger.assign(0);
    let tickets = opened(&mut ledger, &[0]);
    ledger.settle(&tickets[0], vec![0], 1);
    ledger.settle(&tickets[0], vec![0], 1);
}

#[test]
fn without_a_lease_nothing_is_opened() {
    let mut ledger: Ledger<i64> = Ledger::default();
    assert!(ledger.open(7, 0, 1).is_none());
}

#[test]
fn a_position_that_goes_back_begins_a_new_lease_and_loses_nothing() {
    for (before, again) in [(5, 5), (5, 0)] {
        let mut ledger = Ledger::default();
        ledger.assign(0);
        let old = opened(&mut ledger, &[before - 1, before]);
        assert!(ledger.settle(&old[0], vec![0], 1));
        let mut commit = ledger.cut(100).unwrap();
        let new = ledger.open(0, again, 10).unwrap();
        assert_eq!(new.rewound_from, Some(before + 1));
        assert!(!old[0].lease.is_alive() && new.ticket.lease.is_alive());
        commit.retain_alive();
        assert!(commit.groups.is_empty(), "the old log's offset is not committed");
        assert!(!ledger.settle(&old[1], vec![1], 1));
        assert!(ledger.settle(&new.ticket, vec![2], 1));
        let group = ledger.cut(100).unwrap().groups.remove(0);
        assert_eq!((group.next_offset, group.outcomes), (again + 1, vec![2]));
        assert_eq!(ledger.open(0, again + 1, 10).unwrap().rewound_from, None);
    }
}

#[test]
fn a_full_cut_does_not_starve_the_other_partitions() {
    let mut ledger = Ledger::default();
    for partition in [0, 1] {
        ledger.assign(partition);
        for offset in 0..2 {
            let ticket = ledger.open(partition, offset, 1).unwrap().ticket;
            assert!(ledger.settle(&ticket, vec![i64::from(partition)], 1));
        }
    }
    let mut seen = Vec::new();
    while let Some(commit) = ledger.cut(1) {
        seen.extend(commit.groups.iter().map(|group| group.lease.partition()));
        ledger.committed(&commit);
    }
    assert_eq!(seen, [0, 1, 0, 1]);
}

proptest! {
    /// Random opens (with gaps), settles in any order, cuts and commits: what comes out is
    /// each outcome once, in order, and no committed offset passes an open delivery.
    #[test]
    fn commits_rise_and_never_pass_open_work(
        gaps in prop::collection::vec(1..4_i64, 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        cut_max in 1..10_usize,
    ) {
        let mut ledger = Ledger::default();
        ledger.assign(0);
        let offsets: Vec<i64> =
            gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let mut open = opened(&mut ledger, &offsets);
        let mut out = Vec::new();
        let mut last_next = 0;
        for index in order {
            if open.is_empty() { break; }
            let ticket = open.remove(index.index(open.len()));
            prop_assert!(ledger.settle(&ticket, vec![ticket.offset], 1));
            if let Some(commit) = ledger.cut(cut_max) {
                let next = commit.groups[0].next_offset;
                prop_assert!(next > last_next);
                prop_assert!(open.iter().all(|ticket| ticket.offset >= next));
                last_next = next;
                out.extend(commit.groups[0].outcomes.iter().copied());
                ledger.committed(&commit);
            }
        }
        for ticket in open {
            prop_assert!(ledger.settle(&ticket, vec![ticket.offset], 1));
        }
        while let Some(commit) = ledger.cut(cut_max) {
            out.extend(commit.groups[0].outcomes.iter().copied());
            ledger.committed(&commit);
        }
        prop_assert_eq!(out, offsets);
        prop_assert_eq!(ledger.in_flight(), InFlight::default());
    }
}

proptest! {
    /// However many claims are taken and given back: the bound holds, or one is alone above it.
    #[test]
    fn what_is_reserved_never_passes_the_bound(
        steps in prop::collection::vec((any::<bool>(), 1_usize..60), 1..80),
    ) {
        let shared = Arc::new(SharedLedger::<i64>::default());
        let mut held = Vec::new();
        for (is_taken, bytes) in steps {
            if is_taken {
                held.extend(shared.reserve(bytes, 50, Duration::ZERO).map(|it| (it, bytes)));
            } else if !held.is_empty() {
                drop(held.remove(bytes % held.len()));
            }
            let in_flight = shared.lock().in_flight();
            let sum: usize = held.iter().map(|(_, bytes)| bytes).sum();
            prop_assert_eq!(in_flight.claimed_bytes, sum);
            prop_assert!(sum <= 50 || held.len() == 1);
        }
        drop(held);
        prop_assert_eq!(shared.lock().in_flight().claimed_bytes, 0);
    }
}
