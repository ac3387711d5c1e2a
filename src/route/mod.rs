//! `Outcome -> Outgoing`: which topic, key, headers and body an outcome gets. A pure table.
//!
//! | outcome | topic | key | body |
//! |--|--|--|--|
//! | record | `output.record_topic` | the input's key, else the document id | as the codec writes it |
//! | review | `output.review_topic` | likewise | as the codec writes it |
//! | reject | `output.reject_topic` | the input's key | the input's body, byte for byte |
//! | tombstone | record and review topic | the input's key | null |
//!
//! A message over `output.message_bytes_max` is never cut: a record or review becomes the reject
//! `RECORD_TOO_LARGE`; a reject loses its body first, then the original headers, then the key, each
//! loss named in the header `sluice-omitted`, and a small JSON object stands for the body, since a
//! null would read as an erasure.
//!
//! Headers: records and reviews carry `content-type`, `sluice-record-id`, and of the original ones
//! those of W3C Trace Context and Baggage, so that a trace goes on; the others describe the input
//! document, not the record. Rejects carry all original headers, so that the message can be
//! produced again as it was; old `sluice-*` ones go, since a reject that is sent in again and
//! refused again has one reason, the new one.
//!
//! Deliberately encodes nothing and sends nothing: [`Payload`] and the room `sink` do.

mod reject;

use std::sync::Arc;

use crate::config::pipeline::{Output, Tombstone};
use crate::types::{
    Delivery, Header, Outcome, OutcomeKind, Outgoing, Record, Reject, RejectCode, Review, Room,
    Sensitive, record_id,
};

/// Headers of the input that records and reviews keep: W3C Trace Context and W3C Baggage.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Turns records and reviews into bytes; the sink's codec does. A refusal means a bug: the output
/// schema was checked against what sluice writes.
pub trait Payload: Send + Sync {
    /// The body of a record's message.
    fn record(&self, record: &Record) -> Result<Vec<u8>, Reject>;
    /// The body of a review's message.
    fn review(&self, review: &Review) -> Result<Vec<u8>, Reject>;
    /// Media type of both.
    fn content_type(&self) -> &'static str;
}

/// Bytes that Kafka adds to a message at most: a record batch of one (61 bytes before the record,
/// format version 2), and the record's own length, times, offsets and counts as varints.
const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// Bytes that Kafka adds to a header at most: two lengths as varints of 32 bits.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// Largest size that `message` can have in a batch of its own, uncompressed, in bytes.
pub fn size_bytes(message: &Outgoing) -> usize {
    let headers = message.headers.iter().map(|header| {
        let value = header.value.as_ref().map_or(0, |value| value.len());
        header.name.len() + value + HEADER_OVERHEAD_BYTES
    });
    let key = message.key.as_ref().map_or(0, |key| key.len());
    let payload = message.payload.as_ref().map_or(0, |payload| payload.len());
    MESSAGE_OVERHEAD_BYTES + key + payload + headers.sum::<usize>()
}

/// Routes the outcomes of one flow.
pub struct Router {
    pipeline: String,
    topics: Topics,
    message_bytes_max: usize,
    payload: Box<dyn Payload>,
}

struct Topics {
    record: Arc<str>,
    review: Arc<str>,
    reject: Arc<str>,
}

impl Router {
    /// A router for the pipeline of that name.
    pub fn new(pipeline: &str, output: &Output, payload: Box<dyn Payload>) -> Self {
        let topics = Topics {
            record: output.record_topic.as_str().into(),
            review: output.review_topic.as_str().into(),
            reject: output.reject_topic.as_str().into(),
        };
        let message_bytes_max = output.message_bytes_max;
        Self { pipeline: pipeline.to_owned(), topics, message_bytes_max, payload }
    }

    /// The messages that publish one part's outcome.
    pub fn route(&self, outcome: &Outcome, delivery: &Delivery, part: u32) -> Vec<Outgoing> {
        let published = match outcome {
            Outcome::Record(record) => self
                .payload
                .record(record)
                .and_then(|bytes| self.published(outcome, record, bytes, delivery)),
            Outcome::Review(review) => self
                .payload
                .review(review)
                .and_then(|bytes| self.published(outcome, &review.record, bytes, delivery)),
            Outcome::Reject(refusal) => Err(refusal.clone()),
        };
        vec![published.unwrap_or_else(|refusal| self.refused(&refusal, delivery, part))]
    }

    /// The message of a record or review, where it fits its topic.
    fn published(
        &self,
        outcome: &Outcome,
        record: &Record,
        bytes: Vec<u8>,
        delivery: &Delivery,
    ) -> Result<Outgoing, Reject> {
        let kind = outcome.kind();
        let topic = match kind {
            OutcomeKind::Record => &self.topics.record,
            OutcomeKind::Review => &self.topics.review,
            OutcomeKind::Reject => &self.topics.reject,
        };
        let key = delivery.key.clone();
        let key = key.unwrap_or_else(|| Sensitive::new(record.document_id.clone().into_bytes()));
        let mut headers = vec![
            header("content-type", self.payload.content_type()),
            header("sluice-record-id", &record.id),
        ];
        headers.extend(traces(delivery));
        let outgoing = Outgoing {
            topic: Arc::clone(topic),
            key: Some(key),
            headers,
            payload: Some(Sensitive::new(bytes)),
            kind: Some(kind),
            code: code(outcome),
        };
        let (size, limit) = (size_bytes(&outgoing), self.message_bytes_max);
        if size <= limit {
            return Ok(outgoing);
        }
        let name = kind.name();
        let over = "over the limit `output.message_bytes_max`";
        let detail = format!("the {name} takes {size} bytes, {over} of {limit}");
        Err(Reject::new(RejectCode::RecordTooLarge, Room::Route, detail))
    }

    /// The messages of a null body: passed on under its key, an erasure downstream, where `policy`
    /// says so. None without a key, since the room `decode` refuses such a tombstone.
    pub fn tombstone(&self, delivery: &Delivery, policy: Tombstone) -> Vec<Outgoing> {
        let key = match policy {
            Tombstone::Ignore => None,
            Tombstone::Forward => delivery.key.as_ref(),
        };
        let Some(key) = key else { return Vec::new() };
        let id = record_id(&self.pipeline, &delivery.position, 0);
        let mut headers = vec![header("sluice-record-id", &id)];
        headers.extend(traces(delivery));
        let topics = [&self.topics.record, &self.topics.review];
        let outgoing = topics.into_iter().map(|topic| Outgoing {
            topic: Arc::clone(topic),
            key: Some(key.clone()),
            headers: headers.clone(),
            payload: None,
            kind: None,
            code: "",
        });
        outgoing.collect()
    }

    fn refused(&self, refusal: &Reject, delivery: &Delivery, part: u32) -> Outgoing {
        let origin = reject::Origin { pipeline: &self.pipeline, delivery, part };
        reject::outgoing(&self.topics.reject, refusal, &origin, self.message_bytes_max)
    }
}

/// Code of the reject or of the first reason for review; empty for a record.
fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Record(_) => "",
        Outcome::Review(review) => review.reasons.first().map_or("", |reason| reason.code.name()),
        Outcome::Reject(reject) => reject.code.name(),
    }
}

/// The headers of a delivery that carry its trace on.
fn traces(delivery: &Delivery) -> impl Iterator<Item = Header> + '_ {
    let is_trace = |name: &str| TRACE_HEADERS.iter().any(|trace| name.eq_ignore_ascii_case(trace));
    delivery.headers.iter().filter(move |header| is_trace(&header.name)).cloned()
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: Some(Sensitive::new(value.as_bytes().to_vec())) }
}
