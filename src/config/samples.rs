//! `pipeline folder -> its samples, each with the file that says what is expected of it`.
//!
//! Deliberately opens no sample: what a document gives is the matter of `sluice test`.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::flow::Flow;
use super::problem::Problem;
use crate::types::Key;

/// Limit: bytes at the start of a JSON file in which a FHIR resource names its type.
const RESOURCE_TYPE_WITHIN_BYTES: u64 = 64 << 10;

/// The content type of a file, by its extension, and for JSON by whether it is a FHIR resource:
/// what the bytes are is for `decode` to compare. `NAME.envelope.json` and `NAME.envelope.avro` are
/// documents in an envelope.
pub fn media_type_of(path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for (ending, media_type) in [
        (".envelope.json", "application/vnd.sluice.document+json"),
        (".envelope.avro", "application/vnd.sluice.document+avro"),
    ] {
        if name.to_ascii_lowercase().ends_with(ending) {
            return media_type;
        }
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "ndjson" | "jsonl" => "application/x-ndjson",
        "hl7" => "application/hl7-v2",
        "json" if is_resource(path) => "application/fhir+json",
        _ => "application/octet-stream",
    }
}

/// Whether a JSON file says of which type of FHIR resource it is.
fn is_resource(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(RESOURCE_TYPE_WITHIN_BYTES).read_to_end(&mut head));
    let name = b"\"resourceType\"";
    read.is_ok() && head.windows(name.len()).any(|window| window == name)
}

/// The key of redaction for samples, in `sluice test` and `sluice demo`: samples are no secret, and
/// what is expected of them must not depend on a secret of somebody's.
pub fn sample_key() -> Option<Key> {
    Key::new(b"samples are no secret")
}

/// One input in `samples/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// File name, such as `001-services.pdf`; also the document id.
    pub name: String,
    /// The input.
    pub path: PathBuf,
    /// Its expected outcome, such as `expected/001-services.pdf.json`; it may not exist yet.
    pub expected: PathBuf,
}

/// The samples of the pipeline in `dir`, by name. Hidden files are none.
pub fn samples(dir: &Path) -> io::Result<Vec<Sample>> {
    let names = file_names(&dir.join("samples"))?;
    let sample = |name: String| Sample {
        path: dir.join("samples").join(&name),
        expected: dir.join("expected").join(format!("{name}.json")),
        name,
    };
    Ok(names.into_iter().map(sample).collect())
}

/// Samples without expectation, and expectations without sample.
pub fn check_samples(flow: &Flow) -> Vec<Problem> {
    let folder = flow.dir.join("samples");
    let samples = match samples(&flow.dir) {
        Ok(samples) if samples.is_empty() => {
            return vec![Problem::of_file(&folder, "holds no sample", "add inputs to show")];
        }
        Ok(samples) => samples,
        Err(error) => {
            return vec![Problem::of_file(&folder, format!("cannot be read: {error}"), "")];
        }
    };
    let accept = format!("`sluice test {} --accept` writes it", flow.dir.display());
    let mut problems: Vec<_> = samples
        .iter()
        .filter(|sample| !sample.expected.is_file())
        .map(|sample| Problem::of_file(&sample.expected, "is missing", &accept))
        .collect();
    let folder = flow.dir.join("expected");
    for name in file_names(&folder).unwrap_or_default() {
        let path = folder.join(name);
        if !samples.iter().any(|sample| sample.expected == path) {
            problems.push(Problem::of_file(&path, "has no sample", "remove it"));
        }
    }
    problems
}

/// Names of the files in `folder`, sorted; hidden ones left out.
fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", name.display()))
        })?;
        if entry.path().is_file() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{media_type_of, samples};

    #[test]
    fn the_extension_gives_the_content_type() {
        let check = |path: &str, expected: &str| {
            assert_eq!(media_type_of(Path::new(path)), expected, "{path}");
        };
        check("a.pdf", "application/pdf");
        check("a/b.PDF", "application/pdf");
        check("a.txt", "text/plain");
        check("a.htm", "text/html");
        check("a.log", "text/plain");
        check("a.md", "text/markdown");
        check("a.ndjson", "application/x-ndjson");
        check("a.hl7", "application/hl7-v2");
        check("a.docx", "application/octet-stream");
        check("pdf", "application/octet-stream");
        check("a.envelope.json", "application/vnd.sluice.document+json");
        check("a.Envelope.AVRO", "application/vnd.sluice.document+avro");
        check("envelope.avro", "application/octet-stream");
    }

    #[test]
    fn a_json_file_is_fhir_where_it_names_a_resource() {
        let dir = tempfile::tempdir().unwrap();
        for (body, expected) in [
            (r#"{"resourceType": "Bundle"}"#, "application/fhir+json"),
            (r#"{"text": "x"}"#, "application/octet-stream"),
        ] {
            let path = dir.path().join("a.json");
            std::fs::write(&path, body).unwrap();
            assert_eq!(media_type_of(&path), expected, "{body}");
        }
    }

    #[test]
    fn samples_come_sorted_and_without_hidden_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("samples")).unwrap();
        for name in ["002-b.txt", ".hidden", "001-a.pdf"] {
            std::fs::write(dir.path().join("samples").join(name), "x").unwrap();
        }
        let found = samples(dir.path()).unwrap();
        let names: Vec<_> = found.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, ["001-a.pdf", "002-b.txt"]);
        assert!(found[0].expected.ends_with("expected/001-a.pdf.json"));
    }
}
