//! `sluice test DIR`: samples against expected outcomes. Those of a sample with several parts are a
//! list, in their order.
//!
//! Compared are outcome, codes, values and spans exactly, and numbers within a tolerance, since
//! confidences differ in their last digits between processor classes. Provenance is left out: it
//! changes with every version, which is its purpose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::offline::{KeyFrom, Means, Offline, position};
use super::{Failure, say};
use crate::config::media_type_of;
use crate::config::samples::{Sample, samples};
use crate::error::{Fault, FaultClass};
use crate::source::delivery_of_file;

/// Largest difference between two confidences that are taken as equal; see ARCHITECTURE.md on
/// processor classes.
const CONFIDENCE_TOLERANCE: f64 = 0.02;
/// Differences that are told for one sample.
const DIFFERENCES_MAX: usize = 10;

/// Compare the samples of pipelines with their expected outcomes.
#[derive(Args)]
pub(super) struct TestArgs {
    /// Pipeline folders
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Write what comes out as the new expectation, to be reviewed
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    means: Means,
}

pub(super) fn test(args: &TestArgs) -> Result<(), Failure> {
    let mut failed = 0;
    for dir in &args.dirs {
        if args.dirs.len() > 1 {
            say(&format!("{}:", dir.display()))?;
        }
        failed += test_one(dir, args)?;
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Told) }
}

/// Tests one pipeline, or accepts its outcomes; gives the count of samples that failed.
fn test_one(dir: &Path, args: &TestArgs) -> Result<usize, Failure> {
    let fault = |what: String, error| Fault::new(FaultClass::Fatal, what, error);
    let samples = samples(dir)
        .map_err(|error| fault(format!("reading `{}`", dir.join("samples").display()), error))?;
    let offline = Offline::load(dir, &args.means, KeyFrom::Samples)?;
    let inputs = samples.iter().enumerate().map(|(number, sample)| {
        let kind = media_type_of(&sample.path);
        Ok((sample.name.clone(), delivery_of_file(&sample.path, kind, position(number))?))
    });
    let mut ends: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    offline.each(inputs, |ended| {
        let mut actual = offline.json(&ended)?;
        strip(&mut actual);
        ends.entry(ended.name).or_default().push(actual);
        Ok(())
    })?;
    let mut failed = 0;
    for sample in &samples {
        let parts = ends.remove(&sample.name).unwrap_or_default();
        let kinds = kinds(&parts);
        let actual = whole(parts);
        if args.accept {
            accept(sample, &actual)?;
            continue;
        }
        let differences = compare(sample, &actual)?;
        let verdict = if differences.is_empty() { "ok" } else { "FAILED" };
        failed += usize::from(!differences.is_empty());
        say(&format!("{verdict:6} {} ({kinds})", sample.name))?;
        for line in differences.iter().take(DIFFERENCES_MAX) {
            say(&format!("       {line}"))?;
        }
    }
    if args.accept {
        say(&format!("accepted {} outcomes; review them before you commit", samples.len()))?;
        return Ok(0);
    }
    let passed = samples.len() - failed;
    say(&format!("{passed} passed, {failed} failed"))?;
    Ok(failed)
}

/// The outcome of the only part, or those of several as a list.
fn whole(mut parts: Vec<Value>) -> Value {
    match parts.len() {
        1 => parts.remove(0),
        _ => Value::Array(parts),
    }
}

/// How many parts ended as what: `record`, or `3 record, 1 reject`.
fn kinds(parts: &[Value]) -> String {
    let kind =
        |part: &Value| part.get("outcome").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let [part] = parts {
        return kind(part);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for part in parts {
        *counts.entry(kind(part)).or_default() += 1;
    }
    let told: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    told.join(", ")
}

/// Takes out what depends on versions and machines.
fn strip(value: &mut Value) {
    if let Some(record) = value.get_mut("record").and_then(Value::as_object_mut) {
        record.remove("provenance");
        record.remove("record_id");
    }
    drop_originals(value);
}

/// Takes out the original places of evidence that has none: four nulls for each place.
fn drop_originals(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_originals),
        Value::Object(columns) => {
            columns.retain(|name, value| !(value.is_null() && name.starts_with("original_")));
            columns.values_mut().for_each(drop_originals);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn accept(sample: &Sample, actual: &Value) -> Result<(), Failure> {
    let fault = |error| {
        Fault::new(FaultClass::Fatal, format!("writing `{}`", sample.expected.display()), error)
    };
    if let Some(folder) = sample.expected.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    let mut text = format!("{actual:#}");
    text.push('\n');
    Ok(std::fs::write(&sample.expected, text).map_err(fault)?)
}

fn compare(sample: &Sample, actual: &Value) -> Result<Vec<String>, Failure> {
    let file = sample.expected.display();
    let Ok(text) = std::fs::read_to_string(&sample.expected) else {
        return Ok(vec![format!("`{file}` is missing; run `sluice test --accept` and review it")]);
    };
    let mut expected: Value = serde_json::from_str(&text)
        .map_err(|error| Fault::new(FaultClass::Fatal, format!("reading `{file}`"), error))?;
    drop_originals(&mut expected);
    let mut differences = Vec::new();
    differ("", &expected, actual, &mut differences);
    Ok(differences)
}

/// Notes the paths at which two values differ. The samples are the pipeline's own, so their words
/// may be shown.
fn differ(path: &str, expected: &Value, actual: &Value, differences: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                let there = actual.get(key).unwrap_or(&Value::Null);
                differ(&format!("{path}/{key}"), value, there, differences);
            }
            for key in actual.keys().filter(|key| !expected.contains_key(*key)) {
                differences.push(format!("{path}/{key}: not expected"));
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                differ(&format!("{path}/{index}"), expected, actual, differences);
            }
        }
        (Value::Number(expected), Value::Number(actual))
            if expected.is_f64() || actual.is_f64() =>
        {
            let distance = expected.as_f64().zip(actual.as_f64()).map(|(a, b)| (a - b).abs());
            if !distance.is_some_and(|distance| distance <= CONFIDENCE_TOLERANCE) {
                differences.push(format!("{path}: expected {expected}, got {actual}"));
            }
        }
        _ if expected == actual => {}
        _ => differences.push(format!("{path}: expected {expected}, got {actual}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{differ, kinds, whole};

    fn check(expected: &Value, actual: &Value, paths: &[&str]) {
        let mut differences = Vec::new();
        differ("", expected, actual, &mut differences);
        let found: Vec<_> =
            differences.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
        assert_eq!(found, paths, "{differences:?}");
    }

    #[test]
    fn several_parts_are_a_list_and_are_counted_by_their_end() {
        let record = json!({"outcome": "record"});
        assert_eq!(
            (kinds(std::slice::from_ref(&record)), whole(vec![record.clone()])),
            ("record".into(), record.clone())
        );
        let parts = [record.clone(), json!({"outcome": "reject"}), record];
        assert_eq!(kinds(&parts), "2 record, 1 reject");
        assert_eq!(whole(parts.to_vec()), json!(parts));
    }

    #[test]
    fn values_differ_exactly_and_confidences_beyond_a_tolerance() {
        check(&json!({"a": 1, "c": 0.5}), &json!({"a": 1, "c": 0.51}), &[]);
        check(&json!({"c": 0.5}), &json!({"c": 0.53}), &["/c"]);
        check(&json!({"span": 100}), &json!({"span": 101}), &["/span"]);
        check(&json!({"a": [1, 2]}), &json!({"a": [1]}), &["/a"]);
        check(&json!({"a": "x"}), &json!({"b": "x"}), &["/a", "/b"]);
    }
}
