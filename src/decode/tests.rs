//! What a body of each kind ends as.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Decoded, Schemas, decode, is_fit};
use crate::config::pipeline::{Envelope, Input, Split, Tombstone};
use crate::error::{Fault, FaultClass};
use crate::registry::schema::{DOCUMENT, Schema, parse};
use crate::types::{Delivery, Document, Extent, Header, Position, RejectCode, Sensitive, Span};

/// A registry with the shipped schema under id 7, and out of reach for id 8.
struct Shelf;

impl Schemas for Shelf {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        match id {
            7 => Ok(Some(Arc::new(parse(DOCUMENT).unwrap()))),
            8 => Err(Fault::plain(FaultClass::Retry, "asking the registry")),
            _ => Ok(None),
        }
    }
}

fn input(envelope: Envelope) -> Input {
    Input {
        topic: "in".to_owned(),
        group: None,
        envelope,
        split: Split::None,
        tombstone: Tombstone::Forward,
        document_bytes_max: 64,
        entry_bytes_max: 32,
        parts_max: 3,
        claims: None,
    }
}

/// For tests of what an envelope holds, and not of its limits.
pub(super) fn roomy_input() -> Input {
    Input { document_bytes_max: 1000, entry_bytes_max: 1000, parts_max: 5, ..input(Envelope::Auto) }
}

pub(super) fn delivery(body: Option<&[u8]>, headers: &[(&str, &[u8])]) -> Delivery {
    let header = |(name, value): &(&str, &[u8])| Header {
        name: (*name).to_owned(),
        value: Some(Sensitive::new(value.to_vec())),
    };
    Delivery {
        position: Position { topic: "in".into(), partition: 3, offset: 9 },
        key: None,
        body: body.map(|body| Sensitive::new(body.to_vec())),
        headers: headers.iter().map(header).collect(),
        sent: None,
    }
}

fn decoded(delivery: &Delivery, envelope: Envelope) -> Result<Document, RejectCode> {
    let answer = decode(delivery, &input(envelope), &Shelf).unwrap();
    match answer.map_err(|reject| reject.code)? {
        Decoded::Parts(mut pieces) => {
            assert_eq!(pieces.len(), 1);
            pieces.remove(0).document.map_err(|reject| reject.code)
        }
        Decoded::Tombstone | Decoded::Claim(_) => panic!("a body holds its document"),
    }
}

fn refusal(body: &[u8], content_type: &str) -> Option<RejectCode> {
    let of = delivery(Some(body), &[("Content-Type", content_type.as_bytes())]);
    decoded(&of, Envelope::Auto).err()
}

const JSON: &str = "application/vnd.sluice.document+json";
const AVRO: &str = "application/vnd.sluice.document+avro";

#[test]
fn a_raw_body_is_the_document() {
    let of = delivery(Some(b"words"), &[("content-type", b"text/plain"), ("document-id", b"a")]);
    let document = decoded(&of, Envelope::Auto).unwrap();
    assert_eq!((document.id.as_str(), document.part), ("a", 0));
    assert_eq!(document.bytes.as_slice(), b"words");
}

#[test]
fn each_bad_body_has_its_code() {
    let large = [b'x'; 65];
    for (body, content_type, code) in [
        (b"".as_slice(), "text/plain", RejectCode::DocumentEmpty),
        (&large, "text/plain", RejectCode::DocumentTooLarge),
        (b"x", "image/png", RejectCode::TypeUnsupported),
        (b"x", "", RejectCode::TypeUnsupported),
        (b"%PDF-1.7", "text/plain", RejectCode::TypeMismatch),
        (b"{", JSON, RejectCode::EnvelopeInvalid),
        (b"[]", JSON, RejectCode::EnvelopeInvalid),
        (b"{}", JSON, RejectCode::EnvelopeInvalid),
        (br#"{"content":"eA=="}"#, JSON, RejectCode::EnvelopeInvalid),
        (br#"{"content":"*","content_type":"text/plain"}"#, JSON, RejectCode::EnvelopeInvalid),
        (br#"{"content":"","content_type":"text/plain"}"#, JSON, RejectCode::DocumentEmpty),
        (br#"{"text":""}"#, JSON, RejectCode::DocumentEmpty),
        (br#"{"text":"a","text":"b"}"#, JSON, RejectCode::EnvelopeInvalid),
        (br#"{"text":"a","content":"eA"}"#, JSON, RejectCode::EnvelopeInvalid),
        (br#"{"text":"a","content_type":"application/pdf"}"#, JSON, RejectCode::TypeMismatch),
        (b"{\"text\":\"\xFF\"}", JSON, RejectCode::EnvelopeInvalid),
        (b"\0\0\0\0\x01abc", AVRO, RejectCode::SchemaUnknown),
        (b"\0\0\0\0\x07", AVRO, RejectCode::EnvelopeInvalid),
        (b"\0\0", AVRO, RejectCode::EnvelopeInvalid),
        (b"text", AVRO, RejectCode::EnvelopeInvalid),
        (b"\xC3\x01ABCDEFGHrest", AVRO, RejectCode::SchemaUnknown),
    ] {
        let found = refusal(body, content_type);
        assert_eq!(found, Some(code), "{content_type}: {}", body.escape_ascii());
    }
    let long = format!(r#"{{"content":"{}","content_type":"text/plain"}}"#, "eHh4".repeat(22));
    assert_eq!(refusal(long.as_bytes(), JSON), Some(RejectCode::DocumentTooLarge));
    let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
    assert_eq!(refusal(deep.as_bytes(), JSON), Some(RejectCode::EnvelopeInvalid));
}

#[test]
fn a_json_envelope_gives_its_document_and_other_keys_are_passed_over() {
    let body = br#"{"document_id":"d","content_type":"text/html","content":"PHA+","more":[1]}"#;
    let document = decoded(&delivery(Some(body), &[]), Envelope::Json).unwrap();
    assert_eq!((document.id.as_str(), document.bytes.as_slice()), ("d", b"<p>".as_slice()));
    let body = br#"{"text":"caf\u00e9"}"#;
    let document = decoded(&delivery(Some(body), &[]), Envelope::Json).unwrap();
    assert_eq!(document.bytes.as_slice(), "café".as_bytes());
}

#[test]
fn an_identifier_comes_from_envelope_header_key_or_position_in_this_order() {
    let body = br#"{"document_id":"envelope","text":"x"}"#;
    let bare = br#"{"text":"x"}"#;
    let long = "x".repeat(1025);
    let with = |body: &[u8], header: Option<&str>, key: Option<&[u8]>| {
        let header = header.map(|id| ("document-id", id.as_bytes()));
        let mut of = delivery(Some(body), header.as_slice());
        of.key = key.map(|key| Sensitive::new(key.to_vec()));
        decoded(&of, Envelope::Json).unwrap().id
    };
    assert_eq!(with(body, Some("header"), Some(b"key")), "envelope");
    assert_eq!(with(bare, Some("header"), Some(b"key")), "header");
    assert_eq!(with(bare, None, Some(b"key")), "key");
    assert_eq!(with(bare, Some("line\nbreak"), Some(b"key")), "key");
    assert_eq!(with(bare, Some(&long), Some(b"\xFF")), "in/3/9");
    assert_eq!(with(bare, None, Some(b"")), "in/3/9");
}

#[test]
fn a_null_body_is_a_tombstone_if_it_names_something_or_means_nothing() {
    let mut of = delivery(None, &[]);
    let code = |of: &Delivery, input: &Input| match decode(of, input, &Shelf).unwrap() {
        Ok(Decoded::Tombstone) => None,
        Ok(Decoded::Parts(_) | Decoded::Claim(_)) => panic!("no document"),
        Err(reject) => Some(reject.code),
    };
    let forward = input(Envelope::Auto);
    let ignore = Input { tombstone: Tombstone::Ignore, ..forward.clone() };
    assert_eq!(code(&of, &forward), Some(RejectCode::EnvelopeInvalid));
    assert_eq!(code(&of, &ignore), None);
    of.key = Some(Sensitive::new(b"k".to_vec()));
    assert_eq!(code(&of, &forward), None);
}

#[test]
fn a_registry_out_of_reach_is_a_fault_and_no_reject() {
    let of = delivery(Some(b"\0\0\0\0\x08abc"), &[]);
    assert!(decode(&of, &input(Envelope::Avro), &Shelf).is_err());
}

#[test]
fn without_a_registry_every_id_is_unknown() {
    let of = delivery(Some(b"\0\0\0\0\x07abc"), &[]);
    let answer = decode(&of, &input(Envelope::Avro), &None::<Shelf>).unwrap();
    assert_eq!(answer.err().unwrap().code, RejectCode::SchemaUnknown);
}

#[test]
fn a_detail_quotes_nothing_of_the_body() {
    let bodies = [
        br#"{"text":"SECRET","text":"SECRET"}"#.as_slice(),
        br#"{"content":"SECRET!","content_type":"a/b"}"#,
        br#"{"document_id":{"SECRET":1}}"#,
        b"SECRET",
        b"\0\0\0\0\x07SECRET SECRET SECRET",
    ];
    let mut refused = 0;
    for content_type in [JSON, AVRO, "text/plain; charset=SECRET", "application/pdf"] {
        for body in bodies {
            let of = delivery(Some(body), &[("content-type", content_type.as_bytes())]);
            let answer = decode(&of, &input(Envelope::Auto), &Shelf).unwrap();
            let detail = answer.err().map(|reject| reject.detail).unwrap_or_default();
            refused += usize::from(!detail.is_empty());
            assert!(!detail.contains("SECRET"), "{detail}");
        }
    }
    assert_eq!(refused, 19);
}

proptest! {
    #[test]
    fn any_bytes_end_as_documents_or_a_reject(
        head in prop::sample::select(vec![
            b"".as_slice(), b"\0\0\0\0\x07", b"\xC3\x01", b"%PDF-", b"{\"text\":", b"PK",
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        content_type in prop_oneof![
            Just(JSON.to_owned()), Just(AVRO.to_owned()), Just("text/plain".to_owned()),
            "\\PC{0,40}",
        ],
        envelope in prop::sample::select(vec![
            Envelope::Auto, Envelope::None, Envelope::Json, Envelope::Avro,
        ]),
    ) {
        let body = [head, &tail].concat();
        let of = delivery(Some(&body), &[("content-type", content_type.as_bytes())]);
        let answer = decode(&of, &input(envelope), &Shelf).unwrap();
        if let Ok(Decoded::Parts(pieces)) = answer {
            prop_assert!(!pieces.is_empty() && pieces.len() <= 3);
            for (number, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.part.number, u32::try_from(number).unwrap());
                if let Ok(document) = &piece.document {
                    prop_assert!(document.bytes.len() <= 64 && is_fit(&document.id));
                }
            }
        }
    }
}

/// A part's bytes or the code of its reject, and its range.
type Told = (Result<Vec<u8>, RejectCode>, Extent);

/// The parts of a log.
fn split(body: &[u8], content_type: &str) -> Result<Vec<Told>, RejectCode> {
    let of = delivery(Some(body), &[("content-type", content_type.as_bytes())]);
    let input = Input { split: Split::Log, ..input(Envelope::Auto) };
    match decode(&of, &input, &Shelf).unwrap().map_err(|reject| reject.code)? {
        Decoded::Tombstone | Decoded::Claim(_) => panic!("a body holds its document"),
        Decoded::Parts(pieces) => Ok(pieces
            .into_iter()
            .map(|piece| {
                let document = piece.document.map_err(|reject| reject.code);
                (document.map(|document| document.bytes.to_vec()), piece.part.extent)
            })
            .collect()),
    }
}

fn bytes(start: usize, end: usize) -> Extent {
    Extent::Bytes(Span { start, end })
}

#[test]
fn a_log_is_a_part_an_entry_with_its_place_in_the_body() {
    let parts = split(b"pump leaks\n\n\xFF broken\r\nlast", "text/plain").unwrap();
    assert_eq!(
        parts,
        [
            (Ok(b"pump leaks".to_vec()), bytes(0, 10)),
            (Ok(b"\xFF broken".to_vec()), bytes(12, 20)),
            (Ok(b"last".to_vec()), bytes(22, 26)),
        ]
    );
    let parts = split(b"{\"a\":1}\n{\"b\":2}\n", "application/x-ndjson").unwrap();
    assert_eq!(parts[1], (Ok(b"{\"b\":2}".to_vec()), bytes(8, 15)));
}

#[test]
fn an_entry_that_is_too_long_is_a_reject_of_its_own() {
    let long = "x".repeat(33);
    let parts = split(format!("a\n{long}\nb").as_bytes(), "text/plain").unwrap();
    assert_eq!(parts[0], (Ok(b"a".to_vec()), bytes(0, 1)));
    assert_eq!(parts[1], (Err(RejectCode::EntryTooLarge), bytes(2, 35)));
    assert_eq!(parts[2], (Ok(b"b".to_vec()), bytes(36, 37)));
}

#[test]
fn a_body_that_cannot_be_split_is_one_reject() {
    for (body, content_type, code) in [
        (b"a\nb\nc\nd".as_slice(), "text/plain", RejectCode::PartsTooMany),
        (b" \n\t\n", "text/plain", RejectCode::TextEmpty),
        (b"a\0\n\0", "text/plain; charset=utf-16le", RejectCode::TypeUnsupported),
        (b"\xFF\xFEa\0", "text/plain", RejectCode::TypeUnsupported),
    ] {
        assert_eq!(split(body, content_type).err(), Some(code), "{}", body.escape_ascii());
    }
    let lines = delivery(Some(b"{}"), &[("content-type", b"application/jsonl")]);
    let code = decoded(&lines, Envelope::Auto).err();
    assert_eq!(code, Some(RejectCode::TypeUnsupported), "without `input.split: log`");
}

#[test]
fn a_document_of_another_type_and_one_in_an_envelope_have_no_range() {
    let parts = split(b"# Outage\n\nIt was down.", "text/markdown").unwrap();
    assert_eq!(parts, [(Ok(b"# Outage\n\nIt was down.".to_vec()), Extent::Whole)]);
    let parts = split(br#"{"text":"a\nb"}"#, JSON).unwrap();
    assert_eq!(parts, [(Ok(b"a".to_vec()), Extent::Inside), (Ok(b"b".to_vec()), Extent::Inside)]);
}

#[test]
fn parts_without_an_identifier_of_their_own_are_numbered_behind_the_deliverys() {
    let long = "é".repeat(512);
    for (id, expected) in [("log", "log#1".to_owned()), (&long, format!("{}#1", "é".repeat(511)))]
    {
        let header = [("content-type", b"text/plain".as_slice()), ("document-id", id.as_bytes())];
        let of = delivery(Some(b"a\nb"), &header);
        let input = Input { split: Split::Log, ..input(Envelope::Auto) };
        let Ok(Decoded::Parts(pieces)) = decode(&of, &input, &Shelf).unwrap() else {
            panic!("two entries");
        };
        assert_eq!(pieces[1].document.as_ref().ok().map(|one| &one.id), Some(&expected));
    }
}
