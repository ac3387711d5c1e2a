//! Tests of [`super::bundle`]: what a manifest may say, and files that are not what it says.

use std::path::Path;

use serde_json::{Value, json};

use super::bundle::Bundle;
use super::heads::{Head, Unit};
use crate::error::{Fault, FaultClass};
use crate::types::Digest;

fn manifest() -> Value {
    let calibration = json!({"bias": 0.5, "weights": [1.0, 2.0, 3.0, 4.0, 5.0]});
    let flag = json!({"a": 1.0, "b": 0.0});
    let rent = json!({
        "name": "Rent", "unit": "sentence", "threshold": 0.5, "calibration": calibration,
        "flag_threshold": 0.4, "flag_calibration": flag,
    });
    let tenant = json!({
        "name": "Tenant", "unit": "phrase", "extend": 0.2, "seed": 0.3, "gap": 1, "max_spans": 2,
        "threshold": 0.5, "calibration": calibration, "flag_threshold": 0.4,
        "flag_calibration": flag,
    });
    let short = json!({"bias": 0.5, "weights": [1.0, 2.0, 3.0]});
    let place = |name: &str| json!({"name": name, "threshold": 0.4});
    json!({
        "format": 2, "name": "leases", "revision": "1", "language": ["en"],
        "window": {"tokens_max": 256, "stride": 190, "pad_to": 32, "cls": 1, "sep": 2, "pad": 0},
        "decoder": {"version": "2"},
        "heads": [
            {"kind": "multilabel", "name": "clauses", "floor": -4.0, "labels": [rent, tenant]},
            {"kind": "classes", "name": "kind", "temperature": 1.5,
             "labels": [{"name": "flat"}, {"name": "office"}, {"name": "farm"}]},
            {"kind": "entities", "name": "places", "calibration": short,
             "labels": [place("Street"), place("Town")]},
        ],
        "files": {"model.onnx": Digest::of(b"model").to_string(),
                  "tokenizer.json": Digest::of(b"tokenizer").to_string()},
        "license": "CC-BY-4.0", "metrics": {"test": {"flag_map": 0.9}}, "data": "any",
    })
}

/// A manifest with a gate, which only a model of clauses can have.
fn gated() -> Value {
    let mut gated = manifest();
    gated["heads"].as_array_mut().unwrap().truncate(1);
    gated["gate"] =
        json!({"threshold": -7, "opening": 254, "margin": 8, "joined": 4, "unread": -11.0});
    gated["files"]["gate.bin"] = json!(Digest::of(b"gate").to_string());
    gated
}

fn folder(manifest: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("bundle.json", &manifest.to_string());
    write("model.onnx", "model");
    write("tokenizer.json", "tokenizer");
    write("gate.bin", "gate");
    folder
}

/// The error of a folder, causes included.
fn error(folder: &Path) -> String {
    let error = Bundle::load(folder).unwrap_err();
    Fault::new(FaultClass::Fatal, "loading a bundle", error).chain()
}

#[test]
fn a_whole_bundle_is_read() {
    let folder = folder(&manifest());
    let bundle = Bundle::load(folder.path()).unwrap();
    let Some(Head::Multilabel(clauses)) = bundle.heads.get("clauses").map(|placed| placed.head)
    else {
        panic!("the head is there")
    };
    assert_eq!(clauses.labels[0].unit, Unit::Sentence);
    let phrase = Unit::Phrase { extend: 0.2, seed: 0.3, gap_tokens_max: 1, spans_max: 2 };
    assert_eq!(clauses.labels[1].unit, phrase);
    assert_eq!(bundle.model_bytes().unwrap(), b"model");
    assert_eq!(bundle.tokenizer_bytes().unwrap(), b"tokenizer");
}

#[test]
fn a_gate_is_read_and_only_clauses_can_do_without_the_rest() {
    let bundle = Bundle::load(folder(&gated()).path()).unwrap();
    let gate = bundle.gate.unwrap();
    assert_eq!((gate.threshold, gate.opening_tokens, gate.margin_tokens), (-7, 254, 8));
    assert_eq!(
        (gate.joined_tokens, gate.unread_logit, gate.digest),
        (4, -11.0, Digest::of(b"gate"))
    );
    assert_eq!(Bundle::load(folder(&manifest()).path()).unwrap().gate, None);

    for (pointer, value, expected) in [
        ("/gate/opening", json!(0), "key `gate.opening`"),
        ("/gate/margin", json!(33), "key `gate.margin`"),
        ("/gate/joined", json!(255), "key `gate.joined`"),
        ("/gate/threshold", json!(0.5), "invalid type: floating point"),
        ("/gate/unread", json!("none"), "invalid type: string"),
        ("/gate/bias", json!(1), "unknown field `bias`"),
        ("/window/cut", json!("sentences"), "key `window.cut`"),
        ("/files/gate.bin", json!("00"), "but `bundle.json` has 00"),
        ("/heads", manifest()["heads"].clone(), "key `gate`"),
    ] {
        let mut manifest = gated();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = manifest.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        parent.insert(key.to_owned(), value);
        let message = error(folder(&manifest).path());
        assert!(message.contains(expected), "{pointer}: {message}");
    }
    let mut without = gated();
    without["files"].as_object_mut().unwrap().remove("gate.bin");
    assert!(error(folder(&without).path()).contains("key `files.gate.bin`"));
}

#[test]
fn heads_share_labels_and_columns_without_gap() {
    let folder = folder(&manifest());
    let heads = Bundle::load(folder.path()).unwrap().heads;
    let places: Vec<_> = heads
        .iter()
        .map(|at| (at.head.kind(), at.labels, at.token_columns, at.class_columns))
        .collect();
    assert_eq!(
        places,
        [
            ("multilabel", 0..2, 0..2, 0..0),
            ("classes", 2..5, 2..2, 0..3),
            ("entities", 5..7, 2..7, 3..3),
        ]
    );
    assert_eq!((heads.label_count(), heads.token_columns(), heads.class_columns()), (7, 7, 3));
    let names: Vec<_> = heads.label_names().collect();
    assert_eq!(names, ["Rent", "Tenant", "flat", "office", "farm", "Street", "Town"]);
    assert_eq!(heads.of_label(4).unwrap().head.name(), "kind");
    assert!(heads.of_label(7).is_none() && heads.get("rent").is_none());
}

#[test]
fn a_key_that_would_change_a_score_is_not_passed_over() {
    for (pointer, value, expected) in [
        ("/format", json!(1), "key `format`"),
        ("/task", json!("classify"), "unknown field `task`"),
        ("/temperature", json!(2), "unknown field `temperature`"),
        ("/decoder/version", json!("1"), "key `decoder.version`"),
        ("/decoder/ceiling", json!(1), "unknown field `ceiling`"),
        ("/window/stride", json!(126), "key `window.stride`"),
        ("/window/stride", json!(255), "key `window.stride`"),
        ("/window/tokens_max", json!(250), "key `window.tokens_max`"),
        ("/window/pad_to", json!(0), "key `window.pad_to`"),
        ("/window/overlap", json!(1), "unknown field `overlap`"),
        ("/window/cut", json!("lines"), "unknown variant `lines`"),
        ("/heads", json!([]), "key `heads`"),
        ("/heads/0/kind", json!("relations"), "unknown variant `relations`"),
        ("/heads/0/labels", json!([]), "key `heads[0].labels`"),
        ("/heads/0/labels/1/name", json!("Rent"), "key `heads[0].labels[1].name`"),
        ("/heads/0/labels/1/seed", json!(1.5), "key `heads[0].labels[1].seed`"),
        ("/heads/0/labels/1/min_tokens", json!(1), "unknown field `min_tokens`"),
        ("/heads/0/labels/0/unit", json!("clause"), "unknown variant `clause`"),
        ("/heads/0/labels/0/threshold", json!(-0.1), "key `heads[0].labels[0].threshold`"),
        (
            "/heads/0/labels/0/flag_calibration/a",
            json!(-1),
            "key `heads[0].labels[0].flag_calibration.a`",
        ),
        ("/heads/0/labels/0/calibration/weights", json!([1.0]), "invalid length 1"),
        ("/heads/0/temperature", json!(1), "unknown field `temperature`"),
        ("/heads/1/name", json!("clauses"), "key `heads[1].name`"),
        ("/heads/1/temperature", json!(0), "key `heads[1].temperature`"),
        ("/heads/1/labels/0/threshold", json!(0.5), "unknown field `threshold`"),
        ("/heads/2/labels/1/name", json!("farm"), "key `heads[2].labels[1].name`"),
        ("/heads/2/labels/1/threshold", json!(2), "key `heads[2].labels[1].threshold`"),
        ("/heads/2/calibration/weights", json!([1.0]), "invalid length 1"),
        ("/files", json!({}), "key `files.model.onnx`"),
        ("/files/..~1model.onnx", json!("00"), "key `files.../model.onnx`"),
    ] {
        let mut manifest = manifest();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = manifest.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        parent.insert(key.replace("~1", "/"), value);
        let message = error(folder(&manifest).path());
        assert!(message.contains(expected), "{pointer}: {message}");
        assert!(message.contains("bundle.json"), "{pointer}: {message}");
    }
}

#[test]
fn one_changed_bit_of_any_listed_file_is_named_with_both_digests() {
    let mut manifest = manifest();
    manifest["files"]["labels.txt"] = json!(Digest::of(b"Rent").to_string());
    for name in ["model.onnx", "tokenizer.json", "labels.txt"] {
        let folder = folder(&manifest);
        std::fs::write(folder.path().join("labels.txt"), "Rent").unwrap();
        let bundle = Bundle::load(folder.path()).unwrap();
        let path = folder.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let message = error(folder.path());
        let expected = manifest["files"][name].as_str().unwrap().to_owned();
        for part in [name, &expected, &Digest::of(&bytes).to_string()] {
            assert!(message.contains(part), "{message}");
        }
        // What changes after the check is not run either.
        match name {
            "model.onnx" => assert!(bundle.model_bytes().is_err()),
            "tokenizer.json" => assert!(bundle.tokenizer_bytes().is_err()),
            _ => {}
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let folder = folder(&manifest());
    std::fs::remove_file(folder.path().join("model.onnx")).unwrap();
    assert!(error(folder.path()).contains("model.onnx"));
}
