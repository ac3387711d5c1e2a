//! `output topics of several flows -> rows`.
//!
//! One input may have many parts, and only the worker knows how many. So the rows are read twice:
//! while it works, until every input shows an outcome; and after it has drained, to the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::super::table::Row;
use super::super::{Failure, say_aside};
use super::cluster::{Cluster, outputs_of};
use crate::config::Flow;
use crate::error::{Fault, FaultClass};
use crate::kafka::{self, Quiet};
use crate::sink::codec::Codec;

/// The demo gives up when no outcome comes for so long.
const SILENCE_MAX: Duration = Duration::from_mins(2);
/// Longest wait for one message.
const POLL: Duration = Duration::from_millis(100);

/// A flow of the demo and what came of it.
pub(super) struct Shown {
    pub(super) flow: Flow,
    pub(super) codec: Codec,
    /// Inputs that were produced for it, at the offsets from 0.
    pub(super) inputs: usize,
    pub(super) rows: BTreeMap<RowId, Row>,
}

/// Offset of the input and part in it.
pub(super) type RowId = (i64, i64);

impl Shown {
    /// Whether every input shows an outcome.
    fn is_seen(&self) -> bool {
        let mut offsets: Vec<_> = self.rows.keys().map(|(offset, _)| *offset).collect();
        offsets.dedup();
        offsets.len() >= self.inputs
    }
}

/// Reads until every input of every flow shows an outcome, with a line of progress for each.
pub(super) fn watch(
    cluster: &Cluster,
    shown: &mut [Shown],
    is_stopped: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let reader = reader(cluster, shown)?;
    let mut heard = Instant::now();
    while !shown.iter().all(Shown::is_seen) {
        if is_stopped() || heard.elapsed() > SILENCE_MAX {
            return Err(silent().into());
        }
        if let Some(Ok(message)) = reader.poll(POLL) {
            heard = Instant::now();
            take(&message, shown)?;
        }
    }
    Ok(())
}

/// Reads every output topic to its end; nothing is produced to it any more.
pub(super) fn complete(cluster: &Cluster, shown: &mut [Shown]) -> Result<(), Failure> {
    let reader = reader(cluster, shown)?;
    let mut open = shown.iter().map(|one| outputs_of(&one.flow).len()).sum::<usize>();
    let mut heard = Instant::now();
    while open > 0 {
        if heard.elapsed() > SILENCE_MAX {
            return Err(silent().into());
        }
        match reader.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                take(&message, shown)?;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            // Others heal by themselves or end in silence.
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

fn silent() -> Fault {
    let what = "waiting for outcomes: the worker stopped or went silent";
    Fault::plain(FaultClass::Fatal, what)
}

/// A reader of every output topic from its start. Assigned by hand: it reads alone, and a group
/// would make it wait.
fn reader(cluster: &Cluster, shown: &[Shown]) -> Result<BaseConsumer<Quiet>, Failure> {
    let fault = |error| kafka::fault("reading the outcomes", error);
    let consumer: BaseConsumer<Quiet> = cluster
        .config()
        .set("group.id", format!("sluice-demo-reader-{}", std::process::id()))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.message.max.bytes", "10000000")
        .create_with_context(Quiet)
        .map_err(fault)?;
    let mut list = TopicPartitionList::new();
    for topic in shown.iter().flat_map(|one| outputs_of(&one.flow)) {
        list.add_partition_offset(&topic, 0, Offset::Beginning).map_err(fault)?;
    }
    consumer.assign(&list).map_err(fault)?;
    Ok(consumer)
}

/// Adds an outcome to its flow, unless it was seen before.
fn take(message: &BorrowedMessage<'_>, shown: &mut [Shown]) -> Result<(), Failure> {
    let of_topic = |one: &&mut Shown| outputs_of(&one.flow).iter().any(|it| it == message.topic());
    let Some(one) = shown.iter_mut().find(of_topic) else { return Ok(()) };
    let id = row_id(&header(message, "sluice-record-id"));
    if one.rows.contains_key(&id) {
        return Ok(());
    }
    let row = row(message, id, one)?;
    let name = &one.flow.pipeline.name;
    say_aside(&format!("{name:<16}  {:<7} {}\n", row.outcome, row.document));
    one.rows.insert(id, row);
    Ok(())
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> String {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let value = headers.filter(|header| header.key == name).find_map(|header| header.value);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// The end of a record id, `PIPELINE/TOPIC/PARTITION/OFFSET/PART`.
fn row_id(record_id: &str) -> RowId {
    let mut ends = record_id.rsplit('/').map(|end| end.parse().unwrap_or_default());
    let part = ends.next().unwrap_or_default();
    (ends.next().unwrap_or_default(), part)
}

fn row(message: &BorrowedMessage<'_>, (_, part): RowId, shown: &Shown) -> Result<Row, Failure> {
    let mut document = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
    if part > 0 {
        document = format!("{document} (part {})", part + 1);
    }
    let output = &shown.flow.pipeline.output;
    if message.topic() == output.reject_topic {
        let reasons = vec![format!(
            "{}: {}",
            header(message, "sluice-code"),
            header(message, "sluice-detail")
        )];
        return Ok(Row { document, outcome: "reject", value: Value::Null, reasons });
    }
    let body = message.payload().unwrap_or_default();
    let value = shown.codec.read(body, &|_| None).map_err(|_kept_out| {
        Fault::plain(FaultClass::Fatal, "reading an outcome back: it does not fit its schema")
    })?;
    if message.topic() == output.record_topic {
        return Ok(Row { document, outcome: "record", value, reasons: Vec::new() });
    }
    let text = |reason: &Value, key: &str| {
        reason.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let reasons = value.get("reasons").and_then(Value::as_array).into_iter().flatten();
    let reasons =
        reasons.map(|reason| format!("{}: {}", text(reason, "code"), text(reason, "detail")));
    let reasons = reasons.collect();
    let value = value.get("record").cloned().unwrap_or_default();
    Ok(Row { document, outcome: "review", reasons, value })
}
