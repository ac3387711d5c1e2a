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
