//! `JSON value, what is wrong in its shape -> the sections that can be read all the same`.
//!
//! A slip in one rule must not hide a slip in another section, so each section and each entry of
//! a list stands or falls alone.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::pipeline::{Delivery, FieldSpec, FlagSpec, Input, Limits, Output, Rule, TextLimits};
use super::redaction::Redact;
use super::shape::Wrong;

/// What could be read of a `pipeline.yaml`; `None` where the section's own shape is wrong.
#[derive(Debug)]
pub(super) struct Draft {
    /// The file without its unknown keys.
    value: Value,
    pub(super) input: Option<Input>,
    pub(super) text: Option<TextLimits>,
    pub(super) fields: Vec<Option<FieldSpec>>,
    pub(super) sections: Option<BTreeMap<String, Vec<String>>>,
    pub(super) flags: Option<FlagSpec>,
    pub(super) rules: Vec<Option<Rule>>,
    pub(super) redact: Option<Redact>,
    pub(super) output: Option<Output>,
    pub(super) delivery: Option<Delivery>,
    pub(super) limits: Option<Limits>,
}

impl Draft {
    pub(super) fn new(mut value: Value, wrong: &Wrong) -> Self {
        for pointer in &wrong.unknown {
            remove(&mut value, pointer);
        }
        Self {
            input: section(&value, "/input", wrong),
            text: section(&value, "/text", wrong).or_else(|| default(&value, "/text")),
            fields: list(&value, "/fields", wrong),
            sections: section(&value, "/sections", wrong),
            flags: section(&value, "/flags", wrong),
            rules: list(&value, "/rules", wrong),
            redact: section(&value, "/redact", wrong),
            output: section(&value, "/output", wrong),
            delivery: section(&value, "/delivery", wrong).or_else(|| default(&value, "/delivery")),
            limits: section(&value, "/limits", wrong).or_else(|| default(&value, "/limits")),
            value,
        }
    }

    /// The text at `pointer`, even inside a section that is wrong elsewhere.
    pub(super) fn text_at(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str()
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    if let Some(Value::Object(entries)) = value.pointer_mut(parent) {
        entries.remove(&name);
    }
}

fn section<T: DeserializeOwned>(value: &Value, pointer: &str, wrong: &Wrong) -> Option<T> {
    let inside = format!("{pointer}/");
    if wrong.other.iter().any(|at| at == pointer || at.starts_with(&inside)) {
        return None;
    }
    serde_json::from_value(value.pointer(pointer)?.clone()).ok()
}

/// The defaults of a section that the file does not have.
fn default<T: Default>(value: &Value, pointer: &str) -> Option<T> {
    value.pointer(pointer).is_none().then(T::default)
}

fn list<T: DeserializeOwned>(value: &Value, pointer: &str, wrong: &Wrong) -> Vec<Option<T>> {
    let count = value.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    (0..count).map(|index| section(value, &format!("{pointer}/{index}"), wrong)).collect()
}
