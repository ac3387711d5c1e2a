//! Sections of notes: what `pipelines/clinical-notes` takes for a heading.
//!
//! `aci_bench`: its notes have their headings in capitals on a line of their own; which section each
//! opens is written down here, apart from the pipeline. MTS-Dialog: texts of sections without their
//! headings, each with the code of its section; put under a heading, all of a text must stay in its
//! section. Reads `aci_bench/{valid,test1}.jsonl` and `mts_dialog/test1.csv` below `SLUICE_DATA`,
//! and fails without. The floors stand a little below what was measured when they were written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use sluice::assemble::{Plan, assemble};
use sluice::config::pipeline::{FieldKind, FieldSpec};
use sluice::config::{HeadKind, Labels};
use sluice::types::{Span, Text};

/// Headings of `pipelines/clinical-notes` by section.
fn headings() -> BTreeMap<String, Vec<String>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/clinical-notes");
    let flow = sluice::config::load(&dir).unwrap_or_else(|problems| panic!("{problems:?}"));
    flow.pipeline.sections
}

/// The sections of a note, each with the place of its first heading.
fn found(text: &str, headings: &BTreeMap<String, Vec<String>>) -> BTreeSet<(Span, String)> {
    let spec =
        FieldSpec { label: None, many: true, ..FieldSpec::new("sections", "", FieldKind::Section) };
    let labels = Labels::new([("entities", HeadKind::Entities, vec!["Age".to_owned()])]);
    let plan = Plan::new(std::slice::from_ref(&spec), headings, None, &labels)
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let text = Text::from_pages([text.to_owned()]);
    let extraction = assemble(&[], &[], &text, None, &plan).expect("headings are grounded");
    let values = extraction.fields.into_iter().flat_map(|field| field.values);
    values.map(|one| (one.evidence.span, one.value.written().into_owned())).collect()
}

#[derive(Deserialize)]
struct Note {
    note: String,
}

/// Headings of the notes of `aci_bench` and the sections that they open, by hand.
const OPENED: [(&str, &str); 27] = [
    ("CHIEF COMPLAINT", "CC"),
    ("CC", "CC"),
    ("HISTORY OF PRESENT ILLNESS", "GENHX"),
    ("HPI", "GENHX"),
    ("SUBJECTIVE", "GENHX"),
    ("MEDICAL HISTORY", "PASTMEDICALHX"),
    ("PAST HISTORY", "PASTMEDICALHX"),
    ("PAST MEDICAL HISTORY", "PASTMEDICALHX"),
    ("SURGICAL HISTORY", "PASTSURGICAL"),
    ("PAST SURGICAL HISTORY", "PASTSURGICAL"),
    ("SOCIAL HISTORY", "FAM/SOCHX"),
    ("FAMILY HISTORY", "FAM/SOCHX"),
    ("BIRTH HISTORY", "OTHER_HISTORY"),
    ("ALLERGIES", "ALLERGY"),
    ("MEDICATIONS", "MEDICATIONS"),
    ("CURRENT MEDICATIONS", "MEDICATIONS"),
    ("REVIEW OF SYSTEMS", "ROS"),
    ("PHYSICAL EXAM", "EXAM"),
    ("PHYSICAL EXAMINATION", "EXAM"),
    ("EXAM", "EXAM"),
    ("VITALS", "EXAM"),
    ("VITALS REVIEWED", "EXAM"),
    ("RESULTS", "LABS"),
    ("IMPRESSION", "ASSESSMENT"),
    ("ASSESSMENT", "ASSESSMENT"),
    ("ASSESSMENT AND PLAN", "ASSESSMENT"),
    ("PLAN", "PLAN"),
];

/// "INSTRUCTIONS" opens what the patient is told to do.
const ALSO: (&str, &str) = ("INSTRUCTIONS", "PLAN");

/// The sections that the headings in capitals open, each with the place of its first.
fn annotated(text: &str) -> BTreeSet<(Span, String)> {
    let mut at = 0;
    let (mut places, mut known) = (BTreeSet::new(), BTreeSet::new());
    for line in text.split_inclusive('\n') {
        let words = line.trim().trim_end_matches(':');
        let opened = OPENED.iter().chain([&ALSO]).find(|(heading, _)| *heading == words);
        if let Some((_, code)) = opened
            && known.insert(*code)
        {
            let start = at + line.find(words).expect("the words are of the line");
            places.insert((Span { start, end: start + words.len() }, (*code).to_owned()));
        }
        at += line.len();
    }
    places
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn headings_of_whole_notes_open_their_sections() {
    let headings = headings();
    let (mut right, mut told, mut all, mut notes) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut odd = Vec::new();
    for split in ["valid", "test1"] {
        let path = super::folder().join(format!("aci_bench/{split}.jsonl"));
        let lines = std::fs::read_to_string(path).expect("the data set has the file");
        for line in lines.lines() {
            let note: Note = serde_json::from_str(line).expect("a note a line");
            let (gold, ours) = (annotated(&note.note), found(&note.note, &headings));
            odd.extend(gold.symmetric_difference(&ours).map(|(_, code)| code.clone()));
            let count = |set: usize| u32::try_from(set).expect("a count");
            right += count(gold.intersection(&ours).count());
            told += count(ours.len());
            all += count(gold.len());
            notes += 1;
        }
    }
    let (precision, recall) =
        (f64::from(right) / f64::from(told), f64::from(right) / f64::from(all));
    let told = format!("{notes} notes: {right} right of {told} told and {all} annotated; {odd:?}");
    assert!(precision >= 0.98 && recall >= 0.98, "{precision:.3}, {recall:.3}: {told}");
}

#[derive(Deserialize)]
struct Section {
    section_header: String,
    section_text: String,
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn the_text_of_a_section_stays_in_it_and_has_none_without_heading() {
    let headings = headings();
    let path = super::folder().join("mts_dialog/test1.csv");
    let mut reader = csv::Reader::from_path(path).expect("the data set has the file");
    let (mut whole, mut bare, mut texts, mut without) = (0_u32, 0_u32, 0_u32, BTreeSet::new());
    for section in reader.deserialize() {
        let Section { section_header: code, section_text } = section.expect("a section a row");
        texts += 1;
        let Some(heading) = headings.get(&code).and_then(|words| words.first()) else {
            without.insert(code);
            continue;
        };
        let note = format!("{}\n\n{section_text}\n", heading.to_uppercase());
        let codes: BTreeSet<_> =
            found(&note, &headings).into_iter().map(|(_, code)| code).collect();
        whole += u32::from(codes == BTreeSet::from([code]));
        bare += u32::from(found(&section_text, &headings).is_empty());
    }
    assert!(without.is_empty(), "{without:?} are codes without a heading");
    let share = f64::from(whole) / f64::from(texts);
    assert!(texts == 200 && share >= 0.99, "{whole} of {texts} texts: {share:.3}");
    assert_eq!(bare, texts, "a section is told by its heading, not by its words");
}
