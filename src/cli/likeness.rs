//! `expected and actual outcome -> where they differ`.
//!
//! Within one instruction class the same text has the same scores; a new version of ONNX Runtime
//! may move them a little. From class to class the last digit of a sum differs, quantised
//! activations carry that far, and a finding that is near its threshold, or near another that
//! would take its place, comes or goes (ARCHITECTURE.md has figures). There, only what the model is
//! sure of must be the same.

use std::collections::BTreeSet;

use serde_json::Value;

/// Largest difference between confidences that are taken as equal within an instruction class.
const SAME_CLASS: f64 = 0.02;
/// The same from class to class.
const OTHER_CLASS: f64 = 0.15;
/// Confidence from which on a finding is there on every class, and everything that follows from it.
const SURE: f64 = 0.9;

/// How closely outcomes are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Likeness {
    /// As what one instruction class gives: values and spans exactly, confidences nearly.
    Exact,
    /// As what two instruction classes give: in addition, what the model is unsure of may differ.
    Close,
}

/// The paths at which two outcomes differ, with both values. The samples are the pipeline's own, so
/// that their words may be shown.
pub(super) fn differences(expected: &Value, actual: &Value, likeness: Likeness) -> Vec<String> {
    let mut differences = Vec::new();
    differ("", expected, actual, likeness, &mut differences);
    differences
}

fn differ(
    path: &str,
    expected: &Value,
    actual: &Value,
    likeness: Likeness,
    told: &mut Vec<String>,
) {
    let is_close = likeness == Likeness::Close;
    match (expected, actual) {
        (Value::Object(left), Value::Object(right)) => {
            let free = if is_close { free(expected, actual) } else { BTreeSet::new() };
            for (key, value) in left.iter().filter(|(key, _)| !free.contains(key.as_str())) {
                let there = right.get(key).unwrap_or(&Value::Null);
                differ(&format!("{path}/{key}"), value, there, likeness, told);
            }
            let added = right.keys().filter(|key| !left.contains_key(*key));
            for key in added.filter(|key| !free.contains(key.as_str())) {
                told.push(format!("{path}/{key}: not expected"));
            }
        }
        (Value::Array(left), Value::Array(right)) if is_close || left.len() != right.len() => {
            differ_as_sets(path, left, right, likeness, told);
        }
        (Value::Array(left), Value::Array(right)) => {
            for (index, (expected, actual)) in left.iter().zip(right).enumerate() {
                differ(&format!("{path}/{index}"), expected, actual, likeness, told);
            }
        }
        (Value::Number(left), Value::Number(right)) if left.is_f64() || right.is_f64() => {
            let most = if is_close { OTHER_CLASS } else { SAME_CLASS };
            let distance = left.as_f64().zip(right.as_f64()).map(|(a, b)| (a - b).abs());
            if !distance.is_some_and(|distance| distance <= most) {
                told.push(format!("{path}: expected {left}, got {right}"));
            }
        }
        _ if expected == actual => {}
        _ => told.push(format!("{path}: expected {expected}, got {actual}")),
    }
}

/// Pairs items that are alike, from left to right. From class to class, what stays alone must be
/// unsure; within one, nothing may.
fn differ_as_sets(
    path: &str,
    left: &[Value],
    right: &[Value],
    likeness: Likeness,
    told: &mut Vec<String>,
) {
    let may_be_alone = |item: &Value| likeness == Likeness::Close && least_confidence(item) < SURE;
    let mut alone: Vec<_> = right.iter().collect();
    for (index, item) in left.iter().enumerate() {
        let alike = |other: &&Value| differences(item, other, likeness).is_empty();
        if let Some(found) = alone.iter().position(alike) {
            alone.remove(found);
        } else if !may_be_alone(item) {
            told.push(format!("{path}/{index}: expected {item}, which is not there"));
        }
    }
    for item in alone.into_iter().filter(|item| !may_be_alone(item)) {
        told.push(format!("{path}: not expected {item}"));
    }
}

/// The columns of an object that may differ: what rests on evidence of which one side is unsure,
/// whether a clause is present whose flag it is unsure of, and places in a redacted text, which an
/// unsure identifier moves; its places in the original stand beside them.
fn free<'a>(expected: &'a Value, actual: &'a Value) -> BTreeSet<&'a str> {
    let mut columns = BTreeSet::new();
    for side in [expected, actual] {
        let evidence = side.get("evidence").and_then(Value::as_array).into_iter().flatten();
        for item in evidence.filter(|item| least_confidence(item) < SURE) {
            let field = item.get("field").and_then(Value::as_str).unwrap_or_default();
            columns.extend(match field.split_once('.') {
                // A clause: its flag has a confidence of its own.
                Some((column, _)) if side.get(column).is_some() => None,
                // Evidence in an item of a list has the list's name first.
                Some((_, column)) => Some(column),
                None => Some(field),
            });
        }
        let flag = side.get("confidence").and_then(Value::as_f64);
        if flag.is_some_and(|flag| 1.0 - SURE < flag && flag < SURE) {
            columns.insert("present");
        }
    }
    if [expected, actual].iter().all(|side| side.get("original_start_byte").is_some()) {
        columns.extend(["start_byte", "end_byte", "start_char", "end_char"]);
    }
    columns
}

/// The least confidence that stands anywhere in a value; 1 where there is none.
fn least_confidence(value: &Value) -> f64 {
    match value {
        Value::Array(items) => items.iter().map(least_confidence).fold(1.0, f64::min),
        Value::Object(columns) => {
            let own = columns.get("confidence").and_then(Value::as_f64).unwrap_or(1.0);
            columns.values().map(least_confidence).fold(own, f64::min)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Likeness, differences};

    fn check(expected: &Value, actual: &Value, likeness: Likeness, paths: &[&str]) {
        let differences = differences(expected, actual, likeness);
        let found: Vec<_> =
            differences.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
        assert_eq!(found, paths, "{differences:?}");
    }

    #[test]
    fn values_differ_exactly_and_confidences_beyond_a_tolerance() {
        let check = |a: &Value, b: &Value, paths: &[&str]| check(a, b, Likeness::Exact, paths);
        check(&json!({"a": 1, "c": 0.5}), &json!({"a": 1, "c": 0.51}), &[]);
        check(&json!({"c": 0.5}), &json!({"c": 0.53}), &["/c"]);
        check(&json!({"span": 100}), &json!({"span": 101}), &["/span"]);
        check(&json!({"a": [1, 2]}), &json!({"a": [2]}), &["/a/0"]);
        check(&json!({"a": [1, 2]}), &json!({"a": [3]}), &["/a/0", "/a/1", "/a"]);
        check(&json!({"a": [2, 1]}), &json!({"a": [1, 2]}), &["/a/0", "/a/1"]);
        check(&json!({"a": "x"}), &json!({"b": "x"}), &["/a", "/b"]);
    }

    #[test]
    fn from_class_to_class_what_the_model_is_sure_of_is_the_same() {
        let check = |a: &Value, b: &Value, paths: &[&str]| check(a, b, Likeness::Close, paths);
        check(&json!({"a": "x", "n": 1}), &json!({"a": "y", "n": 2}), &["/a", "/n"]);
        check(&json!({"c": 0.9}), &json!({"c": 0.76}), &[]);
        check(&json!({"c": 0.9}), &json!({"c": 0.74}), &["/c"]);
        check(&json!({"a": ["x", "y"]}), &json!({"a": ["y"]}), &["/a/0"]);
        check(&json!({"a": ["y"]}), &json!({"a": ["x", "y"]}), &["/a"]);

        let found = |raw: &str, confidence: f64| json!({"raw": raw, "confidence": confidence});
        let list = |items: &[Value]| json!({ "items": items });
        let both = list(&[found("x", 0.8), found("y", 0.9)]);
        check(&both, &list(&[found("y", 0.84)]), &[]);
        check(&list(&[found("y", 0.84)]), &both, &[]);
        check(&both, &list(&[found("x", 0.8)]), &["/items/1"]);
        check(&list(&[found("x", 0.8)]), &both, &["/items"]);
        check(&both, &list(&[found("x", 0.8), found("z", 0.9)]), &["/items/1", "/items"]);
    }

    #[test]
    fn a_column_may_differ_where_its_evidence_is_unsure_and_there_only() {
        let check = |a: &Value, b: &Value, paths: &[&str]| check(a, b, Likeness::Close, paths);
        let record = |title: &str, confidence: f64| {
            let evidence = json!({"field": "title", "raw": title, "confidence": confidence});
            json!({"title": title, "law": "Ohio", "evidence": [evidence]})
        };
        check(&record("A", 0.8), &record("B", 0.7), &[]);
        check(&record("A", 0.8), &record("B", 0.9), &["/evidence"]);
        check(&record("A", 0.9), &record("B", 0.9), &["/evidence/0", "/evidence", "/title"]);
        let mut other = record("B", 0.8);
        other["law"] = json!("Iowa");
        check(&record("A", 0.8), &other, &["/law"]);

        let item = |severity: Value, confidence: f64| {
            let evidence = [
                json!({"field": "problems", "confidence": 0.9}),
                json!({"field": "problems.severity", "confidence": confidence}),
            ];
            json!({"value": "pain", "severity": severity, "evidence": evidence})
        };
        check(&item(json!("mild"), 0.6), &item(Value::Null, 0.5), &[]);
        check(&item(json!("mild"), 0.9), &item(json!("severe"), 0.9), &["/severity"]);
    }

    #[test]
    fn a_place_in_a_redacted_text_may_move_and_that_in_the_original_may_not() {
        let check = |a: &Value, b: &Value, paths: &[&str]| check(a, b, Likeness::Close, paths);
        let place = |start: u32, original: u32| json!({"start_byte": start, "original_start_byte": original});
        check(&place(7, 9), &place(8, 9), &[]);
        check(&place(7, 9), &place(7, 10), &["/original_start_byte"]);
        check(&json!({"start_byte": 7}), &json!({"start_byte": 8}), &["/start_byte"]);
    }

    #[test]
    fn a_clause_may_be_there_or_not_where_its_flag_is_unsure() {
        let check = |a: &Value, b: &Value, paths: &[&str]| check(a, b, Likeness::Close, paths);
        let flag =
            |present: bool, confidence: f64| json!({"present": present, "confidence": confidence});
        check(&flag(true, 0.5), &flag(false, 0.4), &[]);
        check(&flag(true, 0.95), &flag(false, 0.9), &["/present"]);
        check(&flag(false, 0.05), &flag(true, 0.05), &["/present"]);
        check(&flag(true, 0.6), &flag(false, 0.4), &["/confidence"]);

        let record = |present: bool| {
            let evidence = json!({"field": "clauses.law", "confidence": 0.5});
            json!({"clauses": {"law": flag(present, 0.95)}, "law": present, "evidence": [evidence]})
        };
        check(&record(true), &record(false), &["/clauses/law/present", "/law"]);
    }
}
