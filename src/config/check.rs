//! `sections of pipeline.yaml -> problems of their meaning`.
//!
//! Deliberately offline, and blind to other rooms: whether the Avro schema fits the fields is the
//! codec's to say, and the command line puts the answers together.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::labels::{HeadKind, Labels};
use super::pipeline::{FieldSpec, Limits, Rule, TextLimits};
use super::problem::{Report, suggest};

/// Columns that every record has; no field may take their name.
pub const RESERVED_COLUMNS: &[&str] = &["document_id", "evidence", "provenance", "record_id"];

/// What the checks need to know of the model bundle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Labels of the model.
    pub(super) labels: &'a Labels,
    /// Languages that it was trained on (ISO 639-1).
    pub(super) languages: &'a [String],
}

/// Adds every problem of meaning to `report`; what depends on the model is left out where the
/// bundle could not be read.
pub(super) fn check(draft: &Draft, known: Option<Known<'_>>, report: &mut Report<'_>) {
    topics(draft, report);
    columns(draft, report);
    super::columns::check(draft, report);
    super::redaction::check(draft, known.map(|known| known.labels), report);
    super::claims::check(draft, report);
    limits(draft, report);
    super::rules::check(draft, report);
    if let Some(known) = known {
        labels(draft, known, report);
        languages(draft, known, report);
    }
}

fn topics(draft: &Draft, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for pointer in [
        "/input/topic",
        "/output/record_topic",
        "/output/review_topic",
        "/output/reject_topic",
        "/output/audit_topic",
    ] {
        let Some(topic) = draft.text_at(pointer) else { continue };
        if matches!(topic, "." | "..") {
            report.at(pointer, format!("`{topic}` is not a topic name"), "");
        }
        if let Some(first) = seen.insert(topic, pointer) {
            let first = first.trim_start_matches('/').replace('/', ".");
            report.at(pointer, format!("is the same topic as `{first}`"), "give each its own");
        }
    }
}

/// Field names by column, for the rules; `None` where the field itself is wrong.
pub(super) fn fields_by_name(draft: &Draft) -> BTreeMap<&str, Option<&FieldSpec>> {
    let mut fields = BTreeMap::new();
    for (index, field) in draft.fields.iter().enumerate() {
        if let Some(name) = draft.text_at(&format!("/fields/{index}/name")) {
            fields.entry(name).or_insert(field.as_ref());
        }
    }
    fields
}

fn columns(draft: &Draft, report: &mut Report<'_>) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    let fields = (0..draft.fields.len()).map(|index| format!("/fields/{index}/name"));
    for pointer in fields.chain(["/flags/column".to_owned()]) {
        let Some(name) = draft.text_at(&pointer) else { continue };
        if RESERVED_COLUMNS.contains(&name) {
            report.at(
                &pointer,
                format!("the column `{name}` is in every record already"),
                "take another name",
            );
        }
        if let Some(first) = seen.get(name) {
            let line = report.line(first);
            report.at(
                &pointer,
                format!("the column `{name}` is already taken in line {line}"),
                "take another name",
            );
        }
        seen.entry(name).or_insert(pointer);
    }
}

fn labels(draft: &Draft, known: Known<'_>, report: &mut Report<'_>) {
    let names: Vec<_> = known.labels.names().iter().map(String::as_str).collect();
    let mut check = |pointer: &str| {
        let Some(label) = draft.text_at(pointer) else { return };
        if !names.contains(&label) {
            let hint = suggest(label, &names);
            report.at(pointer, format!("the model has no label `{label}`"), hint);
        }
    };
    for (index, field) in draft.fields.iter().enumerate() {
        let at = format!("/fields/{index}");
        check(&format!("{at}/label"));
        let Some(field) = field else { continue };
        (0..field.labels.len()).for_each(|label| check(&format!("{at}/labels/{label}")));
        for (index, attribute) in field.attributes.iter().enumerate() {
            let at = format!("{at}/attributes/{index}");
            check(&format!("{at}/label"));
            (0..attribute.labels.len()).for_each(|label| check(&format!("{at}/labels/{label}")));
        }
    }
    let count = draft.flags.as_ref().map_or(0, |flags| flags.labels.len());
    (0..count).for_each(|index| check(&format!("/flags/labels/{index}")));
    flags(draft, known.labels, report);
    heads(draft, known.labels, report);
    classes(draft, known.labels, report);
}

/// Labels of flags: once each, and such as have a flag.
fn flags(draft: &Draft, known: &Labels, report: &mut Report<'_>) {
    let Some(flags) = &draft.flags else { return };
    if !(0..known.names().len()).any(|label| known.has_flag(label)) {
        let problem = "the model has no head of kind `multilabel`, and no other gives flags";
        report.at("/flags", problem, "drop the section, or name another model");
        return;
    }
    for (index, label) in flags.labels.iter().enumerate() {
        let pointer = format!("/flags/labels/{index}");
        if flags.labels.iter().take(index).any(|earlier| earlier == label) {
            report.at(&pointer, format!("`{label}` stands here twice"), "keep one of them");
        } else if known.index(label).is_some_and(|label| !known.has_flag(label)) {
            let hint = "labels of a head of kind `multilabel` have flags";
            report.at(&pointer, format!("the label `{label}` has no flag"), hint);
        }
    }
}

/// Heads that columns name: there, and sorting documents into classes.
fn heads(draft: &Draft, known: &Labels, report: &mut Report<'_>) {
    let is_sorting = |kind: HeadKind| match kind {
        HeadKind::Classes => true,
        HeadKind::Multilabel | HeadKind::Entities => false,
    };
    let heads = known.heads().iter().filter(|head| is_sorting(head.kind));
    let names: Vec<_> = heads.map(|head| head.name.as_str()).collect();
    for index in 0..draft.fields.len() {
        let pointer = format!("/fields/{index}/head");
        let Some(name) = draft.text_at(&pointer).filter(|name| !names.contains(name)) else {
            continue;
        };
        let problem = match known.head(name) {
            Some(_) => format!("the head `{name}` gives spans, not classes"),
            None => format!("the model has no head `{name}`"),
        };
        let hint = if names.is_empty() {
            "it sorts no documents; use `label`, and another type than `class`".to_owned()
        } else {
            suggest(name, &names)
        };
        report.at(&pointer, problem, hint);
    }
}

/// Values of rules about a class: a head gives no other than its labels, so that a slip would make
/// the rule hold, or break, for every document.
fn classes(draft: &Draft, known: &Labels, report: &mut Report<'_>) {
    for (index, rule) in draft.rules.iter().enumerate() {
        let Some(
            Rule::OneOf { field, values, otherwise: _ }
            | Rule::NoneOf { field, values, otherwise: _ },
        ) = rule
        else {
            continue;
        };
        let fields = draft.fields.iter().flatten();
        let mut heads = fields.filter(|one| one.name == *field).flat_map(|one| &one.head);
        let Some(head) = heads.next().and_then(|name| known.head(name)) else { continue };
        let labels = known.names().get(head.labels.clone()).unwrap_or_default();
        let names: Vec<_> = labels.iter().map(String::as_str).collect();
        for (at, value) in values.iter().enumerate() {
            if !names.contains(&value.as_str()) {
                let problem = format!("the head `{}` has no class `{value}`", head.name);
                report.at(&format!("/rules/{index}/values/{at}"), problem, suggest(value, &names));
            }
        }
    }
}

fn languages(draft: &Draft, known: Known<'_>, report: &mut Report<'_>) {
    let Some(text) = &draft.text else { return };
    let languages: Vec<_> = known.languages.iter().map(String::as_str).collect();
    for (index, language) in text.languages.iter().enumerate() {
        if !languages.contains(&language.as_str()) {
            report.at(
                &format!("/text/languages/{index}"),
                format!("the model was not trained on `{language}`"),
                suggest(language, &languages),
            );
        }
    }
}

/// Limits that contradict each other.
fn limits(draft: &Draft, report: &mut Report<'_>) {
    if let Some(text) = &draft.text {
        text_limits(text, report);
    }
    if let (Some(input), Some(limits)) = (&draft.input, &draft.limits) {
        let Limits { in_flight_bytes_max, .. } = limits;
        if *in_flight_bytes_max < input.document_bytes_max {
            report.at(
                "/limits/in_flight_bytes_max",
                format!("{in_flight_bytes_max} bytes hold no largest document"),
                format!("at least input.document_bytes_max ({})", input.document_bytes_max),
            );
        }
    }
    if let (Some(input), Some(text)) = (&draft.input, &draft.text) {
        let document = u64::try_from(input.document_bytes_max).unwrap_or(u64::MAX);
        if text.memory_bytes_max < document.saturating_mul(2) {
            report.at(
                "/text/memory_bytes_max",
                format!("{} bytes do not hold a document and its text", text.memory_bytes_max),
                format!("at least twice input.document_bytes_max ({document})"),
            );
        }
    }
    if let Some(delivery) = &draft.delivery {
        let timeout = u64::from(delivery.transaction_timeout_ms);
        if timeout <= delivery.commit_interval_ms {
            report.at(
                "/delivery/transaction_timeout_ms",
                format!("{timeout} ms end before the next commit is due"),
                format!("above delivery.commit_interval_ms ({})", delivery.commit_interval_ms),
            );
        }
        let budget = delivery.reject_budget;
        let window = u64::try_from(budget.window_deliveries).unwrap_or(u64::MAX);
        if budget.rejects_min > window {
            report.at(
                "/delivery/reject_budget/rejects_min",
                format!("no window of {window} deliveries has {} rejects", budget.rejects_min),
                format!("at most delivery.reject_budget.window_deliveries ({window})"),
            );
        }
    }
}

fn text_limits(text: &TextLimits, report: &mut Report<'_>) {
    if text.progress_timeout_ms > text.total_timeout_ms {
        report.at(
            "/text/progress_timeout_ms",
            format!("{} ms can never pass", text.progress_timeout_ms),
            format!("at most text.total_timeout_ms ({})", text.total_timeout_ms),
        );
    }
    if text.text_chars_min > text.text_bytes_max {
        report.at(
            "/text/text_chars_min",
            format!("no text has {} characters", text.text_chars_min),
            format!("at most text.text_bytes_max ({})", text.text_bytes_max),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::{GOOD, without_heads};
    use crate::config::load;

    #[test]
    fn what_the_model_has_no_head_for_is_told_once() {
        let check = |kind: &str, old: &str, new: &str, expected: &[&str]| {
            let root = without_heads(kind, &GOOD.replacen(old, new, 1));
            let found = load(&root.path().join("leases")).err().unwrap_or_default();
            let told =
                found.iter().filter(|one| !one.problem.starts_with("the model has no label"));
            let told: Vec<_> = told.map(|one| format!("{}; {}", one.problem, one.hint)).collect();
            assert_eq!(told, expected, "{kind}: {new}");
        };
        let flags = "the model has no head of kind `multilabel`, and no other gives flags; drop \
                     the section, or name another model";
        check("multilabel", "", "", &[flags]);
        check("multilabel", "column: clauses", "column: clauses\n  labels: [lease]", &[flags]);
        let text = "label: Document Name\n    type: text";
        for (head, problem) in [
            ("kind", "the model has no head `kind`"),
            ("clauses", "the head `clauses` gives spans, not classes"),
        ] {
            let hint = "it sorts no documents; use `label`, and another type than `class`";
            let class = format!("head: {head}\n    type: class");
            check("classes", text, &class, &[&format!("{problem}; {hint}")]);
        }
    }
}
