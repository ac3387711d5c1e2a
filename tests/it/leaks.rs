//! No identifier leaves a flow that redacts, by whatever way; each is found where it does not.
//!
//! Notes carry other identifiers in each channel: body, key, headers, file name, envelope. What
//! comes out (records, reviews, rejects, audit, tombstones, logs, metrics, what the command line
//! says) is decoded as far as it can be and searched.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use sluice::sink::codec::{Codec, Form};

use crate::support::flow::{Flow, REDACT_KEY};
use crate::support::kafka::{self, Input, Seen};
use crate::support::wait_for;

const LONG: Duration = Duration::from_mins(3);
/// Limit: encodings inside encodings that are undone.
const DEPTH_MAX: usize = 4;

/// An identifier and the channel that it was put into.
type Marked = (&'static str, &'static str);

/// In the text; each is told to be one by a cue, its form, or by standing elsewhere with a cue.
const BODY: [Marked; 14] = [
    ("body", "Zebulon Quorvath"),
    ("body", "Quorvath"),
    ("body", "Ysolde Brandvik"),
    ("body", "77-4410-92"),
    ("body", "(212) 736-9914"),
    ("body", "219-09-9941"),
    ("body", "zeb.quorvath@mail.example.org"),
    ("body", "742 Larkspur Terrace"),
    ("body", "St. Orla's Hospital"),
    ("body", "HP-9918273"),
    ("body", "https://records.example.org/p/quorvath"),
    ("body", "10.77.31.9"),
    ("body", "January 17, 2019"),
    ("body", "1941-03-12"),
];
const AROUND: [Marked; 5] = [
    ("key", "key-of-Tamsin-Oakhurst"),
    ("header", "Perpetua Lindqvist"),
    ("header name", "x-Perpetua"),
    ("baggage", "patient=Lindqvist"),
    ("file name", "quennell-vrabie.txt"),
];

/// In a FHIR resource and in an HL7 message, and in their texts without any cue.
const ENVELOPES: [Marked; 10] = [
    ("FHIR", "Wilhelmina"),
    ("FHIR", "Ashgrove"),
    ("FHIR", "FH-88123-K"),
    ("FHIR", "fh-88123k"),
    ("FHIR", "1952-11-03"),
    ("HL7", "Thornquist"),
    ("HL7", "Ingeborg"),
    ("HL7", "H7-55291"),
    ("HL7", "9 Fenwick Row"),
    ("HL7", "July 16, 1948"),
];

/// No contract, so that a person looks at it and its whole text leaves.
const ORDINARY: &str = "The weather was mild this morning, and the waiting room was full of people. \
    Breakfast was served late, since the kitchen had to wait for the bread.";

/// A FHIR resource about somebody whom its text names.
fn fhir() -> Input {
    let text = format!(
        "{ORDINARY} The daughter of ASHGROVE says that wilhelmina is better; chart FH-88123-K, also \
         seen as fh-88123k, born 1952-11-03."
    );
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    let resource = serde_json::json!({
        "resourceType": "DocumentReference",
        "id": "note-of-ashgrove",
        "status": "current",
        "contained": [{
            "resourceType": "Patient",
            "id": "p",
            "name": [{"family": "Ashgrove", "given": ["Wilhelmina"]}],
            "identifier": [{"value": "FH-88123-K"}],
            "birthDate": "1952-11-03",
        }],
        "subject": {"reference": "#p", "display": "Wilhelmina Ashgrove"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    });
    input(resource.to_string().as_bytes(), "application/fhir+json")
}

/// An HL7 message about somebody whom its text names.
fn hl7() -> Input {
    let message = format!(
        "MSH|^~\\&|EHR|ACME|X|Y|20260101||ORU^R01^ORU_R01|C7|P|2.5\r\
         PID|1||H7-55291^^^ACME^MR||Thornquist^Ingeborg||19480716|F|||9 Fenwick Row^^Albany^NY\r\
         OBR|1|P1|F1\r\
         OBX|1|TX|1^Note||{ORDINARY} ingeborg lives at 9 Fenwick Row still; THORNQUIST was born \
         July 16, 1948, file H7-55291.||||||F\r"
    );
    input(message.as_bytes(), "application/hl7-v2")
}

/// The text that carries [`BODY`], with dates as the model reads them.
fn note(number: usize) -> String {
    format!(
        "SUPPLY AGREEMENT No. {number}. This Supply Agreement is entered into as of \
         January 17, 2019 by and between Alpha Holdings, Inc., a Delaware corporation, and Beta \
         Trading LLC. Neither party may assign this Agreement without the prior written consent of \
         the other party. This Agreement shall be governed by the laws of the State of New York.\n\
         Patient: Zebulon Quorvath\nMRN: 77-4410-92\nDOB: 1941-03-12\n\
         Seen by Dr. Ysolde Brandvik at St. Orla's Hospital. Quorvath can be called at \
         (212) 736-9914 or zeb.quorvath@mail.example.org; he lives at 742 Larkspur Terrace. \
         SSN 219-09-9941, member ID HP-9918273. See https://records.example.org/p/quorvath from \
         10.77.31.9.\n"
    )
}

fn input(payload: &[u8], content_type: &str) -> Input {
    Input::new("key-of-Tamsin-Oakhurst", payload)
        .header("content-type", content_type.as_bytes())
        .header("document-id", b"quennell-vrabie.txt")
        .header("x-Perpetua", b"Perpetua Lindqvist")
        .header("baggage", b"patient=Lindqvist")
}

/// One message for each way: a record, a review, rejects of several rooms, a tombstone, a text in
/// another language, text in an envelope.
fn inputs() -> Vec<Input> {
    let whole = note(1);
    let untitled = whole.replace("SUPPLY AGREEMENT No. 1. This Supply Agreement", "This");
    let base64 = base64::engine::general_purpose::STANDARD.encode(whole.as_bytes());
    let envelope = serde_json::json!({"content": base64, "content_type": "text/plain"});
    let german = "Der Patient Zebulon Quorvath wurde am 17. Januar 2019 in das Krankenhaus \
                  aufgenommen und von der behandelnden Ärztin untersucht. Er klagte über Schmerzen \
                  in der Brust und wurde noch am selben Tag nach Hause entlassen. ";
    let json = "application/vnd.sluice.document+json";
    let mut broken = whole.clone().into_bytes();
    broken.push(0xFF);
    vec![
        input(whole.as_bytes(), "text/plain"),
        input(untitled.as_bytes(), "text/plain"),
        input(envelope.to_string().as_bytes(), json),
        input(whole.as_bytes(), json),
        input(&broken, "text/plain"),
        input(whole.as_bytes(), "application/pdf"),
        input(german.repeat(4).as_bytes(), "text/plain"),
        Input { payload: None, ..input(b"", "text/plain") },
        Input { key: None, ..input(whole.as_bytes(), "text/plain") },
        fhir(),
        hl7(),
    ]
}

/// Outcomes of [`inputs`]: one each, and two for the tombstone.
const OUTCOMES: usize = 12;

/// How the refused ones of [`inputs`] end.
const REJECTS: [&str; 3] = ["ENCODING_INVALID", "ENVELOPE_INVALID", "TYPE_MISMATCH"];

/// Everything that can be read out of `bytes`: themselves, and what is inside in base64, gzip or
/// zlib, again and again.
fn layers(bytes: &[u8], depth: usize, all: &mut Vec<String>) {
    all.push(String::from_utf8_lossy(bytes).into_owned());
    if depth == 0 {
        return;
    }
    let mut inflated = Vec::new();
    for start in 0..bytes.len() {
        let rest = &bytes[start..];
        let is_read = match rest {
            [0x1F, 0x8B, 8, ..] => flate2::read::GzDecoder::new(rest).read_to_end(&mut inflated),
            [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..] => {
                flate2::read::ZlibDecoder::new(rest).read_to_end(&mut inflated)
            }
            _ => continue,
        };
        if is_read.is_ok() && !inflated.is_empty() {
            layers(&std::mem::take(&mut inflated), depth - 1, all);
        }
    }
    let is_code = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    for run in bytes.split(|byte| !is_code(byte)).filter(|run| run.len() >= 16) {
        let url: Vec<u8> = run
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        // Text before a code may hang on it: each of four beginnings is tried.
        for start in 0..4 {
            let run = &url[start..];
            let whole = &run[..run.len() / 4 * 4];
            let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(run);
            let decoded =
                decoded.or_else(|_| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(whole));
            if let Ok(inner) = decoded {
                layers(&inner, depth - 1, all);
            }
        }
    }
}

/// The identifiers of `marked` that stand in `outputs`, whatever their case.
fn found(outputs: &[Vec<u8>], marked: &[Marked]) -> BTreeSet<Marked> {
    let mut texts = Vec::new();
    for bytes in outputs {
        layers(bytes, DEPTH_MAX, &mut texts);
    }
    let texts: Vec<_> = texts.iter().map(|text| text.to_lowercase()).collect();
    let stands =
        |(_, words): &&Marked| texts.iter().any(|text| text.contains(&words.to_lowercase()));
    marked.iter().filter(stands).copied().collect()
}

#[test]
fn the_finder_sees_through_base64_compression_and_both() {
    let words = b"seen: Zebulon Quorvath";
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut gzip = Vec::new();
    flate2::read::GzEncoder::new(words.as_slice(), flate2::Compression::default())
        .read_to_end(&mut gzip)
        .unwrap();
    let mut zlib = Vec::new();
    flate2::read::ZlibEncoder::new(words.as_slice(), flate2::Compression::default())
        .read_to_end(&mut zlib)
        .unwrap();
    let mut behind = b"\x00\x01".to_vec();
    behind.extend(&gzip);
    for bytes in [
        words.to_vec(),
        base64(words).into_bytes(),
        format!("{{\"data\":\"{}\"}}", base64(words)).into_bytes(),
        behind,
        zlib,
        base64(&gzip).into_bytes(),
        base64(base64(words).as_bytes()).into_bytes(),
        b"ZEBULON QUORVATH".to_vec(),
    ] {
        let seen = found(std::slice::from_ref(&bytes), &BODY[..1]);
        assert_eq!(seen.len(), 1, "{}", bytes.escape_ascii());
    }
    assert!(found(&[b"Zebulon Q.".to_vec()], &BODY).is_empty());
}

/// Key, headers and body of a message; an Avro body also as JSON.
fn pieces(seen: &Seen, codec: &Codec) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = seen.key.iter().chain(&seen.payload).cloned().collect();
    for (name, value) in &seen.headers {
        all.extend([name.clone().into_bytes(), value.clone()]);
    }
    let body = seen.payload.as_deref().unwrap_or_default();
    all.extend(codec.read(body, &|_| None).ok().map(|json| json.to_string().into_bytes()));
    all
}

/// A codec that reads what a worker without a registry writes for the pipeline in `dir`.
fn codec(dir: &Path) -> Codec {
    let flow = sluice::config::load(dir).unwrap();
    let Ok(plan) = sluice::worker::plan(&flow) else { panic!("the pipeline is sound") };
    let Ok(schemas) = sluice::worker::output_schemas(&flow, &plan) else {
        panic!("the schema fits")
    };
    Codec::new(schemas.into(), Form::SingleObject).unwrap()
}

fn metrics(listen: &str) -> Vec<u8> {
    let page = ureq::get(&format!("http://{listen}/metrics")).call().unwrap();
    page.into_body().read_to_vec().unwrap()
}

/// Runs [`inputs`] through a flow with `extra` in its pipeline; gives all that came out of it, by
/// way.
fn outputs(extra: &str) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let flow = Flow::with(1, "avro", extra);
    kafka::produce(&flow.input, &inputs());
    let listen = format!("127.0.0.1:{}", crate::support::jvm::free_port());
    let mut worker = flow.worker("a", &["--listen", &listen, "--log", "trace"]);
    let seen = flow.wait_for(OUTCOMES, &mut worker, LONG);
    let audit = wait_for("the audit", LONG, || {
        let audit = kafka::read_committed_all(&flow.audit);
        (audit.len() == OUTCOMES - 2).then_some(audit)
    });
    let metrics = metrics(&listen);
    let codec = codec(Path::new(flow.dir()));
    let of = |topic: &str| -> Vec<Vec<u8>> {
        let of_topic = kafka::read_committed_all(topic);
        of_topic.iter().flat_map(|seen| pieces(seen, &codec)).collect()
    };
    for topic in [&flow.record, &flow.review, &flow.reject] {
        assert!(!kafka::read_committed_all(topic).is_empty(), "nothing went to {topic}");
    }
    assert_eq!(seen.len(), OUTCOMES);
    let refused: BTreeSet<_> = seen.iter().filter_map(|(_, it)| it.header("sluice-code")).collect();
    assert_eq!(Vec::from_iter(&refused), REJECTS);
    // A second worker of the same name fences this one, which meets more work and ends with an
    // error.
    let mut ghost = flow.worker("a", &[]);
    wait_for("a second worker", LONG, || {
        ghost.logs().iter().any(|line| line["message"] == "running").then_some(())
    });
    kafka::produce(&flow.input, &vec![inputs().remove(0); 20]);
    ghost.kill9();
    assert_eq!(worker.wait(LONG).code(), Some(1), "{}", worker.tail());
    let mut logs = vec![worker.stderr().into_bytes(), worker.stdout().into_bytes()];
    logs.extend([ghost.stderr().into_bytes(), ghost.stdout().into_bytes()]);
    vec![
        ("record", of(&flow.record)),
        ("review", of(&flow.review)),
        ("reject", of(&flow.reject)),
        ("audit", audit.iter().flat_map(|seen| pieces(seen, &codec)).collect()),
        ("metrics", vec![metrics]),
        ("logs and errors", logs),
        ("extract", extracted(&flow)),
    ]
}

/// What `sluice extract` says of files named after a patient.
fn extracted(flow: &Flow) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quennell-vrabie.txt");
    std::fs::write(&path, note(1)).unwrap();
    std::fs::write(folder.path().join("perpetua lindqvist.pdf"), note(1)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["extract", flow.dir(), folder.path().to_str().unwrap(), "--log", "trace"])
        .env("SLUICE_REDACT_KEY", REDACT_KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 3, "two lines");
    vec![output.stdout, output.stderr]
}

fn all_marked() -> Vec<Marked> {
    BODY.into_iter().chain(ENVELOPES).chain(AROUND).collect()
}

#[test]
fn a_flow_that_redacts_lets_no_identifier_out_by_any_way() {
    for (policy, dates) in [("mask", "year"), ("hash", "shift"), ("surrogate", "mask")] {
        let redact = format!("redact:\n  policy:\n    default: {policy}\n    date: {dates}\n");
        for (way, outputs) in outputs(&redact) {
            let found = found(&outputs, &all_marked());
            assert!(found.is_empty(), "{policy}, {dates}: {way}: {found:?}");
        }
    }
}

#[test]
fn without_redaction_the_same_search_finds_every_identifier() {
    let ways = outputs("");
    let outputs: Vec<_> = ways.iter().flat_map(|(_, outputs)| outputs.clone()).collect();
    let found = found(&outputs, &all_marked());
    let missing: Vec<_> = all_marked().into_iter().filter(|one| !found.contains(one)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Logs, metrics and audit hold no word of a document in any case.
    for (way, outputs) in ways {
        if ["audit", "metrics", "logs and errors"].contains(&way) {
            let found = self::found(&outputs, &BODY);
            assert!(found.is_empty(), "{way}: {found:?}");
        }
    }
}

/// What identifies the patient of [`NOTE`], in the words of the note, its name and its numbers.
const OF_NOTE: [&str; 14] = [
    "Holloway",
    "Margaret",
    "94-year",
    "died at 96",
    "1930",
    "00482913",
    "Deshmukh",
    "2024-03-20",
    "third of",
    "555-0143",
    "m.holloway",
    "HX-2291",
    "Springfield",
    "3/27",
];

/// A note whose identifiers are for the model, the rules or both to find.
const NOTE: &str = "CHIEF COMPLAINT\n\nChest pain.\n\nHISTORY OF PRESENT ILLNESS\n\n\
    Margaret Holloway is a 94-year-old woman from Springfield, DOB 03/14/1930, MRN00482913, seen \
    by Dr. Anil Deshmukh on 2024-03-20. Holloway denies fever. Her brother died at 96 of heart \
    failure. She was started on metoprolol 25 mg twice daily on the third of March 2024. Reach \
    her at 217-555-0143 or m.holloway@example.org; her plan number is HX-2291-77.\n\nPLAN\n\n\
    Labs 3/27: potassium. Follow up with Dr. Deshmukh in Springfield.\n";

#[test]
fn the_shipped_notes_pipeline_lets_no_identifier_of_a_note_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("margaret-holloway.txt");
    std::fs::write(&file, NOTE).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg("extract")
        .arg(root.join("pipelines/clinical-notes"))
        .arg(&file)
        .env("SLUICE_REDACT_KEY", "a key for this test alone")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let aside = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{aside}");
    let outcome: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(outcome["record"]["age"], 90);
    assert!(told.contains("metoprolol"), "extraction sees the original");
    for words in OF_NOTE {
        assert!(!told.contains(words) && !aside.contains(words), "{words}");
        let is_marked = NOTE.contains(words);
        assert!(is_marked, "{words} is not in the note: the search would find nothing");
    }
}
