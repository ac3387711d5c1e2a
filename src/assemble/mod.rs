//! `findings, flag scores, text -> Extraction`: spans become typed values that stand in the text.
//!
//! Independent of the order of the findings: overlapping spans of one label are merged over their
//! sorted places, and every choice is by confidence, then by place. Grounding is a hard gate: a
//! value is the words of its span or a declared normalisation of them ([`Plan`] names which), and
//! all of it is made again from the text before the extraction leaves this room.
//!
//! Deliberately judges nothing (that is `validate`) and knows no threshold: what the model marks is
//! taken as marked.

#[cfg(test)]
mod attribute_tests;
mod choice;
mod columns;
mod date;
mod duration;
mod fields;
#[cfg(test)]
mod fixture;
mod frame;
mod ground;
mod integer;
mod jurisdiction;
mod marks;
mod members;
mod negation;
mod pairs;
mod party;
mod places;
mod plan;
mod quantity;
mod reading;
mod sections;
mod sentences;
mod severity;
mod template;
mod timestamp;
mod zone;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use plan::Plan;

use crate::types::{Extraction, Finding, Flag, FlagScore, Reject, RejectCode, Room, Text};
use fields::field;
use frame::Frame;
use marks::{evidence, marks_by_label};

/// Makes typed, grounded values of what the model found in `text`.
///
/// A single column takes the most confident span that gives a value; between equals the first in
/// the text. A column with `many` lists every distinct value in text order, each with its most
/// confident span; values are distinct if their attributes are. A flag that is not present carries
/// no evidence. `sent` is when the message with the document was sent, as Kafka has it: the year
/// of timestamps that name none.
///
/// # Errors
///
/// `UNGROUNDED` where a span leaves the text or a value cannot be made again from its span;
/// `INFER_FAILED` where a score is no probability, or a flag has no score or two.
pub fn assemble(
    findings: &[Finding],
    scores: &[FlagScore],
    text: &Text,
    sent: Option<Timestamp>,
    plan: &Plan,
) -> Result<Extraction, Reject> {
    let marks = marks_by_label(findings, text, plan.label_count())?;
    let of_label = |label: usize| marks.get(&label).map_or(&[][..], Vec::as_slice);
    let frame = Frame::new(text, sent, plan.headings());
    let fields = plan
        .fields()
        .iter()
        .map(|planned| field(planned, &marks, &frame))
        .collect::<Result<Vec<_>, _>>()?;
    let scores = scores_by_label(scores, plan.label_count())?;
    let mut flags = Vec::with_capacity(plan.flags().len());
    for planned in plan.flags() {
        let Some(score) = scores.get(&planned.label) else {
            return Err(infer_failed(format!("label {} has no flag score", planned.label)));
        };
        let marks = if score.is_present { of_label(planned.label) } else { &[] };
        flags.push(Flag {
            name: planned.name.clone(),
            label: planned.label_name.clone(),
            is_present: score.is_present,
            confidence: score.confidence,
            evidence: marks.iter().map(|mark| evidence(*mark, text)).collect::<Result<_, _>>()?,
        });
    }
    let extraction = Extraction { fields, flags };
    ground::check(&extraction, findings, &Frame::new(text, sent, plan.headings()), plan)?;
    Ok(extraction)
}

/// The one score of each label.
fn scores_by_label(
    scores: &[FlagScore],
    label_count: usize,
) -> Result<BTreeMap<usize, FlagScore>, Reject> {
    let mut by_label = BTreeMap::new();
    for score in scores {
        check_probability(score.confidence)?;
        check_label(score.label, label_count)?;
        if by_label.insert(score.label, *score).is_some() {
            return Err(infer_failed(format!("label {} has two flag scores", score.label)));
        }
    }
    Ok(by_label)
}

/// Refuses a confidence that is no probability.
fn check_probability(confidence: f32) -> Result<(), Reject> {
    if (0.0..=1.0).contains(&confidence) {
        return Ok(());
    }
    Err(infer_failed("a confidence is not in [0, 1]".to_owned()))
}

/// Refuses a label that the bundle does not have.
fn check_label(label: usize, label_count: usize) -> Result<(), Reject> {
    if label < label_count {
        return Ok(());
    }
    Err(infer_failed(format!("label {label} is not one of the {label_count} of the bundle")))
}

fn infer_failed(detail: String) -> Reject {
    Reject::new(RejectCode::InferFailed, Room::Assemble, detail)
}

fn ungrounded(detail: String) -> Reject {
    Reject::new(RejectCode::Ungrounded, Room::Assemble, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::fixture::{clauses, documents};
    use super::{Plan, assemble};
    use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};
    use crate::types::{Extraction, Finding, FlagScore, RejectCode, Span, Text};

    const LABELS: [&str; 3] = ["Agreement Date", "Parties", "Audit Rights"];

    fn plan() -> Plan {
        let field = |name: &str, label: &str, kind, many| FieldSpec {
            many,
            ..FieldSpec::new(name, label, kind)
        };
        let fields = [
            field("signed", "Agreement Date", FieldKind::Date, false),
            field("days", "Agreement Date", FieldKind::Date, true),
            field("parties", "Parties", FieldKind::Party, true),
            field("law", "Parties", FieldKind::Jurisdiction, false),
            field("term", "Parties", FieldKind::Duration, true),
        ];
        let flags = FlagSpec { column: "clauses".to_owned(), labels: Vec::new() };
        Plan::new(&fields, &BTreeMap::new(), Some(&flags), &clauses(&LABELS))
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn scores() -> Vec<FlagScore> {
        let score = |label| FlagScore { label, confidence: 0.9, is_present: label != 1 };
        (0..LABELS.len()).map(score).collect()
    }

    fn finding(body: &str, label: usize, words: &str, confidence: f32) -> Finding {
        let start = body.find(words).expect("the words stand in the body");
        Finding { label, span: Span { start, end: start + words.len() }, confidence }
    }

    fn assembled(body: &str, findings: &[Finding]) -> Extraction {
        let text = Text::from_pages([body.to_owned()]);
        assemble(findings, &scores(), &text, None, &plan()).expect("findings are sound")
    }

    /// Values of one column, as words.
    fn shown(extraction: &Extraction, name: &str) -> Vec<String> {
        let fields = extraction.fields.iter().filter(|field| field.name == name);
        let values = fields.flat_map(|field| &field.values);
        values.map(|one| one.value.written().into_owned()).collect()
    }

    #[test]
    fn a_single_column_takes_the_surest_and_then_the_first_value() {
        let body = "May 1, 2015; June 1, 2015; July 1, 2015; on a day";
        let dates = |first, second, third| {
            let findings = [
                finding(body, 0, "July 1, 2015", third),
                finding(body, 0, "May 1, 2015", first),
                finding(body, 0, "June 1, 2015", second),
                finding(body, 0, "on a day", 0.99),
            ];
            assembled(body, &findings)
        };
        assert_eq!(shown(&dates(0.5, 0.7, 0.6), "signed"), ["2015-06-01"]);
        assert_eq!(shown(&dates(0.5, 0.5, 0.5), "signed"), ["2015-05-01"]);
        let extraction = dates(0.1, 0.2, 0.3);
        assert_eq!(shown(&extraction, "days"), ["2015-05-01", "2015-06-01", "2015-07-01"]);
        assert_eq!(extraction.fields[0].unread.len(), 1);
    }

    #[test]
    fn a_blank_date_is_neither_value_nor_unread() {
        let body = "this ____ day of ______, 2004";
        let extraction = assembled(body, &[finding(body, 0, body, 0.9)]);
        assert!(extraction.fields[0].values.is_empty());
        assert!(extraction.fields[0].unread.is_empty());
    }

    #[test]
    fn a_list_holds_each_value_once_with_its_surest_span() {
        let body = "ACME, INC. and Beta LLC. Signed: Acme  Inc";
        let findings = [
            finding(body, 1, "ACME, INC.", 0.4),
            finding(body, 1, "Beta LLC", 0.4),
            finding(body, 1, "Acme  Inc", 0.8),
        ];
        let extraction = assembled(body, &findings);
        assert_eq!(shown(&extraction, "parties"), ["Beta LLC", "Acme Inc"]);
        let evidence = &extraction.fields[2].values[1].evidence;
        assert_eq!(evidence.raw.as_str(), "Acme  Inc");
    }

    #[test]
    fn evidence_has_words_page_and_both_offsets() {
        let text = Text::from_pages(["é\n".to_owned(), "“May 1, 2015”".to_owned()]);
        let span = Span { start: 3, end: text.as_str().len() };
        let findings = [Finding { label: 0, span, confidence: 0.5 }];
        let extraction = assemble(&findings, &scores(), &text, None, &plan()).expect("sound");
        let evidence = &extraction.fields[0].values[0].evidence;
        assert_eq!(evidence.raw.as_str(), "May 1, 2015");
        assert_eq!(evidence.span, Span { start: 6, end: 17 });
        assert_eq!(evidence.scalars, Span { start: 3, end: 14 });
        assert_eq!(evidence.page, 2);
    }

    #[test]
    fn flags_follow_the_scores_and_only_present_ones_have_evidence() {
        let body = "Licensor may audit. Acme Inc. may audit again.";
        let findings = [
            finding(body, 2, "may audit again", 0.3),
            finding(body, 2, "Licensor may audit", 0.2),
            finding(body, 1, "Acme Inc.", 0.9),
        ];
        let extraction = assembled(body, &findings);
        let names: Vec<_> = extraction.flags.iter().map(|flag| flag.name.as_str()).collect();
        assert_eq!(names, ["agreement_date", "parties", "audit_rights"]);
        assert!(!extraction.flags[1].is_present);
        assert!(extraction.flags[1].evidence.is_empty());
        let clauses: Vec<_> =
            extraction.flags[2].evidence.iter().map(|evidence| evidence.raw.as_str()).collect();
        assert_eq!(clauses, ["Licensor may audit", "may audit again"]);
    }

    #[test]
    fn scores_that_cannot_be_are_refused() {
        let text = Text::from_pages(["May 1, 2015".to_owned()]);
        let span = Span { start: 0, end: 3 };
        let check = |findings: &[Finding], scores: &[FlagScore]| {
            let reject = assemble(findings, scores, &text, None, &plan()).err();
            assert_eq!(reject.map(|reject| reject.code), Some(RejectCode::InferFailed));
        };
        check(&[Finding { label: 0, span, confidence: f32::NAN }], &scores());
        check(&[Finding { label: 0, span, confidence: 1.5 }], &scores());
        check(&[Finding { label: 3, span, confidence: 0.5 }], &scores());
        check(&[], &scores()[1..]);
        check(&[], &[scores(), scores()].concat());
        check(&[], &[FlagScore { label: 9, confidence: 0.5, is_present: true }]);
    }

    /// Text in which columns find something, and findings anywhere in it.
    fn document() -> impl Strategy<Value = (String, Vec<Finding>)> {
        let piece = prop_oneof![
            Just("the 1st day of May, 2015 ".to_owned()),
            Just("Acme, Inc. (\"Acme\") ".to_owned()),
            Just("for two (2) years ".to_owned()),
            Just("laws of New York ".to_owned()),
            Just("ÄÖ [●], 2018 ".to_owned()),
            "\\PC{0,12}",
        ];
        documents(piece, LABELS.len(), 11)
    }

    proptest! {
        #[test]
        fn the_order_of_findings_changes_nothing(
            (body, findings, shuffled) in document().prop_flat_map(|(body, findings)| {
                let shuffled = Just(findings.clone()).prop_shuffle();
                (Just(body), Just(findings), shuffled)
            })
        ) {
            prop_assert!(assembled(&body, &findings) == assembled(&body, &shuffled));
        }

        #[test]
        fn every_span_is_grounded_and_inside_what_was_marked((body, findings) in document()) {
            let extraction = assembled(&body, &findings);
            let values = extraction.fields.iter().flat_map(|field| {
                field.values.iter().map(|one| &one.evidence).chain(&field.unread)
            });
            for evidence in values.chain(extraction.flags.iter().flat_map(|flag| &flag.evidence)) {
                prop_assert_eq!(body.get(evidence.span.range()), Some(evidence.raw.as_str()));
                let marked = |byte| findings.iter().any(|one| one.span.range().contains(&byte));
                prop_assert!(evidence.span.range().all(marked));
            }
        }
    }
}
