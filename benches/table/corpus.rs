//! `data sets -> workloads`: messages none of which, nor a near-duplicate, came before.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::latency;
use crate::support::kafka::Input;

/// Words of one shingle.
const SHINGLE_WORDS: usize = 8;
/// Most of a document's shingles that may have been seen before.
const SEEN_SHARE_MAX: f64 = 0.5;
/// Lines of one message of machine logs.
const LOG_LINES: usize = 20;

/// Messages for one pipeline.
pub struct Workload {
    /// Its name in the table.
    pub name: &'static str,
    /// Folder below `pipelines/`.
    pub pipeline: &'static str,
    /// Of every message.
    pub content_type: &'static str,
    /// Whether each line is a document of its own.
    pub is_lines: bool,
    /// The messages.
    pub inputs: Vec<Input>,
}

/// All workloads.
pub fn all(data: &Path) -> Vec<Workload> {
    let workload = |name, pipeline, content_type, bodies: Vec<Vec<u8>>| Workload {
        name,
        pipeline,
        content_type,
        is_lines: pipeline == "incident-logs",
        inputs: bodies
            .iter()
            .enumerate()
            .map(|(number, body)| {
                Input::new(&number.to_string(), body)
                    .header("content-type", content_type.as_bytes())
            })
            .collect(),
    };
    let texts = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect();
    vec![
        workload("contracts-pdf", "contracts", "application/pdf", pdfs(&data.join("cuad/pdf"))),
        workload("contracts-text", "contracts", "text/plain", texts(contracts(&data.join("cuad")))),
        workload(latency::WORKLOAD, "clinical-notes", "text/plain", texts(notes(data))),
        workload(
            "work-orders",
            "incident-logs",
            "text/plain",
            texts(orders(&data.join("pdl_excavator"))),
        ),
        workload(
            "machine-logs",
            "incident-logs",
            "text/plain",
            texts(logs(&data.join("logs_permissive"))),
        ),
    ]
}

fn pdfs(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn contracts(folder: &Path) -> Vec<String> {
    let rows = ["dev.jsonl.gz", "test.jsonl.gz"].into_iter().flat_map(|name| {
        let mut text = String::new();
        GzDecoder::new(File::open(folder.join(name)).unwrap()).read_to_string(&mut text).unwrap();
        fields(&text, "text")
    });
    new_ones(rows)
}

/// Notes of visits, and reports of cases.
fn notes(data: &Path) -> Vec<String> {
    let visits = ["train.jsonl", "valid.jsonl", "test1.jsonl", "test2.jsonl"]
        .map(|name| ("aci_bench", name, "note"));
    let cases =
        ["train.jsonl", "dev.jsonl", "test.jsonl"].map(|name| ("maccrobat2020", name, "text"));
    new_ones(visits.into_iter().chain(cases).flat_map(|(set, name, field)| {
        fields(&fs::read_to_string(data.join(set).join(name)).unwrap(), field)
    }))
}

/// Work orders, one a message, in the order of the set.
fn orders(folder: &Path) -> Vec<String> {
    let names = ["train.jsonl", "dev.jsonl", "test.jsonl"];
    let read = |name| fields(&fs::read_to_string(folder.join(name)).unwrap(), "OriginalShorttext");
    names.into_iter().flat_map(read).filter(|text| !text.trim().is_empty()).collect()
}

/// Lines of machines, some a message, in their order.
fn logs(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> =
        fs::read_dir(folder.join("kafka")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.extend([folder.join("apache_access.log"), folder.join("sshd_auth.log")]);
    let read = |file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    files
        .into_iter()
        .flat_map(|file| {
            let text: String = read(file);
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.chunks(LOG_LINES).map(|lines| lines.join("\n")).collect::<Vec<_>>()
        })
        .collect()
}

/// One field of each line of JSON.
fn fields(lines: &str, name: &str) -> Vec<String> {
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
}

/// Those of which not too many shingles were seen before.
fn new_ones(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
    let shingles = |text: &str| -> BTreeSet<Vec<String>> {
        let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
        words.windows(SHINGLE_WORDS).map(<[String]>::to_vec).collect()
    };
    texts
        .filter(|text| {
            let own = shingles(text);
            let known = own.iter().filter(|one| seen.contains(*one)).count();
            let is_new = !own.is_empty() && (known as f64) < own.len() as f64 * SEEN_SHARE_MAX;
            if is_new {
                seen.extend(own);
            }
            is_new
        })
        .collect()
}
