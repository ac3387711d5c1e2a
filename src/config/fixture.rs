//! A pipeline folder for tests, with a bundle whose model is no model.

use std::fs;

use tempfile::TempDir;

use crate::types::Digest;

/// A pipeline without mistakes.
pub(crate) const GOOD: &str = r#"version: 1
name: leases
revision: "7"
model: ../bundle
input:
  topic: leases.in
fields:
  - name: title
    label: Document Name
    type: text
  - name: starts
    label: Effective Date
    type: date
  - name: ends
    label: Expiration Date
    type: date
  - name: parties
    label: Parties
    type: text
    many: true
flags:
  column: clauses
rules:
  - rule: required
    field: title
  - rule: not_before
    field: ends
    other: starts
  - rule: date_between
    field: starts
    from: 1900-01-01
    to: 2100-12-31
    otherwise: reject
  - rule: confidence_at_least
    field: parties
    confidence: 1
output:
  record_topic: leases.records
  review_topic: leases.reviews
  reject_topic: leases.rejects
"#;

const RECORD: &str = r#"{
  "type": "record", "name": "Lease", "fields": [
    {"name": "record_id", "type": "string"},
    {"name": "document_id", "type": "string"},
    {"name": "title", "type": ["null", "string"]},
    {"name": "parties", "type": {"type": "array", "items": "string"}},
    {"name": "starts", "type": ["null", {"type": "int", "logicalType": "date"}]},
    {"name": "ends", "type": ["null", {"type": "int", "logicalType": "date"}]},
    {"name": "clauses", "type": {"type": "record", "name": "Clauses", "fields": [
      {"name": "document_name", "type": "sluice.Flag"},
      {"name": "effective_date", "type": "sluice.Flag"},
      {"name": "expiration_date", "type": "sluice.Flag"},
      {"name": "parties", "type": "sluice.Flag"}
    ]}},
    {"name": "evidence", "type": {"type": "array", "items": "sluice.Evidence"}},
    {"name": "provenance", "type": "sluice.Provenance"}
  ]
}
"#;

/// A folder with a bundle and, in `leases/`, a pipeline of this text with one sample.
pub(crate) fn folder(pipeline: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("bundle/model.onnx", "model");
    write("bundle/tokenizer.json", "{}");
    let labels = ["Document Name", "Effective Date", "Expiration Date", "Parties"];
    let label = |name: &&str| {
        serde_json::json!({
            "name": name, "unit": "sentence", "threshold": 0.5,
            "calibration": {"bias": 0.0, "weights": [1.0, 0.0, 0.0, 0.0, 0.0]},
            "flag_threshold": 0.5, "flag_calibration": {"a": 1.0, "b": 0.0},
        })
    };
    let manifest = serde_json::json!({
        "format": 2,
        "name": "bundle",
        "revision": "1",
        "language": ["en"],
        "window": {
            "tokens_max": 256, "stride": 190, "pad_to": 32, "cls": 101, "sep": 102, "pad": 0,
        },
        "decoder": {"version": "2"},
        "heads": [{
            "kind": "multilabel", "name": "clauses", "floor": -4.0,
            "labels": labels.iter().map(label).collect::<Vec<_>>(),
        }, {
            "kind": "classes", "name": "kind", "temperature": 1.0,
            "labels": [{"name": "lease"}, {"name": "sublease"}],
        }],
        "files": {
            "model.onnx": Digest::of(b"model"),
            "tokenizer.json": Digest::of(b"{}"),
        },
    });
    write("bundle/bundle.json", &manifest.to_string());
    write("leases/record.avsc", RECORD);
    write("leases/samples/001-a.txt", "a lease");
    write("leases/expected/001-a.txt.json", "{}");
    write("leases/pipeline.yaml", pipeline);
    root
}

/// As [`folder`], with a model that has no heads of this kind.
pub(super) fn without_heads(kind: &str, pipeline: &str) -> TempDir {
    let root = folder(pipeline);
    let path = root.path().join("bundle/bundle.json");
    let mut manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["heads"].as_array_mut().unwrap().retain(|head| head["kind"] != kind);
    fs::write(path, manifest.to_string()).unwrap();
    root
}
