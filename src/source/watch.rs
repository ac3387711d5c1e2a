//! `statistics of librdkafka -> lag, joined, silence`: notices a consumer that no longer delivers.
//!
//! Pure but for the instants passed in. A consumer can go silent without an error (librdkafka has
//! had such faults); what tells it from an idle topic is that the broker holds more below the last
//! stable offset than was delivered or reported as the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Statistics;

/// Time in which a coordinator that is up answers the first heartbeat, in milliseconds.
const JOIN_MS: i64 = 3_000;

/// What the statistics say of the group and its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The group has been joined and is at rest.
    pub is_joined: bool,
    /// Messages between position and last stable offset, over all partitions.
    pub lag: usize,
    /// Partitions whose leader can be reached and holds more than was delivered: the position.
    pub behind: BTreeMap<i32, i64>,
}

impl Snapshot {
    pub(super) fn new(statistics: &Statistics, topic: &str, is_classic: bool) -> Self {
        let is_joined = is_joined(statistics, is_classic);
        let mut snapshot = Self { is_joined, ..Self::default() };
        let Some(topic) = statistics.topics.get(topic) else { return snapshot };
        for (number, partition) in &topic.partitions {
            let is_up = statistics
                .brokers
                .values()
                .any(|broker| broker.nodeid == partition.leader && broker.state == "UP");
            // Negative offsets are librdkafka's marks for "not known yet".
            let position = partition.app_offset.max(partition.eof_offset);
            if *number < 0 || partition.fetch_state != "active" || partition.app_offset < 0 {
                continue;
            }
            let behind = (partition.ls_offset - position).max(0);
            snapshot.lag += usize::try_from(behind).unwrap_or(usize::MAX);
            if behind > 0 && is_up {
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
    /// Takes a snapshot in; returns a partition that has been silent for `silence_max`.
    pub(super) fn observe(
        &mut self,
        snapshot: &Snapshot,
        now: Instant,
        silence_max: Duration,
    ) -> Option<i32> {
        self.since.retain(|partition, (position, _)| {
            snapshot.behind.get(partition).is_some_and(|behind| behind == position)
        });
        for (partition, position) in &snapshot.behind {
            self.since.entry(*partition).or_insert((*position, now));
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
    use rdkafka::statistics::{Broker, Partition, Topic};

    use super::{Snapshot, Watch};

    fn behind(position: i64) -> Snapshot {
        Snapshot { is_joined: true, lag: 1, behind: [(3, position)].into() }
    }

    #[test]
    fn a_partition_that_stays_behind_is_silent_and_one_that_moves_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let limit = Duration::from_mins(1);
        let mut watch = Watch::default();
        assert_eq!(watch.observe(&behind(5), at(0), limit), None);
        assert_eq!(watch.observe(&behind(6), at(50), limit), None);
        assert_eq!(watch.observe(&behind(6), at(109), limit), None);
        assert_eq!(watch.observe(&behind(6), at(110), limit), Some(3));
        assert_eq!(watch.observe(&Snapshot::default(), at(111), limit), None);
        assert_eq!(watch.observe(&behind(6), at(112), limit), None);
        watch.reset();
        assert_eq!(watch.observe(&behind(6), at(400), limit), None);
    }

    #[test]
    fn a_partition_is_behind_only_while_its_broker_can_be_reached() {
        let statistics = |state: &str| {
            let state = state.to_owned();
            let partition = Partition {
                leader: 1,
                fetch_state: "active".to_owned(),
                app_offset: 5,
                ls_offset: 9,
                ..Partition::default()
            };
            let topic = Topic { partitions: [(3, partition)].into(), ..Topic::default() };
            let broker = Broker { nodeid: 1, state, ..Broker::default() };
            Statistics {
                brokers: [("broker".to_owned(), broker)].into(),
                topics: [("in".to_owned(), topic)].into(),
                ..Statistics::default()
            }
        };
        let behind = |state| Snapshot::new(&statistics(state), "in", false).behind;
        assert_eq!(behind("UP"), [(3, 5)].into());
        // However long the outage lasts: what is not behind is not silent.
        for away in ["INIT", "DOWN", "TRY_CONNECT", "CONNECT", "APIVERSION_QUERY"] {
            assert!(behind(away).is_empty(), "{away}");
        }
    }
}
