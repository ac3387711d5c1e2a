//! `names, numbers, dates beside a document -> identifiers` in the forms in which a text has them.
//!
//! Deliberately decides nothing about redaction: what a kind stands for, and which of them are
//! looked for, is the pipeline's matter.

use crate::types::{Identifier, Sensitive};

/// Limit: identifiers of one document. A body with more is refused, since one that is left out
/// would be published.
pub(super) const MAX: usize = 1_000;

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

/// Collects identifiers in the order in which they are met, each once; no more than one above
/// [`MAX`], so that whoever asks for [`Collector::is_over`] knows.
#[derive(Default)]
pub(super) struct Collector {
    seen: std::collections::BTreeSet<(Kind, String)>,
    found: Vec<Identifier>,
}

impl Collector {
    /// Adds one, where it holds anything but white space.
    pub(super) fn add(&mut self, kind: Kind, value: Option<&str>) {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return };
        if !self.is_over() && self.seen.insert((kind, value.to_owned())) {
            let value = Sensitive::new(value.to_owned());
            self.found.push(Identifier { kind: kind.name(), value });
        }
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
        self.add(Kind::Address, name.filter(is_own));
    }

    /// Whether there are more than [`MAX`].
    pub(super) const fn is_over(&self) -> bool {
        self.found.len() > MAX
    }

    /// All, in order.
    pub(super) fn to_vec(&self) -> Vec<Identifier> {
        self.found.clone()
    }
}
