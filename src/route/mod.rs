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

use crate::config::pipeline::Output;
use crate::error::Fault;
use crate::types::{
    Delivery, Header, Outcome, Outgoing, Record, Reject, RejectCode, Review, Room, Sensitive,
    record_id,
};

/// Headers of the input that records and reviews keep: W3C Trace Context and W3C Baggage.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Turns records and reviews into bytes; the sink's codec does.
pub trait Payload {
    /// The body of a record's message.
    fn record(&self, record: &Record) -> Result<Vec<u8>, Fault>;
    /// The body of a review's message.
    fn review(&self, review: &Review) -> Result<Vec<u8>, Fault>;
    /// Media type of both.
    fn content_type(&self) -> &'static str;
}

/// Routes the outcomes of one flow.
pub struct Router<P> {
    pipeline: String,
    output: Output,
    payload: P,
}

impl<P: Payload> Router<P> {
    /// A router for the pipeline of that name.
    pub fn new(pipeline: impl Into<String>, output: Output, payload: P) -> Self {
        Self { pipeline: pipeline.into(), output, payload }
    }

    /// The message of one part's outcome; exactly one. Faults are those of the codec.
    pub fn route(
        &self,
        outcome: &Outcome,
        delivery: &Delivery,
        part: u32,
    ) -> Result<Outgoing, Fault> {
        let (record, topic, bytes, code) = match outcome {
            Outcome::Record(record) => {
                (&**record, &self.output.record_topic, self.payload.record(record)?, "")
            }
            Outcome::Review(review) => {
                let code = review.reasons.first().map_or("", |reason| reason.code.name());
                (&review.record, &self.output.review_topic, self.payload.review(review)?, code)
            }
            Outcome::Reject(refusal) => return Ok(self.refused(refusal, delivery, part)),
        };
        let key = delivery.key.clone();
        let key = key.unwrap_or_else(|| Sensitive::new(record.document_id.clone().into_bytes()));
        let mut headers = vec![
            header("content-type", self.payload.content_type()),
            header("sluice-record-id", &record.id),
        ];
        let traces = delivery.headers.iter().filter(|header| is_trace(&header.name));
        headers.extend(traces.cloned());
        let payload = Some(Sensitive::new(bytes));
        let outgoing = Outgoing {
            topic: topic.clone(),
            key: Some(key),
            headers,
            payload,
            kind: Some(outcome.kind()),
            code,
        };
        let (size, limit) = (outgoing.size_bytes(), self.output.message_bytes_max);
        if size <= limit {
            return Ok(outgoing);
        }
        let detail = format!(
            "the {} takes {size} bytes, over the limit `output.message_bytes_max` of {limit}",
            outcome.kind().name()
        );
        let refusal = Reject::new(RejectCode::RecordTooLarge, Room::Route, detail);
        Ok(self.refused(&refusal, delivery, part))
    }

    /// A null body passed on under its key: an erasure downstream. Empty where there is no key,
    /// since the room `decode` refuses such a tombstone.
    pub fn tombstone(&self, delivery: &Delivery) -> Vec<Outgoing> {
        let Some(key) = &delivery.key else { return Vec::new() };
        let id = record_id(&self.pipeline, &delivery.position, 0);
        let mut headers = vec![header("sluice-record-id", &id)];
        let traces = delivery.headers.iter().filter(|header| is_trace(&header.name));
        headers.extend(traces.cloned());
        let topics = [&self.output.record_topic, &self.output.review_topic];
        let outgoing = topics.into_iter().map(|topic| Outgoing {
            topic: topic.clone(),
            key: Some(key.clone()),
            headers: headers.clone(),
            payload: None,
            kind: None,
            code: "",
        });
        outgoing.collect()
    }

    fn refused(&self, refusal: &Reject, delivery: &Delivery, part: u32) -> Outgoing {
        let limit = self.output.message_bytes_max;
        let origin = reject::Origin { pipeline: &self.pipeline, delivery, part };
        reject::outgoing(&self.output.reject_topic, refusal, &origin, limit)
    }
}

fn is_trace(name: &str) -> bool {
    TRACE_HEADERS.iter().any(|trace| name.eq_ignore_ascii_case(trace))
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: Some(Sensitive::new(value.as_bytes().to_vec())) }
}
