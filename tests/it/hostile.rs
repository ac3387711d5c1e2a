//! Input that is made to harm, through the whole worker: each ends as a reject of its own, and the
//! documents around it are worked on.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::pdf_maker::{Pdf, Stream};
use crate::support::checker::Kind;
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input};

/// Long enough for a model to load and each text child to meet its limits on a busy machine.
const LONG: Duration = Duration::from_mins(5);

const JSON: &str = "application/vnd.sluice.document+json";
const FHIR: &str = "application/fhir+json";
const PDF: &str = "application/pdf";

fn body(content_type: &str, body: impl AsRef<[u8]>) -> Input {
    Input::new("hostile", body.as_ref()).header("content-type", content_type.as_bytes())
}

/// A PDF that claims pages which it does not have.
fn claims_pages(count: u32) -> Vec<u8> {
    let kids = "3 0 R ".repeat(10);
    Pdf::new([
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        format!("<</Type/Pages/Count {count}/Kids[{kids}]>>"),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>".to_owned(),
    ])
    .bytes()
}

/// A PDF whose tree of pages is so deep, one page at its end.
fn deep_tree(depth: usize) -> Vec<u8> {
    let mut objects = vec!["<</Type/Catalog/Pages 2 0 R>>".to_owned()];
    objects.extend((2..depth + 2).map(|number| {
        format!("<</Type/Pages/Count 1/Parent {} 0 R/Kids[{} 0 R]>>", number - 1, number + 1)
    }));
    objects.push("<</Type/Page/MediaBox[0 0 9 9]>>".to_owned());
    Pdf::new(objects).bytes()
}

/// A PDF whose catalog holds lists in lists.
fn deep_lists(depth: usize) -> Vec<u8> {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    Pdf::new([
        format!("<</Type/Catalog/Pages 2 0 R/X {open}{close}>>"),
        "<</Type/Pages/Count 1/Kids[3 0 R]>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>".to_owned(),
    ])
    .bytes()
}

/// A zip archive of one entry that says it is 4 GiB long.
fn zip() -> Vec<u8> {
    [
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\xff\xff\xff\xff\x01\0\0\0a",
        &[0; 64][..],
    ]
    .concat()
}

fn fhir(data: &str) -> String {
    json!({"resourceType": "DocumentReference", "content": [{"attachment": {
        "contentType": "text/plain", "data": data,
    }}]})
    .to_string()
}

/// Each with the codes that it may end by: which of a child's limits is met first depends on the
/// machine.
fn hostile() -> Vec<(Input, &'static [&'static str])> {
    let nested = |depth: usize| "[".repeat(depth);
    let bomb = |stream: Stream| body(PDF, Pdf::of_pages(&[stream]).bytes());
    let mut doubled = String::from("{\"text\": \"a\"");
    for key in 0..2 {
        write!(doubled, ", \"document_id\": \"{key}\"").unwrap();
    }
    doubled.push('}');
    vec![
        (bomb(Stream::bomb(b" ", 4 << 30)), &["TEXT_MEMORY", "TEXT_TIMEOUT"]),
        (bomb(Stream::bomb(b"q ", 20_000_000)), &["TEXT_MEMORY", "TEXT_TIMEOUT"]),
        (body(PDF, claims_pages(100_000)), &["PDF_PAGES_TOO_MANY", "PDF_NO_TEXT", "PDF_INVALID"]),
        (body(PDF, claims_pages(u32::MAX)), &["PDF_PAGES_TOO_MANY", "PDF_NO_TEXT", "PDF_INVALID"]),
        (body(PDF, deep_tree(20_000)), &["PDF_NO_TEXT", "PDF_INVALID", "TEXT_CRASHED"]),
        (body(PDF, deep_lists(200_000)), &["PDF_NO_TEXT", "PDF_INVALID", "TEXT_CRASHED"]),
        (body(PDF, zip()), &["TYPE_MISMATCH"]),
        (body("text/plain", zip()), &["TYPE_MISMATCH"]),
        (body("text/plain", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), &["TYPE_MISMATCH"]),
        (body(JSON, nested(500_000)), &["ENVELOPE_INVALID"]),
        (body(JSON, format!("{{\"more\":{}", nested(500_000))), &["ENVELOPE_INVALID"]),
        (body(JSON, format!("{{\"uri\":{}", nested(500_000))), &["ENVELOPE_INVALID"]),
        (body(JSON, doubled), &["ENVELOPE_INVALID"]),
        (body(FHIR, nested(500_000)), &["FHIR_INVALID"]),
        (
            body(FHIR, format!("{{\"resourceType\":\"Bundle\",\"entry\":{}", nested(500_000))),
            &["FHIR_INVALID"],
        ),
        (body(FHIR, fhir("AAA")), &["FHIR_INVALID", "TYPE_MISMATCH"]),
        (body(FHIR, fhir("====")), &["FHIR_INVALID", "DOCUMENT_EMPTY"]),
        // Base64 of more than is allowed, and white space that stands for nothing.
        (body(FHIR, fhir(&STANDARD.encode(vec![0; 6 << 20]))), &["DOCUMENT_TOO_LARGE"]),
        (body(FHIR, fhir(&" ".repeat(4 << 20))), &["DOCUMENT_EMPTY", "FHIR_INVALID"]),
        (
            body(
                JSON,
                json!({"content_type": "text/plain",
                "content": STANDARD.encode(vec![b'a'; 6 << 20])})
                .to_string(),
            ),
            &["DOCUMENT_TOO_LARGE"],
        ),
        (
            body(JSON, json!({"content_type": "text/plain", "content": "YQ==YQ=="}).to_string()),
            &["ENVELOPE_INVALID"],
        ),
        (
            body("text/html", "<div>".repeat(1_000_000)),
            &["TEXT_EMPTY", "TEXT_MEMORY", "TEXT_TIMEOUT", "TEXT_CRASHED"],
        ),
    ]
}

#[test]
fn each_hostile_input_ends_as_a_reject_and_the_others_go_on() {
    let limits = "text:\n  memory_bytes_max: 268435456\n  progress_timeout_ms: 5000\n  \
                  total_timeout_ms: 10000\n";
    let flow = Flow::claiming(1, "  document_bytes_max: 5242880\n", limits);
    let hostile = hostile();
    let mut inputs = Vec::new();
    for (number, (input, _)) in hostile.iter().enumerate() {
        inputs.extend([input.clone(), short_contract(number)]);
    }
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = flow.worker("a", &[]);
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    for (number, (_, offset)) in positions.iter().enumerate() {
        let end = format!("/{offset}/0");
        let ends = |seen: &kafka::Seen| {
            seen.header("sluice-record-id").is_some_and(|id| id.ends_with(&end))
        };
        let (kind, found) = seen.iter().find(|(_, seen)| ends(seen)).unwrap();
        let code = found.header("sluice-code").unwrap_or_default();
        let detail = found.header("sluice-detail");
        if number % 2 == 0 {
            let codes = hostile[number / 2].1;
            assert!(codes.contains(&code.as_str()), "{number}: {code} {detail:?} {codes:?}");
        } else {
            assert_ne!(*kind, Kind::Reject, "{number}: {code} {detail:?}");
        }
    }
    flow.drain_and_check(&mut worker, &inputs, &positions);
}
