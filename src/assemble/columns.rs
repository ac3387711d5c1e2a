//! `fields, labels -> planned columns`: where each column's values come from and how they are read.
//!
//! Deliberately does not repeat what `config` refuses ([`crate::config::load`]); a column that it
//! cannot make a reader of is told with its key all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::choice::Choices;
use super::plan::{Problem, unknown_label};
use super::reading::Reader;
use super::zone;
use crate::config::Labels;
use crate::config::pipeline::{AttributeSpec, DateOrder, FieldKind, FieldSpec};

/// One typed column.
pub(super) struct PlannedField {
    pub(super) name: String,
    pub(super) source: Source,
    /// A text in which this matches gives no value.
    pub(super) unless: Option<Regex>,
    /// A value around which this matches is none of the column's.
    pub(super) unless_around: Option<Regex>,
    pub(super) confidence_min: f32,
    pub(super) way: Way,
    pub(super) many: bool,
    pub(super) attributes: Vec<PlannedAttribute>,
}

impl PlannedField {
    /// Whether `unless` lets a text have values.
    pub(super) fn is_asked(&self, text: &str) -> bool {
        !self.unless.as_ref().is_some_and(|unless| unless.is_match(text))
    }

    /// Whether labels of the model give its values or what belongs to them.
    pub(super) fn reads_model(&self) -> bool {
        let is_by_label = matches!(self.source, Source::Labels(_) | Source::Head(_));
        let is_of_label = |attribute: &PlannedAttribute| {
            matches!(attribute.origin, Origin::Attached { .. } | Origin::Label(_))
        };
        is_by_label || self.attributes.iter().any(is_of_label)
    }
}

/// Where the places of values come from.
pub(super) enum Source {
    /// Findings of these labels.
    Labels(Vec<usize>),
    /// The surest finding of a head that sorts documents; its labels.
    Head(Range<usize>),
    /// Members of a JSON object by their keys, and matches in the text.
    Rules { keys: Vec<String>, patterns: Vec<Regex> },
    /// Headings of sections.
    Headings,
}

/// How a marked place becomes a value.
pub(super) enum Way {
    /// By its words.
    Words(Reader),
    /// By its label: the names of all labels.
    Label(Vec<String>),
    /// By the section that it stands in.
    Section,
}

/// One column of each value's own.
pub(super) struct PlannedAttribute {
    pub(super) name: String,
    pub(super) is_required: bool,
    pub(super) origin: Origin,
}

/// Where an attribute's value comes from.
pub(super) enum Origin {
    /// The value's own words.
    Own(Reader),
    /// Findings of these labels that belong to the value.
    Attached { labels: Vec<usize>, reader: Reader, many: bool },
    /// Words of negation around it.
    Negated,
    /// The heading above it.
    Section,
    /// Its label: the names of all labels.
    Label(Vec<String>),
}

/// The columns that could be planned; the others as problems.
pub(super) fn plan_fields(
    fields: &[FieldSpec],
    labels: &Labels,
    problems: &mut Vec<Problem>,
) -> Vec<PlannedField> {
    let mut names = BTreeSet::new();
    let mut planned = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let at = format!("fields[{index}]");
        if !names.insert(field.name.as_str()) {
            let problem = format!("`{}` is the name of a field already", field.name);
            problems.push((format!("{at}.name"), problem));
        }
        let source = source(field, labels, &at, problems);
        let way = if field.kind == FieldKind::Class {
            Some(Way::Label(labels.names().to_vec()))
        } else if field.kind == FieldKind::Section {
            Some(Way::Section)
        } else {
            Wanted::of_field(field).reader(&at, problems).map(Way::Words)
        };
        let attributes: Vec<_> = field
            .attributes
            .iter()
            .enumerate()
            .filter_map(|(index, one)| {
                attribute(one, labels, &format!("{at}.attributes[{index}]"), problems)
            })
            .collect();
        if let (Some(source), Some(way)) = (source, way) {
            planned.push(PlannedField {
                name: field.name.clone(),
                source,
                unless: unless(field.unless.as_deref(), &format!("{at}.unless"), problems),
                unless_around: unless(
                    field.unless_around.as_deref(),
                    &format!("{at}.unless_around"),
                    problems,
                ),
                confidence_min: field.confidence_min.unwrap_or_default(),
                way,
                many: field.many,
                attributes,
            });
        }
    }
    planned
}

fn source(
    field: &FieldSpec,
    labels: &Labels,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Option<Source> {
    if field.kind == FieldKind::Section {
        return Some(Source::Headings);
    }
    if let Some(name) = &field.head {
        let head = labels.head(name);
        if head.is_none() {
            problems.push((format!("{at}.head"), format!("the model bundle has no head `{name}`")));
        }
        return head.map(|head| Source::Head(head.labels.clone()));
    }
    if !field.keys.is_empty() || !field.patterns.is_empty() {
        let mut patterns = Vec::with_capacity(field.patterns.len());
        for (index, pattern) in field.patterns.iter().enumerate() {
            match build(pattern, false) {
                Ok(regex) => patterns.push(regex),
                Err(problem) => problems.push((format!("{at}.patterns[{index}]"), problem)),
            }
        }
        return Some(Source::Rules { keys: field.keys.clone(), patterns });
    }
    let (label, more) = (field.label.as_deref(), field.labels.as_slice());
    indices(label, more, labels, at, problems).map(Source::Labels)
}

fn unless(words: Option<&str>, at: &str, problems: &mut Vec<Problem>) -> Option<Regex> {
    match build(words?, false) {
        Ok(regex) => Some(regex),
        Err(problem) => {
            problems.push((at.to_owned(), problem));
            None
        }
    }
}

/// The indices of the labels that are named; `None` where one is unknown or none is named.
fn indices(
    label: Option<&str>,
    more: &[String],
    known: &Labels,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<usize>> {
    let keyed = more.iter().enumerate();
    let keyed = keyed.map(|(index, name)| (format!("{at}.labels[{index}]"), name.as_str()));
    let all: Vec<_> =
        label.map(|name| (format!("{at}.label"), name)).into_iter().chain(keyed).collect();
    if all.is_empty() {
        problems.push((at.to_owned(), "it has no source of values".to_owned()));
        return None;
    }
    let mut found = Vec::with_capacity(all.len());
    let count = all.len();
    for (key, name) in all {
        match known.index(name) {
            Some(label) => found.push(label),
            None => problems.push((key, unknown_label(name, known.names()))),
        }
    }
    (found.len() == count).then_some(found)
}

fn attribute(
    spec: &AttributeSpec,
    labels: &Labels,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Option<PlannedAttribute> {
    let origin = if spec.kind == FieldKind::Negated {
        Origin::Negated
    } else if spec.kind == FieldKind::Section {
        Origin::Section
    } else if spec.kind == FieldKind::Label {
        Origin::Label(labels.names().to_vec())
    } else {
        let reader = Wanted::of_attribute(spec).reader(at, problems)?;
        if spec.all_labels().next().is_none() {
            Origin::Own(reader)
        } else {
            let found = indices(spec.label.as_deref(), &spec.labels, labels, at, problems)?;
            Origin::Attached { labels: found, reader, many: spec.many }
        }
    };
    Some(PlannedAttribute { name: spec.name.clone(), is_required: spec.required, origin })
}

/// What a reader is made of.
struct Wanted<'a> {
    kind: FieldKind,
    near: Option<&'a str>,
    zone: Option<&'a str>,
    zone_keys: &'a [String],
    date_order: DateOrder,
    choices: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> Wanted<'a> {
    fn of_field(spec: &'a FieldSpec) -> Self {
        let (near, zone) = (spec.near.as_deref(), spec.zone.as_deref());
        let date_order = spec.date_order.unwrap_or_default();
        let (kind, zone_keys, choices) = (spec.kind, spec.zone_keys.as_slice(), &spec.choices);
        Self { kind, near, zone, zone_keys, date_order, choices }
    }

    fn of_attribute(spec: &'a AttributeSpec) -> Self {
        let (zone, date_order) = (spec.zone.as_deref(), spec.date_order.unwrap_or_default());
        let (kind, choices) = (spec.kind, &spec.choices);
        Self { kind, near: None, zone, zone_keys: &[], date_order, choices }
    }

    fn reader(&self, at: &str, problems: &mut Vec<Problem>) -> Option<Reader> {
        let mut tell = |key: &str, problem: String| problems.push((format!("{at}.{key}"), problem));
        let near = match self.near.map(near).transpose() {
            Ok(near) => near,
            Err(problem) => {
                tell("near", problem);
                return None;
            }
        };
        if near.is_some() && !matches!(self.kind, FieldKind::Date | FieldKind::Duration) {
            tell("near", "`near` is for fields of type `date` or `duration`".to_owned());
            return None;
        }
        Some(match self.kind {
            FieldKind::Text => Reader::Text,
            FieldKind::Party => Reader::Party,
            FieldKind::Date => Reader::Date(near, self.date_order),
            FieldKind::Duration => Reader::Duration(near),
            FieldKind::Jurisdiction => Reader::Jurisdiction,
            FieldKind::Timestamp => {
                let offset = self.zone.map(zone::offset);
                if offset == Some(None) {
                    tell("zone", "it is no offset; write `Z` or `+02:00`".to_owned());
                    return None;
                }
                Reader::Timestamp {
                    zone: offset.flatten(),
                    zone_keys: self.zone_keys.to_vec(),
                    date_order: self.date_order,
                }
            }
            FieldKind::Integer => Reader::Integer,
            FieldKind::Number => Reader::Number,
            FieldKind::Comparator => Reader::Comparator,
            FieldKind::Unit => Reader::Unit,
            FieldKind::Choice => Reader::Choice(Choices::new(self.choices)),
            FieldKind::Severity => Reader::Severity,
            FieldKind::Template => Reader::Template,
            FieldKind::TemplateHash => Reader::TemplateHash,
            FieldKind::Class | FieldKind::Negated | FieldKind::Section | FieldKind::Label => {
                tell("type", format!("`{}` is not read from words", self.kind.name()));
                return None;
            }
        })
    }
}

/// Limit: compiled size of one pattern, in bytes; a list of a hundred words takes a tenth of it.
const PATTERN_SIZE_BYTES_MAX: usize = 1 << 20;

fn build(pattern: &str, ignores_case: bool) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder
        .case_insensitive(ignores_case)
        .size_limit(PATTERN_SIZE_BYTES_MAX)
        .build()
        .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))
}

/// Leading words as a pattern that matches them whole.
fn near(words: &str) -> Result<Regex, String> {
    // Order: alone first. Wrapped at once, a stray `)` would close the wrap and compile.
    if build(words, true)?.is_match("") {
        return Err(format!("`{words}` matches everywhere; name the words that lead to the value"));
    }
    build(&format!(r"\b(?:{words})\b"), true)
}
