//! `marks of a column -> Field`: values, what belongs to them, and what could not be read.
//!
//! Deliberately decides nothing by the order in which marks come: they stand in text order.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::{Origin, PlannedAttribute, PlannedField, Source, Way};
use super::frame::Frame;
use super::marks::{Mark, evidence};
use super::reading::{Reading, identity, text_value};
use super::{negation, pairs, party};
use crate::config::pipeline::{VALUE_GROUP, VALUE_PLACE};
use crate::types::{Attribute, Field, FieldValue, Reject, Sensitive, Span, Value};

/// Limit: matches of patterns in one column; a document with more is a list of other things.
const MATCHES_MAX: usize = 10_000;

/// Limit: bytes on either side of a value in which `unless_around` is searched.
const AROUND_BYTES_MAX: usize = 100;

/// Marks of each label, in text order.
pub(super) type Marks = BTreeMap<usize, Vec<Mark>>;

/// One column.
pub(super) fn field(
    planned: &PlannedField,
    marks: &Marks,
    frame: &Frame<'_>,
) -> Result<Field, Reject> {
    let mut read: Vec<FieldValue> = Vec::new();
    let mut places = Vec::new();
    let mut unread = Vec::new();
    let is_asked = planned.is_asked(frame.text.as_str());
    let marked = if is_asked { marks_of(planned, marks, frame) } else { Vec::new() };
    let is_wanted = |mark: &Mark| {
        mark.confidence >= planned.confidence_min && !is_left_out(planned, mark.span, frame)
    };
    let is_by_rule = matches!(planned.source, Source::Rules { .. });
    let is_first_enough = !planned.many && is_by_rule;
    for mark in marked.into_iter().filter(is_wanted) {
        // What later patterns match is neither wanted nor missed.
        if is_first_enough && !read.is_empty() {
            break;
        }
        let evidence = evidence(mark, frame.text)?;
        match planned.way.read(&evidence.raw, mark, frame) {
            Reading::Value(value) => {
                read.push(FieldValue { value, evidence, attributes: Vec::new() });
                places.push(mark);
            }
            Reading::Blank => {}
            Reading::Unread => unread.push(evidence),
        }
    }
    add_attributes(planned, &mut read, &places, marks, frame)?;
    read.retain(|one| has_required(one, &planned.attributes));
    if !is_by_rule || planned.many {
        // Order: most confident first; the sort is stable, so equals stay in text order.
        read.sort_by(|one, other| other.evidence.confidence.total_cmp(&one.evidence.confidence));
    }
    if planned.many {
        let mut known = BTreeSet::new();
        read.retain(|one| known.insert(identity_of(one)));
        read.sort_by_key(|one| one.evidence.span);
    } else {
        read.truncate(1);
    }
    Ok(Field { name: planned.name.clone(), values: read, unread })
}

/// Whether the words around a value say that it is none of the column's.
fn is_left_out(planned: &PlannedField, value: Span, frame: &Frame<'_>) -> bool {
    planned.unless_around.as_ref().is_some_and(|unless| {
        let text = frame.text.as_str();
        let sentence = frame.sentence_of(value.start);
        let from = value.start.saturating_sub(AROUND_BYTES_MAX).max(sentence.start);
        let to = value.end.saturating_add(AROUND_BYTES_MAX).min(sentence.end.max(value.end));
        let before = text.get(text.ceil_char_boundary(from)..value.start).unwrap_or_default();
        let after = text.get(value.end..text.floor_char_boundary(to)).unwrap_or_default();
        unless.is_match(&format!("{before}{VALUE_PLACE}{after}"))
    })
}

/// The marks of a column: in text order, or in the order of its keys and then its patterns.
fn marks_of(planned: &PlannedField, marks: &Marks, frame: &Frame<'_>) -> Vec<Mark> {
    match &planned.source {
        Source::Labels(labels) => {
            let found = of_labels(labels, marks);
            if planned.way.wants_names() { party::names(&found, frame.text) } else { found }
        }
        Source::Head(labels) => {
            let found: Vec<_> = labels.clone().collect();
            let found = of_labels(&found, marks).into_iter();
            let best = found.max_by(|one, other| {
                let by_place = other.span.cmp(&one.span);
                one.confidence.total_cmp(&other.confidence).then(by_place)
            });
            best.into_iter().collect()
        }
        Source::Rules { keys, patterns } => {
            let keyed = keys.iter().filter_map(|key| frame.member(key)).map(Mark::by_rule);
            let text = frame.text.as_str();
            let matched = patterns.iter().flat_map(|pattern| {
                pattern.captures_iter(text).take(MATCHES_MAX).filter_map(|captures| {
                    let found = captures.name(VALUE_GROUP).or_else(|| captures.get(0))?;
                    let span = Span { start: found.start(), end: found.end() };
                    (!span.is_empty()).then(|| Mark::by_rule(span))
                })
            });
            let found = keyed.chain(matched);
            if planned.many {
                let found: BTreeMap<Span, Mark> = found.map(|mark| (mark.span, mark)).collect();
                found.into_values().collect()
            } else {
                found.collect()
            }
        }
        Source::Headings => {
            frame.headings().iter().map(|heading| Mark::by_rule(heading.span)).collect()
        }
    }
}

/// Marks of several labels in text order; of one place in the order of the labels.
fn of_labels(labels: &[usize], marks: &Marks) -> Vec<Mark> {
    let mut found: Vec<Mark> =
        labels.iter().filter_map(|label| marks.get(label)).flatten().copied().collect();
    found.sort_by_key(|mark| (mark.span, mark.label));
    found
}

impl Way {
    /// Reads one marked place.
    pub(super) fn read(&self, raw: &str, mark: Mark, frame: &Frame<'_>) -> Reading {
        match self {
            Self::Words(reader) => reader.read(raw, frame),
            Self::Label(names) => label(names, mark).map_or(Reading::Unread, Reading::Value),
            Self::Section => {
                section(frame, mark.span).map_or(Reading::Unread, |(code, _)| text_value(code))
            }
        }
    }

    const fn wants_names(&self) -> bool {
        match self {
            Self::Words(reader) => reader.wants_names(),
            Self::Label(_) | Self::Section => false,
        }
    }
}

/// The name of a mark's label.
fn label(names: &[String], mark: Mark) -> Option<Value> {
    let name = names.get(mark.label?)?;
    Some(Value::Text(Sensitive::new(name.clone())))
}

/// The section in which a place stands: its code, and its heading.
pub(super) fn section(frame: &Frame<'_>, place: Span) -> Option<(String, Span)> {
    let heading = frame.heading_of(place.start)?;
    Some((heading.code.clone(), heading.span))
}

fn add_attributes(
    planned: &PlannedField,
    read: &mut [FieldValue],
    places: &[Mark],
    marks: &Marks,
    frame: &Frame<'_>,
) -> Result<(), Reject> {
    if planned.attributes.is_empty() {
        return Ok(());
    }
    let spans: Vec<Span> = places.iter().map(|mark| mark.span).collect();
    let own: BTreeSet<_> = places.iter().map(|mark| (mark.label, mark.span)).collect();
    let mut attached: BTreeMap<&[usize], Vec<Vec<Mark>>> = BTreeMap::new();
    for attribute in &planned.attributes {
        if let Origin::Attached { labels, reader: _, many: _ } = &attribute.origin {
            let key = labels.as_slice();
            attached.entry(key).or_insert_with(|| {
                let mut modifiers = of_labels(labels, marks);
                // A place that is itself a value of the column modifies none.
                modifiers.retain(|mark| !own.contains(&(mark.label, mark.span)));
                pairs::attach(&spans, &modifiers, frame)
            });
        }
    }
    for (index, (one, place)) in read.iter_mut().zip(places).enumerate() {
        for attribute in &planned.attributes {
            let mine = match &attribute.origin {
                Origin::Attached { labels, .. } => attached
                    .get(labels.as_slice())
                    .and_then(|items| items.get(index))
                    .map_or(&[][..], Vec::as_slice),
                Origin::Own(_) | Origin::Negated | Origin::Section | Origin::Label(_) => &[],
            };
            one.attributes.extend(attribute.of(&one.evidence.raw, *place, mine, frame)?);
        }
    }
    Ok(())
}

impl PlannedAttribute {
    /// The attribute of a value with the words `raw` at `place`, of which `attached` belong to it.
    fn of(
        &self,
        raw: &str,
        place: Mark,
        attached: &[Mark],
        frame: &Frame<'_>,
    ) -> Result<Vec<Attribute>, Reject> {
        let found = match &self.origin {
            Origin::Own(reader) => (value(reader.read(raw, frame)), None),
            Origin::Negated => {
                let cue = negation::cue(place.span, frame);
                (Some(Value::Boolean(cue.is_some())), cue)
            }
            Origin::Section => section(frame, place.span)
                .map_or((None, None), |(code, heading)| {
                    (Some(Value::Text(Sensitive::new(code))), Some(heading))
                }),
            Origin::Label(names) => (label(names, place), None),
            Origin::Attached { labels: _, reader, many } => {
                let count = if *many { attached.len() } else { 1 };
                let mine = attached.iter().take(count);
                return mine
                    .map(|mark| {
                        let evidence = evidence(*mark, frame.text)?;
                        let value = value(reader.read(&evidence.raw, frame));
                        Ok(Attribute { name: self.name.clone(), value, evidence: Some(evidence) })
                    })
                    .collect();
            }
        };
        let (value, cause) = found;
        let evidence = cause.map(|span| evidence(Mark::by_rule(span), frame.text)).transpose()?;
        Ok(vec![Attribute { name: self.name.clone(), value, evidence }])
    }
}

fn value(reading: Reading) -> Option<Value> {
    match reading {
        Reading::Value(value) => Some(value),
        Reading::Blank | Reading::Unread => None,
    }
}

/// Whether a value has every attribute without which it is not listed.
fn has_required(one: &FieldValue, attributes: &[PlannedAttribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.is_required).all(|required| {
        let mut named = one.attributes.iter().filter(|found| found.name == required.name);
        named.any(|found| found.value.is_some())
    })
}

/// What makes a value the same as another in a list, attributes included.
fn identity_of(one: &FieldValue) -> Vec<(String, Option<String>)> {
    let attributes = one.attributes.iter();
    let attributes = attributes
        .map(|attribute| (attribute.name.clone(), attribute.value.as_ref().map(identity)));
    [(String::new(), Some(identity(&one.value)))].into_iter().chain(attributes).collect()
}
