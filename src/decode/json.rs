//! JSON envelope `-> Opened`.
//!
//! ```json
//! {"document_id": "lease-7", "content_type": "application/pdf", "content": "JVBERi0xLjc..."}
//! {"document_id": "lease-8", "text": "This lease ..."}
//! {"document_id": "lease-9", "content_type": "application/pdf", "uri": "s3://leases/9.pdf",
//!  "size_bytes": 4194304, "sha256": "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"}
//! ```
//!
//! `content` is base64 (RFC 4648, section 4, padding optional) and needs `content_type`; `text` is
//! the text itself, and its `content_type`, if any, must be a type of text (FHIR and HL7 v2
//! among them); `uri` names a document that lies elsewhere and needs `content_type`, `size_bytes`
//! and `sha256`, see [`super::claims`]. Exactly one of the three stands there. `document_id` is
//! optional. Other keys are passed over, since senders add their own; a key that stands twice is
//! refused. Deliberately quotes nothing of the body in a detail: kinds and places only.

use std::borrow::Cow;

use base64::{DecodeError, Engine as _};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::claims::Reference;
use super::{BASE64, Kind, Opened, Unwrapped, media, reject, within};
use crate::config::pipeline::Input;
use crate::types::{Reject, RejectCode};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    document_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    uri: Option<Loose<Cow<'a, str>>>,
    #[serde(default)]
    size_bytes: Option<Loose<u64>>,
    #[serde(borrow, default)]
    sha256: Option<Loose<Cow<'a, str>>>,
}

/// A value, or one of another type: beside a document, a sender may have put its own under such a
/// key.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose<T> {
    Fit(T),
    Other(IgnoredAny),
}

impl<T> Loose<T> {
    fn fit(self) -> Option<T> {
        match self {
            Self::Fit(value) => Some(value),
            Self::Other(IgnoredAny) => None,
        }
    }
}

/// Takes the envelope off. Base64 that would give more than `input.document_bytes_max` is not
/// decoded.
pub(super) fn unwrap<'a>(body: &'a [u8], input: &Input) -> Result<Opened<'a>, Reject> {
    let body: Body<'a> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let document_id = body.document_id;
    match (body.content, body.text, body.uri.and_then(Loose::fit)) {
        (Some(content), None, None) => {
            let Some(content_type) = body.content_type else {
                return Err(invalid("the JSON envelope has `content` but no `content_type`"));
            };
            // Four characters give three bytes; padding and line ends only make this too large.
            let bytes = content.trim_end_matches('=').len() / 4 * 3;
            within(bytes, input.document_bytes_max)?;
            let bytes = BASE64.decode(content.as_bytes()).map_err(|error| not_base64(&error))?;
            let kind = Kind::Declared(Some(as_bytes(content_type)));
            Ok(Opened::Document(Unwrapped { document_id, kind, bytes: Cow::Owned(bytes) }))
        }
        (None, Some(text), None) => {
            let known = media::of_text(body.content_type.as_deref())?;
            let (kind, bytes) = (Kind::Known(known), as_bytes(text));
            Ok(Opened::Document(Unwrapped { document_id, kind, bytes }))
        }
        (None, None, Some(uri)) => {
            let content_type = body.content_type.map(as_bytes);
            let size_bytes = body.size_bytes.and_then(Loose::fit);
            let sha256 = body.sha256.and_then(Loose::fit);
            let reference = Reference { document_id, content_type, uri, size_bytes, sha256 };
            Ok(Opened::Claim(Box::new(reference.check(input)?)))
        }
        (None, None, None) => {
            Err(invalid("the JSON envelope has none of `content`, `text` and `uri`"))
        }
        _ => Err(invalid("the JSON envelope has more than one of `content`, `text` and `uri`")),
    }
}

fn as_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn invalid(detail: impl Into<String>) -> Reject {
    reject(RejectCode::EnvelopeInvalid, detail)
}

/// The parser's message may quote the body, so only kind and place are kept.
fn unreadable(error: &serde_json::Error) -> Reject {
    let kind = match error.classify() {
        Category::Eof => "ends too early",
        Category::Syntax | Category::Io => "is no JSON in UTF-8",
        Category::Data => "has a key twice, or a value that is no string, or is no object",
    };
    let (line, column) = (error.line(), error.column());
    invalid(format!("the JSON envelope {kind}, at line {line}, column {column}"))
}

fn not_base64(error: &DecodeError) -> Reject {
    let place = match error {
        DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol(offset, _) => {
            format!("at character {offset}")
        }
        DecodeError::InvalidLength(length) => format!("by its length of {length}"),
        DecodeError::InvalidPadding => "in its padding".to_owned(),
    };
    invalid(format!("`content` of the JSON envelope is no base64, {place}"))
}
