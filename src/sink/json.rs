//! `Record, Review -> Node -> JSON`: the one shape that Avro and JSON share.
//!
//! Dates are ISO 8601, lists are lists, and a confidence is the shortest decimal that reads back as
//! the same 32-bit float, so that the same record gives the same bytes. Deliberately knows nothing
//! of Avro: [`super::avro`] writes the same nodes under a schema.

use std::borrow::Cow;

use jiff::civil::Date;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};
use crate::types::{Evidence, Extraction, Field, Flag, Provenance, Reason, Record, Review, Value};

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
    /// Text.
    Text(Cow<'a, str>),
    /// A calendar date.
    Date(Date),
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
            Self::Date(date) => serializer.collect_str(date),
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

/// One field column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name of the column and of the field.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
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
        let column =
            |spec: &FieldSpec| Column { name: spec.name.clone(), kind: spec.kind, many: spec.many };
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
            let field = extraction.fields.iter().find(|field| field.name == column.name);
            row.push(named(&column.name, column_value(column, field)));
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
    fn evidence<'a>(&'a self, extraction: &'a Extraction) -> Vec<Node<'a>> {
        let mut places = Vec::new();
        for column in &self.fields {
            let Some(field) = extraction.fields.iter().find(|field| field.name == column.name)
            else {
                continue;
            };
            let published = if column.many { field.values.len() } else { 1 };
            for one in field.values.iter().take(published) {
                places.push(place(text(&column.name), as_text(&one.value), &one.evidence));
            }
            let unread = field.unread.iter();
            places.extend(unread.map(|place_| place(text(&column.name), Node::Null, place_)));
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

fn named<'a>(name: &'a str, node: Node<'a>) -> (Cow<'a, str>, Node<'a>) {
    (Cow::Borrowed(name), node)
}

fn text(text: &str) -> Node<'_> {
    Node::Text(Cow::Borrowed(text))
}

fn column_value<'a>(column: &Column, field: Option<&'a Field>) -> Node<'a> {
    let values = field.map(|field| field.values.as_slice()).unwrap_or_default();
    let mut typed = values.iter().map(|one| match &one.value {
        Value::Text(words) => text(words),
        Value::Date(date) => Node::Date(*date),
        Value::Duration(duration) => text(duration),
    });
    if column.many { Node::List(typed.collect()) } else { typed.next().unwrap_or(Node::Null) }
}

/// A value in the form in which evidence quotes it.
fn as_text(value: &Value) -> Node<'_> {
    match value {
        Value::Text(words) => text(words),
        Value::Date(date) => Node::Text(Cow::Owned(date.to_string())),
        Value::Duration(duration) => text(duration),
    }
}

fn answer(flag: &Flag) -> Node<'_> {
    Node::Struct(vec![
        named("present", Node::Boolean(flag.is_present)),
        named("confidence", Node::Float(flag.confidence)),
    ])
}

fn place<'a>(field: Node<'a>, value: Node<'a>, evidence: &'a Evidence) -> Node<'a> {
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
        named("sluice_version", text(&of.sluice_version)),
        named("text_engine", text(&of.text_engine)),
        named("onnxruntime_version", text(&of.onnxruntime_version)),
        named("provider", text(&of.provider)),
        named("cpu_class", text(&of.cpu_class)),
        named("document_digest", digest(&of.document_digest)),
        named("text_digest", of.text_digest.as_ref().map_or(Node::Null, digest)),
        named("source_topic", text(&of.position.topic)),
        named("source_partition", Node::Long(i64::from(of.position.partition))),
        named("source_offset", Node::Long(of.position.offset)),
        named("part", Node::Long(i64::from(of.part))),
    ])
}
