//! `Delivery -> Decoded`: the envelope is taken off, the media type is found and compared with the
//! bytes, limits are kept.
//!
//! Every body ends as documents, a tombstone or one [`Reject`]; only a registry that cannot be
//! asked is a [`Fault`]. Deliberately opens no document: a PDF that is broken inside, or text that
//! is not in its character set, is found out by the room `text`.
//!
//! The body is, by `input.envelope` or, with `auto`, by the header `content-type`:
//!
//! - the document itself, its type in the header `content-type`;
//! - `application/vnd.sluice.document+json`: a JSON object, see [`json`];
//! - `application/vnd.sluice.document+avro`: an Avro record, see [`avro`].
//!
//! A document's identifier is the envelope's, else the header `document-id`, else the message key,
//! else `TOPIC/PARTITION/OFFSET`. One that is empty, longer than 1024 bytes, no UTF-8 or with
//! control characters is passed over, since headers, logs and terminals downstream carry it.

pub mod avro;
pub mod json;
mod media;

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::pipeline::{Envelope, Input, Tombstone};
use crate::error::Fault;
use crate::registry::Client;
use crate::registry::schema::Schema;
use crate::types::{Delivery, Digest, Document, MediaType, Reject, RejectCode, Room, Sensitive};

/// Longest document identifier, in bytes.
pub const DOCUMENT_ID_BYTES_MAX: usize = 1024;

/// What a delivery holds.
pub enum Decoded {
    /// A null body: an erasure, or nothing, as `input.tombstone` says.
    Tombstone,
    /// Its documents, one per part, in order.
    Documents(Vec<Document>),
}

/// Where the schemas of Avro envelopes come from.
pub trait Schemas {
    /// The schema of a registry id; `None` where nobody knows it.
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault>;
}

impl Schemas for Client {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        self.schema_by_id(id)
    }
}

/// With or without a registry; without, every id is unknown.
impl<S: Schemas> Schemas for Option<S> {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        self.as_ref().map_or(Ok(None), |schemas| schemas.writer_schema(id))
    }
}

impl<S: Schemas + ?Sized> Schemas for Arc<S> {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        (**self).writer_schema(id)
    }
}

/// A document with what its envelope says of it.
struct Unwrapped<'a> {
    document_id: Option<Cow<'a, str>>,
    kind: Kind<'a>,
    bytes: Cow<'a, [u8]>,
}

/// What is said about the type of the bytes.
enum Kind<'a> {
    /// Said by the sender; `None` where nothing was said.
    Declared(Option<Cow<'a, [u8]>>),
    /// Said by the form of the envelope.
    Known(MediaType),
}

/// Turns a delivery into its documents.
pub fn decode(
    delivery: &Delivery,
    input: &Input,
    schemas: &dyn Schemas,
) -> Result<Result<Decoded, Reject>, Fault> {
    let Some(body) = &delivery.body else {
        return Ok(tombstone(delivery, input.tombstone));
    };
    if body.is_empty() {
        return Ok(Err(reject(RejectCode::DocumentEmpty, "the message body has no bytes")));
    }
    let content_type = delivery.header("content-type").filter(|value| !value.is_empty());
    let unwrapped = match envelope(input.envelope, content_type) {
        Envelope::Json => json::unwrap(body, input.document_bytes_max),
        Envelope::Avro => avro::unwrap(body, schemas)?,
        Envelope::None | Envelope::Auto => Ok(Unwrapped {
            document_id: None,
            kind: Kind::Declared(content_type.map(Cow::Borrowed)),
            bytes: Cow::Borrowed(body),
        }),
    };
    let document = unwrapped.and_then(|unwrapped| finish(unwrapped, delivery, input));
    Ok(document.map(|document| Decoded::Documents(vec![document])))
}

/// A null body without a key names nothing that could be erased.
fn tombstone(delivery: &Delivery, policy: Tombstone) -> Result<Decoded, Reject> {
    match (policy, &delivery.key) {
        (Tombstone::Forward, None) => Err(reject(
            RejectCode::EnvelopeInvalid,
            "a null body erases what its key names, and this message has no key",
        )),
        (Tombstone::Forward, Some(_)) | (Tombstone::Ignore, _) => Ok(Decoded::Tombstone),
    }
}

/// The envelope that holds for this message.
fn envelope(configured: Envelope, content_type: Option<&[u8]>) -> Envelope {
    match configured {
        Envelope::Auto => match content_type.and_then(media::essence).as_deref() {
            Some("application/vnd.sluice.document+json") => Envelope::Json,
            Some("application/vnd.sluice.document+avro") => Envelope::Avro,
            Some(_) | None => Envelope::None,
        },
        Envelope::None | Envelope::Json | Envelope::Avro => configured,
    }
}

fn finish(of: Unwrapped<'_>, delivery: &Delivery, input: &Input) -> Result<Document, Reject> {
    if of.bytes.is_empty() {
        return Err(reject(RejectCode::DocumentEmpty, "the document in the envelope has no bytes"));
    }
    within(of.bytes.len(), input.document_bytes_max)?;
    let media_type = match of.kind {
        Kind::Declared(declared) => media::of(declared.as_deref(), &of.bytes)?,
        Kind::Known(known) => known,
    };
    let part = 0;
    Ok(Document {
        id: document_id(of.document_id.as_deref(), delivery),
        part,
        media_type,
        digest: Digest::of(&of.bytes),
        bytes: Sensitive::new(of.bytes.into_owned()),
        range: None,
        identifiers: Vec::new(),
    })
}

fn within(bytes: usize, limit: usize) -> Result<(), Reject> {
    if bytes <= limit {
        return Ok(());
    }
    let detail = format!("{bytes} bytes are over the limit `input.document_bytes_max` of {limit}");
    Err(reject(RejectCode::DocumentTooLarge, detail))
}

fn document_id(enveloped: Option<&str>, delivery: &Delivery) -> String {
    let header = delivery.header("document-id").and_then(|value| std::str::from_utf8(value).ok());
    let key = delivery.key.as_ref().and_then(|key| std::str::from_utf8(key).ok());
    let given = [enveloped, header, key].into_iter().flatten().find(|id| is_fit(id));
    given.map_or_else(|| delivery.position.to_string(), str::to_owned)
}

fn is_fit(id: &str) -> bool {
    !id.is_empty() && id.len() <= DOCUMENT_ID_BYTES_MAX && !id.chars().any(char::is_control)
}

fn reject(code: RejectCode, detail: impl Into<String>) -> Reject {
    Reject::new(code, Room::Decode, detail)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Decoded, Schemas, decode};
    use crate::config::pipeline::{Envelope, Input, Tombstone};
    use crate::error::{Fault, FaultClass};
    use crate::registry::schema::{DOCUMENT, Schema, parse};
    use crate::types::{Delivery, Document, Header, Position, RejectCode, Sensitive};

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
        let (topic, group) = ("in".to_owned(), None);
        let tombstone = Tombstone::Forward;
        Input { topic, group, envelope, tombstone, document_bytes_max: 64, parts_max: 1 }
    }

    fn delivery(body: Option<&[u8]>, headers: &[(&str, &[u8])]) -> Delivery {
        let header = |(name, value): &(&str, &[u8])| Header {
            name: (*name).to_owned(),
            value: Some(Sensitive::new(value.to_vec())),
        };
        Delivery {
            position: Position { topic: "in".into(), partition: 3, offset: 9 },
            key: None,
            body: body.map(|body| Sensitive::new(body.to_vec())),
            headers: headers.iter().map(header).collect(),
        }
    }

    fn decoded(delivery: &Delivery, envelope: Envelope) -> Result<Document, RejectCode> {
        let answer = decode(delivery, &input(envelope), &Shelf).unwrap();
        match answer.map_err(|reject| reject.code)? {
            Decoded::Documents(mut documents) => {
                assert_eq!(documents.len(), 1);
                Ok(documents.remove(0))
            }
            Decoded::Tombstone => panic!("a body is no tombstone"),
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
        let of =
            delivery(Some(b"words"), &[("content-type", b"text/plain"), ("document-id", b"a")]);
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
            Ok(Decoded::Documents(_)) => panic!("no document"),
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
            if let Ok(Decoded::Documents(documents)) = answer {
                prop_assert_eq!(documents.len(), 1);
                prop_assert!(documents[0].bytes.len() <= 64);
            }
        }
    }
}
