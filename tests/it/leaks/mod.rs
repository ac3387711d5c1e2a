//! No identifier leaves a flow that redacts, by whatever way; each is found where it does not.
//!
//! Documents carry other identifiers in each channel: body, key, headers, file name, envelope. What
//! comes out (records, reviews, rejects, audit, tombstones, logs, metrics, what the command line
//! says) is decoded as far as it can be and searched. [`contracts`] is rules and envelope alone,
//! [`notes`] the shipped pipeline of notes with its model, [`logs`] a body of many parts.

mod contracts;
mod logs;
pub(crate) mod notes;

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

const LONG: Duration = Duration::from_mins(5);
/// Limit: encodings inside encodings that are undone.
const DEPTH_MAX: usize = 4;

/// The channel that an identifier was put into, and the identifier.
pub(crate) type Marked = (&'static str, String);

/// The same as [`Marked`], for lists that are written down.
type Mark = (&'static str, &'static str);

fn owned(marks: &[Mark]) -> Vec<Marked> {
    marks.iter().map(|(channel, words)| (*channel, (*words).to_owned())).collect()
}

/// What goes through a flow.
pub(crate) struct Case {
    pub(crate) inputs: Vec<Input>,
    /// Codes that its rejects have.
    pub(crate) codes: Vec<&'static str>,
    /// Files for `sluice extract`, by name.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
}

impl Case {
    /// How many outcomes there are: one a part, and two for a tombstone, which goes to the topic of
    /// records and to that of reviews.
    fn outcomes(&self) -> usize {
        let of = |input: &Input| match &input.payload {
            None => 2,
            Some(_) => usize::try_from(input.parts.unwrap_or(1)).unwrap(),
        };
        self.inputs.iter().map(of).sum()
    }

    fn tombstones(&self) -> usize {
        self.inputs.iter().filter(|input| input.payload.is_none()).count()
    }
}

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
pub(crate) fn found(outputs: &[Vec<u8>], marked: &[Marked]) -> BTreeSet<Marked> {
    let mut texts = Vec::new();
    for bytes in outputs {
        layers(bytes, DEPTH_MAX, &mut texts);
    }
    let texts: Vec<_> = texts.iter().map(|text| text.to_lowercase()).collect();
    let stands =
        |(_, words): &&Marked| texts.iter().any(|text| text.contains(&words.to_lowercase()));
    marked.iter().filter(stands).cloned().collect()
}

#[test]
fn the_finder_sees_through_base64_compression_and_both() {
    let words = b"seen: Zebulon Quorvath";
    let marked = owned(&[("body", "Zebulon Quorvath")]);
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
        let seen = found(std::slice::from_ref(&bytes), &marked);
        assert_eq!(seen.len(), 1, "{}", bytes.escape_ascii());
    }
    assert!(found(&[b"Zebulon Q.".to_vec()], &marked).is_empty());
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

/// Runs `case` through `flow`; gives all that came out of it, by way.
pub(crate) fn outputs(flow: &Flow, case: &Case) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    kafka::produce(&flow.input, &case.inputs);
    let listen = format!("127.0.0.1:{}", crate::support::jvm::free_port());
    let mut worker = flow.worker("a", &["--listen", &listen, "--log", "trace"]);
    let seen = flow.wait_for(case.outcomes(), &mut worker, LONG);
    let entries = case.outcomes() - 2 * case.tombstones();
    let audit = wait_for("the audit", LONG, || {
        let audit = kafka::read_committed_all(&flow.audit);
        (audit.len() == entries).then_some(audit)
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
    assert_eq!(seen.len(), case.outcomes());
    let refused: BTreeSet<_> = seen.iter().filter_map(|(_, it)| it.header("sluice-code")).collect();
    assert_eq!(refused.iter().map(String::as_str).collect::<Vec<_>>(), case.codes);
    // A second worker of the same name fences this one, which meets more work and ends with an
    // error.
    let mut ghost = flow.worker("a", &[]);
    wait_for("a second worker", LONG, || {
        ghost.logs().iter().any(|line| line["message"] == "running").then_some(())
    });
    kafka::produce(&flow.input, &vec![case.inputs[0].clone(); 20]);
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
        ("extract", extracted(flow, &case.files)),
    ]
}

/// What `sluice extract` says of files named after a patient.
fn extracted(flow: &Flow, files: &[(&str, Vec<u8>)]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["extract", flow.dir(), folder.path().to_str().unwrap(), "--log", "trace"])
        .env("SLUICE_REDACT_KEY", REDACT_KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(lines >= files.len(), "{lines} lines");
    vec![output.stdout, output.stderr]
}

/// Asserts that no output of a flow that redacts holds an identifier.
pub(crate) fn assert_clean(what: &str, ways: &[(&'static str, Vec<Vec<u8>>)], marked: &[Marked]) {
    for (way, outputs) in ways {
        let found = found(outputs, marked);
        assert!(found.is_empty(), "{what}: {way}: {found:?}");
    }
}

/// Asserts that the outputs of a flow that does not redact hold every identifier, and that logs,
/// metrics and audit hold no word of a body in any case.
pub(crate) fn assert_marked(
    ways: &[(&'static str, Vec<Vec<u8>>)],
    marked: &[Marked],
    of_body: &[Marked],
) {
    let outputs: Vec<_> = ways.iter().flat_map(|(_, outputs)| outputs.clone()).collect();
    let found = found(&outputs, marked);
    let missing: Vec<_> = marked.iter().filter(|one| !found.contains(one)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (way, outputs) in ways {
        if ["audit", "metrics", "logs and errors"].contains(way) {
            let found = self::found(outputs, of_body);
            assert!(found.is_empty(), "{way}: {found:?}");
        }
    }
}
