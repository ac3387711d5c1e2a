//! The rules of redaction alone, against identifiers that people marked.
//!
//! Names and places are the model's to find; everything else has a form. Reads
//! `asq_phi/train.jsonl` and `maccrobat2020/train.jsonl` below `SLUICE_DATA`, and fails without;
//! test splits are left alone. The floors stand a little below what was measured when they were
//! written.
#![expect(clippy::string_slice, reason = "offsets are those of the same text")]

use serde::Deserialize;
use sluice::config::redaction::{IdentifierKind as Kind, Redact};
use sluice::redact::Redactor;
use sluice::types::{Key, Span, Text};

#[derive(Deserialize)]
struct Note {
    text: String,
    #[serde(default)]
    spans: Vec<Gold>,
}

/// Character offsets, end exclusive.
#[derive(Deserialize)]
struct Gold {
    label: String,
    start: usize,
    end: usize,
}

fn notes(path: &str) -> Vec<Note> {
    let path = super::folder().join(path);
    let lines = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    lines.lines().map(|line| serde_json::from_str(line).expect("a note a line")).collect()
}

fn redactor(rules: &[Kind]) -> Redactor {
    let spec = Redact { rules: rules.to_vec(), ..Redact::default() };
    Redactor::new(&spec, [], &[], Key::new(b"a key of some length").unwrap())
}

fn places(redactor: &Redactor, text: &str) -> Vec<Span> {
    redactor.places(&Text::from_pages([text.to_owned()]), &[])
}

fn is_model_matter(label: &str) -> bool {
    matches!(label, "NAME" | "GEOGRAPHIC_LOCATION")
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn what_has_a_form_is_covered_by_rules() {
    let redactor = redactor(&Kind::ALL);
    let (mut all, mut covered, mut found, mut right) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut missed = Vec::new();
    for note in notes("asq_phi/train.jsonl") {
        let bytes: Vec<usize> = note.text.char_indices().map(|(at, _)| at).collect();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(note.text.len());
        let golds: Vec<(Span, &str)> = note
            .spans
            .iter()
            .map(|gold| (Span { start: byte(gold.start), end: byte(gold.end) }, &*gold.label))
            .collect();
        let places = places(&redactor, &note.text);
        for (gold, label) in golds.iter().filter(|(_, label)| !is_model_matter(label)) {
            let signs = note.text[gold.range()].char_indices();
            let mut signs = signs.filter(|(_, letter)| letter.is_alphanumeric());
            let is_covered = signs.all(|(at, _)| {
                places.iter().any(|place| place.range().contains(&(gold.start + at)))
            });
            all += 1;
            covered += u32::from(is_covered);
            if !is_covered {
                missed.push(format!("{label} {:?} in {:?}", &note.text[gold.range()], note.text));
            }
        }
        for place in &places {
            let touches =
                |(gold, _): &(Span, &str)| gold.start < place.end && place.start < gold.end;
            found += 1;
            right += u32::from(golds.iter().any(touches));
            if !golds.iter().any(touches) {
                missed.push(format!("WRONG {:?} in {:?}", &note.text[place.range()], note.text));
            }
        }
    }
    let told = format!("{covered} of {all} covered, {right} of {found} right");
    let told = format!("{told}\n{}", missed.join("\n"));
    assert!(f64::from(covered) >= 0.985 * f64::from(all), "{told}");
    assert!(f64::from(right) >= 0.99 * f64::from(found), "{told}");
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn notes_without_identifiers_are_left_nearly_alone() {
    let redactor = redactor(&Kind::ALL);
    let (mut found, mut bytes) = (0, 0);
    for note in notes("maccrobat2020/train.jsonl") {
        bytes += note.text.len();
        found += places(&redactor, &note.text).len();
    }
    assert!(bytes > 300_000 && found * 3_000 < bytes, "{found} in {bytes} bytes");
}
