//! FHIR R4 JSON `-> documents`: a `DocumentReference`, or a `Bundle` that holds some.
//!
//! Each `content.attachment` is a part, in order, but for those that are the same document in
//! another format, see [`renditions`]. `data` is base64, its `contentType` holds as a content type
//! of a message does. A `url` is looked for among the `Binary` resources of the same body and
//! nowhere else: an attachment that stands behind a link is the reject `ATTACHMENT_REMOTE` of that
//! part. Other resources of a bundle are passed over. A document whose `status` or `docStatus` is
//! `entered-in-error` is one part, the reject `DOCUMENT_RETRACTED`, whatever it holds.
//!
//! The document's identifier is `masterIdentifier.value`, else `id`; with several parts, followed
//! by `#` and their number.
//!
//! Who the document is about is gathered for redaction: the subject and its name, the patient
//! behind it where the body holds one (`contained`, or in the bundle by reference, or the bundle's
//! only one), authors and whoever else took part, see [`about`]. A body with more of them than a
//! limit is refused, since one that is left out would be published.
//!
//! Deliberately validates no FHIR, opens no attachment and follows no link, not even one that
//! `input.claims.allow` holds: an attachment of R4 has a SHA-1 at most, which does not hold its bytes
//! against somebody who can write to the store.

mod about;
mod model;
mod renditions;
mod shelf;
mod values;

use std::sync::Arc;

use serde_json::error::Category;

use self::model::{Attachment, Resource};
use self::renditions::Renditions;
use self::shelf::{Holder, Shelf};
use super::{Found, attached, identifiers, is_fit, media, reject};
use crate::config::pipeline::Input;
use crate::types::{Reject, RejectCode};

/// Limit: bytes of all attachments together, in bytes of the body. Each is smaller than its base64, so
/// only a `Binary` that many documents link can come to more, and each of them would hold a copy.
const ATTACHED_BODIES_MAX: usize = 4;

/// The documents of one body.
pub(super) fn documents<'a>(body: &'a [u8], input: &Input) -> Result<Vec<Found<'a>>, Reject> {
    let root: Resource<'a> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let shelf = Shelf::of(&root);
    let parts_max = usize::try_from(input.parts_max).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut people = identifiers::Collector::default();
    let mut identifiers_count = 0;
    let references: Vec<&Resource<'_>> = match root.type_name.get() {
        Some("DocumentReference") => vec![&root],
        Some("Bundle") => shelf.documents.clone(),
        Some(_) => return Err(invalid("the resource is neither DocumentReference nor Bundle")),
        None => return Err(invalid("the body has no `resourceType`")),
    };
    // One without a part is about nobody, and more than one body may have need no reading.
    let giving: Vec<_> = references.into_iter().filter(|one| gives(one)).collect();
    let attachments_count: usize = giving.iter().map(|one| attachments(one).count()).sum();
    if giving.len().max(attachments_count) > parts_max {
        return Err(super::parts_too_many(input));
    }
    let mut attached_bytes = 0;
    for reference in giving {
        let holder = Holder::of(reference);
        let about = shelf.about(&holder, &mut people)?;
        let documents = if is_retracted(reference) {
            let detail = "`status` or `docStatus` of the DocumentReference is `entered-in-error`";
            vec![Err(reject(RejectCode::DocumentRetracted, detail))]
        } else {
            let mut renditions = Renditions::default();
            for attachment in attachments(reference) {
                let content = shelf.content(attachment, &holder, input.document_bytes_max);
                attached_bytes += content.as_ref().map_or(0, |content| content.bytes.len());
                if attached_bytes / ATTACHED_BODIES_MAX > body.len() {
                    return Err(invalid(format!(
                        "its attachments have more than {ATTACHED_BODIES_MAX} times the bytes of the \
                         body, since documents share a Binary; send them in several bodies"
                    )));
                }
                renditions.add(attachment, content);
            }
            renditions.into_documents()
        };
        let id = document_id(reference).filter(|id| is_fit(id));
        let count = documents.len();
        for (number, content) in documents.into_iter().enumerate() {
            identifiers_count += about.len();
            if identifiers_count > identifiers::ALL_MAX {
                let most = identifiers::ALL_MAX;
                return Err(invalid(format!(
                    "the body has more than {most} identifiers of people"
                )));
            }
            let id = id.map(|id| match count {
                1 => id.to_owned(),
                _ => format!("{id}#{number}"),
            });
            found.push(Found { id, content, range: None, identifiers: Arc::clone(&about) });
        }
    }
    if found.is_empty() {
        return Err(invalid("no DocumentReference with `content.attachment` stands in the body"));
    }
    Ok(found)
}

fn attachments<'r>(reference: &'r Resource<'r>) -> impl Iterator<Item = &'r Attachment<'r>> {
    reference.content.iter().flat_map(|content| &content.attachment)
}

/// Whether it is a part at least.
fn gives(reference: &Resource<'_>) -> bool {
    is_retracted(reference) || attachments(reference).next().is_some()
}

/// Whether its sender says that it was never true: what it holds must not be published. One that
/// is `superseded` was true when it was written, and stays.
fn is_retracted(reference: &Resource<'_>) -> bool {
    [&reference.status, &reference.doc_status].iter().any(|it| it.get() == Some("entered-in-error"))
}

fn document_id<'a>(reference: &'a Resource<'_>) -> Option<&'a str> {
    let master = reference.master_identifier.iter().find_map(|identifier| identifier.value.get());
    master.or_else(|| reference.id.get())
}

fn invalid(detail: impl Into<String>) -> Reject {
    reject(RejectCode::FhirInvalid, detail)
}

/// The parser's message may quote the body, so only kind and place are kept.
fn unreadable(error: &serde_json::Error) -> Reject {
    let kind = match error.classify() {
        Category::Eof => "ends too early",
        Category::Syntax | Category::Io => "is no JSON in UTF-8, or is nested too deeply",
        Category::Data => "has a key twice, or is no object",
    };
    let (line, column) = (error.line(), error.column());
    invalid(format!("the FHIR body {kind}, at line {line}, column {column}"))
}

#[cfg(test)]
mod tests;
