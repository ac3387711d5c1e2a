//! `sluice test DIR`: samples against expected outcomes. Those of a sample with several parts are a
//! list, in their order.
//!
//! Provenance is left out, since it changes with every version, which is its purpose; but for the
//! instruction class that gave the expectation, by which `likeness` compares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::likeness::{Likeness, differences};
use super::offline::{KeyFrom, Means, Offline, position};
use super::{Failure, say};
use crate::config::media_type_of;
use crate::config::samples::{Sample, samples};
use crate::error::{Fault, FaultClass};
use crate::source::delivery_of_file;

/// Where the instruction class stands in an expectation, and in provenance.
const CLASS: &str = "cpu_class";
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
    let (mut failed, mut close) = (0, BTreeSet::new());
    for sample in &samples {
        let parts = ends.remove(&sample.name).unwrap_or_default();
        let kinds = kinds(&parts);
        let actual = whole(parts);
        if args.accept {
            accept(sample, &actual)?;
            continue;
        }
        let (verdict, differences) = match compare(sample, actual)? {
            Verdict::Same => ("ok", Vec::new()),
            Verdict::Close(classes) => {
                close.insert(classes);
                ("close", Vec::new())
            }
            Verdict::Different(differences) => ("FAILED", differences),
        };
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
    for (accepted, here) in close {
        say(&format!(
            "close: equal in all that the model is sure of; accepted on {accepted}, this is {here}"
        ))?;
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

/// Takes out what depends on versions, and keeps the instruction class beside the record.
fn strip(value: &mut Value) {
    let Some(part) = value.as_object_mut() else { return };
    if let Some(record) = part.get_mut("record").and_then(Value::as_object_mut) {
        record.remove("record_id");
        let provenance = record.remove("provenance");
        if let Some(class) = provenance.and_then(|mut columns| Some(columns.get_mut(CLASS)?.take()))
        {
            part.insert(CLASS.to_owned(), class);
        }
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

/// How what came of a sample stands to what is expected.
enum Verdict {
    Same,
    /// Alike as outcomes of two instruction classes are: the expectation's and this one's.
    Close((String, String)),
    /// Where they differ; never empty.
    Different(Vec<String>),
}

fn compare(sample: &Sample, mut actual: Value) -> Result<Verdict, Failure> {
    let file = sample.expected.display();
    let Ok(text) = std::fs::read_to_string(&sample.expected) else {
        let what = format!("`{file}` is missing; run `sluice test --accept` and review it");
        return Ok(Verdict::Different(vec![what]));
    };
    let mut expected: Value = serde_json::from_str(&text)
        .map_err(|error| Fault::new(FaultClass::Fatal, format!("reading `{file}`"), error))?;
    drop_originals(&mut expected);
    let classes = take_class(&mut expected).zip(take_class(&mut actual));
    let exact = differences(&expected, &actual, Likeness::Exact);
    Ok(match classes.filter(|(accepted, here)| accepted != here) {
        _ if exact.is_empty() => Verdict::Same,
        Some(classes) if differences(&expected, &actual, Likeness::Close).is_empty() => {
            Verdict::Close(classes)
        }
        _ => Verdict::Different(exact),
    })
}

/// Takes the instruction class out of an outcome, or of each in a list. One machine made them all.
fn take_class(value: &mut Value) -> Option<String> {
    if let Value::Array(parts) = value {
        return parts.iter_mut().filter_map(take_class).last();
    }
    value.as_object_mut()?.remove(CLASS)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{kinds, strip, take_class, whole};

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
    fn of_provenance_the_instruction_class_is_kept() {
        let mut part =
            json!({"record": {"a": 1, "record_id": 7, "provenance": {"cpu_class": "x", "b": 2}}});
        strip(&mut part);
        assert_eq!(part, json!({"cpu_class": "x", "record": {"a": 1}}));
        let mut parts = json!([{"outcome": "reject"}, part]);
        assert_eq!(take_class(&mut parts), Some("x".to_owned()));
        assert_eq!(parts, json!([{"outcome": "reject"}, {"record": {"a": 1}}]));
        assert_eq!(take_class(&mut parts), None);
    }
}
