//! `Delivery -> Decoded`: the envelope is taken off, the media type is found and compared with the
//! bytes, what holds several documents is taken apart, limits are kept.
//!
//! Every body ends as parts, a tombstone or one [`Reject`]; only a registry that cannot be asked is
//! a [`Fault`]. A part is a document or a reject of its own. Deliberately opens no document: a PDF
//! that is broken inside, or text that is not in its character set, is found out by the room
//! `text`.
//!
//! The body is, by `input.envelope` or, with `auto`, by the header `content-type`:
//!
//! - the document itself, its type in the header `content-type`;
//! - `application/vnd.sluice.document+json`: a JSON object, see [`json`];
//! - `application/vnd.sluice.document+avro`: an Avro record, see [`avro`].
//!
//! An envelope may name its document by `uri`, `size_bytes` and `sha256` instead of holding it: a
//! claim, whose bytes the room `claim` fetches; [`claimed`] goes on from there.
//!
//! The document is, by its type, one part; FHIR R4 (see [`fhir`]) or HL7 v2 (see [`hl7`]), a part
//! for each document in it; or, with `input.split: log`, plain text or JSON lines, a part for each
//! entry (see [`split`]).
//!
//! A document's identifier is its own (FHIR, HL7), else the envelope's, else the header
//! `document-id`, else the message key, else `TOPIC/PARTITION/OFFSET`; where the document has
//! several parts without one, `#` and the part's number follow. One that is empty, longer than 1024
//! bytes, no UTF-8 or with control characters is passed over, since headers, logs and terminals
//! downstream carry it.

pub mod avro;
mod claims;
pub mod fhir;
pub mod hl7;
mod identifiers;
pub mod json;
mod media;
pub mod split;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::Encoding;

pub use self::claims::{Claimed, claimed};
use self::media::Form;
use crate::config::pipeline::{Envelope, Input, Split, Tombstone};
use crate::error::{Fault, FaultClass};
use crate::registry::Client;
use crate::registry::schema::Schema;
use crate::types::{
    Delivery, Digest, Document, Extent, Identifier, MediaType, Part, Reject, RejectCode, Room,
    Sensitive, Span,
};

/// RFC 4648, section 4, padding optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longest document identifier, in bytes.
pub const DOCUMENT_ID_BYTES_MAX: usize = 1024;

/// What a delivery holds.
pub enum Decoded {
    /// A null body: an erasure, or nothing, as `input.tombstone` says.
    Tombstone,
    /// Its parts in order, at least one.
    Parts(Vec<Piece>),
    /// The name of a document that is to be fetched.
    Claim(Box<Claimed>),
}

/// One part of a delivery.
pub struct Piece {
    /// Its number and place.
    pub part: Part,
    /// The document, or why there is none.
    pub document: Result<Document, Reject>,
}

/// A document inside another one, before it is numbered.
struct Found<'a> {
    /// Its own identifier.
    id: Option<String>,
    content: Result<Content<'a>, Reject>,
    /// Its place in the bytes around it, where it is a run of them.
    range: Option<Span>,
    identifiers: Arc<[Identifier]>,
}

/// What a document is made of.
struct Content<'a> {
    media_type: MediaType,
    bytes: Cow<'a, [u8]>,
}

/// Where the schemas of Avro envelopes come from.
pub trait Schemas {
    /// The schema of a registry id; `None` where nobody knows it.
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault>;

    /// The schema of that id is none of an envelope: it is to be asked for again before long, since
    /// a registry that was set up wrongly is mended.
    fn doubt(&self, _id: u32) {}
}

impl Schemas for Client {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        self.schema_by_id(id)
    }

    fn doubt(&self, id: u32) {
        self.forget(id);
    }
}

/// What a registry's client knows without asking; for any other id, a fault.
pub struct Known<'a>(pub &'a Client);

impl Schemas for Known<'_> {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        let not_yet = || {
            let what = format!("finding schema {id}: the registry has not been asked yet");
            Fault::plain(FaultClass::Retry, what)
        };
        self.0.recall(id).ok_or_else(not_yet)
    }

    fn doubt(&self, id: u32) {
        self.0.forget(id);
    }
}

/// With or without a registry; without, every id is unknown.
impl<S: Schemas> Schemas for Option<S> {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        self.as_ref().map_or(Ok(None), |schemas| schemas.writer_schema(id))
    }

    fn doubt(&self, id: u32) {
        if let Some(schemas) = self {
            schemas.doubt(id);
        }
    }
}

impl<S: Schemas + ?Sized> Schemas for Arc<S> {
    fn writer_schema(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        (**self).writer_schema(id)
    }

    fn doubt(&self, id: u32) {
        (**self).doubt(id);
    }
}

/// A document with what its envelope says of it.
struct Unwrapped<'a> {
    document_id: Option<Cow<'a, str>>,
    kind: Kind<'a>,
    bytes: Cow<'a, [u8]>,
}

/// What an envelope holds.
enum Opened<'a> {
    /// The document.
    Document(Unwrapped<'a>),
    /// Its name.
    Claim(Box<Claimed>),
}

/// What is said about the type of the bytes.
enum Kind<'a> {
    /// Said by the sender; `None` where nothing was said.
    Declared(Option<Cow<'a, [u8]>>),
    /// Said by the form of the envelope.
    Known(Form),
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
    let opened = match envelope(input.envelope, content_type) {
        Envelope::Json => json::unwrap(body, input),
        Envelope::Avro => avro::unwrap(body, schemas, input)?,
        Envelope::None | Envelope::Auto => Ok(Opened::Document(Unwrapped {
            document_id: None,
            kind: Kind::Declared(content_type.map(Cow::Borrowed)),
            bytes: Cow::Borrowed(body),
        })),
    };
    Ok(opened.and_then(|opened| match opened {
        Opened::Document(unwrapped) => parts(unwrapped, delivery, input).map(Decoded::Parts),
        Opened::Claim(claimed) => Ok(Decoded::Claim(claimed)),
    }))
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

/// Takes the document apart.
fn parts(of: Unwrapped<'_>, delivery: &Delivery, input: &Input) -> Result<Vec<Piece>, Reject> {
    if of.bytes.is_empty() {
        return Err(reject(RejectCode::DocumentEmpty, "the document in the envelope has no bytes"));
    }
    within(of.bytes.len(), input.document_bytes_max)?;
    let form = match &of.kind {
        Kind::Declared(declared) => media::form(declared.as_deref(), &of.bytes)?,
        Kind::Known(known) => *known,
    };
    // Only bytes of the message itself can be named by their place in it.
    let is_bare = matches!(of.bytes, Cow::Borrowed(_)) && is_body(&of.bytes, delivery);
    let found = match (form, input.split) {
        (Form::Fhir, _) => fhir::documents(&of.bytes, input)?,
        (Form::Hl7(charset), _) => hl7::documents(&of.bytes, charset, input)?,
        (Form::Plain(charset), Split::Log) => {
            entries(&of.bytes, split::Lines::Log, charset, input)?
        }
        (Form::JsonLines(charset), Split::Log) => {
            entries(&of.bytes, split::Lines::Each, charset, input)?
        }
        (Form::JsonLines(_), Split::None) => {
            let detail = "JSON lines are taken with `input.split: log` only";
            return Err(reject(RejectCode::TypeUnsupported, detail));
        }
        (Form::Plain(charset), Split::None) => {
            return Ok(vec![whole(of, MediaType::Plain(charset), delivery)]);
        }
        (Form::One(media_type), _) => return Ok(vec![whole(of, media_type, delivery)]),
    };
    if found.len() > usize::try_from(input.parts_max).unwrap_or(usize::MAX) {
        return Err(parts_too_many(input));
    }
    let base = document_id(of.document_id.as_deref(), delivery);
    let count = found.len();
    let pieces = found.into_iter().zip(0_u32..);
    Ok(pieces.map(|(found, number)| piece(found, number, count, (&base, is_bare))).collect())
}

/// Whether `bytes` are the body of the message itself.
fn is_body(bytes: &[u8], delivery: &Delivery) -> bool {
    delivery.body.as_ref().is_some_and(|body| std::ptr::eq(body.as_slice(), bytes))
}

/// The only part of a delivery.
fn whole(of: Unwrapped<'_>, media_type: MediaType, delivery: &Delivery) -> Piece {
    let document = Document {
        id: document_id(of.document_id.as_deref(), delivery),
        part: 0,
        media_type,
        digest: Digest::of(&of.bytes),
        bytes: Sensitive::new(of.bytes.into_owned()),
        range: None,
        identifiers: Arc::default(),
        fetched_from: None,
    };
    Piece { part: Part::WHOLE, document: Ok(document) }
}

/// Part `number` of `count`. The base is the identifier of the document around it, and whether
/// that is the body of the message itself.
fn piece(found: Found<'_>, number: u32, count: usize, (base, is_bare): (&str, bool)) -> Piece {
    let range = found.range.filter(|_| is_bare);
    let extent = match range {
        Some(span) => Extent::Bytes(span),
        None if count == 1 => Extent::Whole,
        None => Extent::Inside,
    };
    let id = found.id.filter(|id| is_fit(id)).unwrap_or_else(|| match count {
        1 => base.to_owned(),
        _ => numbered(base, number),
    });
    let document = found.content.map(|content| Document {
        id,
        part: number,
        media_type: content.media_type,
        digest: Digest::of(&content.bytes),
        bytes: Sensitive::new(content.bytes.into_owned()),
        range,
        identifiers: found.identifiers,
        fetched_from: None,
    });
    Piece { part: Part { number, extent }, document }
}

/// `base#number`, cut in `base` where it would be too long.
fn numbered(base: &str, number: u32) -> String {
    let number = format!("#{number}");
    let end = base.floor_char_boundary(DOCUMENT_ID_BYTES_MAX - number.len());
    format!("{}{number}", base.get(..end).unwrap_or(base))
}

/// The entries of a log.
fn entries<'a>(
    bytes: &'a [u8],
    lines: split::Lines,
    charset: &'static Encoding,
    input: &Input,
) -> Result<Vec<Found<'a>>, Reject> {
    let is_wide = bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF");
    if is_wide || !charset.is_ascii_compatible() {
        let detail = "entries are cut at line ends, and the character set has none of ASCII";
        return Err(reject(RejectCode::TypeUnsupported, detail));
    }
    // One more than allowed is enough to know.
    let entries_max = usize::try_from(input.parts_max).unwrap_or(usize::MAX).saturating_add(1);
    let found = split::entries(bytes, lines, entries_max);
    if found.is_empty() {
        return Err(reject(RejectCode::TextEmpty, "the body has blank lines only"));
    }
    let media_type = MediaType::Plain(charset);
    let entry = |span: Span| {
        let bytes = bytes.get(span.range()).unwrap_or_default();
        let content = if bytes.len() <= input.entry_bytes_max {
            Ok(Content { media_type, bytes: Cow::Borrowed(bytes) })
        } else {
            let (bytes, limit) = (bytes.len(), input.entry_bytes_max);
            let detail = format!(
                "an entry of {bytes} bytes is over the limit `input.entry_bytes_max` of {limit}"
            );
            Err(reject(RejectCode::EntryTooLarge, detail))
        };
        Found { id: None, content, range: Some(span), identifiers: Arc::default() }
    };
    Ok(found.into_iter().map(entry).collect())
}

fn parts_too_many(input: &Input) -> Reject {
    let limit = input.parts_max;
    let detail = format!("the body holds more parts than the limit `input.parts_max` of {limit}");
    reject(RejectCode::PartsTooMany, detail)
}

fn within(bytes: usize, limit: usize) -> Result<(), Reject> {
    if bytes <= limit {
        return Ok(());
    }
    let detail = format!("{bytes} bytes are over the limit `input.document_bytes_max` of {limit}");
    Err(reject(RejectCode::DocumentTooLarge, detail))
}

/// The bytes of base64 with white space in it, as attachments have it; `None` where it is none.
/// What would give more than `bytes_max` is not decoded.
fn attached(data: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Reject> {
    let shown = data.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').count();
    // Four characters give three bytes.
    within(shown / 4 * 3, bytes_max)?;
    let bare: Cow<'_, str> = if data.contains(|letter: char| letter.is_ascii_whitespace()) {
        Cow::Owned(data.split_ascii_whitespace().collect())
    } else {
        Cow::Borrowed(data)
    };
    let Ok(bytes) = BASE64.decode(bare.as_bytes()) else { return Ok(None) };
    within(bytes.len(), bytes_max)?;
    Ok(Some(bytes))
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
