//! `sluice rejects`: found by code and document, told without a word of the document, and sent in
//! again once each, up to a limit.

use serde_json::json;

use super::{Told, ask, worked_off};
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input, Seen};

/// Two documents that are refused, and one that is not.
fn inputs() -> Vec<Input> {
    vec![
        Input::new("word", b"PK\x03\x04 secret words")
            .header("content-type", b"application/msword")
            .header("document-id", b"file-7")
            .header("tenant", b"blue"),
        Input::new("liar", b"%PDF-1.4\n%%EOF").header("content-type", b"text/plain"),
        short_contract(1),
    ]
}

fn rejects(verb: &str, flow: &Flow, args: &[&str]) -> Told {
    let args = [args, &["--transactional-prefix", flow.prefix()]].concat();
    ask(&["rejects", verb], flow.dir(), &args)
}

fn own(seen: &Seen, name: &str) -> String {
    seen.header(name).unwrap_or_default()
}

#[test]
fn rejects_are_found_by_code_document_and_time_and_told_without_their_text() {
    let flow = Flow::new(1, "");
    worked_off(&flow, &inputs(), 3);
    let all = rejects("list", &flow, &[]);
    assert_eq!(all.code, Some(0), "{}", all.tail);
    let codes = json!({"TYPE_UNSUPPORTED": 1, "TYPE_MISMATCH": 1});
    assert_eq!(all.last()["codes"], codes, "{}", all.tail);
    for (filter, expected) in [
        (["--code", "type_mismatch"], "TYPE_MISMATCH"),
        (["--document", "file-7"], "TYPE_UNSUPPORTED"),
        (["--document", "liar"], "TYPE_MISMATCH"),
    ] {
        assert_eq!(rejects("list", &flow, &filter).all("code"), [expected], "{filter:?}");
    }
    assert_eq!(rejects("list", &flow, &["--since", "2100-01-01T00:00:00Z"]).lines.len(), 1);
    assert_eq!(rejects("list", &flow, &["--until", "2000-01-01T00:00:00Z"]).lines.len(), 1);
    assert_eq!(rejects("list", &flow, &["--code", "NO_SUCH"]).code, Some(64));

    let id = format!("contracts/{}/0/0/0", flow.input);
    let shown = rejects("show", &flow, &[&id]);
    assert_eq!(shown.code, Some(0), "{}", shown.tail);
    assert_eq!(shown.last()["headers"]["sluice-code"], "TYPE_UNSUPPORTED");
    let told = format!("{}{}", shown.tail, all.tail);
    assert!(!told.contains("secret words") && !told.contains("blue"), "{told}");
    assert_eq!(rejects("show", &flow, &["contracts/x/0/0/0"]).code, Some(1));
}

#[test]
fn a_reject_is_sent_in_again_once_as_it_came_and_counted_up_to_the_limit() {
    let flow = Flow::new(1, "");
    worked_off(&flow, &inputs(), 3);
    let by_code = ["--code", "TYPE_UNSUPPORTED", "--hops-max", "2"];
    let dry = rejects("replay", &flow, &[&by_code[..], &["--dry-run"]].concat());
    assert_eq!(dry.last()["fates"], json!({"sent": 1}), "{}", dry.tail);
    assert_eq!(kafka::read_committed_all(&flow.input).len(), 3, "a dry run sends nothing");
    assert_eq!(rejects("replay", &flow, &[]).code, Some(64), "all must be asked for");

    let first = rejects("replay", &flow, &by_code);
    assert_eq!(
        (first.code, &first.last()["fates"]),
        (Some(0), &json!({"sent": 1})),
        "{}",
        first.tail
    );
    let again = rejects("replay", &flow, &by_code);
    assert_eq!(again.last()["fates"], json!({"sent_before": 1}), "{}", again.tail);
    let input = kafka::read_committed_all(&flow.input);
    let [sent] = &input[3..] else { panic!("{} messages", input.len()) };
    let original = &input[0];
    assert_eq!((&sent.key, &sent.payload), (&original.key, &original.payload));
    assert!(original.headers.iter().all(|header| sent.headers.contains(header)));
    assert_eq!(own(sent, "sluice-hops"), "1");
    assert_eq!(own(sent, "sluice-replay-of"), format!("contracts/{}/0/0/0", flow.input));

    // Refused again, it has one reason and the count.
    worked_off(&flow, &[], 4);
    let second = rejects("replay", &flow, &by_code);
    assert_eq!(second.last()["fates"], json!({"sent": 1, "sent_before": 1}), "{}", second.tail);
    worked_off(&flow, &[], 5);
    let last = rejects("replay", &flow, &by_code);
    assert_eq!(last.code, Some(1), "{}", last.tail);
    assert_eq!(last.last()["fates"], json!({"at_limit": 1, "sent_before": 2}), "{}", last.tail);
    let refused = kafka::read_committed_all(&flow.reject);
    let hops: Vec<_> = refused
        .iter()
        .filter(|one| own(one, "sluice-code") == "TYPE_UNSUPPORTED")
        .map(|one| own(one, "sluice-hops"))
        .collect();
    assert_eq!(hops, ["", "1", "2"]);
}

#[test]
fn a_reject_without_its_bytes_brings_the_message_from_its_source_while_it_is_there() {
    let flow = Flow::new(1, "redact:\n  rules: [email]\n");
    worked_off(&flow, &inputs(), 3);
    let sent = rejects("replay", &flow, &["--code", "TYPE_UNSUPPORTED"]);
    assert_eq!(sent.last()["fates"], json!({"sent": 1}), "{}", sent.tail);
    let input = kafka::read_committed_all(&flow.input);
    assert_eq!((&input[3].key, &input[3].payload), (&input[0].key, &input[0].payload));
    assert_eq!(own(&input[3], "tenant"), "blue");
    kafka::expire(&flow.input, 2);
    let gone = rejects("replay", &flow, &["--code", "TYPE_MISMATCH"]);
    assert_eq!(gone.code, Some(1), "{}", gone.tail);
    assert_eq!(gone.last()["fates"], json!({"unavailable": 1}), "{}", gone.tail);
}

#[test]
fn a_part_of_a_split_message_goes_alone() {
    let flow = Flow::splitting(1, "");
    let body =
        b"2026-01-01 10:00:00 pump 1\n2026-01-01 10:00:01 \xFF\n2026-01-01 10:00:02 pump 2\n";
    let log = Input::new("host", body).header("content-type", b"text/plain");
    worked_off(&flow, &[log], 3);
    let sent = rejects("replay", &flow, &["--all"]);
    assert_eq!(sent.last()["fates"], json!({"sent": 1}), "{}", sent.tail);
    let input = kafka::read_committed_all(&flow.input);
    assert_eq!(input[1].payload.as_deref(), Some(b"2026-01-01 10:00:01 \xFF".as_slice()));
}
