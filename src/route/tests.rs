//! The table, row by row.

use proptest::prelude::*;

use super::{Origin, Payload, Router};
use crate::config::pipeline::{Format, Output, Tombstone};
use crate::types::{
    Audit, Cover, Decider, Delivery, Digest, Extent, Extraction, Header, Key, Outcome, OutcomeKind,
    Outgoing, Part, Position, Provenance, Reason, Record, Redaction, Reject, RejectCode, Review,
    ReviewCode, Room, Sensitive, Span,
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

    fn audit(&self, audit: &Audit<'_>) -> Vec<u8> {
        let digest = audit.document_digest.map(|digest| digest.to_string());
        let entry = (&audit.record_id, audit.outcome.name(), &audit.codes, &audit.deciders);
        serde_json::to_vec(&(entry, digest)).unwrap()
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
        audit_topic: Some("audits".to_owned()),
        format: Format::Avro,
        schema: "record.avsc".to_owned(),
        message_bytes_max: LIMIT,
    };
    Router::new(base(), output, Bodies(body))
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

fn base() -> Provenance {
    let digest = Digest::of(b"");
    let name = String::new;
    Provenance {
        pipeline: "contracts".to_owned(),
        pipeline_revision: name(),
        config_digest: digest,
        schema_digest: digest,
        model: "small".to_owned(),
        model_revision: "2".to_owned(),
        model_digest: digest,
        tokenizer_digest: digest,
        thresholds_digest: digest,
        gate_digest: None,
        sluice_version: name(),
        text_engine: name(),
        onnxruntime_version: name(),
        provider: name(),
        cpu_class: name(),
        redaction_key: None,
        document_digest: digest,
        document_uri: None,
        text_digest: None,
        position: Position { topic: "in".into(), partition: 3, offset: 9 },
        part: 0,
    }
}

fn record() -> Record {
    let (kind, policy, decider) = ("name", "mask", Decider::Rule);
    Record {
        id: "contracts/in/3/9/0".to_owned(),
        document_id: "lease-7".to_owned(),
        extraction: Extraction::default(),
        redactions: vec![Redaction { kind, policy, decider, count: 4 }],
        provenance: base(),
    }
}

fn numbered(number: u32) -> Part {
    Part { number, ..Part::WHOLE }
}

/// The message of the outcome; the one of the audit behind it has its key and its record id.
fn routed<P: Payload>(
    router: &Router<P>,
    outcome: &Outcome,
    delivery: &Delivery,
    part: Part,
) -> Outgoing {
    let origin = Origin { delivery, cover: None, part, digest: None };
    let mut sent = router.route(outcome, &origin);
    let audit = sent.pop().unwrap();
    assert_eq!((sent.len(), audit.topic.as_str(), audit.kind), (1, "audits", None));
    let sent = sent.pop().unwrap();
    assert_eq!(text(&audit, "sluice-record-id"), text(&sent, "sluice-record-id"));
    assert_eq!(key(&audit), key(&sent));
    sent
}

fn review() -> Outcome {
    let code = ReviewCode::RequiredMissing;
    let field = Some("title".to_owned());
    let reasons = vec![Reason { code, field, detail: String::new() }];
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
    let sent = routed(&router(9), &Outcome::Record(Box::new(record())), &keyed, Part::WHOLE);
    assert_eq!((sent.topic.as_str(), key(&sent)), ("records", Some(b"k".as_slice())));
    assert_eq!((sent.kind, sent.code), (Some(OutcomeKind::Record), ""));
    assert_eq!(text(&sent, "content-type"), Some("application/avro"));
    assert_eq!(text(&sent, "sluice-record-id"), Some("contracts/in/3/9/0"));
    assert_eq!(text(&sent, "Traceparent"), Some("00-a-b-01"));
    assert_eq!(sent.headers.len(), 3);
    let sent = routed(&router(9), &review(), &bare, Part::WHOLE);
    assert_eq!((sent.topic.as_str(), key(&sent)), ("reviews", Some(b"lease-7".as_slice())));
    assert_eq!((sent.kind, sent.code), (Some(OutcomeKind::Review), "REQUIRED_MISSING"));
}

#[test]
fn a_reject_is_the_original_message_with_its_reason() {
    let headers = [("document-id", "d"), ("Sluice-Code", "OLD"), ("traceparent", "t")];
    let of = delivery(Some(b"k"), Some(b"%PDF".to_vec()), &headers);
    let sent = routed(&router(9), &reject(), &of, numbered(2));
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
        let sent = routed(&router(LIMIT), &outcome, &of, Part::WHOLE);
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

    fn audit(&self, audit: &Audit<'_>) -> Vec<u8> {
        Bodies(0).audit(audit)
    }

    fn content_type(&self) -> &'static str {
        "application/avro"
    }
}

#[test]
fn a_record_that_cannot_be_written_is_a_reject_with_the_document() {
    let of = delivery(Some(b"k"), Some(b"doc".to_vec()), &[]);
    let router = Router::new(base(), router(0).output, Unfit);
    for outcome in [Outcome::Record(Box::new(record())), review()] {
        let sent = routed(&router, &outcome, &of, numbered(3));
        assert_eq!((sent.topic.as_str(), sent.code), ("rejects", "RECORD_UNFIT"));
        assert_eq!((sent.kind, body(&sent)), (Some(OutcomeKind::Reject), b"doc".as_slice()));
        assert_eq!(text(&sent, "sluice-room"), Some("sink"));
        assert_eq!(text(&sent, "sluice-part"), Some("3"));
    }
}

#[test]
fn parts_of_a_delivery_share_its_key_and_differ_in_the_record_id() {
    let of = delivery(Some(b"k"), Some(vec![1]), &[]);
    let sent: Vec<_> =
        (0..3).map(|part| routed(&router(9), &reject(), &of, numbered(part))).collect();
    assert!(sent.iter().all(|sent| key(sent) == Some(b"k".as_slice())));
    let ids: Vec<_> = sent.iter().filter_map(|it| text(it, "sluice-record-id")).collect();
    assert_eq!(ids, ["contracts/in/3/9/0", "contracts/in/3/9/1", "contracts/in/3/9/2"]);
}

#[test]
fn a_reject_that_is_too_large_says_what_it_leaves_out() {
    let large = vec![b'x'; LIMIT];
    let long = "h".repeat(LIMIT);
    let note = |of: &Delivery, omitted: &str| {
        let sent = routed(&router(9), &reject(), of, Part::WHOLE);
        assert_eq!(text(&sent, "sluice-omitted"), Some(omitted));
        assert_eq!(text(&sent, "sluice-body"), Some("omitted"));
        assert!(sent.size_bytes() <= LIMIT);
        (key(&sent).is_some(), serde_json::from_slice::<serde_json::Value>(body(&sent)).unwrap())
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
    let sent = routed(&router(9), &reject(), &of, Part { number: 1, extent });
    assert_eq!((body(&sent), text(&sent, "sluice-range")), (b"second".as_slice(), Some("6-12")));
    assert_eq!(text(&sent, "sluice-record-id"), Some("contracts/in/3/9/1"));
    let inside = Part { number: 1, extent: Extent::Inside };
    let sent = routed(&router(9), &reject(), &of, inside);
    assert_eq!(text(&sent, "sluice-omitted"), Some("body"));
    assert_eq!((text(&sent, "sluice-body"), text(&sent, "sluice-range")), (Some("omitted"), None));
    let note: serde_json::Value = serde_json::from_slice(body(&sent)).unwrap();
    assert_eq!((&note["position"], &note["part"]), (&"in/3/9".into(), &1.into()));
    let long = delivery(None, Some(vec![b'x'; 2 * LIMIT]), &[]);
    let extent = Extent::Bytes(Span { start: 0, end: LIMIT });
    let sent = routed(&router(9), &reject(), &long, Part { number: 0, extent });
    let note: serde_json::Value = serde_json::from_slice(body(&sent)).unwrap();
    assert_eq!((&note["bytes"], text(&sent, "sluice-range")), (&LIMIT.into(), Some("0-65536")));
}

#[test]
fn a_refused_null_body_is_told_by_a_stand_in_and_no_tombstone() {
    let sent = routed(&router(9), &reject(), &delivery(None, None, &[]), Part::WHOLE);
    assert_eq!(text(&sent, "sluice-body"), Some("null"));
    assert!(body(&sent).starts_with(b"{"));
}

#[test]
fn a_tombstone_goes_to_both_topics_under_its_key_or_nowhere() {
    let of = delivery(Some(b"k"), None, &[]);
    let origin = Origin { delivery: &of, cover: None, part: Part::WHOLE, digest: None };
    let sent = router(9).tombstone(&origin, Tombstone::Forward);
    let topics: Vec<_> = sent.iter().map(|sent| sent.topic.as_str()).collect();
    assert_eq!(topics, ["records", "reviews"]);
    assert!(sent.iter().all(|sent| sent.payload.is_none() && key(sent) == Some(b"k")));
    assert!(router(9).tombstone(&origin, Tombstone::Ignore).is_empty());
    let large = delivery(Some(&vec![b'k'; LIMIT]), None, &[]);
    let origin = Origin { delivery: &large, cover: None, part: Part::WHOLE, digest: None };
    let sent = router(9).tombstone(&origin, Tombstone::Forward);
    assert_eq!((sent.len(), sent[0].code), (1, "RECORD_TOO_LARGE"));
}

/// The entry of the audit as the test's payload writes it.
fn audit(router: &Router<Bodies>, outcome: &Outcome, origin: &Origin<'_>) -> serde_json::Value {
    let sent = router.route(outcome, origin);
    serde_json::from_slice(body(&sent[1])).unwrap()
}

#[test]
fn the_audit_tells_how_each_part_ended_and_on_whose_word() {
    let of = delivery(Some(b"k"), Some(b"doc".to_vec()), &[]);
    let digest = Digest::of(b"part");
    let part = numbered(2);
    let origin = Origin { delivery: &of, cover: None, part, digest: Some(digest) };
    let id = "contracts/in/3/9/2";
    let part = digest.to_string();
    let check = |body: usize, outcome: &Outcome, kind: &str, codes: &[&str], deciders: &[&str]| {
        let expected = serde_json::json!([[id, kind, codes, deciders], part]);
        assert_eq!(audit(&router(body), outcome, &origin), expected);
    };
    let record_ = Outcome::Record(Box::new(record()));
    check(9, &record_, "record", &[], &["model:small@2"]);
    check(9, &review(), "review", &["REQUIRED_MISSING"], &["rule:title"]);
    check(9, &reject(), "reject", &["PDF_INVALID"], &["room:text"]);
    check(LIMIT, &record_, "reject", &["RECORD_TOO_LARGE"], &["room:route"]);
    let origin = Origin { digest: None, ..origin };
    let body = audit(&router(9), &reject(), &origin);
    assert_eq!(body[1], Digest::of(b"doc").to_string());
}

#[test]
fn without_an_audit_topic_there_is_one_message_a_part() {
    let of = delivery(None, Some(b"doc".to_vec()), &[]);
    let origin = Origin { delivery: &of, cover: None, part: Part::WHOLE, digest: None };
    let mut bare = router(9);
    bare.output.audit_topic = None;
    assert_eq!(bare.route(&reject(), &origin).len(), 1);
}

#[test]
fn under_a_cover_nothing_of_the_input_leaves_but_what_the_cover_holds() {
    let headers = [("document-id", "SECRET"), ("baggage", "SECRET"), ("SECRET", "x")];
    let of = delivery(Some(b"SECRET"), Some(b"SECRET".to_vec()), &headers);
    let key_ = Key::new(b"a key of some length").unwrap();
    let cover = Cover {
        key: Some(Sensitive::new(b"sealed".to_vec())),
        headers: vec![super::header("traceparent", "t")],
        secret: key_.clone(),
        shows_rejects: false,
    };
    let origin = Origin { delivery: &of, cover: Some(&cover), part: Part::WHOLE, digest: None };
    let has_secret = |sent: &Outgoing| {
        let holds = |bytes: &[u8]| bytes.windows(6).any(|window| window == b"SECRET");
        sent.headers.iter().any(|header| {
            holds(header.name.as_bytes()) || header.value.as_ref().is_some_and(|it| holds(it))
        }) || key(sent).is_some_and(holds)
            || sent.payload.as_ref().is_some_and(|it| holds(it))
    };
    let record_ = Outcome::Record(Box::new(record()));
    for outcome in [&record_, &review(), &reject()] {
        for body in [9, LIMIT] {
            let all = router(body).route(outcome, &origin);
            assert_eq!(all.len(), 2);
            for sent in &all {
                assert!(!has_secret(sent), "{}", sent.topic);
                assert_eq!(key(sent), Some(b"sealed".as_slice()));
            }
        }
    }
    let refused = router(9).route(&reject(), &origin).remove(0);
    let note: serde_json::Value = serde_json::from_slice(body(&refused)).unwrap();
    let sealed = key_.seal(Digest::of(b"SECRET")).to_string();
    assert_eq!((&note["digest"], &note["position"]), (&sealed.into(), &"in/3/9".into()));
    assert_eq!(text(&refused, "sluice-omitted"), Some("body,headers"));
    assert!(router(9).tombstone(&origin, Tombstone::Forward).iter().all(|sent| !has_secret(sent)));
    let open = Cover { shows_rejects: true, ..cover.clone() };
    let origin = Origin { cover: Some(&open), ..origin };
    let all = router(9).route(&reject(), &origin);
    let refused = &all[0];
    assert_eq!((body(refused), key(refused)), (b"SECRET".as_slice(), Some(b"SECRET".as_slice())));
    assert_eq!(key(&all[1]), Some(b"sealed".as_slice()), "the audit's");
    assert!(!has_secret(&router(9).route(&record_, &origin)[0]));
}

#[test]
fn the_count_of_ways_goes_on_to_the_next_reject_and_other_old_reasons_do_not() {
    let headers = [("sluice-code", "OLD"), ("sluice-hops", "2"), ("sluice-replay-of", "x")];
    let sent = routed(&router(9), &reject(), &delivery(None, None, &headers), Part::WHOLE);
    assert_eq!(text(&sent, "sluice-hops"), Some("2"));
    assert_eq!(text(&sent, "sluice-code"), Some("PDF_INVALID"));
    assert_eq!(text(&sent, "sluice-replay-of"), None);
    let forged = delivery(None, None, &[("sluice-hops", "Mrs. Smith")]);
    assert_eq!(text(&routed(&router(9), &reject(), &forged, Part::WHOLE), "sluice-hops"), None);
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
        let sent = routed(&router(encoded), &outcome, &of, Part::WHOLE);
        prop_assert!(sent.size_bytes() <= LIMIT);
        prop_assert!(sent.payload.is_some());
        prop_assert!(sent.kind == Some(outcome.kind()) || sent.code == "RECORD_TOO_LARGE");
    }
}
