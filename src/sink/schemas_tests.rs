//! Tests of [`super::schemas`]: types of columns, and columns with attributes.

use serde_json::{Value, json};

use super::schemas::Schemas;
use crate::config::pipeline::{AttributeSpec, FieldKind, FieldSpec};

fn field(name: &str, kind: FieldKind, many: bool) -> FieldSpec {
    FieldSpec { many, ..FieldSpec::new(name, name, kind) }
}

/// Keys of the problems of one column with that Avro type.
fn keys(spec: &FieldSpec, avro: &Value) -> Vec<String> {
    let avsc = json!({"type": "record", "name": "Note", "fields": [
        {"name": "record_id", "type": "string"},
        {"name": "document_id", "type": "string"},
        {"name": spec.name, "type": avro},
        {"name": "evidence", "type": {"type": "array", "items": "sluice.Evidence"}},
        {"name": "provenance", "type": "sluice.Provenance"}]});
    let built = Schemas::build(&avsc.to_string(), std::slice::from_ref(spec), None, &[]);
    let problems = built.err().unwrap_or_default();
    assert!(problems.iter().all(|problem| !problem.hint.is_empty()));
    problems.into_iter().map(|problem| problem.key).collect()
}

#[test]
fn each_kind_has_its_avro_type() {
    let date = json!({"type": "int", "logicalType": "date"});
    let moment = json!({"type": "long", "logicalType": "timestamp-micros"});
    let time = json!({"type": "long", "logicalType": "local-timestamp-micros"});
    let types =
        [json!("string"), json!("long"), json!("double"), json!("boolean"), date, moment, time];
    let zoned = FieldSpec { zone: Some("Z".to_owned()), ..field("c", FieldKind::Timestamp, false) };
    let fitting = [
        (field("c", FieldKind::Choice, false), 0),
        (field("c", FieldKind::TemplateHash, false), 0),
        (field("c", FieldKind::Duration, false), 0),
        (field("c", FieldKind::Integer, false), 1),
        (field("c", FieldKind::Number, false), 2),
        (field("c", FieldKind::Date, false), 4),
        (zoned, 5),
        (field("c", FieldKind::Timestamp, false), 6),
    ];
    for (spec, fits) in fitting {
        for (index, avro) in types.iter().enumerate() {
            let expected: &[&str] = if index == fits { &[] } else { &["c"] };
            assert_eq!(keys(&spec, &json!(["null", avro])), expected, "{spec:?} {avro}");
            let list = FieldSpec { many: true, ..spec.clone() };
            let found = keys(&list, &json!({"type": "array", "items": avro}));
            assert_eq!(found, expected, "{list:?} {avro}");
        }
    }
}

#[test]
fn a_list_with_attributes_is_an_array_of_records() {
    let spec = FieldSpec {
        attributes: vec![
            AttributeSpec::new("negated", FieldKind::Negated),
            AttributeSpec { many: true, ..AttributeSpec::new("dosage", FieldKind::Text) },
        ],
        ..field("drugs", FieldKind::Text, true)
    };
    let places = json!({"type": "array", "items": "sluice.Evidence"});
    let list = json!({"type": "array", "items": "string"});
    let columns = [
        json!({"name": "value", "type": "string"}),
        json!({"name": "negated", "type": ["null", "boolean"]}),
        json!({"name": "dosage", "type": list}),
        json!({"name": "evidence", "type": places}),
    ];
    let check = |columns: &[Value], expected: &[&str]| {
        let item = json!({"type": "record", "name": "Drug", "fields": columns});
        assert_eq!(keys(&spec, &json!({"type": "array", "items": item})), expected, "{columns:?}");
    };
    check(&columns, &[]);
    for (left_out, key) in ["value", "negated", "dosage", "evidence"].iter().enumerate() {
        let rest: Vec<_> = (0..columns.len())
            .filter(|index| *index != left_out)
            .map(|index| columns[index].clone())
            .collect();
        check(&rest, &[&format!("drugs.{key}")]);
    }
    let single = json!({"name": "dosage", "type": ["null", "string"]});
    check(&[columns[0].clone(), columns[1].clone(), single, columns[3].clone()], &["drugs.dosage"]);
    let more = json!({"name": "dose", "type": "string", "default": ""});
    check(&[columns.to_vec(), vec![more]].concat(), &["drugs.dose"]);
    assert_eq!(keys(&spec, &json!({"type": "array", "items": "string"})), ["drugs"]);
}
