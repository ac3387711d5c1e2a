//! `annotated data set -> records`: JSON lines, gzipped or not, and what [`super::formats`] reads.
//!
//! A line has `text` and one of these; other keys are ignored:
//! - `spans` or `entities`: `[{"label", "start", "end"}]`, positions in Unicode scalars, end
//!   exclusive (CUAD, MACCROBAT, ASQ-PHI);
//! - `tokens`, and `entities`: `[{"type", "start", "end"}]`, positions in tokens, of which the text
//!   is made with single spaces; the type counts up to its first `/` (`MaintIE`).
//!
//! With `--class-key` a line has a class instead, under that key.
//!
//! Deliberately refuses what it cannot place, so that no answer silently drops out of a figure.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;

use super::formats;
use crate::types::Span;

/// First bytes of a gzip file (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// One annotated document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record {
    /// As the data has it; empty where it has none.
    pub(super) id: String,
    pub(super) text: String,
    /// Annotated spans.
    pub(super) golds: Vec<Gold>,
    /// The class of the whole text, where the data has one.
    pub(super) class: Option<Class>,
}

/// One annotated span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gold {
    /// As the data names it.
    pub(super) label: String,
    pub(super) span: Span,
}

/// The class of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// As the data names it.
    pub(super) label: String,
    /// Whether it stands for whatever belongs to no other class.
    pub(super) is_out_of_scope: bool,
}

/// How a data set is read.
#[derive(Args, Clone, Debug)]
pub struct Reading {
    /// Which split of a file that holds several
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub split: String,
    /// Key of the text in JSON lines
    #[arg(long, value_name = "KEY", default_value = "text")]
    pub text_key: String,
    /// Key of the class in JSON lines, where texts have a class and no spans
    #[arg(long, value_name = "KEY")]
    pub class_key: Option<String>,
}

/// Reads all records of `path`, in the format that the end of its name says (`.conll`, `.csv`,
/// `.json`), or else JSON lines.
pub(super) fn records(path: &Path, reading: &Reading) -> Result<Vec<Record>> {
    let context = || format!("reading data `{}`", path.display());
    let lines = lines(path).with_context(context)?;
    let records = match path.extension().and_then(|extension| extension.to_str()) {
        Some("conll") => formats::conll(lines).with_context(context)?,
        Some("csv") => formats::csv(lines).with_context(context)?,
        Some("json") => formats::clinc(lines, &reading.split).with_context(context)?,
        Some(_) | None => json_lines(path, lines, reading)?,
    };
    ensure!(!records.is_empty(), "{}: it holds no record", context());
    Ok(records)
}

fn lines(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(if magic == GZIP_MAGIC {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    })
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Id,
    tokens: Option<Vec<String>>,
    #[serde(alias = "entities")]
    spans: Vec<Annotation>,
}

/// An id as a string or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Name(String),
    Number(u64),
}

impl Default for Id {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(alias = "type")]
    label: String,
    start: usize,
    end: usize,
}

fn json_lines(path: &Path, lines: Box<dyn BufRead>, reading: &Reading) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let place = || format!("reading data `{}`, line {number}", path.display());
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        records.push(record(&line, reading).with_context(place)?);
    }
    Ok(records)
}

fn record(line: &str, reading: &Reading) -> Result<Record> {
    let key = &reading.text_key;
    // The parser's own words may quote the line.
    let Ok(value) = serde_json::from_str::<Value>(line) else { bail!("it is no JSON") };
    let string = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(class_key) = &reading.class_key {
        let (Some(text), Some(label)) = (string(key), string(class_key)) else {
            bail!("expected a JSON object with the strings `{key}` and `{class_key}`");
        };
        let class = Some(Class { label, is_out_of_scope: false });
        return Ok(Record { text, class, ..Record::default() });
    }
    let text = string(key).unwrap_or_default();
    let Ok(Line { id, tokens, spans }) = Line::deserialize(value) else {
        bail!("expected a JSON object with `{key}`, and `spans` or `entities`");
    };
    let id = match id {
        Id::Name(name) => name,
        Id::Number(number) => number.to_string(),
    };
    let (text, golds) = if let Some(tokens) = tokens {
        of_tokens(&tokens, spans)?
    } else {
        let golds = of_scalars(&text, spans)?;
        (text, golds)
    };
    Ok(Record { id, text, golds, class: None })
}

fn of_scalars(text: &str, spans: Vec<Annotation>) -> Result<Vec<Gold>> {
    let offsets: Vec<usize> =
        text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect();
    let place = |span: Annotation| {
        let (start, end) = offsets
            .get(span.start)
            .zip(offsets.get(span.end))
            .filter(|(start, end)| start <= end)
            .with_context(|| format!("span {}..{} leaves the text", span.start, span.end))?;
        Ok(Gold { label: span.label, span: Span { start: *start, end: *end } })
    };
    spans.into_iter().map(place).collect()
}

fn of_tokens(tokens: &[String], spans: Vec<Annotation>) -> Result<(String, Vec<Gold>)> {
    let (text, places) = formats::join(tokens.iter().map(String::as_str));
    let place = |span: Annotation| {
        let (first, last) = places
            .get(span.start)
            .zip(span.end.checked_sub(1).and_then(|last| places.get(last)))
            .filter(|(first, last)| first.start < last.end)
            .with_context(|| format!("span {}..{} leaves the tokens", span.start, span.end))?;
        let label = span.label.split('/').next().unwrap_or_default().to_owned();
        Ok(Gold { label, span: Span { start: first.start, end: last.end } })
    };
    let golds = spans.into_iter().map(place).collect::<Result<_>>()?;
    Ok((text, golds))
}

/// One entry of a PDF folder's `manifest.json`; other keys are ignored.
#[derive(Deserialize)]
struct Original {
    id: String,
    file: String,
}

/// The original PDF of each record that `folder` has one for, by record id.
pub(super) fn originals(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let path = folder.join("manifest.json");
    let context = || format!("reading `{}`", path.display());
    let bytes = std::fs::read(&path).with_context(context)?;
    let originals: Vec<Original> = serde_json::from_slice(&bytes).with_context(context)?;
    Ok(originals.into_iter().map(|original| (original.id, folder.join(original.file))).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{Class, Reading, Record, records};

    fn read_by(bytes: &[u8], class_key: Option<&str>) -> anyhow::Result<Vec<Record>> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        let class_key = class_key.map(str::to_owned);
        let [split, text_key] = ["test", "text"].map(str::to_owned);
        records(file.path(), &Reading { split, text_key, class_key })
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Vec<Record>> {
        read_by(bytes, None)
    }

    #[test]
    fn a_class_stands_under_its_key() {
        let line = br#"{"text": "Caf\u00e9", "cause": "Fire", "phase": 1}"#;
        let records = read_by(line, Some("cause")).unwrap();
        let class = Class { label: "Fire".to_owned(), is_out_of_scope: false };
        assert_eq!((records[0].text.as_str(), &records[0].class), ("Café", &Some(class)));
        let error = read_by(line, Some("phase")).unwrap_err();
        assert!(format!("{error:#}").ends_with("with the strings `text` and `phase`"), "{error:#}");
    }

    /// Label and words of every annotated span.
    fn golds(record: &Record) -> Vec<(&str, &str)> {
        let words = |gold: &super::Gold| record.text.get(gold.span.range()).unwrap();
        record.golds.iter().map(|gold| (gold.label.as_str(), words(gold))).collect()
    }

    const LINE: &str = r#"{"id": "a", "text": "Café Ltd", "other": 1,
        "spans": [{"label": "Term", "start": 3, "end": 8, "group": 0}]}"#;

    #[test]
    fn positions_are_unicode_scalars() {
        let line = LINE.replace('\n', " ");
        let records = read(format!("{line}\n\n").as_bytes()).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(golds(&records[0]), [("Term", "é Ltd")]);
        let line = line.replace("spans", "entities");
        assert_eq!(golds(&read(line.as_bytes()).unwrap()[0]), [("Term", "é Ltd")]);
    }

    #[test]
    fn positions_beside_tokens_count_tokens() {
        let line = r#"{"text": "as  written", "tokens": ["seal", "é", "leaks"], "id": 7,
            "entities": [{"type": "State/Bad", "start": 1, "end": 3}], "relations": []}"#;
        let records = read(line.replace('\n', " ").as_bytes()).unwrap();
        assert_eq!((records[0].id.as_str(), records[0].text.as_str()), ("7", "seal é leaks"));
        assert_eq!(golds(&records[0]), [("State", "é leaks")]);
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(LINE.replace('\n', " ").as_bytes()).unwrap();
        assert_eq!(read(&encoder.finish().unwrap()).unwrap()[0].text, "Café Ltd");
    }

    #[test]
    fn what_cannot_be_placed_is_refused_without_quoting_it() {
        for (from, to, expected) in [
            ("8", "9", "span 3..9 leaves the text"),
            ("8", "2", "span 3..2 leaves the text"),
            ("\"spans\"", "\"spam\"", "expected a JSON object"),
            ("}]}", "}]", "line 1: it is no JSON"),
            ("\"other\": 1", "\"tokens\": [\"a\"]", "span 3..8 leaves the tokens"),
        ] {
            let line = LINE.replace('\n', " ").replace(from, to);
            let error = read(line.as_bytes()).err().unwrap();
            let message = format!("{error:#}");
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("Café"), "{message}");
        }
        assert!(read(b"\n").is_err());
    }
}
