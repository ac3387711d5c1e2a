//! `annotated data set -> records`: JSON lines, gzipped or not, as CUAD is kept.
//!
//! A line is `{"id", "text", "spans": [{"label", "start", "end"}]}`, positions in Unicode
//! scalars, end exclusive; other keys are ignored. Deliberately refuses what it cannot place, so
//! that no answer silently drops out of a figure.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use crate::config::heads::Heads;

/// First bytes of a gzip file (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// One annotated document.
pub(super) struct Record {
    pub(super) id: String,
    pub(super) text: String,
    /// Annotated answers: label index in the bundle, words.
    pub(super) answers: Vec<(usize, String)>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    spans: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    label: String,
    start: usize,
    end: usize,
}

/// Reads all records of `path`. Fails on a label that the model does not have and on a span that
/// leaves its text.
pub(super) fn records(path: &Path, heads: &Heads) -> Result<Vec<Record>> {
    let context = || format!("reading data `{}`", path.display());
    let lines = lines(path).with_context(context)?;
    let mut records = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let place = || format!("reading data `{}`, line {number}", path.display());
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        // The parser's own words may quote the line.
        let Ok(line) = serde_json::from_str::<Line>(&line) else {
            bail!("{}: expected a JSON object with `id`, `text` and `spans`", place());
        };
        records.push(record(line, heads).with_context(place)?);
    }
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

fn record(line: Line, heads: &Heads) -> Result<Record> {
    let offsets: Vec<usize> =
        line.text.char_indices().map(|(offset, _)| offset).chain([line.text.len()]).collect();
    let mut answers = Vec::with_capacity(line.spans.len());
    for span in line.spans {
        let label = heads
            .label_names()
            .position(|name| name == span.label)
            .with_context(|| format!("the model has no label `{}`", span.label))?;
        let words = offsets
            .get(span.start)
            .zip(offsets.get(span.end))
            .and_then(|(start, end)| line.text.get(*start..*end))
            .with_context(|| format!("span {}..{} leaves the text", span.start, span.end))?;
        answers.push((label, words.to_owned()));
    }
    Ok(Record { id: line.id, text: line.text, answers })
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

    use super::{Record, records};
    use crate::config::heads::Heads;

    fn heads() -> Heads {
        let heads = serde_json::json!([{
            "kind": "classes", "name": "any", "temperature": 1,
            "labels": [{"name": "Parties"}, {"name": "Term"}],
        }]);
        Heads::new(serde_json::from_value(heads).unwrap()).unwrap()
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Vec<Record>> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        records(file.path(), &heads())
    }

    const LINE: &str = r#"{"id": "a", "text": "Café Ltd", "other": 1,
        "spans": [{"label": "Term", "start": 3, "end": 8, "group": 0}]}"#;

    #[test]
    fn positions_are_unicode_scalars() {
        let line = LINE.replace('\n', " ");
        let records = read(format!("{line}\n\n").as_bytes()).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].answers, [(1, "é Ltd".to_owned())]);
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
            ("Term", "Other", "the model has no label `Other`"),
            ("8", "9", "span 3..9 leaves the text"),
            ("\"text\"", "\"txt\"", "line 1: expected a JSON object"),
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
