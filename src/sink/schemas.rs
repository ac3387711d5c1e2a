//! `record.avsc, columns -> resolved schemas`: the record's schema made self-contained, checked
//! against the pipeline, and the review's schema made from it.
//!
//! Deliberately offline: asks no registry. All problems are reported, not the first.

use std::sync::Arc;

use serde_json::{Value, json};

use super::avro::kind;
use super::json::{Column, Columns, Typed};
use crate::config::pipeline::{FieldSpec, FlagSpec, ValueType};
use crate::registry::schema::{RecordField, RecordSchema, Schema, UnionSchema, parse, shipped};
use crate::types::Digest;

/// One mistake in a record schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Column or key in `record.avsc` that it is about.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A schema in both forms.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// As JSON text: what is registered.
    pub json: String,
    /// As parsed.
    pub schema: Arc<Schema>,
}

/// The schemas of one pipeline's outputs, and the columns that fill them.
#[derive(Clone, Debug)]
pub struct Schemas {
    /// Of the record topic.
    pub record: Resolved,
    /// Of the review topic.
    pub review: Resolved,
    /// Of the audit topic.
    pub audit: Resolved,
    /// What sluice fills.
    pub columns: Columns,
    /// Full name of the record type.
    pub record_name: String,
    /// Columns that sluice does not fill; each has a default.
    pub defaulted: Vec<String>,
}

/// Columns that every record has beside its fields and flags.
const FIXED: [(&str, &str); 4] = [
    ("record_id", r#""string""#),
    ("document_id", r#""string""#),
    ("evidence", r#"{"type": "array", "items": "sluice.Evidence"}"#),
    ("provenance", r#""sluice.Provenance""#),
];

impl Schemas {
    /// Resolves and checks the record schema of a pipeline. `flag_names` are the names of the flags
    /// that the flags column holds.
    pub fn build(
        record_avsc: &str,
        fields: &[FieldSpec],
        flags: Option<&FlagSpec>,
        flag_names: &[String],
    ) -> Result<Self, Vec<Problem>> {
        let columns = Columns::new(fields, flags);
        let raw: Value = serde_json::from_str(record_avsc).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            vec![problem("record.avsc", format!("no JSON at {place}"), "mend the JSON there")]
        })?;
        let record = resolved(&raw).map_err(|problem| vec![problem])?;
        let Schema::Record(of_record) = &*record.schema else {
            let found = format!("type `{}` where a record must stand", kind(&record.schema));
            return Err(vec![problem("type", found, "make the top type a record")]);
        };
        let mut problems = Vec::new();
        check_fixed(of_record, &mut problems);
        columns.fields.iter().for_each(|column| check_field(of_record, column, &mut problems));
        if let Some(flags) = &columns.flags {
            check_flags(of_record, flags, flag_names, &mut problems);
        }
        let defaulted = check_unfilled(of_record, &columns, &mut problems);
        let record_name = of_record.name.to_string();
        let review = resolved(&review_of(&raw, of_record)).map_err(|problem| vec![problem])?;
        if let Err(unfit) =
            super::avro::Writer::new(Arc::clone(&record.schema), &record_name, &defaulted)
        {
            let hint = "give a default of the column's own type, without types by name";
            problems.push(problem(&unfit.path, "the default does not fit the type", hint));
        }
        let audit = resolved(&json!("sluice.Audit")).map_err(|problem| vec![problem])?;
        if problems.is_empty() {
            Ok(Self { record, review, audit, columns, record_name, defaulted })
        } else {
            Err(problems)
        }
    }

    /// Digest of the resolved record schema, as it stands in provenance.
    pub fn digest(&self) -> Digest {
        Digest::of(self.record.json.as_bytes())
    }
}

fn problem(key: &str, message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { key: key.to_owned(), message: message.into(), hint: hint.into() }
}

/// Inlines the shipped types and parses what comes out.
fn resolved(raw: &Value) -> Result<Resolved, Problem> {
    let mut tree = raw.clone();
    inline(&mut tree, &mut Vec::new());
    let json = tree.to_string();
    let schema = parse(&json).map_err(|error| {
        problem(
            "record.avsc",
            error.to_string(),
            "see the Avro specification, `Schema Declaration`",
        )
    })?;
    Ok(Resolved { json, schema: Arc::new(schema) })
}

/// Puts the shipped definition where a `sluice.*` name is used first; later uses stay names, since
/// Avro allows one definition. Only places where a type may stand are looked at, in schema order.
fn inline(at: &mut Value, defined: &mut Vec<String>) {
    match at {
        Value::String(name) => {
            if let Some(json) = shipped(name).filter(|_| !defined.contains(name))
                && let Ok(definition) = serde_json::from_str(json)
            {
                defined.push(name.clone());
                *at = definition;
            }
        }
        Value::Array(branches) => branches.iter_mut().for_each(|branch| inline(branch, defined)),
        Value::Object(keys) => {
            if let Some(Value::Array(fields)) = keys.get_mut("fields") {
                for field in fields.iter_mut().filter_map(|field| field.get_mut("type")) {
                    inline(field, defined);
                }
            }
            for key in ["type", "items", "values"] {
                if let Some(inner) = keys.get_mut(key) {
                    inline(inner, defined);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The review of a record type: its name with `Review` behind it, in the same namespace.
fn review_of(record: &Value, of_record: &RecordSchema) -> Value {
    let name = format!("{}Review", of_record.name.name());
    let mut review = json!({
        "type": "record",
        "name": name,
        "doc": "A document that is fine but unsure, for people to look at.",
        "fields": [
            {"name": "record_id", "type": "string",
             "doc": "PIPELINE/TOPIC/PARTITION/OFFSET/PART, the same on every attempt."},
            {"name": "document_id", "type": "string",
             "doc": "Identifier of the document, as its sender gave it."},
            {"name": "reasons", "type": {"type": "array", "items": "sluice.Reason"},
             "doc": "Why a person should look, at least one."},
            {"name": "record", "type": ["null", record], "default": null,
             "doc": "The record as it would have been published; null where nothing was extracted."},
            {"name": "text", "type": "string",
             "doc": "The extracted text that all offsets refer to."},
            {"name": "provenance", "type": "sluice.Provenance",
             "doc": "What made the review, and from what."},
        ],
    });
    if let (Some(namespace), Some(keys)) = (of_record.name.namespace(), review.as_object_mut()) {
        keys.insert("namespace".to_owned(), namespace.into());
    }
    review
}

fn column<'s>(record: &'s RecordSchema, name: &str) -> Option<&'s RecordField> {
    record.fields.iter().find(|field| field.name == name)
}

fn check_fixed(record: &RecordSchema, problems: &mut Vec<Problem>) {
    for (name, wanted) in FIXED {
        let fits = |schema: &Schema| match (name, schema) {
            ("evidence", schema) => is_evidence(schema),
            ("provenance", schema) => is_named(schema, "sluice.Provenance"),
            ("record_id" | "document_id", schema) => matches!(schema, Schema::String),
            (_, _) => false,
        };
        check_column(record, name, wanted, fits, problems);
    }
}

/// The Avro type of a column's values, as it is written, and whether a schema is it.
///
/// A duration is a string in ISO 8601: Avro's own `duration` is 12 bytes of months, days and
/// milliseconds that few query engines read, and that cannot tell a year from twelve months.
fn value_type(of: &Typed) -> (&'static str, fn(&Schema) -> bool) {
    match (of.kind.value_type(), of.is_zoned) {
        (ValueType::Words | ValueType::Duration, _) => {
            (r#""string""#, |schema| matches!(schema, Schema::String))
        }
        (ValueType::Date, _) => {
            (r#"{"type": "int", "logicalType": "date"}"#, |schema| matches!(schema, Schema::Date))
        }
        (ValueType::Timestamp, true) => {
            (r#"{"type": "long", "logicalType": "timestamp-micros"}"#, |schema| {
                matches!(schema, Schema::TimestampMicros)
            })
        }
        (ValueType::Timestamp, false) => {
            (r#"{"type": "long", "logicalType": "local-timestamp-micros"}"#, |schema| {
                matches!(schema, Schema::LocalTimestampMicros)
            })
        }
        (ValueType::Integer, _) => (r#""long""#, |schema| matches!(schema, Schema::Long)),
        (ValueType::Number, _) => (r#""double""#, |schema| matches!(schema, Schema::Double)),
        (ValueType::Boolean, _) => (r#""boolean""#, |schema| matches!(schema, Schema::Boolean)),
    }
}

fn check_field(record: &RecordSchema, column: &Column, problems: &mut Vec<Problem>) {
    match (column.many, column.attributes.is_empty()) {
        (false, _) => check_nullable(record, &column.of, problems),
        (true, true) => check_list(record, &column.of, problems),
        (true, false) => check_items(record, column, problems),
    }
}

/// A column that is a list of values.
fn check_list(record: &RecordSchema, of: &Typed, problems: &mut Vec<Problem>) {
    let (wanted, fits_value) = value_type(of);
    let wanted = format!(r#"{{"type": "array", "items": {wanted}}}"#);
    let fits = |schema: &Schema| matches!(schema, Schema::Array(array) if fits_value(&array.items));
    check_column(record, &of.name, &wanted, fits, problems);
}

/// A column that is null or one value.
fn check_nullable(record: &RecordSchema, of: &Typed, problems: &mut Vec<Problem>) {
    let (wanted, fits_value) = value_type(of);
    let wanted = format!(r#"["null", {wanted}]"#);
    let fits =
        |schema: &Schema| matches!(schema, Schema::Union(union) if is_nullable(union, fits_value));
    check_column(record, &of.name, &wanted, fits, problems);
}

/// A list of records: value, attributes, evidence.
fn check_items(record: &RecordSchema, of: &Column, problems: &mut Vec<Problem>) {
    let name = &of.of.name;
    let wanted = r#"{"type": "array", "items": {"type": "record", "name": .., "fields": [..]}}"#;
    let fits = |schema: &Schema| matches!(schema, Schema::Array(array) if matches!(*array.items, Schema::Record(_)));
    check_column(record, name, wanted, fits, problems);
    let Some(Schema::Array(array)) = column(record, name).map(|field| &field.schema) else {
        return;
    };
    let Schema::Record(item) = &*array.items else { return };
    let before = problems.len();
    let (wanted, fits_value) = value_type(&of.of);
    check_column(item, "value", wanted, fits_value, problems);
    for attribute in &of.attributes {
        if attribute.many {
            check_list(item, &attribute.of, problems);
        } else {
            check_nullable(item, &attribute.of, problems);
        }
    }
    let wanted = r#"{"type": "array", "items": "sluice.Evidence"}"#;
    check_column(item, "evidence", wanted, is_evidence, problems);
    let is_filled = |name: &str| {
        matches!(name, "value" | "evidence") || of.attributes.iter().any(|one| one.of.name == name)
    };
    for field in item.fields.iter().filter(|field| !is_filled(&field.name)) {
        let hint = "take it out, or add it under `attributes` in pipeline.yaml";
        problems.push(problem(&field.name, "no attribute of that name", hint));
    }
    for found in problems.iter_mut().skip(before) {
        found.key = format!("{name}.{}", found.key);
    }
}

fn is_evidence(schema: &Schema) -> bool {
    matches!(schema, Schema::Array(array) if is_named(&array.items, "sluice.Evidence"))
}

fn check_flags(record: &RecordSchema, name: &str, flags: &[String], problems: &mut Vec<Problem>) {
    let wanted =
        r#"{"type": "record", "name": .., "fields": [{"name": FLAG, "type": "sluice.Flag"}, ..]}"#;
    check_column(record, name, wanted, |schema| matches!(schema, Schema::Record(_)), problems);
    let Some(Schema::Record(answers)) = column(record, name).map(|field| &field.schema) else {
        return;
    };
    for flag in flags {
        let fits = |schema: &Schema| is_named(schema, "sluice.Flag");
        let before = problems.len();
        check_column(answers, flag, r#""sluice.Flag""#, fits, problems);
        problems.iter_mut().skip(before).for_each(|found| found.key = format!("{name}.{flag}"));
    }
    for field in answers.fields.iter().filter(|field| !flags.contains(&field.name)) {
        let key = format!("{name}.{}", field.name);
        let hint = "take it out, or name its label under `flags.labels` in pipeline.yaml";
        problems.push(problem(&key, "no flag of that name", hint));
    }
}

/// Checks that column `name` is there and fits.
fn check_column(
    record: &RecordSchema,
    name: &str,
    wanted: &str,
    fits: impl Fn(&Schema) -> bool,
    problems: &mut Vec<Problem>,
) {
    match column(record, name) {
        None => {
            let hint = format!(r#"add {{"name": "{name}", "type": {wanted}}}"#);
            problems.push(problem(name, "no such column in the record schema", hint));
        }
        Some(field) if fits(&field.schema) => {}
        Some(field) => {
            let message =
                format!("type `{}` does not hold what sluice writes", kind(&field.schema));
            problems.push(problem(name, message, format!(r#"make it "type": {wanted}"#)));
        }
    }
}

/// The columns that sluice does not fill; each needs a default.
fn check_unfilled(
    record: &RecordSchema,
    columns: &Columns,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let is_filled = |name: &str| {
        FIXED.iter().any(|(fixed, _)| *fixed == name)
            || columns.fields.iter().any(|column| column.of.name == name)
            || columns.flags.as_deref() == Some(name)
    };
    let mut defaulted = Vec::new();
    for field in record.fields.iter().filter(|field| !is_filled(&field.name)) {
        if field.default.is_some() {
            defaulted.push(field.name.clone());
            continue;
        }
        let filled = columns.fields.iter().map(|column| column.of.name.as_str());
        let near = filled.filter(|name| strsim::damerau_levenshtein(name, &field.name) <= 2).min();
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add a field of that name to pipeline.yaml, or a default here".to_owned(),
        };
        problems.push(problem(&field.name, "no field of pipeline.yaml fills this column", hint));
    }
    defaulted
}

/// Whether `schema` is the type of that full name, defined here or elsewhere.
fn is_named(schema: &Schema, name: &str) -> bool {
    schema.name().is_some_and(|found| found.to_string() == name)
}

/// Whether the union is null and one type that `fits`.
fn is_nullable(union: &UnionSchema, fits: fn(&Schema) -> bool) -> bool {
    let branches = union.variants();
    branches.len() == 2
        && branches.iter().any(|branch| matches!(branch, Schema::Null))
        && branches.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Problem, Schemas};
    use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};

    fn avsc() -> Value {
        json!({"type": "record", "name": "Contract", "namespace": "acme", "fields": [
            {"name": "record_id", "type": "string"},
            {"name": "document_id", "type": "string"},
            {"name": "title", "type": ["null", "string"], "default": null},
            {"name": "parties", "type": {"type": "array", "items": "string"}},
            {"name": "signed", "type": ["null", {"type": "int", "logicalType": "date"}]},
            {"name": "flags", "type": {"type": "record", "name": "Flags", "fields": [
                {"name": "non_compete", "type": "sluice.Flag"},
                {"name": "cap", "type": "sluice.Flag"}]}},
            {"name": "evidence", "type": {"type": "array", "items": "sluice.Evidence"}},
            {"name": "provenance", "type": "sluice.Provenance"},
            {"name": "tenant", "type": "string", "default": "none"}]})
    }

    fn build(avsc: &Value) -> Result<Schemas, Vec<Problem>> {
        let field = |name: &str, kind, many| FieldSpec { many, ..FieldSpec::new(name, name, kind) };
        let fields = [
            field("title", FieldKind::Text, false),
            field("parties", FieldKind::Text, true),
            field("signed", FieldKind::Date, false),
        ];
        let flags = FlagSpec { column: "flags".to_owned(), labels: Vec::new() };
        let names = ["non_compete".to_owned(), "cap".to_owned()];
        Schemas::build(&avsc.to_string(), &fields, Some(&flags), &names)
    }

    #[test]
    fn a_fitting_schema_is_resolved_and_gives_the_review() {
        let schemas = build(&avsc()).unwrap();
        assert_eq!(schemas.record.schema.name().unwrap().to_string(), "acme.Contract");
        assert_eq!(schemas.review.schema.name().unwrap().to_string(), "acme.ContractReview");
        assert_eq!(schemas.defaulted, ["tenant"]);
        for name in ["Flag", "Evidence", "Provenance"] {
            for schema in [&schemas.record, &schemas.review] {
                let definitions = schema.json.matches(&format!("\"name\":\"{name}\"")).count();
                assert_eq!(definitions, 1, "{name}");
            }
        }
        assert_eq!(schemas.digest(), build(&avsc()).unwrap().digest());
    }

    /// Changes one column, or takes it away, and gives the keys of the problems.
    fn keys(name: &str, change: Option<Value>) -> Vec<String> {
        let mut avsc = avsc();
        let fields = avsc["fields"].as_array_mut().unwrap();
        fields.retain(|field| field["name"] != name);
        fields.extend(change);
        let problems = build(&avsc).err().unwrap_or_default();
        assert!(problems.iter().all(|problem| !problem.hint.is_empty()));
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn each_mistake_names_its_column() {
        for (name, change, expected) in [
            ("record_id", None, "record_id"),
            ("evidence", None, "evidence"),
            ("provenance", Some(json!({"name": "provenance", "type": "string"})), "provenance"),
            ("title", None, "title"),
            ("title", Some(json!({"name": "title", "type": "string"})), "title"),
            ("signed", Some(json!({"name": "signed", "type": ["null", "int"]})), "signed"),
            ("signed", Some(json!({"name": "signed", "type": ["null", "string"]})), "signed"),
            ("parties", Some(json!({"name": "parties", "type": ["null", "string"]})), "parties"),
            ("tenant", Some(json!({"name": "tenant", "type": "string"})), "tenant"),
            ("flags", None, "flags"),
        ] {
            assert_eq!(keys(name, change.clone()), [expected], "{change:?}");
        }
        let flags = json!({"name": "flags", "type": {"type": "record", "name": "Flags", "fields": [
            {"name": "cap", "type": "boolean"}, {"name": "other", "type": "sluice.Flag"}]}});
        assert_eq!(keys("flags", Some(flags)), ["flags.non_compete", "flags.cap", "flags.other"]);
        let unfit = json!({"name": "tenant", "type": "string", "default": 7});
        assert_eq!(keys("tenant", Some(unfit)).len(), 1);
    }

    #[test]
    fn all_problems_come_at_once() {
        let mut avsc = avsc();
        avsc["fields"].as_array_mut().unwrap().retain(|field| field["name"] == "title");
        let keys: Vec<_> = build(&avsc).unwrap_err().into_iter().map(|found| found.key).collect();
        let expected = ["record_id", "document_id", "evidence", "provenance", "parties", "signed"];
        assert_eq!(keys[..6], expected);
    }

    #[test]
    fn a_name_near_a_field_gets_a_suggestion() {
        let mut avsc = avsc();
        avsc["fields"].as_array_mut().unwrap().push(json!({"name": "titel", "type": "string"}));
        let problems = build(&avsc).unwrap_err();
        assert_eq!(problems[0].hint, "did you mean `title`?");
    }

    #[test]
    fn what_is_no_record_schema_is_one_problem() {
        for bad in [json!("string"), json!({"type": "record"}), json!({"type": "nobody"}), json!(7)]
        {
            assert_eq!(build(&bad).unwrap_err().len(), 1, "{bad}");
        }
    }
}
