//! `Text, Headings -> Frame`: what surrounds a value, made from the text alone.
//!
//! Sentences, headings and the members of a JSON object are looked for once, and only where a column asks. Deliberately knows no
//! finding: the grounding gate makes a frame of its own and must come to the same answers.

use std::cell::OnceCell;

use jiff::Timestamp;

use super::members::Members;
use super::sections::{Heading, Headings};
use super::sentences::Sentences;
use crate::types::{Span, Text};

/// A text with its sentences, headings and members.
pub(super) struct Frame<'a> {
    pub(super) text: &'a Text,
    /// When the message with the document was sent, for timestamps without a year.
    pub(super) sent: Option<Timestamp>,
    known: &'a Headings,
    headings: OnceCell<Vec<Heading>>,
    members: OnceCell<Members>,
    sentences: OnceCell<Sentences>,
}

impl<'a> Frame<'a> {
    pub(super) const fn new(text: &'a Text, sent: Option<Timestamp>, known: &'a Headings) -> Self {
        Self {
            text,
            sent,
            known,
            headings: OnceCell::new(),
            members: OnceCell::new(),
            sentences: OnceCell::new(),
        }
    }

    /// Headings of known sections, in text order.
    pub(super) fn headings(&self) -> &[Heading] {
        self.headings.get_or_init(|| self.known.find(self.text.as_str()))
    }

    /// The heading under which byte `offset` stands.
    pub(super) fn heading_of(&self, offset: usize) -> Option<&Heading> {
        let headings = self.headings();
        let count = headings.partition_point(|heading| heading.span.start <= offset);
        headings.get(count.checked_sub(1)?)
    }

    /// The value of a key, where the text is one JSON object.
    pub(super) fn member(&self, key: &str) -> Option<Span> {
        self.members.get_or_init(|| Members::of(self.text.as_str())).value(key)
    }

    /// The sentence that holds byte `offset`.
    pub(super) fn sentence_of(&self, offset: usize) -> Span {
        self.sentences.get_or_init(|| Sentences::of(self.text.as_str())).around(offset)
    }
}
