//! `Extraction -> Extraction or UNGROUNDED`: the last look before values leave the room.
//!
//! Trusts nothing that was computed on the way: words are sliced from the text again, places are
//! counted again, values are normalised again. Deliberately mends nothing.

use super::columns::{Origin, PlannedAttribute, PlannedField, Way};
use super::fields::{Marks, section};
use super::frame::Frame;
use super::marks::marks_by_label;
use super::plan::Plan;
use super::reading::{Reader, Reading};
use super::{negation, ungrounded};
use crate::types::{
    Attribute, Evidence, Extraction, Field, FieldValue, Finding, Reject, Span, Text, Value,
};

/// Refuses an extraction of which any part does not follow from the text, or names a label that
/// the model did not give. `frame` is one that nothing else has looked at.
pub(super) fn check(
    extraction: &Extraction,
    findings: &[Finding],
    frame: &Frame<'_>,
    plan: &Plan,
) -> Result<(), Reject> {
    if extraction.fields.len() != plan.fields().len() {
        return Err(ungrounded("the columns are not those of the plan".to_owned()));
    }
    let gate = Gate { marks: marks_by_label(findings, frame.text, plan.label_count())?, frame };
    for (field, planned) in extraction.fields.iter().zip(plan.fields()) {
        gate.field(field, planned)?;
    }
    for evidence in extraction.flags.iter().flat_map(|flag| &flag.evidence) {
        check_evidence(evidence, frame.text)?;
    }
    Ok(())
}

/// What values are compared with.
struct Gate<'a> {
    /// Marks of each label, made anew.
    marks: Marks,
    frame: &'a Frame<'a>,
}

impl Gate<'_> {
    fn field(&self, field: &Field, planned: &PlannedField) -> Result<(), Reject> {
        for one in &field.values {
            check_evidence(&one.evidence, self.frame.text)?;
            let is_made_again = match &planned.way {
                Way::Words(reader) => self.reads(reader, &one.evidence, &one.value),
                Way::Label(names) => self.is_label(&one.value, names, one.evidence.span),
                Way::Section => {
                    self.is_section(Some(&one.value), Some(&one.evidence), one.evidence.span)
                }
            };
            if !is_made_again {
                return Err(unmade(&planned.name, one.evidence.span));
            }
            for attribute in &one.attributes {
                let Some(wanted) =
                    planned.attributes.iter().find(|wanted| wanted.name == attribute.name)
                else {
                    return Err(ungrounded("an attribute is not one of the plan".to_owned()));
                };
                self.attribute(attribute, wanted, one)?;
            }
        }
        field.unread.iter().try_for_each(|evidence| check_evidence(evidence, self.frame.text))
    }

    fn attribute(
        &self,
        attribute: &Attribute,
        wanted: &PlannedAttribute,
        of: &FieldValue,
    ) -> Result<(), Reject> {
        let (value, place) = (attribute.value.as_ref(), attribute.evidence.as_ref());
        if let Some(place) = place {
            check_evidence(place, self.frame.text)?;
        }
        let span = of.evidence.span;
        let is_made_again = match &wanted.origin {
            Origin::Own(reader) => {
                place.is_none() && value.is_none_or(|value| self.reads(reader, &of.evidence, value))
            }
            Origin::Attached { labels: _, reader, many: _ } => place.is_some_and(|place| {
                let sentence = |at: Span| self.frame.sentence_of(at.start);
                sentence(place.span) == sentence(span)
                    && value.is_none_or(|value| self.reads(reader, place, value))
            }),
            Origin::Negated => {
                let cue = negation::cue(span, self.frame);
                value == Some(&Value::Boolean(cue.is_some()))
                    && place.map(|place| place.span) == cue
            }
            Origin::Section => self.is_section(value, place, span),
            Origin::Label(names) => {
                value.is_some_and(|value| self.is_label(value, names, span)) && place.is_none()
            }
        };
        if is_made_again { Ok(()) } else { Err(unmade(&wanted.name, span)) }
    }

    fn reads(&self, reader: &Reader, evidence: &Evidence, value: &Value) -> bool {
        match reader.read(&evidence.raw, self.frame) {
            Reading::Value(again) => again == *value,
            Reading::Blank | Reading::Unread => false,
        }
    }

    /// Whether the model gave the label of that name to the words of `span`.
    fn is_label(&self, value: &Value, names: &[String], span: Span) -> bool {
        let label = names.iter().position(|name| *name == value.written());
        let marks = label.and_then(|label| self.marks.get(&label));
        marks.is_some_and(|marks| marks.binary_search_by_key(&span, |mark| mark.span).is_ok())
    }

    /// Whether `value` is the section of `span` by the heading at `place`.
    fn is_section(&self, value: Option<&Value>, place: Option<&Evidence>, span: Span) -> bool {
        let told = value.map(Value::written).zip(place.map(|place| place.span));
        let found = section(self.frame, span);
        match (told, found) {
            (Some((code, at)), Some((again, heading))) => code == again && at == heading,
            (told, found) => told.is_none() && found.is_none(),
        }
    }
}

fn unmade(name: &str, Span { start, end }: Span) -> Reject {
    ungrounded(format!("a value of `{name}` does not follow from bytes {start}..{end}"))
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
    use std::collections::BTreeMap;

    use super::check;
    use crate::assemble::fixture::clauses;
    use crate::assemble::frame::Frame;
    use crate::assemble::{Plan, assemble};
    use crate::config::pipeline::{FieldKind, FieldSpec};
    use crate::types::{Extraction, Finding, RejectCode, Sensitive, Span, Text, Value};

    const BODY: &str = "dated May 1, 2015, at noon";

    fn plan() -> Plan {
        let field = FieldSpec::new("signed", "Date", FieldKind::Date);
        Plan::new(&[field], &BTreeMap::new(), None, &clauses(&["Date"]))
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Tampers with one extraction and looks whether it still passes.
    fn is_grounded(tamper: impl Fn(&mut Extraction)) -> bool {
        let text = Text::from_pages([BODY.to_owned()]);
        let finding = Finding { label: 0, span: Span { start: 6, end: 17 }, confidence: 0.5 };
        let plan = plan();
        let extraction = assemble(&[finding], &[], &text, None, &plan);
        let mut extraction = extraction.expect("the finding is sound");
        tamper(&mut extraction);
        match check(&extraction, &[finding], &Frame::new(&text, None, plan.headings()), &plan) {
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
