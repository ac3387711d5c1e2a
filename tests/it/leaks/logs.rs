//! A body of many parts: the pipeline of logs with a section `redact`, so that every entry, the
//! refused ones too, is searched by itself.

use super::contracts::{AROUND, input};
use super::{Case, Mark, Marked, assert_clean, assert_marked, outputs, owned};
use crate::support::flow::Flow;
use crate::support::kafka::Input;

/// In entries of logs; each is told by its form or by words before it.
const BODY: [Mark; 9] = [
    ("record", "zeb.quorvath@mail.example.org"),
    ("record", "10.77.31.9"),
    ("record", "Ysolde Brandvik"),
    ("record", "77-4410-92"),
    ("record", "(212) 736-9914"),
    ("record", "https://records.example.org/p/71"),
    ("broken entry", "219-09-9941"),
    ("endless entry", "HP-9918273"),
    ("report", "Thaddeus Wren"),
];

const REDACT: &str = "redact:\n  policy:\n    default: mask\n    date: keep\n";

/// Seven entries: one of them is no UTF-8, one is longer than an entry may be.
fn log() -> Input {
    let mut body = b"2024-03-03T10:00:00Z ERROR host1 app: login of zeb.quorvath@mail.example.org from 10.77.31.9 failed\n\
        2024-03-03T10:00:01Z WARN host1 app: record MRN 77-4410-92 opened by Dr. Ysolde Brandvik\n\
        2024-03-03T10:00:02Z INFO host1 app: call back (212) 736-9914\n\
        2024-03-03T10:00:03Z INFO host1 app: GET https://records.example.org/p/71\n\
        2024-03-03T10:00:04Z INFO host1 app: SSN 219-09-9941 "
        .to_vec();
    body.extend(b"\xFF\xFE\n2024-03-03T10:00:05Z INFO host1 app: dump of member ID HP-9918273 ");
    body.extend(b"x".repeat(40_000));
    body.extend(b"\n2024-03-03T10:00:06Z ERROR host1 app: pump seized, oil leaking\n");
    input(&body, "text/plain").parts(7)
}

/// A report that ends before it starts goes to review, with all of its text.
fn report() -> Input {
    let text = "# Outage of the hub\n\nOn call: Thaddeus Wren. Patient: Thaddeus Wren.\n\n\
        - Start: 2024-03-03 12:00 UTC\n- End: 2024-03-03 10:00 UTC\n\nUsers could not log in.\n";
    input(text.as_bytes(), "text/markdown")
}

fn case() -> Case {
    Case {
        inputs: vec![log(), report(), input(b"PK\x03\x04", "application/zip")],
        codes: vec!["ENCODING_INVALID", "ENTRY_TOO_LARGE", "TYPE_UNSUPPORTED"],
        files: vec![("quennell-vrabie.log", log().payload.unwrap())],
    }
}

fn all_marked() -> Vec<Marked> {
    [owned(&BODY), owned(&AROUND)].concat()
}

#[test]
fn entries_of_a_log_let_no_identifier_out_by_any_way() {
    let ways = outputs(&Flow::shipped("incident-logs", 1, None, REDACT), &case());
    assert_clean("incident-logs", &ways, &all_marked());
    let records = &ways[0].1;
    let is_there =
        |words: &str| records.iter().any(|bytes| String::from_utf8_lossy(bytes).contains(words));
    assert!(is_there("host1") && is_there("[EMAIL]"), "the rest of an entry leaves");
}

#[test]
fn without_redaction_the_same_search_finds_every_identifier_of_the_log() {
    let ways = outputs(&Flow::shipped("incident-logs", 1, None, ""), &case());
    assert_marked(&ways, &all_marked(), &owned(&BODY));
}
