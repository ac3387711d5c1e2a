//! JSON envelope `-> Unwrapped`.
//!
//! ```json
//! {"document_id": "lease-7", "content_type": "application/pdf", "content": "JVBERi0xLjc..."}
//! {"document_id": "lease-8", "text": "This lease ..."}
//! ```
//!
//! `content` is base64 (RFC 4648, section 4, padding optional) and needs `content_type`; `text` is
//! the text itself, and its `content_type`, if any, must be a type of text (FHIR and HL7 v2
//! among them). Exactly one of the two stands there. `document_id` is optional. Other keys are passed over, since
//! senders add their own; a key that stands twice is refused. Deliberately quotes nothing of the
//! body in a detail: kinds and places only.

use std::borrow::Cow;

use base64::{DecodeError, Engine as _};
use serde::Deserialize;
use serde_json::error::Category;

use super::{BASE64, Kind, Unwrapped, media, reject, within};
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
}

/// Takes the envelope off. Base64 that would give more than `bytes_max` is not decoded.
pub(super) fn unwrap(body: &[u8], bytes_max: usize) -> Result<Unwrapped<'_>, Reject> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let document_id = body.document_id;
    match (body.content, body.text) {
        (Some(content), None) => {
            let Some(content_type) = body.content_type else {
                return Err(invalid("the JSON envelope has `content` but no `content_type`"));
            };
            // Four characters give three bytes; padding and line ends only make this too large.
            let bytes = content.trim_end_matches('=').len() / 4 * 3;
            within(bytes, bytes_max)?;
            let bytes = BASE64.decode(content.as_bytes()).map_err(|error| not_base64(&error))?;
            let content_type = match content_type {
                Cow::Borrowed(declared) => Cow::Borrowed(declared.as_bytes()),
                Cow::Owned(declared) => Cow::Owned(declared.into_bytes()),
            };
            let kind = Kind::Declared(Some(content_type));
            Ok(Unwrapped { document_id, kind, bytes: Cow::Owned(bytes) })
        }
        (None, Some(text)) => {
            let known = media::of_text(body.content_type.as_deref())?;
            let bytes = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            };
            Ok(Unwrapped { document_id, kind: Kind::Known(known), bytes })
        }
        (Some(_), Some(_)) => Err(invalid("the JSON envelope has both `content` and `text`")),
        (None, None) => Err(invalid("the JSON envelope has neither `content` nor `text`")),
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
