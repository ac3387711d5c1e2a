//! Inputs that are small and claim to be large, or nest without end: each ends as a reject with its code, and the memory of
//! the worker stays within its bound. Through the real worker and a real broker; all are generated, none lies in the tree.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pdf_maker::{Pdf, Stream};
use crate::support::checker::Kind;
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input};
use crate::support::memory::status_bytes;
use crate::support::wait_for;

/// Long enough for every timeout of this file on a busy machine.
const LONG: Duration = Duration::from_mins(5);

/// Limits that bombs of a few megabytes pass.
const LIMITS: &str = "text:\n  pages_max: 500\n  text_bytes_max: 2000000\n  tokens_max: 50000\n  \
                      memory_bytes_max: 268435456\n  progress_timeout_ms: 15000\n\
                      limits:\n  in_flight_outcome_bytes_max: 4000000\n\
                      delivery:\n  reject_budget:\n    share_max: 1\n";

const JSON: &str = "application/vnd.sluice.document+json";
const AVRO: &str = "application/vnd.sluice.document+avro";
const FHIR: &str = "application/fhir+json";
const HL7: &str = "application/hl7-v2";
const PDF: &str = "application/pdf";
const PLAIN: &str = "text/plain";

/// What is sent: its name, its content type, its body, and the code that it must end with.
struct Bomb(&'static str, &'static str, Vec<u8>, &'static str);

/// Pages that say more than they are, or hold more than they show.
fn pdfs() -> Vec<Bomb> {
    let of = |content| Pdf::of_pages(&[content]).bytes();
    let nested = |open: &str, shut: &str, depth: usize| {
        Stream::raw(format!("{}{}", open.repeat(depth), shut.repeat(depth)).as_bytes())
    };
    let catalog = "<</Type/Catalog/Pages 2 0 R>>".to_owned();
    // Page trees: one of 100,000 levels, one that is its own child, one of 100,000 pages that share one content, one that only
    // claims them.
    let mut deep = vec![catalog.clone()];
    deep.extend((3..100_000).map(|next| format!("<</Type/Pages/Count 1/Kids[{next} 0 R]>>")));
    let shared = (0..100_000).map(|_| "3 0 R ").collect::<String>();
    let page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>".to_owned();
    let real = (4..100_004).fold(String::new(), |mut kids, page| {
        write!(kids, "{page} 0 R ").unwrap();
        kids
    });
    let tree = |kids: &str| format!("<</Type/Pages/Count 100000/Kids[{kids}]>>");
    let mut pages = vec![catalog.clone(), tree(&real), "<<>>".to_owned()];
    pages.extend(std::iter::repeat_n(page.clone(), 100_000));
    vec![
        Bomb("white space, deflated twice", PDF, of(Stream::bomb(b" ", 4 << 30)), "TEXT_MEMORY"),
        Bomb("graphics states", PDF, of(Stream::bomb(b"q ", 20_000_000)), "TEXT_MEMORY"),
        Bomb("arrays in a page", PDF, of(nested("[", "]", 1_000_000)), "PDF_NO_TEXT"),
        Bomb("dictionaries in a page", PDF, of(nested("<</A ", ">>", 500_000)), "PDF_NO_TEXT"),
        Bomb("arrays in the catalog", PDF, catalog_of(&"[".repeat(20_000)), "PDF_INVALID"),
        Bomb("a deep page tree", PDF, Pdf::new(deep).bytes(), "PDF_INVALID"),
        Bomb("100,000 pages", PDF, Pdf::new(pages).bytes(), "PDF_PAGES_TOO_MANY"),
        Bomb(
            "one page 100,000 times",
            PDF,
            Pdf::new([catalog.clone(), tree(&shared), page]).bytes(),
            "PDF_PAGES_TOO_MANY",
        ),
        Bomb(
            "a claim of 100,000 pages",
            PDF,
            Pdf::new([catalog, tree("")]).bytes(),
            "PDF_PAGES_TOO_MANY",
        ),
    ]
}

/// A file whose catalog holds `value`.
fn catalog_of(value: &str) -> Vec<u8> {
    Pdf::new([format!("<</Type/Catalog/Pages {value}>>")]).bytes()
}

/// Envelopes and messages.
fn envelopes() -> Vec<Bomb> {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let bundle = |entry: &str| format!("{{\"resourceType\":\"Bundle\",\"entry\":{entry}}}");
    let bundles =
        (0..2_000).fold("{}".to_owned(), |inner, _| bundle(&format!("[{{\"resource\":{inner}}}]")));
    let attachment = |data: &str| {
        format!(
            "{{\"resourceType\":\"DocumentReference\",\"content\":[{{\"attachment\":\
             {{\"contentType\":\"text/plain\",\"data\":\"{data}\"}}}}]}}"
        )
    };
    let json = |content: &str| {
        format!("{{\"content_type\":\"text/plain\",\"content\":\"{content}\"}}").into_bytes()
    };
    let twice = STANDARD.encode(STANDARD.encode("A".repeat(3_000_000)));
    let reports = "OBR|1\rOBX|1|TX|||x\r".repeat(20_000);
    let huge = b"\xC3\x01\0\0\0\0\0\0\0\0\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F".to_vec();
    vec![
        Bomb(
            "nested JSON",
            JSON,
            format!("{{\"text\":{}}}", nested(1_000_000)).into(),
            "ENVELOPE_INVALID",
        ),
        Bomb("nested FHIR", FHIR, bundle(&nested(1_000_000)).into(), "FHIR_INVALID"),
        Bomb("a bundle in a bundle", FHIR, bundles.into(), "FHIR_INVALID"),
        Bomb("padding", JSON, json(&"=".repeat(3_000_000)), "ENVELOPE_INVALID"),
        Bomb("base64 in base64", JSON, json(&twice), "ENTRY_TOO_LARGE"),
        Bomb(
            "zip in base64",
            JSON,
            json(&STANDARD.encode(b"PK\x03\x04\x14\0\0\0\x08\0")),
            "TYPE_MISMATCH",
        ),
        Bomb(
            "white space in base64",
            FHIR,
            attachment(&" ".repeat(3_000_000)).into(),
            "DOCUMENT_EMPTY",
        ),
        Bomb("a length of 2^62", AVRO, huge, "SCHEMA_UNKNOWN"),
        Bomb(
            "20,000 reports",
            HL7,
            format!("MSH|^~\\&|A|B|C|D|20260101||ORU^R01|C|P|2.5\r{reports}").into(),
            "PARTS_TOO_MANY",
        ),
        Bomb("zip as PDF", PDF, b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "TYPE_MISMATCH"),
        Bomb(
            "gzip as text",
            PLAIN,
            b"\x1F\x8B\x08\0\0\0\0\0\0\x03\xED\xC1".to_vec(),
            "TYPE_MISMATCH",
        ),
    ]
}

/// Text, markup and logs.
fn texts() -> Vec<Bomb> {
    let attributes = (0..500_000).fold(String::from("<p "), |mut markup, number| {
        write!(markup, "a{number} ").unwrap();
        markup
    });
    let html = |markup: &str| format!("<!doctype html>{markup}").into_bytes();
    let refused: Vec<u8> = (0..9_000).flat_map(|_| b"\xFF refused\n".to_owned()).collect();
    vec![
        Bomb("a text of one word", "text/html", html(&"x".repeat(2_500_000)), "TEXT_TOO_LARGE"),
        Bomb("a text of short words", "text/html", html(&"a ".repeat(100_000)), "TEXT_TOO_LARGE"),
        Bomb("attributes", "text/html", html(&format!("{attributes}>text")), "TEXT_TIMEOUT"),
        Bomb("lines", PLAIN, b"a\n".repeat(20_000), "PARTS_TOO_MANY"),
        Bomb("parts that are larger together than allowed", PLAIN, refused, "RECORD_TOO_LARGE"),
        Bomb("a line of 3 MB", PLAIN, b"x".repeat(3_000_000), "ENTRY_TOO_LARGE"),
    ]
}

#[test]
fn each_bomb_ends_as_its_reject_and_the_worker_stays_within_its_memory() {
    let flow = Flow::splitting(1, LIMITS);
    let bombs: Vec<_> = [pdfs(), envelopes(), texts()].into_iter().flatten().collect();
    let mut inputs: Vec<_> = bombs
        .iter()
        .map(|Bomb(name, kind, body, _)| {
            Input::new(name, body).header("content-type", kind.as_bytes())
        })
        .collect();
    let positions = kafka::produce(&flow.input, &inputs);
    // A batch that is small on the wire: 40 MB of one letter.
    let large = [Input::new("deflated by the sender", &b"a".repeat(40 << 20))
        .header("content-type", b"text/html")];
    let deflating = [("compression.type", "gzip"), ("message.max.bytes", "67108864")];
    let mut positions = positions;
    positions.extend(kafka::send_all(&kafka::producer(&deflating), &flow.input, &large));
    inputs.extend(large);
    let html = format!("<p>{}", String::from_utf8(short_contract(1).payload.unwrap()).unwrap());
    let healthy = [Input::new("healthy", html.as_bytes()).header("content-type", b"text/html")];
    positions.extend(kafka::produce(&flow.input, &healthy));
    inputs.extend(healthy);

    let mut worker = flow.worker("a", &["--text-children", "2", "--inference-threads", "1"]);
    let running = wait_for("a running worker", LONG, || {
        worker.logs().into_iter().find(|line| line["message"] == "running")
    });
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    let peak_bytes = status_bytes(worker.id(), "VmHWM").expect("the worker lives");
    flow.drain_and_check(&mut worker, &inputs, &positions);
    let ended = |key: &str| {
        let of = seen.iter().find(|(_, seen)| seen.key.as_deref() == Some(key.as_bytes())).unwrap();
        (of.0, of.1.header("sluice-code").unwrap_or_default())
    };
    let expected = bombs.iter().map(|Bomb(name, _, _, code)| (*name, *code));
    let wrong: Vec<_> = expected
        .chain([("deflated by the sender", "DOCUMENT_TOO_LARGE")])
        .filter(|(name, code)| ended(name) != (Kind::Reject, (*code).to_owned()))
        .map(|(name, code)| format!("{name}: {code} expected, {:?}", ended(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_ne!(ended("healthy").0, Kind::Reject);
    let bound = running["memory_bytes_max"].as_u64().expect("the worker tells its bound");
    assert!(peak_bytes < bound, "{peak_bytes} bytes at most, and the bound is {bound}");
}
