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
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::error::Category;

use self::model::{Attachment, Resource};
use self::renditions::Renditions;
use super::{Found, attached, identifiers, is_fit, media, reject};
use crate::config::pipeline::Input;
use crate::types::{Reject, RejectCode};

/// The documents of one body.
pub(super) fn documents<'a>(body: &'a [u8], input: &Input) -> Result<Vec<Found<'a>>, Reject> {
    let root: Resource<'a> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let shelf = Shelf::of(&root);
    let parts_max = usize::try_from(input.parts_max).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut people = identifiers::Collector::default();
    let (mut identifiers_count, mut attachments_count) = (0, 0_usize);
    let references: Vec<&Resource<'_>> = match root.type_name.get() {
        Some("DocumentReference") => vec![&root],
        Some("Bundle") => shelf.of_type("DocumentReference").collect(),
        Some(_) => return Err(invalid("the resource is neither DocumentReference nor Bundle")),
        None => return Err(invalid("the body has no `resourceType`")),
    };
    for reference in references {
        let about = shelf.about(reference, &mut people)?;
        let attachments: Vec<_> =
            reference.content.iter().flat_map(|content| &content.attachment).collect();
        // More contents than one body may have parts need no reading to be refused.
        attachments_count += attachments.len();
        if attachments_count > parts_max {
            return Err(super::parts_too_many(input));
        }
        let documents = if is_retracted(reference) {
            let detail = "`status` or `docStatus` of the DocumentReference is `entered-in-error`";
            vec![Err(reject(RejectCode::DocumentRetracted, detail))]
        } else {
            let mut renditions = Renditions::default();
            for attachment in attachments {
                let content = shelf.content(attachment, reference, input.document_bytes_max);
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

/// Whether its sender says that it was never true: what it holds must not be published. One that
/// is `superseded` was true when it was written, and stays.
fn is_retracted(reference: &Resource<'_>) -> bool {
    [&reference.status, &reference.doc_status].iter().any(|it| it.get() == Some("entered-in-error"))
}

fn document_id<'a>(reference: &'a Resource<'_>) -> Option<&'a str> {
    let master = reference.master_identifier.iter().find_map(|identifier| identifier.value.get());
    master.or_else(|| reference.id.get())
}

/// The resources of a body by what refers to them.
struct Shelf<'a> {
    /// In the order of the body.
    all: Vec<&'a Resource<'a>>,
    /// By `fullUrl`, and by `TYPE/ID`.
    by_reference: BTreeMap<Cow<'a, str>, &'a Resource<'a>>,
}

impl<'a> Shelf<'a> {
    fn of(root: &'a Resource<'a>) -> Self {
        let mut shelf = Self { all: Vec::new(), by_reference: BTreeMap::new() };
        for entry in &root.entry {
            for resource in &entry.resource {
                shelf.all.push(resource);
                if let Some(url) = entry.full_url.get() {
                    shelf.by_reference.entry(Cow::Borrowed(url)).or_insert(resource);
                }
                if let Some((kind, id)) = resource.type_name.get().zip(resource.id.get()) {
                    let relative = Cow::Owned(format!("{kind}/{id}"));
                    shelf.by_reference.entry(relative).or_insert(resource);
                }
            }
        }
        shelf
    }

    fn of_type(&self, name: &'static str) -> impl Iterator<Item = &'a Resource<'a>> {
        let is_named = move |one: &&'a Resource<'a>| one.type_name.get() == Some(name);
        self.all.iter().copied().filter(is_named)
    }

    /// The resource that `reference` names: `#ID` within `holder`, else in the bundle. A version
    /// at its end says nothing here.
    fn find<'b>(&self, reference: &str, holder: &'b Resource<'b>) -> Option<&'b Resource<'b>>
    where
        'a: 'b,
    {
        if let Some(id) = reference.strip_prefix('#') {
            return holder.contained.iter().find(|one| one.id.get() == Some(id));
        }
        let bare = reference.split_once("/_history/").map_or(reference, |(bare, _version)| bare);
        self.by_reference.get(bare).copied()
    }

    /// Type and bytes of an attachment.
    fn content(
        &self,
        attachment: &Attachment<'_>,
        holder: &Resource<'_>,
        bytes_max: usize,
    ) -> Result<super::Content<'static>, Reject> {
        let linked = attachment.url.get().and_then(|url| self.find(url, holder));
        let binary = linked.filter(|one| one.type_name.get() == Some("Binary"));
        let own = attachment.data.get();
        let Some(data) = own.or_else(|| binary.and_then(|binary| binary.data.get())) else {
            return Err(match attachment.url.get() {
                Some(_) => reject(
                    RejectCode::AttachmentRemote,
                    "the attachment has a `url` and no `data`, and no Binary of the body is meant",
                ),
                None => reject(RejectCode::DocumentEmpty, "the attachment has no `data`"),
            });
        };
        let declared = attachment.content_type.get();
        let declared = declared.or_else(|| binary.and_then(|binary| binary.content_type.get()));
        let bytes = attached(data, bytes_max)?
            .ok_or_else(|| invalid("`data` of the attachment is no base64"))?;
        let media_type = media::of(declared.map(str::as_bytes), &bytes)?;
        Ok(super::Content { media_type, bytes: Cow::Owned(bytes) })
    }
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
