//! Notes of role-played visits with headers that identify somebody, through the shipped pipeline of
//! notes on a broker.
//!
//! Reads `aci_bench/valid.jsonl` and `train.jsonl` below `SLUICE_DATA`, and fails without.

use serde::Deserialize;

use crate::leaks::notes::{Injected, PEOPLE, Person};
use crate::leaks::{Case, Marked, assert_clean, assert_marked, outputs};
use crate::support::flow::Flow;
use crate::support::kafka::Input;

/// Notes that are taken of each file.
const NOTES: usize = 20;

#[derive(Deserialize)]
struct Visit {
    note: String,
}

fn visits() -> Vec<String> {
    let of = |name: &str| {
        let path = super::folder().join("aci_bench").join(name);
        let lines = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
        let notes = lines.lines().take(NOTES).map(|line| {
            let visit: Visit = serde_json::from_str(line).expect("a visit a line");
            visit.note
        });
        notes.collect::<Vec<_>>()
    };
    [of("valid.jsonl"), of("train.jsonl")].concat()
}

/// The person of note `number`.
fn person(number: usize) -> &'static Person {
    &PEOPLE[number % PEOPLE.len()]
}

/// Each note with its header, as text and as lines of an HL7 message, and once more with bytes that
/// are no UTF-8; and each header over words without any finding, so that people look at it.
fn case() -> Case {
    let mut inputs = Vec::new();
    for (number, note) in visits().iter().enumerate() {
        let note = Injected::new(person(number), note).text;
        let plain = |bytes: &[u8]| Input::new("k", bytes).header("content-type", b"text/plain");
        inputs.push(plain(note.as_bytes()));
        inputs.push(plain(&[note.as_bytes(), b"\xFF"].concat()));
        let lines: Vec<String> = note
            .lines()
            .map(|line| line.replace('\\', r"\E\").replace('|', r"\F\").replace('^', r"\S\"))
            .map(|line| line.replace('~', r"\R\").replace('&', r"\T\"))
            .map(|line| format!("OBX|1|TX|||{line}\r"))
            .collect();
        let head = "MSH|^~\\&|A|B|C|D|20260101||MDM^T02|1|P|2.5\rPID|1\rTXA|1|PN|TX\r";
        let message = format!("{head}{}", lines.concat());
        inputs.push(
            Input::new("k", message.as_bytes()).header("content-type", b"application/hl7-v2"),
        );
    }
    let weather = "The waiting room was full of people, and breakfast was late this morning.";
    inputs.extend(PEOPLE.iter().map(|person| {
        let note = Injected::new(person, weather).text;
        Input::new("k", note.as_bytes()).header("content-type", b"text/plain")
    }));
    Case { inputs, codes: vec!["ENCODING_INVALID"], files: Vec::new() }
}

fn marked() -> Vec<Marked> {
    PEOPLE.iter().flat_map(|person| Injected::new(person, "").marked(person)).collect()
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn headers_of_notes_leave_by_no_way() {
    let ways = outputs(&Flow::shipped("clinical-notes", 1, None, ""), &case());
    assert_clean("aci_bench", &ways, &marked());
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn without_redaction_every_header_of_the_notes_is_found() {
    let ways = outputs(&Flow::shipped("clinical-notes", 1, Some("redact"), ""), &case());
    assert_marked(&ways, &marked(), &marked());
}
