//! Both PDF engines on the data sets: what fails, how fast, and how much of the text is found; on
//! the contracts poppler's `pdftotext` beside them.
//!
//! `cargo bench --bench pdf_engines -- DATA` with `SLUICE_PDFIUM_PATH` set and poppler-utils on the
//! path; DATA holds `cuad` and `pdf_corpus`. For the engines every file goes through
//! `text::Reader`, child process and all; `pdftotext` is started for each file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluice::config::pipeline::{PdfEngine, TextLimits};
use sluice::config::settings::Sandbox;
use sluice::text::{Launch, Reader, engine_version};
use sluice::types::{Digest, Document, MediaType, Sensitive};

/// How often each word occurs.
type Words = BTreeMap<String, usize>;

fn main() -> Result<()> {
    let root = std::env::args_os().skip(1).find(|argument| argument != "--bench");
    let root = PathBuf::from(root.context("naming the data: pdf_engines DATA")?);
    let launch = Launch {
        program: env!("CARGO_BIN_EXE_sluice").into(),
        pdfium_path: std::env::var_os("SLUICE_PDFIUM_PATH").map(PathBuf::from),
        documents_max: 500,
        sandbox: Sandbox::BestEffort,
    };
    let corpus = pdfs(&root.join("pdf_corpus"))?;
    let contracts = pdfs(&root.join("cuad/pdf"))?;
    let texts = contract_texts(&root.join("cuad"))?;
    for pdf_engine in [PdfEngine::Pdfium, PdfEngine::PdfExtract] {
        let limits = TextLimits { pdf_engine, text_chars_min: 1, ..TextLimits::default() };
        let version = engine_version(&launch, &limits)?;
        print_line(&format!("{version}: {}", endings(&launch, &limits, &corpus)?));
        let mut reader = Reader::new(launch.clone());
        let read = |file: &Path| {
            let document = document(file)?;
            let start = Instant::now();
            let ending = reader.text(&document, &limits)?;
            let read = ending.map(|text| (text.as_str().to_owned(), text.pages().len()));
            Ok((start.elapsed(), read.map_err(|reject| reject.code.to_string())))
        };
        print_line(&format!("{version}: {}", contract_run(read, &contracts, &texts)?));
    }
    print_line(&format!("pdftotext: {}", contract_run(by_poppler, &contracts, &texts)?));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
fn print_line(line: &str) {
    println!("{line}");
}

/// How the corpus ends, by code.
fn endings(launch: &Launch, limits: &TextLimits, files: &[PathBuf]) -> Result<String> {
    let mut reader = Reader::new(launch.clone());
    let mut endings = BTreeMap::<&str, usize>::new();
    for file in files {
        let ending = match reader.text(&document(file)?, limits)? {
            Ok(_text) => "text",
            Err(reject) => reject.code.name(),
        };
        *endings.entry(ending).or_default() += 1;
    }
    Ok(format!("{} files of pdf_corpus: {endings:?}", files.len()))
}

/// How long it took, and the text of a file and its pages, or why there is none.
type Reading = (Duration, std::result::Result<(String, usize), String>);

/// By poppler's program, whose pages end with a form feed.
fn by_poppler(file: &Path) -> Result<Reading> {
    let start = Instant::now();
    let output = Command::new("pdftotext").arg(file).arg("-").output();
    let output = output.context("starting pdftotext, of the package poppler-utils")?;
    let elapsed = start.elapsed();
    if !output.status.success() {
        return Ok((elapsed, Err(output.status.to_string())));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pages = text.matches('\u{c}').count();
    Ok((elapsed, Ok((text, pages))))
}

/// How fast the contracts are read, and how many of their published words are in the PDF's text.
fn contract_run(
    mut read: impl FnMut(&Path) -> Result<Reading>,
    files: &[PathBuf],
    texts: &BTreeMap<String, Words>,
) -> Result<String> {
    let (mut elapsed, mut pages) = (Duration::ZERO, 0);
    let (mut found, mut wanted, mut lowest) = (0, 0, (1.0, String::new()));
    let mut failed = Vec::new();
    for file in files {
        let (time, ending) = read(file)?;
        elapsed += time;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = match ending {
            Ok((text, count)) => {
                pages += count;
                text
            }
            Err(why) => {
                failed.push(format!("{name}: {why}"));
                continue;
            }
        };
        let published = texts.get(&name).with_context(|| format!("finding the text of {name}"))?;
        let (hits, all) = recall(published, &text);
        found += hits;
        wanted += all;
        let share = ratio(hits, all);
        if share < lowest.0 {
            lowest = (share, name);
        }
    }
    Ok(format!(
        "{} contracts, {pages} pages in {elapsed:.2?}, {:.0} pages/s; word recall {:.4}, lowest \
         {:.4} ({}); failed: {failed:?}",
        files.len(),
        f64::from(u32::try_from(pages)?) / elapsed.as_secs_f64(),
        ratio(found, wanted),
        lowest.0,
        lowest.1,
    ))
}

/// Words of the published text that the PDF's text has too, and all of them, each counted as often
/// as it occurs.
fn recall(published: &Words, text: &str) -> (usize, usize) {
    let got = words(text);
    let hits = published.iter().map(|(word, count)| got.get(word).unwrap_or(&0).min(count)).sum();
    (hits, published.values().sum())
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count| u32::try_from(count).map_or(f64::MAX, f64::from);
    number(part) / number(whole.max(1))
}

/// Runs of letters and digits, in lower case.
fn words(text: &str) -> Words {
    let mut words = Words::new();
    for word in text.split(|character: char| !character.is_alphanumeric()) {
        if !word.is_empty() {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    words
}

/// The words of each contract, by the name of its PDF.
fn contract_texts(folder: &Path) -> Result<BTreeMap<String, Words>> {
    let mut texts = BTreeMap::new();
    for split in ["dev.jsonl.gz", "test.jsonl.gz"] {
        let output = Command::new("gzip").arg("-dc").arg(folder.join(split)).output()?;
        ensure!(output.status.success(), "unpacking {split}");
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let contract: serde_json::Value = serde_json::from_slice(line)?;
            let name = |key: &str| contract.get(key).and_then(serde_json::Value::as_str);
            if let (Some(pdf), Some(text)) = (name("pdf"), name("text")) {
                let file = Path::new(pdf).file_name().unwrap_or_default();
                texts.insert(file.to_string_lossy().into_owned(), words(text));
            }
        }
    }
    Ok(texts)
}

fn document(file: &Path) -> Result<Document> {
    let bytes = fs::read(file)?;
    Ok(Document {
        id: String::new(),
        part: 0,
        media_type: MediaType::Pdf,
        digest: Digest::of(&bytes),
        bytes: Sensitive::new(bytes),
        range: None,
        identifiers: Arc::default(),
        fetched_from: None,
    })
}

/// Every PDF in `folder` and one level below, in order.
fn pdfs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(pdfs(&path)?);
        } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("pdf")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
