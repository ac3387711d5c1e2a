//! `message bodies -> decoded parts`: envelopes and what holds several documents.

use std::sync::Arc;

use sluice::config::pipeline::Input;
use sluice::decode::{DOCUMENT_ID_BYTES_MAX, Decoded, Piece, Schemas, decode as decode_delivery};
use sluice::error::Fault;
use sluice::registry::schema::{DOCUMENT, Schema, parse};
use sluice::types::{Delivery, Digest, Document, Extent, Header, Position, Reject, Sensitive};

use super::first_line;

/// Limits that small inputs reach.
const DOCUMENT_BYTES_MAX: usize = 2_000;
const ENTRY_BYTES_MAX: usize = 100;
const PARTS_MAX: usize = 20;

/// So many bytes of a body in a detail are a quotation and no accident.
const QUOTED_BYTES: usize = 24;

/// A content type in the first line, the body behind it.
pub fn decode(input: &[u8]) {
    let (content_type, body) = first_line(input);
    for split in ["none", "log"] {
        check(content_type, body, split, None);
    }
}

/// A FHIR resource.
pub fn fhir(input: &[u8]) {
    check(b"application/fhir+json", input, "none", None);
}

/// An HL7 v2 message; a first line that names a character set stands for the parameter.
pub fn hl7(input: &[u8]) {
    match input.strip_prefix(b"charset=") {
        None => check(b"application/hl7-v2", input, "none", None),
        Some(rest) => {
            let (charset, body) = first_line(rest);
            let kind = [b"application/hl7-v2; charset=".as_slice(), charset].concat();
            check(&kind, body, "none", None);
        }
    }
}

/// A log or a list.
pub fn log(input: &[u8]) {
    for kind in ["text/plain", "application/x-ndjson", "text/plain; charset=windows-1252"] {
        check(kind.as_bytes(), input, "log", None);
    }
}

/// The schema of an envelope, a NUL, and the binary; without a NUL the binary of the shipped one.
pub fn avro(input: &[u8]) {
    let (schema, binary) = match input.iter().position(|byte| *byte == 0) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (DOCUMENT.as_bytes(), input),
    };
    let Ok(schema) = std::str::from_utf8(schema) else { return };
    let Ok(schema) = parse(schema) else { return };
    let framed = [b"\0\0\0\0\x01".as_slice(), binary].concat();
    check(b"application/vnd.sluice.document+avro", &framed, "none", Some(schema));
}

/// Knows one schema under every id, or none.
struct One(Option<Arc<Schema>>);

impl Schemas for One {
    fn writer_schema(&self, _id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        Ok(self.0.clone())
    }
}

fn check(content_type: &[u8], body: &[u8], split: &str, schema: Option<Schema>) {
    let input: Input = serde_json::from_value(serde_json::json!({
        "topic": "t", "split": split, "document_bytes_max": DOCUMENT_BYTES_MAX,
        "entry_bytes_max": ENTRY_BYTES_MAX, "parts_max": PARTS_MAX,
        "claims": {"allow": ["s3://bucket/documents", "file:///documents"]},
    }))
    .unwrap();
    let value = Some(Sensitive::new(content_type.to_vec()));
    let delivery = Delivery {
        position: Position { topic: Arc::from("t"), partition: 0, offset: 0 },
        key: None,
        body: Some(Sensitive::new(body.to_vec())),
        headers: vec![Header { name: "content-type".to_owned(), value }],
        sent: None,
    };
    let schemas = One(schema.map(Arc::new));
    let once = || decode_delivery(&delivery, &input, &schemas).map_err(|fault| fault.chain());
    let first = once().expect("no registry is asked");
    let pieces = match &first {
        Ok(Decoded::Parts(pieces)) => pieces,
        // No request leaves for another place than the pipeline allows.
        Ok(Decoded::Claim(claimed)) => {
            let uri = claimed.claim.uri.written().into_inner();
            let allowed = ["s3://bucket/documents/", "file:///documents/"];
            assert!(allowed.iter().any(|place| uri.starts_with(place)) && !uri.contains("/../"));
            return assert!(claimed.claim.size_bytes <= DOCUMENT_BYTES_MAX);
        }
        Ok(Decoded::Tombstone) => panic!("a body is no tombstone"),
        Err(reject) => return check_reject(reject, body),
    };
    check_pieces(pieces, body);
    let Ok(Ok(Decoded::Parts(again))) = once() else { panic!("decoded once, and not twice") };
    assert!(pieces.iter().map(told).eq(again.iter().map(told)), "decoded in two ways");
}

/// What a piece is, for comparing.
fn told(piece: &Piece) -> (u32, Extent, Result<(&str, Digest), &str>) {
    let document = piece.document.as_ref();
    let document = document.map(|it| (&*it.id, it.digest)).map_err(|reject| &*reject.detail);
    (piece.part.number, piece.part.extent, document)
}

fn check_pieces(pieces: &[Piece], body: &[u8]) {
    assert!((1..=PARTS_MAX).contains(&pieces.len()), "{} parts", pieces.len());
    let mut last = 0;
    for (piece, number) in pieces.iter().zip(0_u32..) {
        assert_eq!(piece.part.number, number);
        if let Extent::Bytes(span) = piece.part.extent {
            assert!(last <= span.start && span.start < span.end && span.end <= body.len());
            last = span.end;
        }
        match &piece.document {
            Ok(document) => check_document(document, piece.part.extent, body),
            Err(reject) => check_reject(reject, body),
        }
    }
}

fn check_document(document: &Document, extent: Extent, body: &[u8]) {
    let Document { id, bytes, digest, .. } = document;
    assert!(!id.is_empty() && id.len() <= DOCUMENT_ID_BYTES_MAX && !id.contains('\n'));
    assert!(!bytes.is_empty() && bytes.len() <= DOCUMENT_BYTES_MAX, "{} bytes", bytes.len());
    assert!(*digest == Digest::of(bytes));
    if let Extent::Bytes(span) = extent {
        assert!(Some(bytes.as_slice()) == body.get(span.range()), "not the bytes of its place");
        assert!(bytes.len() <= ENTRY_BYTES_MAX);
    }
}

fn check_reject(reject: &Reject, body: &[u8]) {
    let detail = reject.detail.as_bytes();
    assert!(detail.len() < 1_000, "a detail of {} bytes", detail.len());
    let is_quoted = |part: &[u8]| body.windows(QUOTED_BYTES).any(|quoted| quoted == part);
    assert!(!detail.windows(QUOTED_BYTES).any(is_quoted), "{} quotes the body", reject.code);
}
