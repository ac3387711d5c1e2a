//! `JSON value -> problems of its shape`, by the JSON Schema of `pipeline.yaml`.
//!
//! The schema comes from the types in [`super::pipeline`], so it cannot drift from what is read.
//! Deliberately knows nothing of meaning: whether a label exists is the matter of
//! [`super::check`].

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::Value;

use super::pipeline::Pipeline;
use super::problem::{Report, listed, suggest};
use super::redaction::settled;
use super::yaml::child;

/// The JSON Schema (draft 2020-12) of `pipeline.yaml`, as committed in `schemas/`.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Pipeline);
    RecursiveTransform(bound_integers).transform(&mut schema);
    schema.to_value()
}

/// JSON Schema's `format` is a mere note: says the range of each integer type as a limit too.
fn bound_integers(schema: &mut schemars::Schema) {
    let maximum: u64 = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => u32::MAX.into(),
        Some("uint" | "uint64") => i64::MAX.unsigned_abs(),
        _ => return,
    };
    if schema.get("maximum").is_none() {
        schema.insert("maximum".to_owned(), maximum.into());
    }
}

/// What is wrong in shape, by JSON pointer.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// Keys that do not exist.
    pub(super) unknown: BTreeSet<String>,
    /// Places of anything else.
    pub(super) other: BTreeSet<String>,
}

/// Adds every problem of the shape of `value` to `report`.
pub(super) fn check(value: &Value, report: &mut Report<'_>) -> Wrong {
    let schema = schema();
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => {
            report.at("", format!("the schema of this file is broken: {error}"), "report this");
            return Wrong { other: BTreeSet::from([String::new()]), ..Wrong::default() };
        }
    };
    let mut found = Found { schema: &schema, told: BTreeMap::new(), unknown: BTreeSet::new() };
    for error in validator.iter_errors(value) {
        found.take(&error);
    }
    for (pointer, (problem, hint)) in &found.told {
        report.at(pointer, problem, hint);
    }
    let unknown = found.unknown;
    let other = found.told.into_keys().filter(|pointer| !unknown.contains(pointer)).collect();
    Wrong { unknown, other }
}

/// Problems by pointer: one place is complained about once, by the first that noticed.
struct Found<'a> {
    schema: &'a Value,
    told: BTreeMap<String, (String, String)>,
    unknown: BTreeSet<String>,
}

impl<'a> Found<'a> {
    fn tell(&mut self, pointer: String, problem: impl Into<String>, hint: impl Into<String>) {
        self.told.entry(pointer).or_insert_with(|| (problem.into(), hint.into()));
    }

    fn take(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str().to_owned();
        let instance = error.instance().as_ref();
        let kind = error.kind();
        if let Kind::AdditionalProperties { unexpected } = kind {
            let known = self.siblings(error, "properties");
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            for name in unexpected {
                let settled = if at == POLICY { settled(name) } else { None };
                let hint = settled.map_or_else(|| suggest(name, &known), str::to_owned);
                self.unknown.insert(child(&at, name));
                self.tell(child(&at, name), format!("unknown key `{name}`"), hint);
            }
        } else if let Kind::Required { property } = kind {
            let name = property.as_str().unwrap_or_default();
            let hint = self.description(error, name);
            self.tell(child(&at, name), "is missing", hint);
        } else if let Kind::OneOfNotValid { context } | Kind::AnyOf { context } = kind {
            self.choose(at, instance, error, context);
        } else if let Kind::Type { kind } = kind {
            let (problem, hint) = wrong_type(kind, instance, &at);
            self.tell(at, problem, hint);
        } else if let Kind::Pattern { pattern } = kind {
            let problem = format!("{} does not match `{pattern}`", shown(instance));
            let hint = self.own_description(error);
            self.tell(at, problem, hint);
        } else if let Some(problem) = out_of_range(kind, instance) {
            self.tell(at, problem, "");
        } else {
            self.tell(at, error.to_string(), "");
        }
    }

    /// None of several alternatives fits: an unknown word, a rule of an unknown name, or a
    /// mistake inside the alternative that was meant.
    fn choose(
        &mut self,
        at: String,
        instance: &Value,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
    ) {
        let branches = self.branches(error);
        let words: Vec<_> = branches.iter().filter_map(|b| b.get("const")?.as_str()).collect();
        if !words.is_empty() && words.len() == branches.len() {
            let hint = suggest(instance.as_str().unwrap_or_default(), &words);
            self.tell(at, format!("unknown value {}", shown(instance)), hint);
            return;
        }
        let tags: Vec<_> = branches.iter().map(|branch| tag(branch)).collect();
        if tags.iter().any(Option::is_some) {
            self.choose_by_tag(&at, instance, &tags, context);
            return;
        }
        // An optional section: what it is if it is anything but null.
        let section = context
            .iter()
            .zip(&branches)
            .find(|(_, branch)| branch.get("type").and_then(Value::as_str) != Some("null"));
        match section {
            Some((errors, _)) => errors.iter().for_each(|error| self.take(error)),
            None => self.tell(at, error.to_string(), ""),
        }
    }

    /// None of the alternatives that [`TAG`] tells apart fits: what is wrong with the one meant?
    fn choose_by_tag(
        &mut self,
        at: &str,
        instance: &Value,
        tags: &[Option<&str>],
        context: &[Vec<ValidationError<'static>>],
    ) {
        let words: Vec<_> = tags.iter().flatten().copied().collect();
        let at = child(at, TAG);
        let Some(given) = instance.get(TAG) else {
            self.tell(at, "is missing", format!("one of {}", listed(&words)));
            return;
        };
        let meant = tags.iter().position(|tag| tag.is_some() && *tag == given.as_str());
        let Some(errors) = meant.and_then(|index| context.get(index)) else {
            let hint = suggest(given.as_str().unwrap_or_default(), &words);
            self.tell(at, format!("unknown value {}", shown(given)), hint);
            return;
        };
        for error in errors {
            self.take(error);
        }
    }

    /// The schema that holds the keyword which failed.
    fn parent(&self, error: &ValidationError<'_>) -> Option<&'a Value> {
        let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.schema.pointer(parent)
    }

    fn branches(&self, error: &ValidationError<'_>) -> Vec<&'a Value> {
        let branches = self.schema.pointer(error.schema_path().as_str()).and_then(Value::as_array);
        branches.into_iter().flatten().collect()
    }

    fn siblings(&self, error: &ValidationError<'_>, keyword: &str) -> Vec<String> {
        let object = self.parent(error).and_then(|parent| parent.get(keyword)?.as_object());
        object.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// What the missing key `name` means.
    fn description(&self, error: &ValidationError<'_>, name: &str) -> String {
        let described = self
            .parent(error)
            .and_then(|parent| parent.get("properties")?.get(name)?.get("description")?.as_str());
        described.map(first_sentence).unwrap_or_default()
    }

    /// What the value that failed means.
    fn own_description(&self, error: &ValidationError<'_>) -> String {
        let described = self.parent(error).and_then(|parent| parent.get("description")?.as_str());
        described.map(first_sentence).unwrap_or_default()
    }
}

/// Where it is said what stands in the place of an identifier.
const POLICY: &str = "/redact/policy";

/// Name of the property that tells one alternative from the others.
const TAG: &str = "rule";

/// Value of [`TAG`] in one alternative.
fn tag(branch: &Value) -> Option<&str> {
    branch.get("properties")?.get(TAG)?.get("const")?.as_str()
}

/// The first sentence of a doc comment, as a hint.
fn first_sentence(text: &str) -> String {
    let text = text.split(". ").next().unwrap_or(text).replace('\n', " ");
    text.trim_end_matches('.').to_owned()
}

/// The value itself where it is short, else what it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn wrong_type(kind: &TypeKind, instance: &Value, at: &str) -> (String, String) {
    let wanted: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    };
    let named = |wanted: &String| match wanted.as_str() {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    };
    let words: Vec<_> = wanted.iter().map(named).collect();
    let hint = match instance {
        Value::Number(_) | Value::Bool(_) if words.contains(&"text") => {
            format!("put it in quotes: \"{instance}\"")
        }
        Value::String(text) if text.replace('_', "").parse::<u64>().is_ok() => {
            format!("write it as {}", text.replace('_', ""))
        }
        Value::String(text) if words.contains(&"a whole number") => in_unit(at, text),
        Value::Null => "drop the key to get its default".to_owned(),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => String::new(),
    };
    (format!("expected {}, found {}", words.join(" or "), shown(instance)), hint)
}

/// The count that an amount with a unit of its own (`32MiB`, `30s`) is, in the unit that the key
/// at `at` ends with or names.
fn in_unit(at: &str, text: &str) -> String {
    const BYTES: &[(&str, u64)] = &[
        ("B", 1),
        ("kB", 1000),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
    ];
    const MILLISECONDS: &[(&str, u64)] =
        &[("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000)];
    let key = at.rsplit('/').next().unwrap_or_default();
    let (unit, units, example) = if key.split('_').any(|word| word == "bytes") {
        ("bytes", BYTES, 33_554_432)
    } else if key.ends_with("_ms") {
        ("milliseconds", MILLISECONDS, 30_000)
    } else {
        return String::new();
    };
    let (digits, suffix) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
    let factor = units.iter().find(|(name, _)| *name == suffix.trim()).map(|(_, factor)| *factor);
    let amount = digits.parse::<u64>().ok().zip(factor);
    amount.and_then(|(count, factor)| count.checked_mul(factor)).map_or_else(
        || format!("in {unit}, such as {example}"),
        |count| format!("in {unit}: {count}"),
    )
}

/// A limit that is not kept.
fn out_of_range(kind: &Kind, instance: &Value) -> Option<String> {
    if let Kind::Minimum { limit } = kind {
        Some(format!("{} is below {limit}", shown(instance)))
    } else if let Kind::Maximum { limit } = kind {
        Some(format!("{} is above {limit}", shown(instance)))
    } else if let Kind::MinLength { limit } = kind {
        Some(format!("{} is shorter than {limit} characters", shown(instance)))
    } else if let Kind::MaxLength { limit } = kind {
        Some(format!("is longer than {limit} characters"))
    } else if let Kind::MinItems { limit } = kind {
        Some(format!("has fewer than {limit} entries"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{in_unit, schema};

    #[test]
    fn an_amount_with_a_unit_is_told_in_that_of_its_key() {
        let check = |key: &str, text: &str, expected: &str| {
            assert_eq!(in_unit(&format!("/input/{key}"), text), expected, "{key}: {text}");
        };
        check("document_bytes_max", "32MiB", "in bytes: 33554432");
        check("document_bytes_max", "10 MB", "in bytes: 10000000");
        check("document_bytes_max", "1.5GiB", "in bytes, such as 33554432");
        check("document_bytes_max", "", "in bytes, such as 33554432");
        check("document_bytes_max", "99999999999GiB", "in bytes, such as 33554432");
        check("idle_timeout_ms", "10s", "in milliseconds: 10000");
        check("idle_timeout_ms", "soon", "in milliseconds, such as 30000");
        check("pages_max", "ten", "");
    }

    /// With `SLUICE_BLESS` set, writes the file instead of comparing it.
    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/pipeline.schema.json");
        let fresh = format!("{:#}\n", schema());
        if std::env::var_os("SLUICE_BLESS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == fresh,
            "schemas/pipeline.schema.json is stale; refresh it with \
             `SLUICE_BLESS=1 cargo test --lib config::shape` and read the difference"
        );
    }
}
