//! `detections -> regions`: the union of all that was found, as runs apart from each other.
//!
//! Deliberately forgives: what any finder marks is hidden, wherever the others disagree.

use crate::config::redaction::IdentifierKind as Kind;
use crate::types::{Decider, Span};

/// A place that someone takes for an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detection {
    pub(super) span: Span,
    pub(super) kind: Kind,
    pub(super) decider: Decider,
}

/// Unites what overlaps. The kind and the decider of a region are those of its longest member;
/// between equals the order of [`Decider`] decides, then that of the kinds. Names and places that
/// only white space, a comma or an initial parts are one.
pub(super) fn unite(mut detections: Vec<Detection>, text: &str) -> Vec<Detection> {
    detections.retain(|one| !one.span.is_empty() && text.get(one.span.range()).is_some());
    detections.sort_by(|one, other| {
        (one.span.start, &one.decider, one.kind).cmp(&(
            other.span.start,
            &other.decider,
            other.kind,
        ))
    });
    let mut regions: Vec<(Detection, usize)> = Vec::new();
    for one in detections {
        let length = one.span.len();
        match regions.last_mut().filter(|(last, _)| one.span.start < last.span.end) {
            None => regions.push((one, length)),
            Some((last, longest)) => {
                let end = last.span.end.max(one.span.end);
                // A day of birth stays one, whoever takes more words around it for a mere date.
                let is_birth = |kind| kind == Kind::BirthDate;
                let is_better = (is_birth(one.kind), length)
                    .cmp(&(is_birth(last.kind), *longest))
                    .then_with(|| (&last.decider, last.kind).cmp(&(&one.decider, one.kind)))
                    .is_gt();
                if is_better {
                    *longest = length;
                    last.kind = one.kind;
                    last.decider = one.decider;
                }
                last.span.end = end;
            }
        }
    }
    let mut joined: Vec<Detection> = Vec::with_capacity(regions.len());
    for (one, _) in regions {
        let last = joined.last_mut().filter(|last| {
            let gap = text.get(last.span.end..one.span.start).unwrap_or_default();
            matches!(one.kind, Kind::Name | Kind::Place) && last.kind == one.kind && is_joint(gap)
        });
        match last {
            Some(last) => last.span.end = one.span.end,
            None => joined.push(one),
        }
    }
    joined
}

/// Whether `gap` parts no two names: blanks, a comma, an initial.
fn is_joint(gap: &str) -> bool {
    let is_blank = |letter: char| matches!(letter, ' ' | '\t' | ',' | '.' | '-' | '\'' | '’');
    let letters = gap.chars().filter(|letter| !is_blank(*letter));
    gap.len() <= 5 && letters.clone().all(char::is_uppercase) && letters.count() <= 1
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from the same text")]
mod tests {
    use proptest::prelude::*;

    use super::{Detection, Kind, unite};
    use crate::types::{Decider, Span};

    fn found(text: &str, words: &str, kind: Kind, decider: Decider) -> Detection {
        let start = text.find(words).unwrap();
        Detection { span: Span { start, end: start + words.len() }, kind, decider }
    }

    #[test]
    fn overlaps_unite_and_the_longest_names_the_kind() {
        let text = "seen by John Q. Doe, MRN 12-34";
        let all = vec![
            found(text, "John", Kind::Name, Decider::Rule),
            found(text, "Doe", Kind::Name, Decider::Envelope),
            found(text, "12-34", Kind::RecordNumber, Decider::Rule),
            found(text, "MRN 12", Kind::Other, Decider::Model("ID".to_owned())),
        ];
        let regions: Vec<_> = unite(all, text)
            .into_iter()
            .map(|region| (text[region.span.range()].to_owned(), region.kind))
            .collect();
        let expected =
            [("John Q. Doe".to_owned(), Kind::Name), ("MRN 12-34".to_owned(), Kind::Other)];
        assert_eq!(regions, expected);
    }

    #[test]
    fn a_day_of_birth_stays_one_beside_a_longer_date() {
        let text = "born on 3/12/1931, he";
        let of_rule = found(text, "3/12/1931", Kind::BirthDate, Decider::Rule);
        let of_model = found(text, "on 3/12/1931,", Kind::Date, Decider::Model("DATE".to_owned()));
        for all in [vec![of_rule.clone(), of_model.clone()], vec![of_model, of_rule]] {
            let regions = unite(all, text);
            assert_eq!((regions.len(), regions[0].kind), (1, Kind::BirthDate));
            assert_eq!(&text[regions[0].span.range()], "on 3/12/1931,");
        }
    }

    proptest! {
        #[test]
        fn regions_are_apart_and_cover_every_detection(
            spans in prop::collection::vec((0_usize..40, 1_usize..9), 0..12)
        ) {
            let text = "x".repeat(60);
            let all: Vec<_> = spans
                .iter()
                .map(|(start, length)| Detection {
                    span: Span { start: *start, end: start + length },
                    kind: if start % 2 == 0 { Kind::Name } else { Kind::Date },
                    decider: Decider::Rule,
                })
                .collect();
            let regions = unite(all.clone(), &text);
            prop_assert!(regions.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
            for one in all {
                let holds = |region: &Detection| {
                    region.span.start <= one.span.start && one.span.end <= region.span.end
                };
                prop_assert!(regions.iter().any(holds));
            }
        }
    }
}
