//! `Record, Review -> Node -> JSON`: the one shape that Avro and JSON share.
//!
//! Dates are ISO 8601, lists are lists, and a confidence is the shortest decimal that reads back as
//! the same 32-bit float, so that the same record gives the same bytes. Deliberately knows nothing
//! of Avro: [`super::avro`] writes the same nodes under a schema.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};
use crate::types::{
    Attribute, Evidence, Extraction, Field, FieldValue, Flag, Place, Provenance, Reason, Record,
    Review, Value,
};

/// A value of a record on its way out. No `Debug`: it holds document text.
#[derive(Clone, PartialEq)]
pub enum Node<'a> {
    /// No value.
    Null,
    /// A yes or no.
    Boolean(bool),
    /// A whole number.
    Long(i64),
    /// A confidence.
    Float(f32),
    /// A number.
    Double(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// A calendar date.
    Date(Date),
    /// A moment.
    Timestamp(Timestamp),
    /// A date with a time of day, of no known zone.
    LocalTimestamp(DateTime),
    /// Values of one kind.
    List(Vec<Node<'a>>),
    /// Named values, in the order in which they are written.
    Struct(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Long(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(shortest(*value)),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Date(date) => serializer.collect_str(date),
            Self::Timestamp(moment) => serializer.collect_str(moment),
            Self::LocalTimestamp(time) => serializer.collect_str(time),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Struct(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, node)| map.serialize_entry(name, node))?;
                map.end()
            }
        }
    }
}

/// The 64-bit float with the same shortest decimal: written as text or kept as a
/// [`serde_json::Value`], 0.9 stays 0.9 and does not widen to 0.8999999761581421.
pub(super) fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::NAN)
}

/// Name and type of a column.
#[derive(Clone, Debug)]
pub struct Typed {
    /// Name of the column and of the field or attribute.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
    /// Whether its timestamps are moments, not local times.
    pub is_zoned: bool,
}

/// One field column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name, and what its values are.
    pub of: Typed,
    /// Whether it is a list.
    pub many: bool,
    /// Columns of each value's own; where there are any, the column is a list of records.
    pub attributes: Vec<AttributeColumn>,
}

/// One column of a value's own.
#[derive(Clone, Debug)]
pub struct AttributeColumn {
    /// Its name, and what its values are.
    pub of: Typed,
    /// Whether it is a list.
    pub many: bool,
}

/// The columns of a pipeline's record: what `pipeline.yaml` says of its shape.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Field columns in the order of `pipeline.yaml`.
    pub fields: Vec<Column>,
    /// Column of all flags, where the pipeline has any.
    pub flags: Option<String>,
}

impl Columns {
    /// The columns of a checked pipeline.
    pub fn new(fields: &[FieldSpec], flags: Option<&FlagSpec>) -> Self {
        let typed = |name: &str, kind, zone: &Option<String>| Typed {
            name: name.to_owned(),
            kind,
            is_zoned: zone.is_some(),
        };
        let column = |spec: &FieldSpec| {
            let attributes = spec.attributes.iter();
            Column {
                of: typed(&spec.name, spec.kind, &spec.zone),
                many: spec.many,
                attributes: attributes
                    .map(|one| AttributeColumn {
                        of: typed(&one.name, one.kind, &one.zone),
                        many: one.many,
                    })
                    .collect(),
            }
        };
        Self {
            fields: fields.iter().map(column).collect(),
            flags: flags.map(|flags| flags.column.clone()),
        }
    }

    /// The record as it is published.
    pub fn record<'a>(&'a self, record: &'a Record) -> Node<'a> {
        let extraction = &record.extraction;
        let mut row = vec![named("record_id", text(&record.id))];
        row.push(named("document_id", text(&record.document_id)));
        for column in &self.fields {
            let field = extraction.fields.iter().find(|field| field.name == column.of.name);
            row.push(named(&column.of.name, column_value(column, field)));
        }
        if let Some(flags) = &self.flags {
            let answers = extraction.flags.iter().map(|flag| named(&flag.name, answer(flag)));
            row.push(named(flags, Node::Struct(answers.collect())));
        }
        row.push(named("evidence", Node::List(self.evidence(extraction))));
        row.push(named("provenance", provenance(&record.provenance)));
        Node::Struct(row)
    }

    /// The review as it is published; its record is null where nothing was extracted.
    pub fn review<'a>(&'a self, review: &'a Review) -> Node<'a> {
        let record = &review.record;
        let is_bare = record.extraction.fields.is_empty() && record.extraction.flags.is_empty();
        let inner = if is_bare { Node::Null } else { self.record(record) };
        Node::Struct(vec![
            named("record_id", text(&record.id)),
            named("document_id", text(&record.document_id)),
            named("reasons", Node::List(review.reasons.iter().map(reason).collect())),
            named("record", inner),
            named("text", text(&review.text)),
            named("provenance", provenance(&record.provenance)),
        ])
    }

    /// Places that support what is published: values and unread spans of each field, then flags.
    /// Values with attributes carry their places themselves.
    fn evidence<'a>(&'a self, extraction: &'a Extraction) -> Vec<Node<'a>> {
        let mut places = Vec::new();
        for column in &self.fields {
            let name = &column.of.name;
            let Some(field) = extraction.fields.iter().find(|field| field.name == *name) else {
                continue;
            };
            let published = match (column.many, column.attributes.is_empty()) {
                (true, true) => field.values.len(),
                (true, false) => 0,
                (false, _) => 1,
            };
            for one in field.values.iter().take(published) {
                places.push(place(text(name), Node::Text(one.value.written()), &one.evidence));
            }
            let unread = field.unread.iter();
            places.extend(unread.map(|one| place(text(name), Node::Null, one)));
        }
        let Some(column) = &self.flags else { return places };
        for flag in &extraction.flags {
            let path = format!("{column}.{}", flag.name);
            let of_flag = flag.evidence.iter();
            places.extend(
                of_flag.map(|evidence| {
                    place(Node::Text(Cow::Owned(path.clone())), Node::Null, evidence)
                }),
            );
        }
        places
    }
}

pub(super) fn named<'a>(name: &'a str, node: Node<'a>) -> (Cow<'a, str>, Node<'a>) {
    (Cow::Borrowed(name), node)
}

pub(super) fn text(text: &str) -> Node<'_> {
    Node::Text(Cow::Borrowed(text))
}

fn column_value<'a>(column: &'a Column, field: Option<&'a Field>) -> Node<'a> {
    let values = field.map(|field| field.values.as_slice()).unwrap_or_default();
    match (column.many, column.attributes.is_empty()) {
        (true, true) => Node::List(values.iter().map(|one| node(&one.value)).collect()),
        (true, false) => Node::List(values.iter().map(|one| item(column, one)).collect()),
        (false, _) => values.first().map_or(Node::Null, |one| node(&one.value)),
    }
}

/// One value of a list with its attributes and their places, its own first.
fn item<'a>(column: &'a Column, one: &'a FieldValue) -> Node<'a> {
    let mut row = vec![named("value", node(&one.value))];
    let name = &column.of.name;
    let mut places = vec![place(text(name), Node::Text(one.value.written()), &one.evidence)];
    for wanted in &column.attributes {
        let wanted_name = &wanted.of.name;
        let found = one.attributes.iter().filter(|attribute| attribute.name == *wanted_name);
        let mut values = found.clone().filter_map(|attribute| attribute.value.as_ref()).map(node);
        row.push(named(
            wanted_name,
            if wanted.many {
                Node::List(values.collect())
            } else {
                values.next().unwrap_or(Node::Null)
            },
        ));
        let path = format!("{name}.{wanted_name}");
        for Attribute { value, evidence, name: _ } in found {
            let Some(evidence) = evidence else { continue };
            let value = value.as_ref().map_or(Node::Null, |value| Node::Text(value.written()));
            places.push(place(Node::Text(Cow::Owned(path.clone())), value, evidence));
        }
    }
    row.push(named("evidence", Node::List(places)));
    Node::Struct(row)
}

fn node(value: &Value) -> Node<'_> {
    match value {
        Value::Text(words) => text(words),
        Value::Date(date) => Node::Date(*date),
        Value::Duration(iso) => text(iso),
        Value::Timestamp(moment) => Node::Timestamp(*moment),
        Value::LocalTimestamp(time) => Node::LocalTimestamp(*time),
        Value::Integer(number) => Node::Long(*number),
        Value::Number(number) => Node::Double(*number),
        Value::Boolean(answer) => Node::Boolean(*answer),
    }
}

fn answer(flag: &Flag) -> Node<'_> {
    Node::Struct(vec![
        named("present", Node::Boolean(flag.is_present)),
        named("confidence", Node::Float(flag.confidence)),
    ])
}

fn place<'a>(field: Node<'a>, value: Node<'a>, evidence: &'a Evidence) -> Node<'a> {
    let original = |offset: fn(&Place) -> usize| {
        evidence.original.as_ref().map_or(Node::Null, |place| count(offset(place)))
    };
    Node::Struct(vec![
        named("field", field),
        named("value", value),
        named("raw", text(&evidence.raw)),
        named("start_byte", count(evidence.span.start)),
        named("end_byte", count(evidence.span.end)),
        named("start_char", count(evidence.scalars.start)),
        named("end_char", count(evidence.scalars.end)),
        named("page", Node::Long(i64::from(evidence.page))),
        named("confidence", Node::Float(evidence.confidence)),
        named("original_start_byte", original(|place| place.span.start)),
        named("original_end_byte", original(|place| place.span.end)),
        named("original_start_char", original(|place| place.scalars.start)),
        named("original_end_char", original(|place| place.scalars.end)),
    ])
}

/// An offset. A text has at most `isize::MAX` bytes, so this never saturates.
fn count(offset: usize) -> Node<'static> {
    Node::Long(i64::try_from(offset).unwrap_or(i64::MAX))
}

fn reason(reason: &Reason) -> Node<'_> {
    Node::Struct(vec![
        named("code", text(reason.code.name())),
        named("field", reason.field.as_deref().map_or(Node::Null, text)),
        named("detail", text(&reason.detail)),
    ])
}

fn provenance(of: &Provenance) -> Node<'_> {
    let digest = |digest: &crate::types::Digest| Node::Text(Cow::Owned(digest.to_string()));
    Node::Struct(vec![
        named("pipeline", text(&of.pipeline)),
        named("pipeline_revision", text(&of.pipeline_revision)),
        named("config_digest", digest(&of.config_digest)),
        named("schema_digest", digest(&of.schema_digest)),
        named("model", text(&of.model)),
        named("model_revision", text(&of.model_revision)),
        named("model_digest", digest(&of.model_digest)),
        named("tokenizer_digest", digest(&of.tokenizer_digest)),
        named("thresholds_digest", digest(&of.thresholds_digest)),
        named("gate_digest", of.gate_digest.as_ref().map_or(Node::Null, digest)),
        named("sluice_version", text(&of.sluice_version)),
        named("text_engine", text(&of.text_engine)),
        named("onnxruntime_version", text(&of.onnxruntime_version)),
        named("provider", text(&of.provider)),
        named("cpu_class", text(&of.cpu_class)),
        named("redaction_key", of.redaction_key.as_deref().map_or(Node::Null, text)),
        named("document_digest", digest(&of.document_digest)),
        named("document_uri", of.document_uri.as_deref().map_or(Node::Null, text)),
        named("text_digest", of.text_digest.as_ref().map_or(Node::Null, digest)),
        named("source_topic", text(&of.position.topic)),
        named("source_partition", Node::Long(i64::from(of.position.partition))),
        named("source_offset", Node::Long(of.position.offset)),
        named("part", Node::Long(i64::from(of.part))),
    ])
}
