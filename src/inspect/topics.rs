//! `topic, partition, offsets -> messages`: bounded ranges of topics, read without a group.
//!
//! Deliberately subscribes to nothing and commits nothing: partitions are assigned by hand, and each
//! read ends at the end of its range. Memory is bounded by the client's prefetch, 16 MiB.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::{Fault, FaultClass};
use crate::kafka::{self, Connection, Quiet};
use crate::source;
use crate::types::Delivery;

/// Longest wait for one answer of the cluster.
pub const CALL_MAX: Duration = Duration::from_secs(30);
/// A read ends as a fault where nothing comes for so long.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Longest wait for one message.
const POLL_MAX: Duration = Duration::from_millis(200);
/// Group name of the clients here; it is never joined.
const NOBODY: &str = "sluice-inspect";

/// What a reader sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// What is committed, up to the first open transaction (the last stable offset).
    Committed,
    /// Everything, up to the high watermark.
    Uncommitted,
}

/// Offsets that a partition holds: from the first up to, and without, the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that retention has left.
    pub first: i64,
    /// One past the last that the isolation lets see.
    pub end: i64,
}

/// Offsets of one partition, without the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Partition.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// One past the last offset.
    pub to: i64,
}

impl Range {
    /// Offsets in it, messages or not.
    pub const fn len(&self) -> i64 {
        if self.to > self.from { self.to - self.from } else { 0 }
    }

    /// Whether it holds no offset.
    pub const fn is_empty(&self) -> bool {
        self.to <= self.from
    }
}

/// A reader of topics.
pub struct Topics {
    connection: Connection,
    client: BaseConsumer<Quiet>,
}

fn client(
    connection: &Connection,
    group: &str,
    isolation: Isolation,
) -> Result<BaseConsumer<Quiet>, Fault> {
    let mut config = connection.config();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.message.max.bytes", "8388608")
        .set(
            "isolation.level",
            match isolation {
                Isolation::Committed => "read_committed",
                Isolation::Uncommitted => "read_uncommitted",
            },
        );
    let made = config.create_with_context(Quiet);
    made.map_err(|error| Fault::new(FaultClass::Fatal, "creating a reader of topics", error))
}

impl Topics {
    /// A reader of the cluster at `connection`. Connects at the first question.
    pub fn connect(connection: &Connection, isolation: Isolation) -> Result<Self, Fault> {
        let client = client(connection, NOBODY, isolation)?;
        Ok(Self { connection: connection.clone(), client })
    }

    /// Partitions of `topic` in order; none where there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>, Fault> {
        let doing = || format!("asking for the topic `{topic}`");
        let metadata = self
            .client
            .fetch_metadata(Some(topic), CALL_MAX)
            .map_err(|error| kafka::fault(doing(), error))?;
        let Some(found) = metadata.topics().iter().find(|one| one.name() == topic) else {
            return Ok(Vec::new());
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(Vec::new());
            }
            Some(code) => return Err(kafka::fault(doing(), KafkaError::MetadataFetch(code))),
        }
        let mut partitions: Vec<_> = found.partitions().iter().map(MetadataPartition::id).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// Partitions of a topic that must be there.
    pub fn some_partitions(&self, topic: &str) -> Result<Vec<i32>, Fault> {
        let partitions = self.partitions(topic)?;
        if partitions.is_empty() {
            let what = format!("the topic `{topic}` does not exist, or this client may not see it");
            return Err(Fault::plain(FaultClass::Fatal, what));
        }
        Ok(partitions)
    }

    /// Copies of the partition of `topic` that has the fewest.
    pub fn replicas(&self, topic: &str) -> Result<usize, Fault> {
        let metadata = self
            .client
            .fetch_metadata(Some(topic), CALL_MAX)
            .map_err(|error| kafka::fault(format!("asking for the topic `{topic}`"), error))?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        Ok(partitions.map(|one| one.replicas().len()).min().unwrap_or_default())
    }

    /// Members of a group of the classic protocol; 0 of any other.
    pub fn members(&self, group: &str) -> Result<usize, Fault> {
        let found = self.client.fetch_group_list(Some(group), CALL_MAX);
        let found = found
            .map_err(|error| kafka::fault(format!("asking for the members of `{group}`"), error))?;
        let members = found.groups().iter().filter(|one| one.name() == group);
        Ok(members.map(|one| one.members().len()).sum())
    }

    /// What a partition holds.
    pub fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Fault> {
        let bounds = self.client.fetch_watermarks(topic, partition, CALL_MAX);
        let (first, end) = bounds.map_err(|error| {
            kafka::fault(
                format!("asking for the ends of partition {partition} of `{topic}`"),
                error,
            )
        })?;
        Ok(Bounds { first, end })
    }

    /// All that each partition of a topic holds.
    pub fn whole(&self, topic: &str) -> Result<Vec<Range>, Fault> {
        let mut ranges = Vec::new();
        for partition in self.some_partitions(topic)? {
            let Bounds { first, end } = self.bounds(topic, partition)?;
            ranges.push(Range { partition, from: first, to: end });
        }
        Ok(ranges)
    }

    /// For each partition the first offset whose message is not older than `time`; the end of the
    /// partition where there is none.
    pub fn at(&self, topic: &str, time: Timestamp) -> Result<BTreeMap<i32, i64>, Fault> {
        let doing = |error| kafka::fault(format!("looking for a time in `{topic}`"), error);
        let mut list = TopicPartitionList::new();
        let partitions = self.some_partitions(topic)?;
        for partition in &partitions {
            let time = Offset::Offset(time.as_millisecond());
            list.add_partition_offset(topic, *partition, time).map_err(doing)?;
        }
        let found = self.client.offsets_for_times(list, CALL_MAX).map_err(doing)?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => self.bounds(topic, element.partition())?.end,
            };
            offsets.insert(element.partition(), offset);
        }
        Ok(offsets)
    }

    /// Offsets that `group` has committed for `topic`; a partition without one is left out.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, Fault> {
        let doing = |error| kafka::fault(format!("asking for the offsets of `{group}`"), error);
        let mut list = TopicPartitionList::new();
        for partition in self.some_partitions(topic)? {
            list.add_partition(topic, partition);
        }
        let client = client(&self.connection, group, Isolation::Committed)?;
        let found = client.committed_offsets(list, CALL_MAX).map_err(doing)?;
        let offsets = found.elements();
        let offsets = offsets.iter().filter_map(|one| match one.offset() {
            Offset::Offset(offset) => Some((one.partition(), offset)),
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => None,
        });
        Ok(offsets.collect())
    }

    /// Hands every message of `ranges` of `topic` to `visit`, those of a partition in order, until
    /// all are read or it breaks off. A range that reaches past the end of its partition ends there.
    ///
    /// One topic at a time: the client tells the end of a partition by its number alone.
    pub fn read(
        &self,
        topic: &str,
        ranges: &[Range],
        mut visit: impl FnMut(&BorrowedMessage<'_>) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let doing = |error| kafka::fault(format!("reading `{topic}`"), error);
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let from = Offset::Offset(range.from);
            list.add_partition_offset(topic, range.partition, from).map_err(doing)?;
            open.insert(range.partition, range.to);
        }
        if open.is_empty() {
            return Ok(());
        }
        self.client.assign(&list).map_err(doing)?;
        // A pause of an earlier read outlives its assignment.
        self.client.resume(&list).map_err(doing)?;
        let mut heard = Instant::now();
        while !open.is_empty() {
            let read = match self.client.poll(POLL_MAX) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(to) = open.get(&partition).copied() else { continue };
                    if offset < to && visit(&message)?.is_break() {
                        break;
                    }
                    (offset + 1 >= to).then_some(partition)
                }
                // All that is left before the end are marks of transactions.
                Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
                Some(Err(error)) if kafka::class_of(&error) == FaultClass::Retry => None,
                Some(Err(error)) => return Err(doing(error)),
                None if heard.elapsed() > SILENCE_MAX => {
                    let seconds = SILENCE_MAX.as_secs();
                    let what = format!("reading `{topic}`: nothing has come for {seconds} s");
                    return Err(Fault::plain(FaultClass::Retry, what));
                }
                None => None,
            };
            if let Some(partition) = read {
                heard = Instant::now();
                open.remove(&partition);
                let mut done = TopicPartitionList::new();
                done.add_partition(topic, partition);
                self.client.pause(&done).map_err(doing)?;
            }
        }
        self.client.unassign().map_err(doing)
    }

    /// The message at one place; none where it is not there, or not any more.
    pub fn message(
        &self,
        topic: &Arc<str>,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Delivery>, Fault> {
        if !self.partitions(topic)?.contains(&partition) {
            return Ok(None);
        }
        let Bounds { first, end } = self.bounds(topic, partition)?;
        if !(first..end).contains(&offset) {
            return Ok(None);
        }
        let mut found = None;
        let range = Range { partition, from: offset, to: offset + 1 };
        self.read(topic, &[range], |message| {
            found = Some(source::delivery_of(message, topic));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// The value of the last header of that name, as text.
pub fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let headers = message.headers()?;
    let value =
        headers.iter().filter(|header| header.key.eq_ignore_ascii_case(name)).last()?.value?;
    std::str::from_utf8(value).ok()
}
