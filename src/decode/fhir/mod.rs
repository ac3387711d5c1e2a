//! FHIR R4 JSON `-> documents`: a `DocumentReference`, or a `Bundle` that holds some.
//!
//! Each `content.attachment` is a part, in order: `data` is base64, its `contentType` holds as a
//! content type of a message does. A `url` is looked for among the `Binary` resources of the same
//! body and nowhere else: an attachment that stands behind a link is the reject
//! `ATTACHMENT_REMOTE` of that part. Other resources of a bundle are passed over.
//!
//! The document's identifier is `masterIdentifier.value`, else `id`; with several attachments,
//! followed by `#` and their number.
//!
//! Who the document is about is gathered for redaction: the subject and its name, the patient
//! behind it where the body holds one (`contained`, or in the bundle by reference, or the bundle's
//! only one), and the authors' names. A body with more of them than a limit is refused, since one
//! that is left out would be published.
//!
//! Deliberately validates no FHIR, opens no attachment and follows no link, not even one that
//! `input.claims.allow` holds: an attachment of R4 has a SHA-1 at most, which does not hold its bytes
//! against somebody who can write to the store.

mod model;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::error::Category;

use self::model::{Attachment, Contact, HumanName, Identifier, Reference, Resource};
use super::identifiers::{self, Kind};
use super::{Found, attached, media, reject};
use crate::config::pipeline::Input;
use crate::types::{self, Reject, RejectCode};

/// The documents of one body.
pub(super) fn documents<'a>(body: &'a [u8], input: &Input) -> Result<Vec<Found<'a>>, Reject> {
    let root: Resource<'a> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let shelf = Shelf::of(&root);
    let parts_max = usize::try_from(input.parts_max).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut identifiers_count = 0;
    let references: Vec<&Resource<'_>> = match root.type_name.get() {
        Some("DocumentReference") => vec![&root],
        Some("Bundle") => shelf.of_type("DocumentReference").collect(),
        Some(_) => return Err(invalid("the resource is neither DocumentReference nor Bundle")),
        None => return Err(invalid("the body has no `resourceType`")),
    };
    for reference in references {
        let about = shelf.about(reference)?;
        let attachments: Vec<_> =
            reference.content.iter().flat_map(|content| &content.attachment).collect();
        let id = document_id(reference);
        for (number, attachment) in attachments.iter().enumerate() {
            identifiers_count += about.len();
            if identifiers_count > identifiers::ALL_MAX {
                return Err(too_many(identifiers::ALL_MAX, "the body"));
            }
            let id = id.map(|id| match attachments.len() {
                1 => id.to_owned(),
                _ => format!("{id}#{number}"),
            });
            let content = shelf.content(attachment, reference, input.document_bytes_max);
            found.push(Found { id, content, range: None, identifiers: about.clone() });
            if found.len() > parts_max {
                return Ok(found);
            }
        }
    }
    if found.is_empty() {
        return Err(invalid("no DocumentReference with `content.attachment` stands in the body"));
    }
    Ok(found)
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

    /// Who the document is about, and who wrote it.
    fn about(&self, reference: &Resource<'_>) -> Result<Vec<types::Identifier>, Reject> {
        let mut people: Vec<&Resource<'_>> =
            reference.contained.iter().filter(|one| is_person(one)).collect();
        let mut found = identifiers::Collector::default();
        let source = reference.context.iter().flat_map(|context| &context.source_patient_info);
        for subject in reference.subject.iter().chain(source) {
            of_reference(subject, &mut found);
            let linked = subject.link.get().and_then(|to| self.find(to, reference));
            people.extend(linked.filter(|one| is_person(one)));
        }
        if !people.iter().any(|one| one.type_name.get() == Some("Patient")) {
            let mut patients = self.of_type("Patient");
            people.extend(patients.next().filter(|_| patients.next().is_none()));
        }
        for author in reference.author.iter().chain(&reference.authenticator) {
            found.add(Kind::Name, author.display.get());
        }
        for person in people {
            of_person(person, &mut found);
        }
        if found.is_over() {
            return Err(too_many(identifiers::MAX, "a DocumentReference"));
        }
        Ok(found.to_vec())
    }
}

fn is_person(resource: &Resource<'_>) -> bool {
    matches!(
        resource.type_name.get(),
        Some("Patient" | "RelatedPerson" | "Person" | "Practitioner")
    )
}

fn of_reference(reference: &Reference<'_>, found: &mut identifiers::Collector) {
    found.add(Kind::Name, reference.display.get());
    let id = reference.link.get().filter(|link| !link.starts_with('#'));
    found.add(Kind::Id, id.and_then(|link| link.rsplit(['/', ':']).next()));
    reference.identifier.iter().for_each(|one| of_identifier(one, Kind::RecordNumber, found));
}

fn of_person(person: &Resource<'_>, found: &mut identifiers::Collector) {
    found.add(Kind::Id, person.id.get().filter(|_| person.type_name.get() == Some("Patient")));
    found.add(Kind::Date, person.birth_date.get());
    person.identifier.iter().for_each(|one| of_identifier(one, Kind::Id, found));
    of_contact(person.name.iter(), &person.telecom, &person.address, found);
    for Contact { name, telecom, address } in &person.contact {
        of_contact(name.iter(), telecom, address, found);
    }
}

fn of_contact<'m>(
    names: impl Iterator<Item = &'m HumanName<'m>>,
    telecom: &model::Many<model::ContactPoint<'_>>,
    addresses: &model::Many<model::Address<'_>>,
    found: &mut identifiers::Collector,
) {
    names.for_each(|name| of_name(name, found));
    for point in telecom {
        let kind = match point.system.get() {
            Some("phone" | "fax" | "sms" | "pager") => Kind::Phone,
            Some("email") => Kind::Email,
            Some(_) | None => Kind::Id,
        };
        found.add(kind, point.value.get());
    }
    for address in addresses {
        let pieces = [&address.text, &address.city, &address.district, &address.postal_code];
        for piece in pieces {
            found.add(Kind::Address, piece.get());
        }
        address.line.iter().for_each(|line| found.add(Kind::Address, Some(line)));
    }
}

fn of_name(name: &HumanName<'_>, found: &mut identifiers::Collector) {
    found.add(Kind::Name, name.text.get());
    found.name(name.given.iter(), name.family.get());
}

/// HL7 table 0203 names the kinds of identifiers; `MR` is a medical record number.
fn of_identifier(identifier: &Identifier<'_>, other: Kind, found: &mut identifiers::Collector) {
    let mut codes = identifier.kind.iter().flat_map(|kind| &kind.coding);
    let is_record = codes.any(|coding| coding.code.get() == Some("MR"));
    found.add(if is_record { Kind::RecordNumber } else { other }, identifier.value.get());
}

fn too_many(most: usize, of: &str) -> Reject {
    invalid(format!("{of} has more than {most} identifiers of people"))
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
