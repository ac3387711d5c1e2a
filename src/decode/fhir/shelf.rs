//! `resources of a body -> by what refers to them`, so that a document finds whom it is about without
//! a look at all the rest: a body may hold as many resources as documents.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::model::{Attachment, Resource};
use super::{attached, invalid, media, reject};
use crate::decode::Content;
use crate::types::{Reject, RejectCode};

/// A document, with the resources within it.
pub(super) struct Holder<'s> {
    pub(super) document: &'s Resource<'s>,
    /// By their `id`; where several have one, the first.
    contained: BTreeMap<&'s str, &'s Resource<'s>>,
}

impl<'s> Holder<'s> {
    pub(super) fn of(document: &'s Resource<'s>) -> Self {
        let mut contained = BTreeMap::new();
        for resource in &document.contained {
            if let Some(id) = resource.id.get() {
                contained.entry(id).or_insert(resource);
            }
        }
        Self { document, contained }
    }
}

/// The resources of a body by what refers to them.
#[derive(Default)]
pub(super) struct Shelf<'a> {
    /// In the order of the body.
    pub(super) documents: Vec<&'a Resource<'a>>,
    /// The only `Patient`.
    pub(super) patient: Option<&'a Resource<'a>>,
    /// By `fullUrl`, and by `TYPE/ID`.
    by_reference: BTreeMap<Cow<'a, str>, &'a Resource<'a>>,
    /// Each `RelatedPerson`, in the order of the body.
    relatives: Vec<&'a Resource<'a>>,
    /// Numbers of the relatives of whom, by place.
    relatives_of: BTreeMap<*const (), Vec<usize>>,
    /// Numbers of the relatives of whom a document contains, by its `id`.
    relatives_of_contained: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Shelf<'a> {
    pub(super) fn of(root: &'a Resource<'a>) -> Self {
        let mut shelf = Self::default();
        let mut patients = Vec::new();
        for entry in &root.entry {
            for resource in &entry.resource {
                match resource.type_name.get() {
                    Some("DocumentReference") => shelf.documents.push(resource),
                    Some("Patient") => patients.push(resource),
                    Some("RelatedPerson") => shelf.relatives.push(resource),
                    Some(_) | None => {}
                }
                if let Some(url) = entry.full_url.get() {
                    shelf.by_reference.entry(Cow::Borrowed(url)).or_insert(resource);
                }
                if let Some((kind, id)) = resource.type_name.get().zip(resource.id.get()) {
                    let relative = Cow::Owned(format!("{kind}/{id}"));
                    shelf.by_reference.entry(relative).or_insert(resource);
                }
            }
        }
        shelf.patient = patients.pop().filter(|_| patients.is_empty());
        for (number, relative) in shelf.relatives.iter().enumerate() {
            for link in relative.patient.iter().filter_map(|patient| patient.link.get()) {
                if let Some(id) = link.strip_prefix('#') {
                    shelf.relatives_of_contained.entry(id).or_default().push(number);
                } else if let Some(person) = shelf.entry(link) {
                    shelf.relatives_of.entry(place(person)).or_default().push(number);
                }
            }
        }
        shelf
    }

    /// The resource that `reference` names: `#ID` within `holder`, else in the bundle.
    pub(super) fn find<'b>(&self, reference: &str, holder: &Holder<'b>) -> Option<&'b Resource<'b>>
    where
        'a: 'b,
    {
        match reference.strip_prefix('#') {
            Some(id) => holder.contained.get(id).copied(),
            None => self.entry(reference),
        }
    }

    /// The resource of the bundle that `reference` names. A version at its end says nothing here.
    fn entry(&self, reference: &str) -> Option<&'a Resource<'a>> {
        let bare = reference.split_once("/_history/").map_or(reference, |(bare, _version)| bare);
        self.by_reference.get(bare).copied()
    }

    /// `RelatedPerson` number `number`, in the order of the body.
    pub(super) fn relative(&self, number: usize) -> Option<&'a Resource<'a>> {
        self.relatives.get(number).copied()
    }

    /// Numbers of the relatives of the resource at `place`, in order.
    pub(super) fn relatives_of(&self, place: *const ()) -> &[usize] {
        self.relatives_of.get(&place).map_or(&[], Vec::as_slice)
    }

    /// Numbers of the relatives of what `holder` contains.
    pub(super) fn relatives_within(&self, holder: &Holder<'_>) -> BTreeSet<usize> {
        let ids = holder.contained.keys();
        ids.filter_map(|id| self.relatives_of_contained.get(id)).flatten().copied().collect()
    }

    /// Type and bytes of an attachment.
    pub(super) fn content(
        &self,
        attachment: &Attachment<'_>,
        holder: &Holder<'_>,
        bytes_max: usize,
    ) -> Result<Content<'static>, Reject> {
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
        Ok(Content { media_type, bytes: Cow::Owned(bytes) })
    }
}

/// Where a resource lies: what is one and the same has one place.
pub(super) fn place(resource: &Resource<'_>) -> *const () {
    std::ptr::from_ref(resource).cast()
}
