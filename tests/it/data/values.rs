//! Typed values against the answers that lawyers wrote for CUAD: `assemble` is given the spans that
//! they marked, all equally sure, and its value is compared with their answer.
//!
//! Reads `cuad/train.jsonl.gz` and `cuad/dev.jsonl.gz` below `SLUICE_DATA`, and fails without; the
//! test split is left alone. The floors stand a little below what was measured when they were
//! written. Many answers cannot be had from the span alone (an expiration date that is the
//! effective date and five years, a name spelt otherwise), so that 1 is out of reach.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use sluice::assemble::{Plan, assemble};
use sluice::config::pipeline::{FieldKind, FieldSpec, FlagSpec};
use sluice::config::{HeadKind, Labels};
use sluice::types::{Extraction, Finding, FlagScore, Span, Text};

#[derive(Deserialize)]
struct Contract {
    text: String,
    spans: Vec<Marked>,
    answers: BTreeMap<String, String>,
}

/// Character offsets, end exclusive.
#[derive(Deserialize)]
struct Marked {
    label: String,
    start: usize,
    end: usize,
}

fn contracts(split: &str) -> Vec<Contract> {
    let path = super::folder().join("cuad").join(format!("{split}.jsonl.gz"));
    let read = Command::new("gzip").arg("-dc").arg(&path).output().expect("gzip runs");
    assert!(read.status.success(), "reading {}", path.display());
    let lines = String::from_utf8(read.stdout).expect("the data is UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("a contract a line")).collect()
}

/// What `assemble` makes of the marked spans of `labels`.
fn extraction(contract: &Contract, field: &FieldSpec, labels: &[String]) -> Extraction {
    let chars = contract.text.char_indices().map(|(byte, _)| byte);
    let bytes: Vec<_> = chars.chain([contract.text.len()]).collect();
    let findings: Vec<_> = contract
        .spans
        .iter()
        .filter_map(|marked| {
            let label = labels.iter().position(|label| *label == marked.label)?;
            let span = Span { start: bytes[marked.start], end: bytes[marked.end] };
            Some(Finding { label, span, confidence: 0.9 })
        })
        .collect();
    let score = |label| FlagScore { label, confidence: 0.9, is_present: true };
    let scores: Vec<_> = (0..labels.len()).map(score).collect();
    let flags = FlagSpec { column: "clauses".to_owned(), labels: Vec::new() };
    let labels = Labels::new([("clauses", HeadKind::Multilabel, labels.to_vec())]);
    let plan = Plan::new(std::slice::from_ref(field), &BTreeMap::new(), Some(&flags), &labels)
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let text = Text::from_pages([contract.text.clone()]);
    assemble(&findings, &scores, &text, None, &plan).expect("marked spans are grounded")
}

/// The one column of the contract, as words; empty where it has no value.
fn values(contract: &Contract, field: &FieldSpec) -> Vec<String> {
    let extraction = extraction(contract, field, std::slice::from_ref(label(field)));
    let values = extraction.fields.into_iter().flat_map(|field| field.values);
    values.map(|one| one.value.written().into_owned()).collect()
}

/// The one label of a column.
fn label(field: &FieldSpec) -> &String {
    field.label.as_ref().expect("the columns of these tests have one label")
}

/// How often value and answer agree.
#[derive(Clone, Copy, Debug, Default)]
struct Agreement {
    /// Answers that are a value of the column's type.
    answers: u16,
    /// Values that we gave, whatever the answer.
    given: u16,
    /// Values that are an answer.
    same: u16,
}

impl Agreement {
    /// Share of the answers that we gave.
    fn recall(self) -> f32 {
        f32::from(self.same) / f32::from(self.answers)
    }

    /// Share of our values that are an answer.
    fn precision(self) -> f32 {
        f32::from(self.same) / f32::from(self.given)
    }
}

fn count(things: usize) -> u16 {
    u16::try_from(things).expect("fewer than 65536 contracts")
}

/// Compares the one value of a column; `forms` gives every spelling of an answer, or none where
/// the answer is no value of the type.
fn single(split: &str, field: &FieldSpec, forms: fn(&str) -> Vec<String>) -> Agreement {
    let mut agreement = Agreement::default();
    let is_marked = |contract: &Contract| contract.spans.iter().any(|s| s.label == *label(field));
    for contract in contracts(split).iter().filter(|contract| is_marked(contract)) {
        let forms = contract.answers.get(label(field)).map_or_else(Vec::new, |told| forms(told));
        let values = values(contract, field);
        agreement.answers += u16::from(!forms.is_empty());
        agreement.given += count(values.len());
        agreement.same += u16::from(values.iter().any(|value| forms.contains(value)));
    }
    agreement
}

fn check(agreement: Agreement, recall: f32, precision: f32, name: &str) {
    let (got_recall, got_precision) = (agreement.recall(), agreement.precision());
    assert!(
        got_recall >= recall && got_precision >= precision,
        "{name}: recall {got_recall:.3} (floor {recall}), precision {got_precision:.3} (floor \
         {precision}), {agreement:?}"
    );
}

fn field(label: &str, kind: FieldKind, near: Option<&str>) -> FieldSpec {
    let near = near.map(str::to_owned);
    FieldSpec { near, ..FieldSpec::new("value", label, kind) }
}

/// The column of `pipelines/contracts` for `label`, leading words included, so that what is
/// measured is what runs.
fn column(label: &str, kind: FieldKind) -> FieldSpec {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/contracts/pipeline.yaml");
    let pipeline = std::fs::read_to_string(path).expect("the pipeline is there");
    let column = pipeline.split("- name: ").find(|column| {
        column.lines().any(|line| line.trim().strip_prefix("label: ") == Some(label))
    });
    let column = column.expect("the pipeline has a column for the label");
    let near = column.lines().find_map(|line| line.trim().strip_prefix("near: "));
    field(label, kind, near)
}

/// The answer's `m/d/yy` in ISO 8601; years above 68 are of the 20th century.
fn date_forms(answer: &str) -> Vec<String> {
    let parts: Option<Vec<i16>> = answer.split('/').map(|part| part.parse().ok()).collect();
    let Some([month, day, year]) = parts.as_deref() else { return Vec::new() };
    let year = match year {
        0..=68 => year + 2000,
        69..=99 => year + 1900,
        _ => *year,
    };
    vec![format!("{year:04}-{month:02}-{day:02}")]
}

/// "2 successive 10 years" in ISO 8601; a year is also twelve months.
fn duration_forms(answer: &str) -> Vec<String> {
    let is_gap = |letter: char| !letter.is_alphanumeric() && letter != '.';
    let words: Vec<_> = answer.split(is_gap).filter(|word| !word.is_empty()).collect();
    let number_and_unit = |pair: &[&str]| {
        let unit = pair[1].to_lowercase().trim_end_matches('s').to_owned();
        Some((pair[0].parse::<f32>().ok()?, unit))
    };
    let Some((number, unit)) = words.windows(2).rev().find_map(number_and_unit) else {
        return Vec::new();
    };
    let of_months = |months: f32| match months / 12.0 {
        years if years.fract() == 0.0 => vec![format!("P{months}M"), format!("P{years}Y")],
        _ => vec![format!("P{months}M")],
    };
    match unit.as_str() {
        "year" => of_months(number * 12.0),
        "month" => of_months(number),
        "week" => vec![format!("P{number}W")],
        "day" => vec![format!("P{number}D")],
        "hour" => vec![format!("PT{number}H")],
        _ => Vec::new(),
    }
}

/// The places of an answer, such as "Texas; Singapore", by the names that we use.
fn place_forms(answer: &str) -> Vec<String> {
    let answer = answer.replace("; Wales", " and Wales");
    let place = |place: &str| {
        let place = place.split(',').next().unwrap_or_default().trim();
        match place.trim_start_matches("Province of ").trim_start_matches("Republic of ") {
            "People's Republic of China" => "China".to_owned(),
            place => place.to_owned(),
        }
    };
    answer.split(';').map(place).filter(|place| !place.is_empty() && !place.contains('[')).collect()
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn dates_agree_with_the_answers() {
    let date = |split, label| single(split, &column(label, FieldKind::Date), date_forms);
    check(date("train", "Agreement Date"), 0.98, 0.98, "agreement date, train");
    check(date("dev", "Agreement Date"), 0.96, 0.98, "agreement date, dev");
    check(date("train", "Effective Date"), 0.92, 0.96, "effective date, train");
    check(date("dev", "Effective Date"), 0.92, 0.96, "effective date, dev");
    // Two answers in three are the effective date and a term: no span states them.
    check(date("train", "Expiration Date"), 0.32, 0.93, "expiration date, train");
    check(date("dev", "Expiration Date"), 0.2, 0.7, "expiration date, dev");
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn leading_words_make_expiration_dates_more_and_surer() {
    let kind = FieldKind::Date;
    let plain = single("train", &field("Expiration Date", kind, None), date_forms);
    let led = single("train", &column("Expiration Date", kind), date_forms);
    assert!(led.recall() > plain.recall() && led.precision() > plain.precision() + 0.1);
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn durations_agree_with_the_answers() {
    let term = |split, label| single(split, &column(label, FieldKind::Duration), duration_forms);
    let notice = "Notice Period To Terminate Renewal";
    check(term("train", "Renewal Term"), 0.89, 0.88, "renewal term, train");
    check(term("dev", "Renewal Term"), 0.86, 0.86, "renewal term, dev");
    check(term("train", notice), 0.9, 0.9, "notice period, train");
    check(term("dev", notice), 0.8, 0.8, "notice period, dev");
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn jurisdictions_agree_with_the_answers() {
    let law = field("Governing Law", FieldKind::Jurisdiction, None);
    check(single("train", &law, place_forms), 0.98, 0.98, "governing law, train");
    check(single("dev", &law, place_forms), 0.93, 0.93, "governing law, dev");
}

/// Letters and digits in lower case.
fn key(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Names as the answer spells them, typing errors too: "Acme Inc. ("Acme"); Beta LLC ("Beta")".
fn names(split: &str) -> Agreement {
    let parties = FieldSpec { many: true, ..field("Parties", FieldKind::Party, None) };
    let mut agreement = Agreement::default();
    for contract in contracts(split) {
        let Some(answer) = contract.answers.get("Parties") else { continue };
        let told =
            answer.split(';').map(|name| key(name.split(['(', '"', '“']).next().unwrap_or("")));
        let told: BTreeSet<_> = told.filter(|name| !name.is_empty()).collect();
        let ours: BTreeSet<_> = values(&contract, &parties).iter().map(|name| key(name)).collect();
        agreement.answers += count(told.len());
        agreement.given += count(ours.len());
        agreement.same += count(told.intersection(&ours).count());
    }
    agreement
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn party_lists_hold_the_names_of_the_answers() {
    check(names("train"), 0.83, 0.86, "parties, train");
    check(names("dev"), 0.83, 0.86, "parties, dev");
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn every_marked_span_of_every_label_is_grounded() {
    for split in ["train", "dev"] {
        let mut spans = 0;
        for contract in contracts(split) {
            let labels: BTreeSet<_> = contract.spans.iter().map(|span| &span.label).collect();
            let labels: Vec<_> = labels.into_iter().cloned().collect();
            let Some(label) = labels.first() else { continue };
            let extraction = extraction(&contract, &field(label, FieldKind::Text, None), &labels);
            for evidence in extraction.flags.iter().flat_map(|flag| &flag.evidence) {
                let words = contract.text.get(evidence.span.range());
                assert_eq!(words, Some(evidence.raw.as_str()), "the words are those of the span");
                let scalars = evidence.scalars.range();
                assert_eq!(evidence.raw.chars().count(), scalars.len());
                spans += 1;
            }
        }
        assert!(spans > 500, "{split} has {spans} spans");
    }
}
