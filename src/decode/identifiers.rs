//! `names, numbers, dates beside a document -> identifiers` in the forms in which a text has them.
//!
//! Deliberately decides nothing about redaction: what a kind stands for, and which of them are
//! looked for, is the pipeline's matter.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::types::{Identifier, Sensitive};

/// Limit: identifiers of one document. A body with more is refused, since one that is left out
/// would be published.
const MAX: usize = 1_000;

/// Limit: bytes of one identifier. Nobody has one so long: it is a field that holds something else,
/// and redaction would look for all of it in the text of every part.
const VALUE_BYTES_MAX: usize = 1024;

/// Words that every organization could be called by.
const COMMON: [&str; 17] = [
    "care",
    "center",
    "centre",
    "clinic",
    "department",
    "doctor",
    "facility",
    "general",
    "health",
    "hospital",
    "lab",
    "laboratory",
    "medical",
    "medicine",
    "pharmacy",
    "practice",
    "the",
];

/// Limit: identifiers of all documents of one body.
pub(super) const ALL_MAX: usize = 100_000;

/// What an identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A person's name, whole or a word of it.
    Name,
    /// A medical record or account number.
    RecordNumber,
    /// A date of birth, as sent.
    Date,
    /// A phone or fax number.
    Phone,
    /// An e-mail address.
    Email,
    /// A postal address, whole or a piece of it.
    Address,
    /// Any other identifier.
    Id,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::RecordNumber => "record_number",
            Self::Date => "birth_date",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Address => "address",
            Self::Id => "id",
        }
    }
}

/// Collects identifiers in the order in which they are met, each once; no more than one above a
/// limit, so that whoever asks for [`Collector::excess`] knows.
#[derive(Default)]
pub(super) struct Collector {
    /// Every value of the body so far, held once for all documents that have it.
    values: BTreeSet<Arc<str>>,
    seen: BTreeSet<(Kind, Arc<str>)>,
    found: Vec<Identifier>,
    /// `found` as parts hold it, until another one is met.
    shared: Option<Arc<[Identifier]>>,
    is_too_long: bool,
    /// Values of the body that were looked at, whether or not they are new.
    looks: usize,
}

impl Collector {
    /// Adds one, where it holds anything but white space.
    pub(super) fn add(&mut self, kind: Kind, value: Option<&str>) {
        self.look(1);
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return };
        if self.is_over() {
            return;
        }
        if value.len() > VALUE_BYTES_MAX {
            self.is_too_long = true;
            return;
        }
        let value = self.value(value);
        if self.seen.insert((kind, Arc::clone(&value))) {
            let value = Sensitive::new(value);
            self.found.push(Identifier { kind: kind.name(), value });
            self.shared = None;
        }
    }

    fn value(&mut self, value: &str) -> Arc<str> {
        if let Some(known) = self.values.get(value) {
            return Arc::clone(known);
        }
        let value: Arc<str> = value.into();
        self.values.insert(Arc::clone(&value));
        value
    }

    /// Begins with other people.
    pub(super) fn begin(&mut self) {
        let (values, looks) = (std::mem::take(&mut self.values), self.looks);
        *self = Self { values, looks, ..Self::default() };
    }

    /// Counts `count` looks at what may hold an identifier.
    pub(super) const fn look(&mut self, count: usize) {
        self.looks = self.looks.saturating_add(count);
    }

    /// Looks so far, at the values of all documents.
    pub(super) const fn looks(&self) -> usize {
        self.looks
    }

    /// Adds a name in natural order and each of its words of two letters or more, since a text
    /// says `Mrs. Doe` as well.
    pub(super) fn name<'a>(
        &mut self,
        given: impl Iterator<Item = &'a str>,
        family: Option<&'a str>,
    ) {
        let pieces: Vec<&str> = given.chain(family).collect();
        self.add(Kind::Name, Some(&pieces.join(" ")));
        for piece in pieces.iter().filter(|piece| piece.chars().nth(1).is_some()) {
            self.add(Kind::Name, Some(piece));
        }
    }

    /// Adds the name of an organization as that of a place, but for one that any could have: "Lab",
    /// "General Hospital".
    pub(super) fn organization(&mut self, name: Option<&str>) {
        let words = |name: &str| {
            let words = name.split(|letter: char| !letter.is_alphanumeric());
            let words = words.filter(|word| !word.is_empty()).map(str::to_lowercase);
            words.collect::<Vec<_>>()
        };
        let is_own = |name: &&str| {
            name.chars().filter(|letter| letter.is_alphabetic()).count() >= 4
                && !words(name).iter().all(|word| COMMON.contains(&word.as_str()))
        };
        // One over the limit is not read for each document only to be called common.
        let is_long = |name: &&str| name.len() > VALUE_BYTES_MAX;
        self.add(Kind::Address, name.filter(|name| is_long(name) || is_own(name)));
    }

    /// Whether a limit is passed: what is still to come need not be read.
    pub(super) const fn is_over(&self) -> bool {
        self.is_too_long || self.found.len() > MAX
    }

    /// Which limit is passed, in words that go on behind whose identifiers they are.
    pub(super) fn excess(&self) -> Option<String> {
        if self.is_too_long {
            return Some(format!("names people by an identifier of over {VALUE_BYTES_MAX} bytes"));
        }
        self.is_over().then(|| format!("has more than {MAX} identifiers of people"))
    }

    /// All, in order.
    pub(super) fn shared(&mut self) -> Arc<[Identifier]> {
        Arc::clone(self.shared.get_or_insert_with(|| self.found.as_slice().into()))
    }
}
