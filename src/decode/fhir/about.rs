//! `DocumentReference, the resources around it -> whom it is about and who took part`.
//!
//! Followed are references to persons and to what names persons: from the document its subject,
//! author, authenticator, custodian, source patient and encounter; from there roles, practitioners,
//! organizations, other records of the patient, and relatives whose `patient` is the subject. A
//! `display` is a name wherever it stands. Deliberately follows nothing out of the body.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::invalid;
use super::model::{Address, Contact, ContactPoint, HumanName, Identifier, Reference, Resource};
use super::shelf::{Holder, Shelf, place};
use super::values::Many;
use crate::decode::identifiers::{self, Collector, Kind};
use crate::types::{self, Reject};

/// Limit: looks at values and references for all documents of one body, fifty for each identifier
/// that they may have. Many documents may refer to few resources of any size.
const LOOKS_MAX: usize = 50 * identifiers::ALL_MAX;

/// A longer link counts for several looks.
const LINK_BYTES: usize = 256;

/// What is gathered about one document.
struct Gathering<'s, 'a> {
    shelf: &'s Shelf<'a>,
    /// The document, for references within it.
    holder: &'s Holder<'s>,
    /// Resources that were met, by their place in memory.
    met: BTreeSet<*const ()>,
    /// Those whose own references are still to be followed.
    open: Vec<&'s Resource<'s>>,
    found: &'s mut Collector,
}

impl<'a> Shelf<'a> {
    /// Whom the document of `holder` is about, and who took part.
    pub(super) fn about<'s>(
        &'s self,
        holder: &'s Holder<'s>,
        found: &'s mut Collector,
    ) -> Result<Arc<[types::Identifier]>, Reject>
    where
        'a: 's,
    {
        found.begin();
        let mut gathering =
            Gathering { shelf: self, holder, met: BTreeSet::new(), open: Vec::new(), found };
        gathering.document();
        gathering.follow();
        if let Some(excess) = gathering.found.excess() {
            return Err(invalid(format!("a DocumentReference {excess}")));
        }
        if gathering.found.looks() > LOOKS_MAX {
            return Err(invalid(format!("the body refers to people more than {LOOKS_MAX} times")));
        }
        Ok(gathering.found.shared())
    }
}

impl<'s> Gathering<'s, '_> {
    fn document(&mut self) {
        let document = self.holder.document;
        for resource in &document.contained {
            self.meet(resource);
        }
        let context = document.context.iter();
        let sources = context.clone().flat_map(|context| &context.source_patient_info);
        for subject in document.subject.iter().chain(sources) {
            self.subject(subject);
        }
        if let Some(patient) = self.shelf.patient
            && !self.open.iter().any(|one| is_patient(one))
        {
            self.meet(patient);
        }
        document.custodian.iter().for_each(|to| self.organization(to));
        let others = document.author.iter().chain(&document.authenticator);
        for other in others.chain(context.flat_map(|context| &context.encounter)) {
            self.other(other);
        }
        self.relatives();
    }

    /// People whom the patient's record calls relatives, in the order of the body; so one of a
    /// relative who stands further down is none.
    fn relatives(&mut self) {
        let resources = self.shelf;
        // What a document contains was met.
        let mut next = resources.relatives_within(self.holder);
        next.extend(self.met.iter().flat_map(|place| resources.relatives_of(*place)));
        while let Some(number) = next.pop_first() {
            let Some(relative) = resources.relative(number) else { continue };
            self.meet(relative);
            let theirs = resources.relatives_of(place(relative)).iter().copied();
            next.extend(theirs.filter(|other| *other > number));
        }
    }

    /// A reference to the patient: what it says identifies.
    fn subject(&mut self, reference: &'s Reference<'s>) {
        let id = reference.link.get().filter(|link| !link.starts_with('#'));
        self.found.add(Kind::Name, reference.display.get());
        self.found.add(Kind::Id, id.and_then(|link| link.rsplit(['/', ':']).next()));
        for identifier in &reference.identifier {
            self.identifier(identifier, Kind::RecordNumber);
        }
        self.linked(reference);
    }

    /// A reference to somebody else, or to an organization or a device.
    fn other(&mut self, reference: &'s Reference<'s>) {
        let link = reference.link.get().unwrap_or_default();
        self.found.look(1 + link.len() / LINK_BYTES);
        let linked = self.shelf.find(link, self.holder).and_then(|one| one.type_name.get());
        let kinds = ["Organization", "Device", "Location"];
        let is_named = |kind: &str| link.contains(&format!("{kind}/")) || linked == Some(kind);
        if kinds.into_iter().any(is_named) {
            self.organization(reference);
            return;
        }
        self.found.add(Kind::Name, reference.display.get());
        for identifier in &reference.identifier {
            self.identifier(identifier, Kind::Id);
        }
        self.linked(reference);
    }

    fn organization(&mut self, reference: &'s Reference<'s>) {
        self.found.organization(reference.display.get());
        self.linked(reference);
    }

    fn linked(&mut self, reference: &'s Reference<'s>) {
        let link = reference.link.get();
        self.found.look(1 + link.map_or(0, str::len) / LINK_BYTES);
        let linked = link.and_then(|to| self.shelf.find(to, self.holder));
        if let Some(resource) = linked {
            self.meet(resource);
        }
    }

    fn meet(&mut self, resource: &'s Resource<'s>) {
        self.found.look(1);
        if self.met.insert(place(resource)) {
            self.open.push(resource);
        }
    }

    /// Everybody whom the resources name that were met, and whom these refer to.
    fn follow(&mut self) {
        let mut next = 0;
        while let Some(resource) = self.open.get(next).copied() {
            next += 1;
            // One above the limit is enough to know.
            if self.found.is_over() || self.found.looks() > LOOKS_MAX {
                return;
            }
            self.resource(resource);
        }
    }

    fn resource(&mut self, resource: &'s Resource<'s>) {
        let names_people = matches!(
            resource.type_name.get(),
            Some("Patient" | "RelatedPerson" | "Person" | "Practitioner")
        );
        let names_place = matches!(resource.type_name.get(), Some("Organization" | "Location"));
        if names_people || names_place {
            self.found.add(Kind::Id, resource.id.get().filter(|_| is_patient(resource)));
            self.found.add(Kind::Date, resource.birth_date.get());
            for identifier in &resource.identifier {
                self.identifier(identifier, Kind::Id);
            }
            self.contact(resource.name.people(), &resource.telecom, &resource.address);
            self.found.organization(resource.name.words());
        } else {
            // A role has telephone numbers of its own.
            self.contact([].iter(), &resource.telecom, &resource.address);
        }
        for Contact { name, telecom, address, organization } in &resource.contact {
            self.found.look(1);
            self.contact(name.people(), telecom, address);
            organization.iter().for_each(|to| self.organization(to));
        }
        let organizations = resource.organization.iter().chain(&resource.managing_organization);
        for organization in organizations.chain(&resource.service_provider) {
            self.organization(organization);
        }
        let links = resource.link.iter().flat_map(|link| link.other.iter().chain(&link.target));
        let participants = resource.participant.iter().flat_map(|one| &one.individual);
        let others = resource.practitioner.iter().chain(&resource.general_practitioner);
        for other in others.chain(links).chain(participants) {
            self.other(other);
        }
    }

    fn contact<'m>(
        &mut self,
        names: impl Iterator<Item = &'m HumanName<'m>>,
        telecom: &Many<ContactPoint<'_>>,
        addresses: &Many<Address<'_>>,
    ) {
        for name in names {
            self.found.add(Kind::Name, name.text.get());
            self.found.name(name.given.iter(), name.family.get());
        }
        for point in telecom {
            let kind = match point.system.get() {
                Some("phone" | "fax" | "sms" | "pager") => Kind::Phone,
                Some("email") => Kind::Email,
                Some(_) | None => Kind::Id,
            };
            self.found.add(kind, point.value.get());
        }
        for address in addresses {
            let pieces = [&address.text, &address.city, &address.district, &address.postal_code];
            for piece in pieces {
                self.found.add(Kind::Address, piece.get());
            }
            address.line.iter().for_each(|line| self.found.add(Kind::Address, Some(line)));
        }
    }

    /// HL7 table 0203 names the kinds of identifiers; `MR` is a medical record number.
    fn identifier(&mut self, identifier: &Identifier<'_>, other: Kind) {
        let codes = identifier.kind.iter().flat_map(|kind| &kind.coding);
        let mut codes = codes.inspect(|_| self.found.look(1));
        let is_record = codes.any(|coding| coding.code.get() == Some("MR"));
        self.found.add(if is_record { Kind::RecordNumber } else { other }, identifier.value.get());
    }
}

fn is_patient(resource: &Resource<'_>) -> bool {
    resource.type_name.get() == Some("Patient")
}
