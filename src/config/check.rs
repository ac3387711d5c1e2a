//! `sections of pipeline.yaml -> problems of their meaning`.
//!
//! Deliberately offline, and blind to other rooms: whether the Avro schema fits the fields is the
//! codec's to say, and the command line puts the answers together.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::pipeline::{FieldKind, FieldSpec, Limits, TextLimits};
use super::problem::{Report, suggest};
use super::rules::{REGEX_HINT, kind_name, regular};

/// Columns that every record has; no field may take their name.
pub const RESERVED_COLUMNS: &[&str] = &["document_id", "evidence", "provenance", "record_id"];

/// What the checks need to know of the model bundle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Labels of the model.
    pub(super) labels: &'a [&'a str],
    /// Languages that it was trained on (ISO 639-1).
    pub(super) languages: &'a [String],
}

/// Adds every problem of meaning to `report`; what depends on the model is left out where the
/// bundle could not be read.
pub(super) fn check(draft: &Draft, known: Option<Known<'_>>, report: &mut Report<'_>) {
    topics(draft, report);
    columns(draft, report);
    near(draft, report);
    limits(draft, report);
    super::rules::check(draft, report);
    if let Some(known) = known {
        labels(draft, known, report);
        languages(draft, known, report);
    }
}

fn topics(draft: &Draft, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for pointer in
        ["/input/topic", "/output/record_topic", "/output/review_topic", "/output/reject_topic"]
    {
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

/// Words that lead to a value: for dates and durations, and readable.
fn near(draft: &Draft, report: &mut Report<'_>) {
    for (index, field) in draft.fields.iter().enumerate() {
        let Some((field, words)) = field.as_ref().and_then(|f| f.near.as_ref().map(|n| (f, n)))
        else {
            continue;
        };
        let pointer = format!("/fields/{index}/near");
        if !matches!(field.kind, FieldKind::Date | FieldKind::Duration) {
            let problem = format!("the field is of type {}", kind_name(field.kind));
            report.at(&pointer, problem, "`near` is for `date` and `duration`");
        } else if let Err(problem) = regular(words) {
            report.at(&pointer, problem, REGEX_HINT);
        }
    }
}

fn labels(draft: &Draft, known: Known<'_>, report: &mut Report<'_>) {
    let mut check = |pointer: &str| {
        let Some(label) = draft.text_at(pointer) else { return };
        if !known.labels.contains(&label) {
            let hint = suggest(label, known.labels);
            report.at(pointer, format!("the model has no label `{label}`"), hint);
        }
    };
    for index in 0..draft.fields.len() {
        check(&format!("/fields/{index}/label"));
    }
    let Some(flags) = &draft.flags else { return };
    for index in 0..flags.labels.len() {
        check(&format!("/flags/labels/{index}"));
    }
    for (index, label) in flags.labels.iter().enumerate() {
        if flags.labels.iter().take(index).any(|earlier| earlier == label) {
            let pointer = format!("/flags/labels/{index}");
            report.at(&pointer, format!("`{label}` stands here twice"), "keep one of them");
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
