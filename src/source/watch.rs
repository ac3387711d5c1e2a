//! `statistics of librdkafka -> lag, joined, silence`: notices a consumer that no longer delivers.
//!
//! Pure but for the instants passed in. A consumer can go silent without an error (librdkafka has
//! had such faults); what tells it from an idle topic is that the broker holds more below the last
//! stable offset than was delivered or reported as the end, or that a partition which is ours is not
//! fetched at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Statistics;

/// Time in which a coordinator that is up answers the first heartbeat, in milliseconds.
const JOIN_MS: i64 = 3_000;

/// Position of a partition of which neither a message nor its end has come.
const NOWHERE: i64 = -1;

/// What the statistics say of the group and its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The group has been joined and is at rest.
    pub is_joined: bool,
    /// Messages between position and last stable offset, over all partitions.
    pub lag: usize,
    /// Partitions that ought to deliver: the position. The leader can be reached, and holds more
    /// than was delivered, or is not asked although the group's coordinator can be reached too.
    pub behind: BTreeMap<i32, i64>,
}

impl Snapshot {
    pub(super) fn new(statistics: &Statistics, topic: &str, is_classic: bool) -> Self {
        let is_joined = is_joined(statistics, is_classic);
        let mut snapshot = Self { is_joined, ..Self::default() };
        let Some(topic) = statistics.topics.get(topic) else { return snapshot };
        let is_group_up = statistics.cgrp.as_ref().is_some_and(|group| group.state == "up");
        for (number, partition) in topic.partitions.iter().filter(|(number, _)| **number >= 0) {
            let is_leader_up = statistics
                .brokers
                .values()
                .any(|broker| broker.nodeid == partition.leader && broker.state == "UP");
            // Negative offsets are librdkafka's marks for "not known yet".
            let position = partition.app_offset.max(partition.eof_offset).max(NOWHERE);
            let is_fetched = partition.fetch_state == "active";
            let is_known = is_fetched && position > NOWHERE;
            let behind = if is_known { (partition.ls_offset - position).max(0) } else { 0 };
            snapshot.lag += usize::try_from(behind).unwrap_or(usize::MAX);
            // Where to fetch from is asked of the coordinator.
            let is_due = behind > 0 || !is_known && (is_fetched || is_group_up);
            if is_due && is_leader_up {
                snapshot.behind.insert(*number, position);
            }
        }
        snapshot
    }
}

/// Whether the group has been joined, with or without a partition.
///
/// Under KIP-848 a member that gets no partition never leaves librdkafka's first join state, and no
/// statistic counts its heartbeats. They begin as soon as the coordinator is up, and a refused one
/// ends the process; so that a coordinator that has been up for [`JOIN_MS`] has taken the member in.
fn is_joined(statistics: &Statistics, is_classic: bool) -> bool {
    let Some(group) = &statistics.cgrp else { return false };
    let is_idle = !is_classic && group.state == "up" && group.stateage >= JOIN_MS;
    group.join_state == "steady" || is_idle
}

/// Remembers since when each partition has been behind at the same position.
#[derive(Default)]
pub(super) struct Watch {
    since: BTreeMap<i32, (i64, Instant)>,
}

impl Watch {
    /// Takes a snapshot in; returns one of our `own` partitions that has been silent for
    /// `silence_max`.
    pub(super) fn observe(
        &mut self,
        snapshot: &Snapshot,
        own: &[i32],
        now: Instant,
        silence_max: Duration,
    ) -> Option<i32> {
        self.since.retain(|partition, (position, _)| {
            own.contains(partition)
                && snapshot.behind.get(partition).is_some_and(|behind| behind == position)
        });
        for (partition, position) in &snapshot.behind {
            if own.contains(partition) {
                self.since.entry(*partition).or_insert((*position, now));
            }
        }
        let silent = |since: &Instant| now.duration_since(*since) >= silence_max;
        self.since.iter().find(|(_, (_, since))| silent(since)).map(|(partition, _)| *partition)
    }

    /// Forgets all: partitions were paused or assigned anew.
    pub(super) fn reset(&mut self) {
        self.since.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::Statistics;
    use rdkafka::statistics::{Broker, ConsumerGroup, Partition, Topic};

    use super::{NOWHERE, Snapshot, Watch};

    fn behind(position: i64) -> Snapshot {
        Snapshot { is_joined: true, lag: 1, behind: [(3, position)].into() }
    }

    #[test]
    fn a_partition_that_stays_behind_is_silent_and_one_that_moves_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        let mut see = |snapshot: &Snapshot, own: &[i32], seconds| {
            watch.observe(snapshot, own, at(seconds), Duration::from_mins(1))
        };
        assert_eq!(see(&behind(5), &[3], 0), None);
        assert_eq!(see(&behind(6), &[3], 50), None);
        assert_eq!(see(&behind(6), &[3], 109), None);
        assert_eq!(see(&behind(6), &[3, 4], 110), Some(3));
        assert_eq!(see(&Snapshot::default(), &[3], 111), None);
        assert_eq!(see(&behind(6), &[3], 112), None);
        // That of another member may stand still for as long as it likes, before and after.
        assert_eq!(see(&behind(6), &[4], 200), None);
        assert_eq!(see(&behind(6), &[3], 259), None);
        assert_eq!(see(&behind(6), &[3], 319), Some(3));
        watch.reset();
        assert_eq!(watch.observe(&behind(6), &[3], at(400), Duration::from_mins(1)), None);
    }

    /// A partition whose broker and whose group's coordinator are in the states given.
    fn statistics(partition: Partition, broker: &str, group: &str) -> Statistics {
        let partition = Partition { leader: 1, ..partition };
        let topic = Topic { partitions: [(3, partition)].into(), ..Topic::default() };
        let broker = Broker { nodeid: 1, state: broker.to_owned(), ..Broker::default() };
        Statistics {
            brokers: [("broker".to_owned(), broker)].into(),
            topics: [("in".to_owned(), topic)].into(),
            cgrp: Some(ConsumerGroup { state: group.to_owned(), ..ConsumerGroup::default() }),
            ..Statistics::default()
        }
    }

    fn partition(fetch_state: &str, app_offset: i64, eof_offset: i64) -> Partition {
        let fetch_state = fetch_state.to_owned();
        Partition { fetch_state, app_offset, eof_offset, ls_offset: 9, ..Partition::default() }
    }

    fn behind_of(statistics: &Statistics) -> Vec<(i32, i64)> {
        Snapshot::new(statistics, "in", false).behind.into_iter().collect()
    }

    #[test]
    fn a_partition_is_behind_only_while_its_broker_can_be_reached() {
        for (partition, position) in [
            (partition("active", 5, -1001), 5),
            (partition("active", -1001, -1001), NOWHERE),
            (partition("offset-wait", -1001, -1001), NOWHERE),
        ] {
            let up = statistics(partition.clone(), "UP", "up");
            assert_eq!(behind_of(&up), [(3, position)], "{}", partition.fetch_state);
            // However long the outage lasts: what is not behind is not silent.
            for away in ["INIT", "DOWN", "TRY_CONNECT", "CONNECT", "APIVERSION_QUERY"] {
                let away = statistics(partition.clone(), away, "up");
                assert_eq!(behind_of(&away), [], "{}", partition.fetch_state);
            }
        }
    }

    #[test]
    fn a_partition_that_has_been_read_to_its_end_is_not_behind() {
        for (app_offset, eof_offset) in [(9, 9), (9, -1001), (-1001, 9)] {
            let read = statistics(partition("active", app_offset, eof_offset), "UP", "up");
            assert_eq!(behind_of(&read), []);
        }
        // More has come since, of a partition of which only the end was ever told.
        let more = statistics(partition("active", -1001, 7), "UP", "up");
        assert_eq!(behind_of(&more), [(3, 7)]);
    }

    #[test]
    fn a_partition_that_is_not_fetched_is_behind_only_while_the_coordinator_can_be_reached() {
        for state in ["none", "stopped", "offset-query", "offset-wait", "validate-epoch-wait"] {
            let of = |group| statistics(partition(state, 5, -1001), "UP", group);
            assert_eq!(behind_of(&of("up")), [(3, 5)], "{state}");
            for away in ["init", "query-coord", "wait-broker", "wait-broker-transport"] {
                assert_eq!(behind_of(&of(away)), [], "{state}, {away}");
            }
        }
    }
}
