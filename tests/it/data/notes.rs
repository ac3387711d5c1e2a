//! Clinical values against MACCROBAT: `assemble` is given the entities that annotators marked, all
//! equally sure. What it pairs is compared with their relations (`MODIFY`); what it reads, with
//! how many of their spans hold a value at all.
//!
//! Reads `maccrobat2020/dev.jsonl` below `SLUICE_DATA`, and fails without; the test split is left
//! alone. The floors stand a little below what was measured when they were written.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sluice::assemble::{Plan, assemble};
use sluice::config::pipeline::{AttributeSpec, FieldKind, FieldSpec};
use sluice::config::{HeadKind, Labels};
use sluice::types::{Field, Finding, Span, Text};

#[derive(Deserialize)]
struct Note {
    text: String,
    entities: Vec<Entity>,
    relations: Vec<Relation>,
}

/// Character offsets, end exclusive.
#[derive(Deserialize)]
struct Entity {
    id: String,
    label: String,
    start: usize,
    end: usize,
}

#[derive(Deserialize)]
struct Relation {
    #[serde(rename = "type")]
    kind: String,
    head: String,
    tail: String,
}

const LABELS: [&str; 10] = [
    "Medication",
    "Dosage",
    "Diagnostic_procedure",
    "Lab_value",
    "Sign_symptom",
    "Disease_disorder",
    "Severity",
    "Age",
    "Sex",
    "Duration",
];

fn notes() -> Vec<Note> {
    let path = super::folder().join("maccrobat2020/dev.jsonl");
    let lines = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    lines.lines().map(|line| serde_json::from_str(line).expect("a note a line")).collect()
}

impl Note {
    /// Entities of the labels, as byte spans.
    fn spans(&self) -> BTreeMap<&str, (&str, Span)> {
        let chars = self.text.char_indices().map(|(byte, _)| byte);
        let bytes: Vec<_> = chars.chain([self.text.len()]).collect();
        let span = |one: &Entity| Span { start: bytes[one.start], end: bytes[one.end] };
        let known = self.entities.iter().filter(|one| LABELS.contains(&one.label.as_str()));
        known.map(|one| (one.id.as_str(), (one.label.as_str(), span(one)))).collect()
    }

    /// What `assemble` makes of the entities for one column.
    fn field(&self, spec: &FieldSpec) -> Field {
        let labels = LABELS.map(str::to_owned).to_vec();
        let labels = Labels::new([("entities", HeadKind::Entities, labels)]);
        let plan = Plan::new(std::slice::from_ref(spec), &BTreeMap::new(), None, &labels)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let finding = |(label, span): &(&str, Span)| Finding {
            label: labels.index(label).expect("a known label"),
            span: *span,
            confidence: 0.9,
        };
        let findings: Vec<_> = self.spans().values().map(finding).collect();
        let text = Text::from_pages([self.text.clone()]);
        let extraction = assemble(&findings, &[], &text, None, &plan);
        extraction.expect("marked spans are grounded").fields.remove(0)
    }

    /// Relations of a modifier's label to one of the items' labels: item, modifier.
    fn pairs(&self, modifier: &str, items: &[&str]) -> BTreeSet<(Span, Span)> {
        let spans = self.spans();
        let ends =
            |one: &Relation| Some((*spans.get(one.head.as_str())?, *spans.get(one.tail.as_str())?));
        let related = self.relations.iter().filter(|one| one.kind == "MODIFY").filter_map(ends);
        related
            .flat_map(|(head, tail)| [(head, tail), (tail, head)])
            .filter(|((item, _), (of, _))| items.contains(item) && *of == modifier)
            .map(|((_, item), (_, of))| (item, of))
            .collect()
    }
}

fn column(labels: &[&str], attributes: Vec<AttributeSpec>) -> FieldSpec {
    FieldSpec {
        label: None,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        many: true,
        attributes,
        ..FieldSpec::new("items", "", FieldKind::Text)
    }
}

/// Precision and recall of the pairs of `modifier` and `items`.
fn pairing(modifier: &str, items: &[&str]) -> (f64, f64) {
    let attribute = AttributeSpec {
        label: Some(modifier.to_owned()),
        many: true,
        ..AttributeSpec::new("of", FieldKind::Text)
    };
    let spec = column(items, vec![attribute]);
    let (mut right, mut made, mut told) = (0_u32, 0_u32, 0_u32);
    for note in notes() {
        let gold = note.pairs(modifier, items);
        let field = note.field(&spec);
        let found: BTreeSet<_> = field
            .values
            .iter()
            .flat_map(|one| {
                let attached = one.attributes.iter().filter_map(|found| found.evidence.as_ref());
                attached.map(|evidence| (one.evidence.span, evidence.span))
            })
            .collect();
        let count = |set: usize| u32::try_from(set).expect("a count");
        right += count(found.intersection(&gold).count());
        made += count(found.len());
        told += count(gold.len());
    }
    (f64::from(right) / f64::from(made), f64::from(right) / f64::from(told))
}

fn check_pairing(modifier: &str, items: &[&str], floor: (f64, f64)) {
    let (precision, recall) = pairing(modifier, items);
    assert!(precision >= floor.0, "{modifier}: precision {precision:.3} is below {}", floor.0);
    assert!(recall >= floor.1, "{modifier}: recall {recall:.3} is below {}", floor.1);
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn modifiers_go_where_annotators_put_them() {
    check_pairing("Dosage", &["Medication"], (0.9, 0.9));
    check_pairing("Lab_value", &["Diagnostic_procedure"], (0.8, 0.75));
    check_pairing("Severity", &["Sign_symptom", "Disease_disorder"], (0.9, 0.9));
}

/// Share of the spans of `label` with a digit, or of all, that give a value of `kind`.
fn read_share(label: &str, attribute: &AttributeSpec, with_digit: bool) -> f64 {
    let spec = column(&[label], vec![attribute.clone()]);
    let (mut read, mut all) = (0_u32, 0_u32);
    for one in notes().iter().flat_map(|note| note.field(&spec).values) {
        if with_digit && !one.evidence.raw.contains(|letter: char| letter.is_ascii_digit()) {
            continue;
        }
        all += 1;
        read += u32::from(one.attributes.iter().any(|found| found.value.is_some()));
    }
    f64::from(read) / f64::from(all)
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn most_marked_spans_are_read_as_their_type() {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let sexes = BTreeMap::from([
        ("female".to_owned(), owned(&["female", "woman", "girl", "lady"])),
        ("male".to_owned(), owned(&["male", "man", "boy", "gentleman"])),
    ]);
    let check = |label, attribute: &AttributeSpec, with_digit, floor: f64| {
        let share = read_share(label, attribute, with_digit);
        assert!(share >= floor, "{label}: {share:.3} is below {floor}");
    };
    let of = |kind| AttributeSpec::new("read", kind);
    check("Age", &of(FieldKind::Integer), false, 0.95);
    check("Sex", &AttributeSpec { choices: sexes, ..of(FieldKind::Choice) }, false, 0.95);
    // What stays unread are ranges and pairs: "170/105 mm Hg", "15 to 20 percent".
    check("Lab_value", &of(FieldKind::Number), true, 0.8);
    check("Lab_value", &of(FieldKind::Unit), true, 0.7);
    check("Duration", &of(FieldKind::Duration), true, 0.8);
}
