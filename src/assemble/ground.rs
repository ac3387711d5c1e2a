//! `Extraction -> Extraction or UNGROUNDED`: the last look before values leave the room.
//!
//! Trusts nothing that was computed on the way: words are sliced from the text again, places are
//! counted again, values are normalised again. Deliberately mends nothing.

use super::plan::{Plan, PlannedField};
use super::reading::Reading;
use super::ungrounded;
use crate::types::{Evidence, Extraction, Field, FieldValue, Reject, Span, Text};

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
    for FieldValue { value, evidence, attributes: _ } in &field.values {
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

#[cfg(test)]
mod tests {
    use super::check;
    use crate::assemble::{Plan, assemble};
    use crate::config::pipeline::{FieldKind, FieldSpec};
    use crate::types::{Extraction, Finding, RejectCode, Sensitive, Span, Text, Value};

    const BODY: &str = "dated May 1, 2015, at noon";

    fn plan() -> Plan {
        let field = FieldSpec::new("signed", "Date", FieldKind::Date);
        Plan::new(&[field], None, &["Date".to_owned()])
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Tampers with one extraction and looks whether it still passes.
    fn is_grounded(tamper: impl Fn(&mut Extraction)) -> bool {
        let text = Text::from_pages([BODY.to_owned()]);
        let finding = Finding { label: 0, span: Span { start: 6, end: 17 }, confidence: 0.5 };
        let extraction = assemble(&[finding], &[], &text, &plan());
        let mut extraction = extraction.expect("the finding is sound");
        tamper(&mut extraction);
        match check(&extraction, &text, &plan()) {
            Ok(()) => true,
            Err(reject) => {
                assert_eq!(reject.code, RejectCode::Ungrounded);
                assert!(!reject.detail.contains("2015"), "{}", reject.detail);
                false
            }
        }
    }

    #[test]
    fn what_follows_from_the_text_passes() {
        assert!(is_grounded(|_| ()));
    }

    #[test]
    fn a_value_that_is_not_made_of_its_words_is_refused() {
        let other = jiff::civil::date(2015, 5, 2);
        assert!(!is_grounded(|extraction| {
            extraction.fields[0].values[0].value = Value::Date(other);
        }));
        assert!(!is_grounded(|extraction| {
            extraction.fields[0].values[0].value = Value::Text(Sensitive::new("May".to_owned()));
        }));
    }

    #[test]
    fn words_and_places_that_are_not_those_of_the_text_are_refused() {
        assert!(!is_grounded(|extraction| {
            extraction.fields[0].values[0].evidence.raw = Sensitive::new("May 1, 2015.".to_owned());
        }));
        assert!(!is_grounded(|extraction| extraction.fields[0].values[0].evidence.span.start -= 1));
        assert!(
            !is_grounded(|extraction| extraction.fields[0].values[0].evidence.scalars.end += 1)
        );
        assert!(!is_grounded(|extraction| extraction.fields[0].values[0].evidence.page = 2));
        assert!(!is_grounded(|extraction| {
            let mut evidence = extraction.fields[0].values[0].evidence.clone();
            evidence.raw = Sensitive::new("Mai".to_owned());
            extraction.fields[0].unread.push(evidence);
        }));
        assert!(!is_grounded(|extraction| extraction.fields.clear()));
    }
}
