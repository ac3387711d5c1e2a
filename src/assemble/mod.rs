//! `findings, flag scores, text -> Extraction`: spans become typed values that stand in the text.
//!
//! Independent of the order of the findings: overlapping spans of one label are merged over their
//! sorted places, and every choice is by confidence, then by place. Grounding is a hard gate: a
//! value is the words of its span or a declared normalisation of them ([`Plan`] names which), and
//! all of it is made again from the text before the extraction leaves this room.
//!
//! Deliberately judges nothing (that is `validate`) and knows no threshold: what the model marks is
//! taken as marked.

mod date;
mod duration;
mod ground;
mod jurisdiction;
mod marks;
mod party;
mod places;
mod plan;
mod reading;

use std::collections::BTreeMap;

pub use plan::Plan;

use crate::types::{
    Evidence, Extraction, Field, Finding, Flag, FlagScore, Reject, RejectCode, Room, Text, Value,
};
use marks::{Mark, evidence, marks_by_label};
use plan::PlannedField;
use reading::{Reading, is_same};

/// Makes typed, grounded values of what the model found in `text`.
///
/// A single column takes the most confident span that says something; between equals the first in
/// the text. A column with `many` lists every distinct value in text order, each with its most
/// confident span. A flag that is not present carries no evidence.
///
/// # Errors
///
/// `UNGROUNDED` where a span leaves the text or a value cannot be made again from its span;
/// `INFER_FAILED` where a score is no probability, or a flag has no score or two.
pub fn assemble(
    findings: &[Finding],
    scores: &[FlagScore],
    text: &Text,
    plan: &Plan,
) -> Result<Extraction, Reject> {
    let marks = marks_by_label(findings, text, plan.label_count())?;
    let none: &[Mark] = &[];
    let of_label = |label: usize| marks.get(&label).map_or(none, Vec::as_slice);
    let fields = plan
        .fields()
        .iter()
        .map(|planned| field(planned, of_label(planned.label), text))
        .collect::<Result<Vec<_>, _>>()?;
    let scores = scores_by_label(scores, plan.label_count())?;
    let mut flags = Vec::with_capacity(plan.flags().len());
    for planned in plan.flags() {
        let Some(score) = scores.get(&planned.label) else {
            return Err(infer_failed(format!("label {} has no flag score", planned.label)));
        };
        let marks = if score.is_present { of_label(planned.label) } else { none };
        flags.push(Flag {
            name: planned.name.clone(),
            label: planned.label_name.clone(),
            is_present: score.is_present,
            confidence: score.confidence,
            evidence: marks.iter().map(|mark| evidence(*mark, text)).collect::<Result<_, _>>()?,
        });
    }
    let extraction = Extraction { fields, flags };
    ground::check(&extraction, text, plan)?;
    Ok(extraction)
}

/// One column from the marks of its label, which stand in text order.
fn field(planned: &PlannedField, marks: &[Mark], text: &Text) -> Result<Field, Reject> {
    let marks =
        if planned.reader.wants_names() { party::names(marks, text) } else { marks.to_vec() };
    let mut read = Vec::new();
    let mut unread = Vec::new();
    for mark in marks {
        let evidence = evidence(mark, text)?;
        match planned.reader.read(&evidence.raw) {
            Reading::Value(value) => read.push((Some(value), evidence)),
            Reading::Blank => read.push((None, evidence)),
            Reading::Unread => unread.push(evidence),
        }
    }
    // Order: most confident first; the sort is stable, so equals stay in text order.
    read.sort_by(|(_, one), (_, other)| other.confidence.total_cmp(&one.confidence));
    let mut values: Vec<(Value, Evidence)> = Vec::new();
    if planned.many {
        for (value, evidence) in read {
            let Some(value) = value else { continue };
            if !values.iter().any(|(known, _)| is_same(known, &value)) {
                values.push((value, evidence));
            }
        }
        values.sort_by_key(|(_, evidence)| evidence.span);
    } else if let Some((Some(value), evidence)) = read.into_iter().next() {
        values.push((value, evidence));
    }
    Ok(Field { name: planned.name.clone(), values, unread })
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
