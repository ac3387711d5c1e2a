//! `Outcome -> Outgoing`: which topic, key, headers and body an outcome gets. A pure table.
//!
//! | outcome | topic | key | body |
//! |--|--|--|--|
//! | record | `output.record_topic` | the input's key, else the document id | as the codec writes it |
//! | review | `output.review_topic` | likewise | as the codec writes it |
//! | reject | `output.reject_topic` | the input's key | the part's bytes of the input, as they came |
//! | tombstone | record and review topic | the input's key | null |
//!
//! Where a delivery has several parts, a reject holds the bytes of its own part, with their range
//! in the header `sluice-range` (`START-END`, from 0, end exclusive), or for a part that is no run
//! of the body's bytes a reference to it. All parts have the input's key, so that those of one key
//! stay in order and an erasure of the key finds them; a topic for many parts must not be compacted,
//! or `record_id` must be its key downstream.
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
//! those of W3C Trace Context and Baggage, so that a trace goes on; the others describe the input
//! document, not the record. Rejects carry all original headers, so that the message can be
//! produced again as it was; old `sluice-*` ones go, since a reject that is sent in again and
//! refused again has one reason, the new one.
//!
//! Deliberately encodes nothing and sends nothing: [`Payload`] and the room `sink` do.

mod reject;

use crate::config::pipeline::{Output, Tombstone};
use crate::types::{
    Delivery, Header, Outcome, Outgoing, Part, Record, Reject, RejectCode, Review, Room, Sensitive,
    record_id,
};

/// Headers of the input that records and reviews keep: W3C Trace Context and W3C Baggage.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Turns records and reviews into bytes; the sink's codec does.
pub trait Payload {
    /// The body of a record's message; a refusal where it cannot be written.
    fn record(&self, record: &Record) -> Result<Vec<u8>, Reject>;
    /// The body of a review's message, likewise.
    fn review(&self, review: &Review) -> Result<Vec<u8>, Reject>;
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

    /// The message of one part's outcome; exactly one.
    pub fn route(&self, outcome: &Outcome, delivery: &Delivery, part: Part) -> Outgoing {
        let (record, topic, bytes, code) = match outcome {
            Outcome::Record(record) => {
                (&**record, &self.output.record_topic, self.payload.record(record), "")
            }
            Outcome::Review(review) => {
                let code = review.reasons.first().map_or("", |reason| reason.code.name());
                (&review.record, &self.output.review_topic, self.payload.review(review), code)
            }
            Outcome::Reject(refusal) => return self.refused(refusal, delivery, part),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(refusal) => return self.refused(&refusal, delivery, part),
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
            return outgoing;
        }
        let detail = format!(
            "the {} takes {size} bytes, over the limit `output.message_bytes_max` of {limit}",
            outcome.kind().name()
        );
        let refusal = Reject::new(RejectCode::RecordTooLarge, Room::Route, detail);
        self.refused(&refusal, delivery, part)
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

    fn refused(&self, refusal: &Reject, delivery: &Delivery, part: Part) -> Outgoing {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Payload, Router};
    use crate::config::pipeline::{Format, Output, Tombstone};
    use crate::types::{
        Delivery, Digest, Extent, Extraction, Header, Outcome, OutcomeKind, Outgoing, Part,
        Position, Provenance, Reason, Record, Reject, RejectCode, Review, ReviewCode, Room,
        Sensitive, Span,
    };

    /// Bodies of a set length.
    struct Bodies(usize);

    impl Payload for Bodies {
        fn record(&self, _record: &Record) -> Result<Vec<u8>, Reject> {
            Ok(vec![b'r'; self.0])
        }

        fn review(&self, _review: &Review) -> Result<Vec<u8>, Reject> {
            Ok(vec![b'v'; self.0])
        }

        fn content_type(&self) -> &'static str {
            "application/avro"
        }
    }

    const LIMIT: usize = 65_536;

    fn router(body: usize) -> Router<Bodies> {
        let output = Output {
            record_topic: "records".to_owned(),
            review_topic: "reviews".to_owned(),
            reject_topic: "rejects".to_owned(),
            format: Format::Avro,
            schema: "record.avsc".to_owned(),
            message_bytes_max: LIMIT,
        };
        Router::new("contracts", output, Bodies(body))
    }

    fn delivery(key: Option<&[u8]>, body: Option<Vec<u8>>, headers: &[(&str, &str)]) -> Delivery {
        let header = |(name, value): &(&str, &str)| super::header(name, value);
        Delivery {
            position: Position { topic: "in".into(), partition: 3, offset: 9 },
            key: key.map(|key| Sensitive::new(key.to_vec())),
            body: body.map(Sensitive::new),
            headers: headers.iter().map(header).collect(),
            sent: None,
        }
    }

    fn record() -> Record {
        let digest = Digest::of(b"");
        let name = String::new;
        Record {
            id: "contracts/in/3/9/0".to_owned(),
            document_id: "lease-7".to_owned(),
            extraction: Extraction::default(),
            provenance: Provenance {
                pipeline: name(),
                pipeline_revision: name(),
                config_digest: digest,
                schema_digest: digest,
                model: name(),
                model_revision: name(),
                model_digest: digest,
                tokenizer_digest: digest,
                thresholds_digest: digest,
                sluice_version: name(),
                text_engine: name(),
                onnxruntime_version: name(),
                provider: name(),
                cpu_class: name(),
                document_digest: digest,
                text_digest: None,
                position: Position { topic: "in".into(), partition: 3, offset: 9 },
                part: 0,
            },
        }
    }

    fn review() -> Outcome {
        let code = ReviewCode::RequiredMissing;
        let reasons = vec![Reason { code, field: None, detail: String::new() }];
        Outcome::Review(Box::new(Review { record: record(), reasons, text: Sensitive::default() }))
    }

    fn reject() -> Outcome {
        Outcome::Reject(Reject::new(RejectCode::PdfInvalid, Room::Text, "no trailer"))
    }

    fn text<'m>(outgoing: &'m Outgoing, name: &str) -> Option<&'m str> {
        let header: &Header = outgoing.headers.iter().rev().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_ref()?).ok()
    }

    fn key(outgoing: &Outgoing) -> Option<&[u8]> {
        outgoing.key.as_ref().map(|key| key.as_slice())
    }

    fn body(outgoing: &Outgoing) -> &[u8] {
        outgoing.payload.as_ref().unwrap()
    }

    #[test]
    fn records_and_reviews_go_to_their_topics_under_the_key_or_the_document_id() {
        let headers = [("Traceparent", "00-a-b-01"), ("content-type", "application/pdf")];
        let keyed = delivery(Some(b"k"), Some(vec![1]), &headers);
        let bare = delivery(None, Some(vec![1]), &headers);
        let sent = router(9).route(&Outcome::Record(Box::new(record())), &keyed, Part::WHOLE);
        assert_eq!((sent.topic.as_str(), key(&sent)), ("records", Some(b"k".as_slice())));
        assert_eq!((sent.kind, sent.code), (Some(OutcomeKind::Record), ""));
        assert_eq!(text(&sent, "content-type"), Some("application/avro"));
        assert_eq!(text(&sent, "sluice-record-id"), Some("contracts/in/3/9/0"));
        assert_eq!(text(&sent, "Traceparent"), Some("00-a-b-01"));
        assert_eq!(sent.headers.len(), 3);
        let sent = router(9).route(&review(), &bare, Part::WHOLE);
        assert_eq!((sent.topic.as_str(), key(&sent)), ("reviews", Some(b"lease-7".as_slice())));
        assert_eq!((sent.kind, sent.code), (Some(OutcomeKind::Review), "REQUIRED_MISSING"));
    }

    #[test]
    fn a_reject_is_the_original_message_with_its_reason() {
        let headers = [("document-id", "d"), ("Sluice-Code", "OLD"), ("traceparent", "t")];
        let of = delivery(Some(b"k"), Some(b"%PDF".to_vec()), &headers);
        let sent = router(9).route(&reject(), &of, Part { number: 2, ..Part::WHOLE });
        assert_eq!(
            (sent.topic.as_str(), key(&sent), body(&sent)),
            ("rejects", key(&sent), b"%PDF".as_slice())
        );
        assert_eq!(key(&sent), Some(b"k".as_slice()));
        for (name, value) in [
            ("document-id", "d"),
            ("traceparent", "t"),
            ("sluice-outcome", "reject"),
            ("sluice-code", "PDF_INVALID"),
            ("sluice-room", "text"),
            ("sluice-detail", "no trailer"),
            ("sluice-pipeline", "contracts"),
            ("sluice-record-id", "contracts/in/3/9/2"),
            ("sluice-source-topic", "in"),
            ("sluice-source-partition", "3"),
            ("sluice-source-offset", "9"),
            ("sluice-part", "2"),
        ] {
            assert_eq!(text(&sent, name), Some(value), "{name}");
        }
        assert!(sent.headers.iter().all(|header| header.name != "Sluice-Code"));
        assert!(text(&sent, "sluice-omitted").is_none());
    }

    #[test]
    fn a_record_that_is_too_large_is_a_reject_with_the_document() {
        let of = delivery(None, Some(b"doc".to_vec()), &[]);
        for outcome in [Outcome::Record(Box::new(record())), review()] {
            let sent = router(LIMIT).route(&outcome, &of, Part::WHOLE);
            assert_eq!((sent.topic.as_str(), sent.code), ("rejects", "RECORD_TOO_LARGE"));
            assert_eq!(body(&sent), b"doc");
        }
    }

    /// Can write nothing.
    struct Unfit;

    impl Payload for Unfit {
        fn record(&self, _record: &Record) -> Result<Vec<u8>, Reject> {
            Err(Reject::new(RejectCode::RecordUnfit, Room::Sink, "`term` is too long for int"))
        }

        fn review(&self, review: &Review) -> Result<Vec<u8>, Reject> {
            self.record(&review.record)
        }

        fn content_type(&self) -> &'static str {
            "application/avro"
        }
    }

    #[test]
    fn a_record_that_cannot_be_written_is_a_reject_with_the_document() {
        let of = delivery(Some(b"k"), Some(b"doc".to_vec()), &[]);
        let router = Router::new("contracts", router(0).output, Unfit);
        for outcome in [Outcome::Record(Box::new(record())), review()] {
            let sent = router.route(&outcome, &of, Part { number: 3, ..Part::WHOLE });
            assert_eq!((sent.topic.as_str(), sent.code), ("rejects", "RECORD_UNFIT"));
            assert_eq!((sent.kind, body(&sent)), (Some(OutcomeKind::Reject), b"doc".as_slice()));
            assert_eq!(text(&sent, "sluice-room"), Some("sink"));
            assert_eq!(text(&sent, "sluice-part"), Some("3"));
        }
    }

    #[test]
    fn parts_of_a_delivery_share_its_key_and_differ_in_the_record_id() {
        let of = delivery(Some(b"k"), Some(vec![1]), &[]);
        let sent: Vec<_> = (0..3)
            .map(|number| router(9).route(&reject(), &of, Part { number, ..Part::WHOLE }))
            .collect();
        assert!(sent.iter().all(|sent| key(sent) == Some(b"k".as_slice())));
        let ids: Vec<_> = sent.iter().filter_map(|it| text(it, "sluice-record-id")).collect();
        assert_eq!(ids, ["contracts/in/3/9/0", "contracts/in/3/9/1", "contracts/in/3/9/2"]);
    }

    #[test]
    fn a_reject_that_is_too_large_says_what_it_leaves_out() {
        let large = vec![b'x'; LIMIT];
        let long = "h".repeat(LIMIT);
        let note = |of: &Delivery, omitted: &str| {
            let sent = router(9).route(&reject(), of, Part::WHOLE);
            assert_eq!(text(&sent, "sluice-omitted"), Some(omitted));
            assert_eq!(text(&sent, "sluice-body"), Some("omitted"));
            assert!(sent.size_bytes() <= LIMIT);
            (
                key(&sent).is_some(),
                serde_json::from_slice::<serde_json::Value>(body(&sent)).unwrap(),
            )
        };
        let of = delivery(Some(b"k"), Some(large.clone()), &[("a", "b")]);
        let (has_key, json) = note(&of, "body");
        assert!(has_key);
        assert_eq!(json["bytes"], LIMIT);
        assert_eq!(json["digest"], Digest::of(&large).to_string());
        assert_eq!(json["position"], "in/3/9");
        assert_eq!(json["code"], "PDF_INVALID");
        let of = delivery(Some(b"k"), Some(vec![1]), &[("a", &long)]);
        assert!(note(&of, "body,headers").0);
        let of = delivery(Some(&large), Some(vec![1]), &[]);
        assert!(!note(&of, "body,headers,key").0);
    }

    #[test]
    fn a_refused_part_brings_its_own_bytes_or_a_reference() {
        let of = delivery(Some(b"k"), Some(b"first\nsecond".to_vec()), &[]);
        let extent = Extent::Bytes(Span { start: 6, end: 12 });
        let sent = router(9).route(&reject(), &of, Part { number: 1, extent });
        assert_eq!(
            (body(&sent), text(&sent, "sluice-range")),
            (b"second".as_slice(), Some("6-12"))
        );
        assert_eq!(text(&sent, "sluice-record-id"), Some("contracts/in/3/9/1"));
        let part = Part { number: 1, extent: Extent::Inside };
        let sent = router(9).route(&reject(), &of, part);
        assert_eq!(text(&sent, "sluice-omitted"), Some("body"));
        assert_eq!(
            (text(&sent, "sluice-body"), text(&sent, "sluice-range")),
            (Some("omitted"), None)
        );
        let note: serde_json::Value = serde_json::from_slice(body(&sent)).unwrap();
        assert_eq!((&note["position"], &note["part"]), (&"in/3/9".into(), &1.into()));
        let long = delivery(None, Some(vec![b'x'; 2 * LIMIT]), &[]);
        let extent = Extent::Bytes(Span { start: 0, end: LIMIT });
        let sent = router(9).route(&reject(), &long, Part { number: 0, extent });
        let note: serde_json::Value = serde_json::from_slice(body(&sent)).unwrap();
        assert_eq!((&note["bytes"], text(&sent, "sluice-range")), (&LIMIT.into(), Some("0-65536")));
    }

    #[test]
    fn a_refused_null_body_is_told_by_a_stand_in_and_no_tombstone() {
        let sent = router(9).route(&reject(), &delivery(None, None, &[]), Part::WHOLE);
        assert_eq!(text(&sent, "sluice-body"), Some("null"));
        assert!(body(&sent).starts_with(b"{"));
    }

    #[test]
    fn a_tombstone_goes_to_both_topics_under_its_key_or_nowhere() {
        let of = delivery(Some(b"k"), None, &[]);
        let sent = router(9).tombstone(&of, Tombstone::Forward);
        let topics: Vec<_> = sent.iter().map(|sent| sent.topic.as_str()).collect();
        assert_eq!(topics, ["records", "reviews"]);
        assert!(sent.iter().all(|sent| sent.payload.is_none() && key(sent) == Some(b"k")));
        assert!(router(9).tombstone(&of, Tombstone::Ignore).is_empty());
    }

    proptest! {
        #[test]
        fn every_outcome_of_any_size_gives_one_message_that_fits_and_has_a_body(
            kind in 0..3, encoded in 0_usize..80_000, key in 0_usize..80_000,
            document in 0_usize..80_000, headers in 0_usize..80_000,
        ) {
            let outcome = match kind {
                0 => Outcome::Record(Box::new(record())),
                1 => review(),
                _ => reject(),
            };
            let long = "h".repeat(headers);
            let of = delivery(Some(&vec![b'k'; key]), Some(vec![1; document]), &[("a", &long)]);
            let sent = router(encoded).route(&outcome, &of, Part::WHOLE);
            prop_assert!(sent.size_bytes() <= LIMIT);
            prop_assert!(sent.payload.is_some());
            prop_assert!(sent.kind == Some(outcome.kind()) || sent.code == "RECORD_TOO_LARGE");
        }
    }
}
