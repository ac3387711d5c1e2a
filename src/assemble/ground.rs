//! `Extraction -> Extraction or UNGROUNDED`: the last look before values leave the room.
//!
//! Trusts nothing that was computed on the way: words are sliced from the text again, places are
//! counted again, values are normalised again. Deliberately mends nothing.

use super::plan::{Plan, PlannedField};
use super::reading::Reading;
use super::ungrounded;
use crate::types::{Evidence, Extraction, Field, Reject, Span, Text};

/// Refuses an extraction of which any part does not follow from the text.
pub(super) fn check(extraction: &Extraction, text: &Text, plan: &Plan) -> Result<(), Reject> {
    if extraction.fields.len() != plan.fields().len() {
        return Err(ungrounded("the columns are not those of the plan".to_owned()));
    }
    for (field, planned) in extraction.fields.iter().zip(plan.fields()) {
        check_field(field, planned, text)?;
    }
    for evidence in extraction.flags.iter().flat_map(|flag| &flag.evidence) {
        check_evidence(evidence, text)?;
    }
    Ok(())
}

fn check_field(field: &Field, planned: &PlannedField, text: &Text) -> Result<(), Reject> {
    for (value, evidence) in &field.values {
        check_evidence(evidence, text)?;
        let is_made_again = match planned.reader.read(&evidence.raw) {
            Reading::Value(again) => again == *value,
            Reading::Blank | Reading::Unread => false,
        };
        if !is_made_again {
            let Span { start, end } = evidence.span;
            let detail =
                format!("a value of `{}` does not follow from bytes {start}..{end}", planned.name);
            return Err(ungrounded(detail));
        }
    }
    field.unread.iter().try_for_each(|evidence| check_evidence(evidence, text))
}

fn check_evidence(evidence: &Evidence, text: &Text) -> Result<(), Reject> {
    let Span { start, end } = evidence.span;
    let are_words_there = text.slice(evidence.span) == Some(evidence.raw.as_str());
    let scalars = Span { start: text.scalars_before(start), end: text.scalars_before(end) };
    let is_place_right = scalars == evidence.scalars && text.page_of(start) == evidence.page;
    if are_words_there && is_place_right && !evidence.span.is_empty() {
        return Ok(());
    }
    Err(ungrounded(format!("the words at bytes {start}..{end} are not those of the text")))
}
