//! The walk over an Avro envelope: what it takes, and how it ends on what is broken or hostile.

use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::{Kind, Opened, Unwrapped};
use crate::config::claims::Claims;
use crate::config::pipeline::Input;
use crate::decode::Claimed;
use crate::decode::tests::roomy_input;
use crate::error::Fault;
use crate::registry::schema::{DOCUMENT, DOCUMENT_1, Schema, fingerprint, parse};
use crate::types::{Digest, Reject, RejectCode};

/// CRC-64-AVRO of the first version of the shipped schema, little-endian.
const FIRST_PRINT: [u8; 8] = [0x12, 0x22, 0xed, 0xe3, 0x70, 0x8e, 0xec, 0x97];

/// Knows one schema, under every id.
struct One(Arc<Schema>);

impl super::Schemas for One {
    fn writer_schema(&self, _id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        Ok(Some(Arc::clone(&self.0)))
    }
}

fn one(json: &str) -> One {
    One(Arc::new(parse(json).unwrap()))
}

fn framed(binary: &[u8]) -> Vec<u8> {
    [b"\0\0\0\0\x01".as_slice(), binary].concat()
}

/// An input that takes claims from one bucket.
fn claiming() -> Input {
    let claims: Claims = serde_json::from_str(r#"{"allow": ["s3://leases/in"]}"#).unwrap();
    Input { claims: Some(claims), ..roomy_input() }
}

fn open<'a>(body: &'a [u8], schemas: &One) -> Result<Opened<'a>, Reject> {
    super::unwrap(body, schemas, &claiming()).unwrap()
}

fn unwrap<'a>(body: &'a [u8], schemas: &One) -> Result<Unwrapped<'a>, Reject> {
    match open(body, schemas)? {
        Opened::Document(unwrapped) => Ok(unwrapped),
        Opened::Claim(_) => panic!("the envelope holds its document"),
    }
}

fn claim(body: &[u8], schemas: &One) -> Result<Claimed, Reject> {
    match open(body, schemas)? {
        Opened::Document(_) => panic!("the envelope holds its document"),
        Opened::Claim(claimed) => Ok(*claimed),
    }
}

/// The content as text, or the code.
fn content(body: &[u8], schemas: &One) -> Result<String, Reject> {
    let unwrapped = unwrap(body, schemas)?;
    Ok(String::from_utf8(unwrapped.bytes.into_owned()).unwrap())
}

fn written(schema: &str, fields: Vec<(&str, Value)>) -> Vec<u8> {
    let owned = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    let value = Value::Record(owned.collect());
    let schema = parse(schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn some(value: impl Into<Value>) -> Value {
    Value::Union(1, Box::new(value.into()))
}

fn null() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

/// An envelope of the shipped schema, with `content` or a claim of these pieces.
fn envelope(content: Value, uri: Value, size_bytes: Value, sha256: Value) -> Vec<u8> {
    written(
        DOCUMENT,
        vec![
            ("document_id", some("lease-7")),
            ("content_type", "text/plain".into()),
            ("content", content),
            ("uri", uri),
            ("size_bytes", size_bytes),
            ("sha256", sha256),
            ("attributes", Value::Map([("a".into(), "b".into())].into())),
        ],
    )
}

fn document() -> Vec<u8> {
    envelope(some(Value::Bytes(b"words".to_vec())), null(), null(), null())
}

#[test]
fn a_claim_is_read_and_what_it_lacks_is_named() {
    let ours = one(DOCUMENT);
    let sha256 = Digest::of(b"words").to_string();
    let uri = "s3://leases/in/7.txt";
    let of = |uri: Value, size: Value, sha: Value| framed(&envelope(null(), uri, size, sha));
    let whole = of(some(uri), some(5_i64), some(sha256.as_str()));
    let claimed = claim(&whole, &ours).unwrap();
    assert_eq!(*claimed.claim.uri.key(), "in/7.txt");
    assert_eq!((claimed.claim.size_bytes, claimed.claim.sha256), (5, Digest::of(b"words")));
    for (body, code, word) in [
        (of(some(uri), null(), some(sha256.as_str())), RejectCode::EnvelopeInvalid, "`size_bytes`"),
        (of(some(uri), some(5_i64), null()), RejectCode::EnvelopeInvalid, "`sha256`"),
        (of(some(uri), some(5_i64), some("ab")), RejectCode::EnvelopeInvalid, "64 hexadecimal"),
        (of(some(uri), some(-5_i64), some("ab")), RejectCode::EnvelopeInvalid, "negative"),
        (of(null(), some(5_i64), null()), RejectCode::EnvelopeInvalid, "neither"),
        (
            framed(&envelope(some(Value::Bytes(b"w".to_vec())), some(uri), null(), null())),
            RejectCode::EnvelopeInvalid,
            "both",
        ),
    ] {
        let reject = claim(&body, &ours).err().unwrap();
        assert!(reject.code == code && reject.detail.contains(word), "{reject:?} {word}");
    }
}

#[test]
fn single_objects_of_the_first_version_are_still_read() {
    let first = one(DOCUMENT_1);
    // The fingerprint that senders of the first version have compiled in.
    assert_eq!(fingerprint(&first.0), FIRST_PRINT);
    let binary = written(
        DOCUMENT_1,
        vec![
            ("document_id", some("lease-7")),
            ("content_type", "text/plain".into()),
            ("content", Value::Bytes(b"words".to_vec())),
            ("attributes", Value::Map([].into())),
        ],
    );
    let single = [b"\xC3\x01".as_slice(), &FIRST_PRINT, &binary].concat();
    assert_eq!(content(&single, &one(DOCUMENT)).unwrap(), "words");
}

#[test]
fn a_senders_own_schema_may_hold_claims_alone_and_its_own_uri_is_not_ours() {
    let schema = r#"{"type":"record","name":"acme.Claim","fields":[
        {"name":"sha256","type":"string"},{"name":"uri","type":"string"},
        {"name":"content_type","type":"string"},{"name":"size_bytes","type":"int"}]}"#;
    let sha256 = Digest::of(b"words").to_string();
    let binary = written(
        schema,
        vec![
            ("sha256", sha256.as_str().into()),
            ("uri", "s3://leases/in/7.txt".into()),
            ("content_type", "text/plain".into()),
            ("size_bytes", Value::Int(5)),
        ],
    );
    assert_eq!(claim(&framed(&binary), &one(schema)).unwrap().claim.size_bytes, 5);
    let schema = r#"{"type":"record","name":"acme.Doc","fields":[{"name":"uri","type":"string"},
        {"name":"content_type","type":"string"},{"name":"content","type":"bytes"}]}"#;
    let binary = written(
        schema,
        vec![
            ("uri", "https://example.org/7".into()),
            ("content_type", "text/plain".into()),
            ("content", Value::Bytes(b"words".to_vec())),
        ],
    );
    assert_eq!(content(&framed(&binary), &one(schema)).unwrap(), "words");
}

#[test]
fn the_shipped_envelope_is_read_in_both_framings() {
    let ours = one(DOCUMENT);
    let confluent = framed(&document());
    let unwrapped = unwrap(&confluent, &ours).ok().unwrap();
    assert_eq!(unwrapped.document_id.as_deref(), Some("lease-7"));
    assert_eq!(&*unwrapped.bytes, b"words");
    assert!(matches!(unwrapped.kind, Kind::Declared(Some(kind)) if &*kind == b"text/plain"));
    let print = fingerprint(&ours.0);
    let single = [b"\xC3\x01".as_slice(), &print, &document()].concat();
    assert_eq!(content(&single, &ours).unwrap(), "words");
}

#[test]
fn a_body_cut_anywhere_or_with_more_behind_is_invalid() {
    let ours = one(DOCUMENT);
    let whole = document();
    for length in 0..whole.len() {
        let cut = framed(&whole[..length]);
        assert_eq!(content(&cut, &ours).unwrap_err().code, RejectCode::EnvelopeInvalid);
    }
    let longer = [whole.as_slice(), b"\0"].concat();
    assert_eq!(content(&framed(&longer), &ours).unwrap_err().code, RejectCode::EnvelopeInvalid);
}

#[test]
fn another_writer_schema_is_read_and_its_other_fields_skipped() {
    let schema = r#"{"type":"record","name":"acme.Doc","fields":[
        {"name":"size","type":"long"},
        {"name":"tags","type":{"type":"array","items":["null","string",{"type":"fixed","name":"F","size":2}]}},
        {"name":"content","type":["null","bytes"]},
        {"name":"more","type":{"type":"map","values":{"type":"record","name":"R","fields":[
            {"name":"f","type":"F"},{"name":"next","type":["null","R"]}]}}},
        {"name":"content_type","type":["null","string"]}]}"#;
    // size -2; one block of 2 tags with its size; content; one entry whose record links on; no type.
    let binary = b"\x03\x03\x0c\x02\x02a\x04ab\0\x02\x0awords\x02\x02k\x01\x02\x02\x03\x04\0\0\0";
    assert_eq!(content(&framed(binary), &one(schema)).unwrap(), "words");
}

#[test]
fn a_schema_that_is_no_envelope_is_unknown() {
    for schema in [
        r#""string""#,
        r#"{"type":"record","name":"a","fields":[{"name":"content","type":"bytes"}]}"#,
        r#"{"type":"record","name":"a","fields":[{"name":"content","type":"int"},
            {"name":"content_type","type":"string"}]}"#,
    ] {
        let code = content(&framed(b"\0\0\0"), &one(schema)).unwrap_err().code;
        assert_eq!(code, RejectCode::SchemaUnknown);
    }
}

fn with_first(first: &str) -> One {
    one(&format!(
        r#"{{"type":"record","name":"Top","fields":[{{"name":"x","type":{first}}},
            {{"name":"content_type","type":"string"}},{{"name":"content","type":"bytes"}}]}}"#
    ))
}

#[test]
fn hostile_schemas_and_lengths_end_soon() {
    // 2^62 nulls, a record that holds itself, a list of 30,000 links, records that double 40
    // times, a string of 2^62 bytes.
    let nulls = r#"{"type":"array","items":"null"}"#.to_owned();
    let own = r#"{"type":"record","name":"Own","fields":[{"name":"own","type":"Own"}]}"#.to_owned();
    let links =
        r#"{"type":"record","name":"L","fields":[{"name":"l","type":["null","L"]}]}"#.to_owned();
    let mut doubling = r#""null""#.to_owned();
    for level in 0..40 {
        doubling = format!(
            r#"{{"type":"record","name":"D{level}","fields":[{{"name":"a","type":{doubling}}},
                {{"name":"b","type":{}}}]}}"#,
            if level == 0 { r#""null""#.to_owned() } else { format!(r#""D{}""#, level - 1) }
        );
    }
    let huge = b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F".to_vec();
    for (schema, binary) in [
        (nulls, huge.clone()),
        (own, b"\0".to_vec()),
        (links, vec![2; 30_000]),
        (doubling, b"\0\0".to_vec()),
        (r#""string""#.to_owned(), huge.clone()),
        (r#"{"type":"map","values":"null"}"#.to_owned(), huge),
    ] {
        let code = content(&framed(&binary), &with_first(&schema)).unwrap_err().code;
        assert_eq!(code, RejectCode::EnvelopeInvalid, "{schema:.60}");
    }
}

proptest! {
    #[test]
    fn any_change_of_one_byte_ends_in_an_answer(at in 0_usize..40, to in any::<u8>()) {
        let mut binary = document();
        let at = at % binary.len();
        binary[at] = to;
        if let Err(reject) = content_of(&binary) {
            prop_assert_eq!(reject.code, RejectCode::EnvelopeInvalid);
        }
    }
}

fn content_of(binary: &[u8]) -> Result<(), Reject> {
    open(&framed(binary), &one(DOCUMENT)).map(drop)
}
