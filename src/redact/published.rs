//! `text, regions -> published text`, and places of the one as places of the other.
//!
//! Deliberately decides nothing: which regions, and what stands in their place, is said by others.

use super::regions::Detection;
use crate::config::redaction::IdentifierKind as Kind;
use crate::types::{Evidence, Place, Sensitive, Span, Text};

/// One replacement.
pub(super) struct Edit {
    /// In the text as it was read.
    pub(super) original: Span,
    /// In the published text.
    pub(super) published: Span,
    /// What was replaced.
    pub(super) kind: Kind,
}

/// A text as it may leave.
pub(super) struct Published {
    /// Invariant: in order and apart, in both texts.
    edits: Vec<Edit>,
    text: Text,
}

impl Published {
    /// `text` with what `replace` gives in the place of each region. Regions are in order and
    /// apart.
    pub(super) fn new(
        text: &str,
        regions: &[Detection],
        mut replace: impl FnMut(&Detection, &str) -> String,
    ) -> Self {
        let mut out = String::with_capacity(text.len());
        let mut edits = Vec::with_capacity(regions.len());
        let mut end = 0;
        for region in regions {
            let words = text.get(region.span.range()).unwrap_or_default();
            out.push_str(text.get(end..region.span.start).unwrap_or_default());
            let start = out.len();
            out.push_str(&replace(region, words));
            let published = Span { start, end: out.len() };
            edits.push(Edit { original: region.span, published, kind: region.kind });
            end = region.span.end;
        }
        out.push_str(text.get(end..).unwrap_or_default());
        Self { edits, text: Text::from_pages([out]) }
    }

    /// The published text.
    pub(super) const fn text(&self) -> &Text {
        &self.text
    }

    /// The published text, given up.
    pub(super) fn into_text(self) -> Text {
        self.text
    }

    /// The replacements that `span` of the text as it was read holds a byte of.
    pub(super) fn touching(&self, span: Span) -> &[Edit] {
        let from = self.edits.partition_point(|edit| edit.original.end <= span.start);
        let to = self.edits.partition_point(|edit| edit.original.start < span.end);
        self.edits.get(from..to.max(from)).unwrap_or_default()
    }

    /// Where `span` stands in the published text; one that cuts into an identifier takes in all of
    /// its replacement.
    pub(super) fn place(&self, span: Span) -> Span {
        let before = self.edits.partition_point(|edit| edit.original.end <= span.start);
        let start = match self.edits.get(before) {
            Some(edit) if edit.original.start <= span.start => edit.published.start,
            Some(_) | None => self.moved(before, span.start),
        };
        let inside = self.edits.partition_point(|edit| edit.original.start < span.end);
        let last = inside.checked_sub(1).and_then(|index| self.edits.get(index));
        let end = match last {
            Some(edit) if edit.original.end >= span.end => edit.published.end,
            Some(_) | None => self.moved(inside, span.end),
        };
        Span { start, end: end.max(start) }
    }

    /// An offset that stands in no edit, behind the first `before` of them.
    fn moved(&self, before: usize, offset: usize) -> usize {
        match before.checked_sub(1).and_then(|index| self.edits.get(index)) {
            Some(edit) => edit.published.end + offset.saturating_sub(edit.original.end),
            None => offset,
        }
    }

    /// The words of `span` as they are published.
    pub(super) fn words(&self, span: Span) -> &str {
        self.text.slice(self.place(span)).unwrap_or_default()
    }

    /// `evidence` as it is published: its words and places in the published text, the places in
    /// the text as it was read beside them.
    pub(super) fn evidence(&self, evidence: &Evidence) -> Evidence {
        let span = self.place(evidence.span);
        let scalars = Span {
            start: self.text.scalars_before(span.start),
            end: self.text.scalars_before(span.end),
        };
        Evidence {
            raw: Sensitive::new(self.words(evidence.span).to_owned()),
            span,
            scalars,
            page: evidence.page,
            confidence: evidence.confidence,
            original: Some(Place { span: evidence.span, scalars: evidence.scalars }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from the same text")]
mod tests {
    use proptest::prelude::*;

    use super::super::regions::{Detection, unite};
    use super::{Kind, Published};
    use crate::types::{Decider, Span};

    fn region(start: usize, end: usize) -> Detection {
        Detection { span: Span { start, end }, kind: Kind::Name, decider: Decider::Rule }
    }

    #[test]
    fn a_span_that_cuts_into_an_identifier_takes_its_whole_replacement() {
        let text = "Ann Lee came, Bo left";
        let regions = [region(0, 7), region(14, 16)];
        let published = Published::new(text, &regions, |_, _| "[NAME]".to_owned());
        assert_eq!(published.text().as_str(), "[NAME] came, [NAME] left");
        let check = |start, end, expected: &str| {
            assert_eq!(published.words(Span { start, end }), expected, "{start}..{end}");
        };
        check(0, 7, "[NAME]");
        check(4, 12, "[NAME] came");
        check(8, 12, "came");
        check(8, 15, "came, [NAME]");
        check(0, 21, "[NAME] came, [NAME] left");
        check(17, 21, "left");
        check(2, 3, "[NAME]");
        assert_eq!(published.touching(Span { start: 7, end: 14 }).len(), 0);
        assert_eq!(published.touching(Span { start: 6, end: 15 }).len(), 2);
    }

    proptest! {
        /// Outside of edits every place keeps its words; no place shows a byte of an edit.
        #[test]
        fn places_outside_of_edits_keep_their_words(
            spans in prop::collection::vec((0_usize..50, 1_usize..6), 0..6),
            start in 0_usize..60, length in 0_usize..20, width in 1_usize..9,
        ) {
            let text: String = ('a'..='z').cycle().take(60).collect();
            let all = spans.iter().map(|(start, length)| region(*start, start + length)).collect();
            let regions = unite(all, &text);
            let published = Published::new(&text, &regions, |_, _| "#".repeat(width));
            let span = Span { start, end: (start + length).min(60) };
            let words = published.words(span);
            if published.touching(span).is_empty() {
                prop_assert_eq!(words, &text[span.range()]);
            } else {
                let kept: String = words.chars().filter(|letter| *letter != '#').collect();
                let outside: String = (span.start..span.end)
                    .filter(|at| {
                        let is_in = |one: &Detection| one.span.range().contains(at);
                        !regions.iter().any(is_in)
                    })
                    .map(|at| char::from(text.as_bytes()[at]))
                    .collect();
                prop_assert_eq!(kept, outside);
            }
        }
    }
}
