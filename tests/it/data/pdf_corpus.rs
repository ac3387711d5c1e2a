//! The 98 files of `pdf_corpus`, most of them made to break readers of PDF, against the outcome that
//! a person would expect of each.
//!
//! `chars_min` counts characters that are not white space. Where nothing else is said it is 95 % of
//! what poppler's `pdftotext` finds, so it measures this engine by another one. `why` says what is
//! not plain from the file's name, and wherever readers differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sluice::config::pipeline::TextLimits;
use sluice::text::{Launch, Reader};
use sluice::types::{MediaType, Reject, Text};

use crate::text::{document, launch};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// `text`, or the code of a reject.
    outcome: String,
    #[serde(default)]
    chars_min: usize,
    /// For the reader of the list.
    #[serde(default, rename = "why")]
    _why: Option<String>,
}

impl Expected {
    fn is_met(&self, ending: &Result<Text, Reject>) -> bool {
        match ending {
            Ok(text) => self.outcome == "text" && shown(text) >= self.chars_min,
            Err(reject) => self.outcome == reject.code.name(),
        }
    }
}

fn shown(text: &Text) -> usize {
    text.as_str().chars().filter(|character| !character.is_whitespace()).count()
}

fn corpus() -> PathBuf {
    super::folder().join("pdf_corpus")
}

/// Every PDF of the corpus, by the name that its list has for it.
fn files(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for folder in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if !folder.path().is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            if file.path().extension().is_some_and(|ending| ending == "pdf") {
                let file = file.path();
                files.insert(file.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn every_file_ends_as_expected_and_no_worker_exits() {
    let root = corpus();
    let expected: BTreeMap<String, Expected> =
        serde_json::from_str(include_str!("pdf_corpus.json")).unwrap();
    let listed: BTreeSet<_> = expected.keys().cloned().collect();
    assert_eq!(files(&root), listed, "the corpus and the list of expectations differ");
    assert_eq!(listed.len(), 98);

    // The least that counts as text here is one character: many files hold a single word.
    let limits = TextLimits { text_chars_min: 1, ..TextLimits::default() };
    // One child for all of them, so that a death would show: it is never replaced otherwise.
    let mut reader = Reader::new(Launch { documents_max: u32::MAX, ..launch() });
    let mut wrong = Vec::new();
    for (file, expected) in &expected {
        let bytes = fs::read(root.join(file)).unwrap();
        let ending = reader
            .text(&document(MediaType::Pdf, bytes), &limits)
            .map_err(|fault| format!("{file} ended the worker: {}", fault.chain()))
            .unwrap();
        if !expected.is_met(&ending) {
            let got = ending.as_ref().map_or_else(
                |reject| reject.code.name().to_owned(),
                |text| format!("text of {} characters", shown(text)),
            );
            wrong.push(format!("{file}: {} {}, not {got}", expected.outcome, expected.chars_min));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(reader.children_started(), 1, "a child died and was replaced");
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn a_file_gives_the_same_text_in_whatever_company() {
    let root = corpus();
    let limits = TextLimits { text_chars_min: 1, ..TextLimits::default() };
    let ending = |reader: &mut Reader, file: &String| {
        let document = document(MediaType::Pdf, fs::read(root.join(file)).unwrap());
        let ending = reader.text(&document, &limits).map_err(|fault| fault.chain()).unwrap();
        ending.map(|text| (text.digest(), text.pages().to_vec()))
    };
    let files = files(&root);
    let mut shared = Reader::new(launch());
    let together: Vec<_> = files.iter().map(|file| ending(&mut shared, file)).collect();
    // The other way round, and each in a child of its own.
    let mut alone = Reader::new(Launch { documents_max: 1, ..launch() });
    for (file, expected) in files.iter().zip(together).rev() {
        assert!(ending(&mut alone, file) == expected, "{file}");
    }
    assert_eq!(alone.children_started(), 98);
}
