//! `Outcome -> Outgoing`: which topic, key, headers and body an outcome gets. A pure table.
//!
//! | outcome | topic | key | body |
//! |--|--|--|--|
//! | record | `output.record_topic` | the input's key, else the document id | as the codec writes it |
//! | review | `output.review_topic` | likewise | as the codec writes it |
//! | reject | `output.reject_topic` | the input's key | the part's bytes of the input, as they came |
//! | tombstone | record and review topic | the input's key | null |
//! | any of the first three | `output.audit_topic`, where there is one | as the outcome's | as the codec writes it |
//!
//! Where a delivery has several parts, a reject holds the bytes of its own part, with their range
//! in the header `sluice-range` (`START-END`, from 0, end exclusive), or for a part that is no run
//! of the body's bytes a reference to it.
//!
//! Where the flow redacts, nothing of the input leaves as it came: its [`Cover`] gives the key and
//! the headers, and a reject carries a reference to its message in the place of its body, unless
//! the pipeline says `reject_bytes`.
//!
//! A message over `output.message_bytes_max` is never cut: a record or review becomes the reject
//! `RECORD_TOO_LARGE`; a reject loses its body first, then the original headers, then the key, each
//! loss named in the header `sluice-omitted`, and a small JSON object stands for the body, since a
//! null would read as an erasure. A record or review that the codec cannot write becomes the reject
//! that the codec gives.
//!
//! All parts of a delivery have its key, so that they share a partition and a tombstone erases them
//! all; without a key, their document ids do. What tells them apart is the record id, whose last
//! piece is the part: an output topic of a pipeline with many parts must not be compacted, since
//! compaction keeps one message a key.
//!
//! Headers: records and reviews carry `content-type`, `sluice-record-id`, and of the original ones
//! those of W3C Trace Context and Baggage, so that a trace goes on (where traces are sent, from the
//! span of the delivery); the others describe the input document, not the record. Rejects carry all original headers, so that the message can be
//! produced again as it was; old `sluice-*` ones go, since a reject that is sent in again and
//! refused again has one reason, the new one. One stays: the count in `sluice-hops` of how often the
//! message was sent in again, so that it does not go round for ever.
//!
//! Deliberately encodes nothing and sends nothing: [`Payload`] and the room `sink` do.

mod audit;
mod reject;

use crate::config::pipeline::{Output, Tombstone};
use crate::types::{
    Audit, Cover, Delivery, Digest, Extent, Header, Outcome, Outgoing, Part, Provenance, Record,
    Reject, RejectCode, Review, Room, Sensitive, record_id,
};

/// Headers of the input that records and reviews keep: W3C Trace Context and W3C Baggage.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Header with the count of how often a message was sent in again after a reject.
pub const HOPS: &str = "sluice-hops";

/// How often `delivery` was sent in again; `None` where it does not say so in a number.
pub fn hops(delivery: &Delivery) -> Option<u32> {
    std::str::from_utf8(delivery.header(HOPS)?).ok()?.parse().ok()
}

/// Turns records and reviews into bytes; the sink's codec does.
pub trait Payload {
    /// The body of a record's message; a refusal where it cannot be written.
    fn record(&self, record: &Record) -> Result<Vec<u8>, Reject>;
    /// The body of a review's message, likewise.
    fn review(&self, review: &Review) -> Result<Vec<u8>, Reject>;
    /// The body of an audit message; its schema is sluice's own and takes every entry.
    fn audit(&self, audit: &Audit<'_>) -> Vec<u8>;
    /// Media type of all.
    fn content_type(&self) -> &'static str;
}

/// Where a part came from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Its delivery.
    pub delivery: &'a Delivery,
    /// What of the delivery may leave, where the flow redacts.
    pub cover: Option<&'a Cover>,
    /// Which of its parts.
    pub part: Part,
    /// Plain digest of the part's document; `None` where none was had, and that of the part's bytes
    /// stands for it.
    pub digest: Option<Digest>,
}

impl Origin<'_> {
    fn key(&self) -> Option<Sensitive<Vec<u8>>> {
        self.cover.map_or_else(|| self.delivery.key.clone(), |cover| cover.key.clone())
    }

    /// Headers of the input that outcomes keep.
    fn traces(&self) -> Vec<Header> {
        let Some(cover) = self.cover else {
            let headers = self.delivery.headers.iter();
            return headers.filter(|header| is_trace(&header.name)).cloned().collect();
        };
        cover.headers.clone()
    }

    /// The part's bytes of the body; `None` where the body is null, or the part no run of bytes.
    fn bytes(&self) -> Option<&[u8]> {
        let body = self.delivery.body.as_ref()?;
        match self.part.extent {
            Extent::Whole => Some(body.as_slice()),
            Extent::Bytes(span) => body.get(span.range()),
            Extent::Inside => None,
        }
    }

    /// A digest as it may leave.
    fn sealed(&self, digest: Digest) -> Digest {
        self.cover.map_or(digest, |cover| cover.secret.seal(digest))
    }
}

/// Routes the outcomes of one flow.
pub struct Router<P> {
    /// What is the same for all parts.
    base: Provenance,
    output: Output,
    payload: P,
}

impl<P: Payload> Router<P> {
    /// A router for the flow whose provenance, but for what depends on a document, is `base`.
    pub const fn new(base: Provenance, output: Output, payload: P) -> Self {
        Self { base, output, payload }
    }

    /// The messages of one part's outcome: exactly one, and its audit where the flow has one.
    pub fn route(&self, outcome: &Outcome, origin: &Origin<'_>) -> Vec<Outgoing> {
        let outgoing = self.outcome(outcome, origin);
        let Some(topic) = &self.output.audit_topic else { return vec![outgoing] };
        let entry = audit::of(outcome, &outgoing, origin, &self.base);
        let entry = Outgoing {
            topic: topic.clone(),
            // Rejects that bring their bytes bring the plain key, too; an audit entry never does.
            key: outgoing.key.clone().map(|key| {
                let sealed = origin.cover.and_then(|cover| cover.key.clone());
                sealed.unwrap_or(key)
            }),
            headers: self.headers(&entry.record_id),
            payload: Some(Sensitive::new(self.payload.audit(&entry))),
            kind: None,
            code: "",
        };
        vec![outgoing, entry]
    }

    fn headers(&self, record_id: &str) -> Vec<Header> {
        vec![
            header("content-type", self.payload.content_type()),
            header("sluice-record-id", record_id),
        ]
    }

    fn outcome(&self, outcome: &Outcome, origin: &Origin<'_>) -> Outgoing {
        let (record, topic, bytes, code) = match outcome {
            Outcome::Record(record) => {
                (&**record, &self.output.record_topic, self.payload.record(record), "")
            }
            Outcome::Review(review) => {
                let code = review.reasons.first().map_or("", |reason| reason.code.name());
                (&review.record, &self.output.review_topic, self.payload.review(review), code)
            }
            Outcome::Reject(refusal) => return self.refused(refusal, origin),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(refusal) => return self.refused(&refusal, origin),
        };
        let own = || Sensitive::new(record.document_id.clone().into_bytes());
        let mut headers = self.headers(&record.id);
        headers.extend(origin.traces());
        let outgoing = Outgoing {
            topic: topic.clone(),
            key: Some(origin.key().unwrap_or_else(own)),
            headers,
            payload: Some(Sensitive::new(bytes)),
            kind: Some(outcome.kind()),
            code,
        };
        let (size, limit) = (outgoing.size_bytes(), self.output.message_bytes_max);
        if size <= limit {
            return outgoing;
        }
        let detail = format!(
            "the {} takes {size} bytes, over the limit `output.message_bytes_max` of {limit}",
            outcome.kind().name()
        );
        let refusal = Reject::new(RejectCode::RecordTooLarge, Room::Route, detail);
        self.refused(&refusal, origin)
    }

    /// The messages of a null body: passed on under its key, an erasure downstream, where `policy`
    /// says so. None without a key, since the room `decode` refuses such a tombstone.
    pub fn tombstone(&self, origin: &Origin<'_>, policy: Tombstone) -> Vec<Outgoing> {
        let key = match policy {
            Tombstone::Ignore => None,
            Tombstone::Forward => origin.key(),
        };
        let Some(key) = key else { return Vec::new() };
        let id = record_id(&self.base.pipeline, &origin.delivery.position, 0);
        let mut headers = vec![header("sluice-record-id", &id)];
        headers.extend(origin.traces());
        let topics = [&self.output.record_topic, &self.output.review_topic];
        let outgoing = topics.into_iter().map(|topic| Outgoing {
            topic: topic.clone(),
            key: Some(key.clone()),
            headers: headers.clone(),
            payload: None,
            kind: None,
            code: "",
        });
        let outgoing: Vec<_> = outgoing.collect();
        let limit = self.output.message_bytes_max;
        let Some(size) = outgoing.iter().map(Outgoing::size_bytes).max().filter(|it| *it > limit)
        else {
            return outgoing;
        };
        let detail = format!(
            "the tombstone takes {size} bytes of key and headers, over the limit \
             `output.message_bytes_max` of {limit}"
        );
        vec![self.refused(&Reject::new(RejectCode::RecordTooLarge, Room::Route, detail), origin)]
    }

    fn refused(&self, refusal: &Reject, origin: &Origin<'_>) -> Outgoing {
        let limit = self.output.message_bytes_max;
        let flow = (self.base.pipeline.as_str(), self.output.reject_topic.as_str());
        reject::outgoing(flow, refusal, origin, limit)
    }
}

fn is_trace(name: &str) -> bool {
    TRACE_HEADERS.iter().any(|trace| name.eq_ignore_ascii_case(trace))
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: Some(Sensitive::new(value.as_bytes().to_vec())) }
}

#[cfg(test)]
mod tests;
