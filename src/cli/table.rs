//! `outcome as JSON -> lines for a person`: what the document says, where, and how sure.

use serde_json::Value;

use crate::config::Flow;
use crate::config::pipeline::FieldSpec;

/// Longest value on one line, in characters.
const VALUE_CHARS_MAX: usize = 76;
/// Values of a list with attributes that are shown, one a line.
const ITEMS_MAX: usize = 12;
/// Least width of the column of names.
const NAME_WIDTH_MIN: usize = 14;

/// One document and how it ended.
pub(super) struct Row {
    /// Document id, with the number of its part where it has several.
    pub document: String,
    /// `record`, `review` or `reject`.
    pub outcome: &'static str,
    /// The record, or null where there is none.
    pub value: Value,
    /// Why it went to review or was refused.
    pub reasons: Vec<String>,
}

/// The lines of one document.
pub(super) fn block(row: &Row, flow: &Flow) -> String {
    let names = flow.pipeline.fields.iter().map(|field| field.name.len());
    let width = names.max().unwrap_or_default().max(NAME_WIDTH_MIN);
    let mut lines = format!("{}  {}\n", row.outcome.to_uppercase(), row.document);
    for reason in &row.reasons {
        line(&mut lines, width, "why", reason);
    }
    if row.value.is_null() {
        return lines;
    }
    for field in &flow.pipeline.fields {
        let values = match row.value.get(&field.name) {
            None => continue,
            Some(value) => value.as_array().map_or_else(|| vec![value], |all| all.iter().collect()),
        };
        let values: Vec<_> =
            values.into_iter().filter(|value| !value.is_null()).map(plain).collect();
        if values.is_empty() {
            continue;
        }
        if !field.attributes.is_empty() {
            let mut name = field.name.replace('_', " ");
            for value in values.iter().take(ITEMS_MAX) {
                line(&mut lines, width, &std::mem::take(&mut name), &short(value));
            }
            if let Some(more) = values.len().checked_sub(ITEMS_MAX).filter(|more| *more > 0) {
                line(&mut lines, width, "", &format!("and {more} more"));
            }
            continue;
        }
        let value = values.join("; ");
        let place = place_of(&row.value, &field.name);
        line(
            &mut lines,
            width,
            &field.name.replace('_', " "),
            &format!("{}{place}", short(&value)),
        );
    }
    if let Some(flags) = &flow.pipeline.flags {
        let shown = shown_by_field(flow);
        let mut name = flags.column.clone();
        for (label, confidence, page) in present(&row.value, &flags.column) {
            if shown.contains(&label) {
                continue;
            }
            let page = page.map_or_else(String::new, |page| format!("p. {page}, "));
            let told = format!("{} ({page}{confidence:.0} %)", label.replace('_', " "));
            line(&mut lines, width, &std::mem::take(&mut name), &told);
        }
    }
    lines
}

/// Flags that say no more than a field does.
fn shown_by_field(flow: &Flow) -> Vec<String> {
    flow.pipeline.fields.iter().flat_map(FieldSpec::all_labels).map(flag_name).collect()
}

/// The name of a label's flag; see `FlagSpec::labels`.
pub(super) fn flag_name(label: &str) -> String {
    let words = label.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_ascii_lowercase()
}

/// Present flags with their confidence in percent and the page of their first evidence.
fn present(record: &Value, column: &str) -> Vec<(String, f64, Option<i64>)> {
    let flags = record[column].as_object().into_iter().flatten();
    let flags = flags.filter(|(_, flag)| flag["present"] == Value::Bool(true));
    flags
        .map(|(name, flag)| {
            let confidence = flag["confidence"].as_f64().unwrap_or_default() * 100.0;
            let page = evidence(record, &format!("{column}.{name}"));
            (name.clone(), confidence, page.and_then(|place| place["page"].as_i64()))
        })
        .collect()
}

fn evidence<'a>(record: &'a Value, field: &str) -> Option<&'a Value> {
    let mut places = record["evidence"].as_array().into_iter().flatten();
    places.find(|place| place["field"] == field)
}

fn place_of(record: &Value, field: &str) -> String {
    evidence(record, field).map_or_else(String::new, |place| {
        let confidence = place["confidence"].as_f64().unwrap_or_default() * 100.0;
        format!(" (p. {}, {confidence:.0} %)", place["page"])
    })
}

/// A value; one with attributes with those that say something, in brackets.
fn plain(value: &Value) -> String {
    let Some(columns) = value.as_object() else {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    };
    let told = columns.iter().filter(|(name, _)| !matches!(name.as_str(), "value" | "evidence"));
    let told: Vec<_> = told.filter_map(|(name, value)| attribute(name, value)).collect();
    let main = columns.get("value").map(plain).unwrap_or_default();
    if told.is_empty() { main } else { format!("{main} ({})", told.join(", ")) }
}

fn attribute(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(name.replace('_', " ")),
        Value::Array(all) if all.is_empty() => None,
        Value::Array(all) => Some(all.iter().map(plain).collect::<Vec<_>>().join(" + ")),
        Value::Number(_) | Value::String(_) | Value::Object(_) => Some(plain(value)),
    }
}

fn short(value: &str) -> String {
    if value.chars().count() <= VALUE_CHARS_MAX {
        return value.to_owned();
    }
    let kept: String = value.chars().take(VALUE_CHARS_MAX).collect();
    format!("{kept}…")
}

fn line(lines: &mut String, width: usize, name: &str, value: &str) {
    lines.extend([format!("    {name:<width$}  {value}"), "\n".to_owned()]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{flag_name, plain, present};

    #[test]
    fn a_value_with_attributes_is_told_in_one_line() {
        let value = json!({
            "value": "aspirin", "dosage": ["81 mg", "daily"], "negated": true, "section": null,
            "evidence": [{"field": "medications"}],
        });
        assert_eq!(plain(&value), "aspirin (81 mg + daily, negated)");
        assert_eq!(plain(&json!({"value": "fever", "negated": false})), "fever");
        assert_eq!(plain(&json!("fever")), "fever");
    }

    #[test]
    fn a_flag_is_told_with_confidence_and_page() {
        let record = json!({
            "clauses": {"a": {"present": true, "confidence": 0.5}, "b": {"present": false, "confidence": 0.1}},
            "evidence": [{"field": "clauses.a", "page": 3}],
        });
        assert_eq!(present(&record, "clauses"), [("a".to_owned(), 50.0, Some(3))]);
        assert_eq!(flag_name("Rofr/Rofo/Rofn"), "rofr_rofo_rofn");
    }
}
