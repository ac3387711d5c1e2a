//! `rejects -> their messages on the input topic again`: `sluice rejects replay`.
//!
//! Each message goes with its own key and headers, the count of its ways in `sluice-hops`, and the
//! record id of its reject in `sluice-replay-of`. A batch is one transaction. Whoever starts ends the
//! transaction of another one of the same pipeline first, and then looks which rejects have been sent
//! already: so a reject is sent once, as long as the input topic keeps what was sent. It is not
//! promised where retention or compaction has deleted that, or under another `--transactional-prefix`.
//!
//! Deliberately writes to no other topic, and moves no offset.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use super::{Rejects, Stored};
use crate::config::Flow;
use crate::decode::{Decoded, decode};
use crate::error::{Fault, FaultClass};
use crate::inspect::configs;
use crate::inspect::topics::{CALL_MAX, Isolation, Topics, header};
use crate::kafka::{self, Connection, Quiet};
use crate::registry::Client;
use crate::route::HOPS;
use crate::types::{Delivery, Digest, Extent, Header, Part, Sensitive};

/// Header that names the reject that a message was sent in again for, by its record id.
pub const REPLAY_OF: &str = "sluice-replay-of";
/// Limit: messages of one transaction.
const BATCH_MESSAGES_MAX: usize = 500;
/// Limit: bytes of one transaction, but for a message that is larger alone.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Longest transaction, in milliseconds.
const TRANSACTION_TIMEOUT_MS: &str = "60000";
/// How far the clocks of worker and operator may be apart.
const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Bytes that headers and framing add at most.
const MESSAGE_OVERHEAD_BYTES: i64 = 65_536;

/// How to send.
pub struct Plan<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// How to reach the cluster.
    pub connection: &'a Connection,
    /// Finds the schema of an Avro envelope.
    pub registry: Option<&'a Arc<Client>>,
    /// `transactional.id` of replays of this pipeline.
    pub transactional_id: String,
    /// A message that has been sent in again so often is left where it is.
    pub hops_max: u32,
    /// Send the whole message where a part of it cannot be sent alone.
    pub whole: bool,
    /// Only tell.
    pub is_dry: bool,
}

/// What becomes of one reject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is sent, with this count.
    Sent(u32),
    /// It has been sent before.
    SentBefore,
    /// It has been sent in again too often.
    AtLimit(u32),
    /// Its message cannot be had.
    Unavailable(&'static str),
}

impl Fate {
    /// Name as it is printed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::SentBefore => "sent_before",
            Self::AtLimit(_) => "at_limit",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Whether it is left where it is, though it was asked for.
    pub const fn is_finding(&self) -> bool {
        matches!(self, Self::AtLimit(_) | Self::Unavailable(_))
    }

    /// As a JSON object.
    pub fn json(&self, one: &Stored, is_dry: bool) -> Value {
        let (hops, why) = match self {
            Self::Sent(hops) | Self::AtLimit(hops) => (*hops, ""),
            Self::SentBefore => (one.hops(), ""),
            Self::Unavailable(why) => (one.hops(), *why),
        };
        json!({
            "fate": self.name(), "dry_run": is_dry, "record_id": one.header("sluice-record-id"),
            "code": one.header("sluice-code"), "hops": hops, "why": why,
        })
    }
}

/// Sends the messages of `rejects` in again; tells the fate of each once it is certain.
pub fn replay(
    plan: &Plan<'_>,
    rejects: &Rejects,
    mut tell: impl FnMut(&Stored, &Fate) -> Result<(), Fault>,
) -> Result<()> {
    let producer = if plan.is_dry { None } else { Some(producer(plan)?) };
    // Order: what another replay has in its transaction is ended before it is looked for.
    let before = sent_before(plan, rejects)?;
    let sources = Topics::connect(plan.connection, Isolation::Committed)?;
    let mut batch = Batch::default();
    rejects.each(|one| {
        let fate = fate(plan, &sources, &before, &one)?;
        let (fate, message) = match fate {
            Ok((hops, message)) => (Fate::Sent(hops), Some(message)),
            Err(fate) => (fate, None),
        };
        batch.bytes += message.as_ref().map_or(0, Delivery::size_bytes);
        batch.messages.push((one, fate, message));
        if batch.is_full() {
            batch.send(plan, producer.as_ref(), &mut tell)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(batch.send(plan, producer.as_ref(), &mut tell)?)
}

/// Record ids of rejects whose messages are on the input topic again.
fn sent_before(plan: &Plan<'_>, rejects: &Rejects) -> Result<BTreeSet<String>> {
    let mut earliest: Option<Timestamp> = None;
    rejects.each(|one| {
        let written = one.written().unwrap_or(Timestamp::UNIX_EPOCH);
        earliest = Some(earliest.map_or(written, |before| before.min(written)));
        Ok(ControlFlow::Continue(()))
    })?;
    let Some(earliest) = earliest else { return Ok(BTreeSet::new()) };
    let input = plan.flow.pipeline.input.topic.as_str();
    let topics = Topics::connect(plan.connection, Isolation::Committed)?;
    let from = topics.at(input, earliest.checked_sub(CLOCKS_APART_MAX).unwrap_or(earliest))?;
    let mut ranges = topics.whole(input)?;
    for range in &mut ranges {
        range.from = range.from.max(from.get(&range.partition).copied().unwrap_or_default());
    }
    let mut ids = BTreeSet::new();
    topics.read(input, &ranges, |message| {
        ids.extend(header(message, REPLAY_OF).map(str::to_owned));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ids)
}

fn fate(
    plan: &Plan<'_>,
    sources: &Topics,
    before: &BTreeSet<String>,
    one: &Stored,
) -> Result<Result<(u32, Delivery), Fate>, Fault> {
    let id = one.header("sluice-record-id");
    if before.contains(id) {
        return Ok(Err(Fate::SentBefore));
    }
    let hops = one.hops();
    if hops >= plan.hops_max {
        return Ok(Err(Fate::AtLimit(hops)));
    }
    let hops = hops + 1;
    let found = original(plan, sources, one)?;
    Ok(found.map_err(Fate::Unavailable).map(|mut message| {
        let is_own = |header: &Header| header.name.to_ascii_lowercase().starts_with("sluice-");
        message.headers.retain(|header| !is_own(header));
        let own = |name: &str, value: String| Header {
            name: name.to_owned(),
            value: Some(Sensitive::new(value.into_bytes())),
        };
        message.headers.push(own(HOPS, hops.to_string()));
        message.headers.push(own(REPLAY_OF, id.to_owned()));
        (hops, message)
    }))
}

/// The message that was refused: the reject itself where it holds all of it, else the message at its
/// source position.
fn original(
    plan: &Plan<'_>,
    sources: &Topics,
    one: &Stored,
) -> Result<Result<Delivery, &'static str>, Fault> {
    let body = one.header("sluice-body");
    let is_whole = one.header("sluice-omitted").is_empty() && body != "omitted";
    if is_whole {
        let mut message = one.message.clone();
        if body == "null" {
            message.body = None;
        }
        return Ok(Ok(message));
    }
    let Some(mut message) = source_of(sources, one)? else {
        return Ok(Err("its message is no longer at its source position"));
    };
    if body == "null" {
        return Ok(Ok(message));
    }
    let number = one.header("sluice-part").parse().unwrap_or_default();
    let extent = extent(plan, &message, number)?;
    let part = match (&message.body, extent) {
        (Some(body), Extent::Bytes(span)) => body.get(span.range()).map(<[u8]>::to_vec),
        (Some(body), Extent::Whole) => Some(body.to_vec()),
        (Some(body), Extent::Inside) if plan.whole => Some(body.to_vec()),
        (Some(_), Extent::Inside) => {
            return Ok(Err(
                "it is a part inside of a message, and the whole message would repeat \
                           its other parts; --whole sends it all the same",
            ));
        }
        (None, _) => None,
    };
    let Some(part) = part.filter(|part| extent == Extent::Inside || is_same(one, part)) else {
        return Ok(Err("another message stands at its source position"));
    };
    message.body = Some(Sensitive::new(part));
    Ok(Ok(message))
}

/// The message at the source position of a reject; none where it has expired.
fn source_of(sources: &Topics, one: &Stored) -> Result<Option<Delivery>, Fault> {
    let topic: Arc<str> = Arc::from(one.header("sluice-source-topic"));
    let partition = one.header("sluice-source-partition").parse();
    let offset = one.header("sluice-source-offset").parse::<i64>();
    let (Ok(partition), Ok(offset)) = (partition, offset) else { return Ok(None) };
    sources.message(&topic, partition, offset)
}

/// What of its message the part is.
fn extent(plan: &Plan<'_>, message: &Delivery, number: u32) -> Result<Extent, Fault> {
    let schemas = plan.registry.cloned();
    let decoded = decode(message, &plan.flow.pipeline.input, &schemas)?;
    let pieces = match decoded {
        Ok(Decoded::Parts(pieces)) => pieces,
        // What a claim names is inside; the claim itself goes out again.
        Ok(Decoded::Claim(_) | Decoded::Tombstone) | Err(_) => return Ok(Part::WHOLE.extent),
    };
    let piece = pieces.iter().find(|piece| piece.part.number == number);
    Ok(piece.map_or(Extent::Inside, |piece| piece.part.extent))
}

/// Whether `part` is what the reject's reference says of it. The digest of a flow that redacts is
/// sealed; there the length has to do.
fn is_same(one: &Stored, part: &[u8]) -> bool {
    let note = one.body().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let Some(note) = note else { return false };
    let is_redacted = one.header("sluice-omitted").contains("headers");
    let is_long = note.get("bytes").and_then(Value::as_u64) == u64::try_from(part.len()).ok();
    is_long
        && (is_redacted
            || note.get("digest").and_then(Value::as_str) == Some(&*Digest::of(part).to_string()))
}

/// Rejects whose fate is told together.
#[derive(Default)]
struct Batch {
    messages: Vec<(Stored, Fate, Option<Delivery>)>,
    bytes: usize,
}

impl Batch {
    const fn is_full(&self) -> bool {
        self.messages.len() >= BATCH_MESSAGES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Sends all in one transaction, and tells them once it is through.
    fn send(
        &mut self,
        plan: &Plan<'_>,
        producer: Option<&BaseProducer<Quiet>>,
        tell: &mut impl FnMut(&Stored, &Fate) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Self { messages, .. } = std::mem::take(self);
        let topic = plan.flow.pipeline.input.topic.as_str();
        let is_any = messages.iter().any(|(_, _, message)| message.is_some());
        if let Some(producer) = producer.filter(|_| is_any) {
            let doing = |error| kafka::fault(format!("sending rejects to `{topic}`"), error);
            producer.begin_transaction().map_err(doing)?;
            let all = messages.iter().filter_map(|(_, _, message)| message.as_ref());
            let sent = all.into_iter().try_for_each(|message| send(producer, topic, message));
            let done = sent.and_then(|()| producer.commit_transaction(CALL_MAX).map_err(doing));
            if done.is_err() {
                // Readers need not wait for its timeout; where this fails too, the next replay ends it.
                drop(producer.abort_transaction(CALL_MAX));
            }
            done?;
        }
        messages.iter().try_for_each(|(one, fate, _)| tell(one, fate))
    }
}

fn send(producer: &BaseProducer<Quiet>, topic: &str, message: &Delivery) -> Result<(), Fault> {
    let headers = kafka::headers(&message.headers);
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
    record.key = message.key.as_ref().map(|key| key.as_slice());
    record.payload = message.body.as_ref().map(|body| body.as_slice());
    while let Err((error, returned)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(kafka::fault(format!("sending to `{topic}`"), error));
        }
        producer.poll(std::time::Duration::from_millis(10));
        record = returned;
    }
    Ok(())
}

/// A producer whose `transactional.id` is taken: another replay of this pipeline is fenced, and its
/// open transaction has ended.
fn producer(plan: &Plan<'_>) -> Result<BaseProducer<Quiet>, Fault> {
    let input = plan.flow.pipeline.input.topic.as_str();
    let bytes_max = configs::of_topic(plan.connection, input)?.number("max.message.bytes");
    let bytes_max = bytes_max.unwrap_or(1_000_000) + MESSAGE_OVERHEAD_BYTES;
    let fault = |error| Fault::new(FaultClass::Fatal, "creating the producer", error);
    let bytes_max = usize::try_from(bytes_max.min(1_000_000_000)).unwrap_or_default();
    let mut config = plan.connection.producer_config(bytes_max);
    config
        .set("transactional.id", &plan.transactional_id)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
    let producer: BaseProducer<Quiet> = config.create_with_context(Quiet).map_err(fault)?;
    let doing = |error| kafka::fault("registering the transactional id of the replay", error);
    producer.init_transactions(CALL_MAX).map_err(doing)?;
    Ok(producer)
}
