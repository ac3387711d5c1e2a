//! `pipeline.yaml -> Flow or problems`: a folder whose settings are any bytes.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use sluice::config::load;
use sluice::types::Digest;

const LABELS: [&str; 4] = ["Document Name", "Effective Date", "Expiration Date", "Parties"];

/// Settings; the folder has a bundle of four labels beside it, at `../bundle`.
pub fn pipeline(input: &[u8]) {
    static DIR: LazyLock<PathBuf> = LazyLock::new(folder);
    // The threads of one process share the folder.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock();
    fs::write(DIR.join("pipeline.yaml"), input).unwrap();
    let once = || load(&DIR).map(|flow| (flow.config_digest, flow.group()));
    let first = once();
    let lines = input.split(|byte| *byte == b'\n').count();
    match &first {
        Ok((digest, group)) => assert!(*digest == Digest::of(input) && !group.is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a word");
            for problem in problems {
                let is_there = problem.line.is_none_or(|line| (1..=lines + 1).contains(&line));
                assert!(is_there, "a problem in a line that is not there: {problem}");
            }
        }
    }
    let told = |problems: &Vec<_>| format!("{problems:?}");
    assert!(first.as_ref().map_err(told) == once().as_ref().map_err(told), "read in two ways");
}

/// The folder of the pipeline; it lies in the system's temporary one, one for each process.
fn folder() -> PathBuf {
    let root = std::env::temp_dir().join(format!("sluice-fuzz-{}", std::process::id()));
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("bundle/model.onnx", "model");
    write("bundle/tokenizer.json", "{}");
    let label = |name: &&str| {
        serde_json::json!({
            "name": name, "unit": "sentence", "threshold": 0.5, "flag_threshold": 0.5,
            "calibration": {"bias": 0.0, "weights": [1.0, 0.0, 0.0, 0.0, 0.0]},
            "flag_calibration": {"a": 1.0, "b": 0.0},
        })
    };
    let head = serde_json::json!({
        "kind": "multilabel", "name": "clauses", "floor": -4.0,
        "labels": LABELS.iter().map(label).collect::<Vec<_>>(),
    });
    let manifest = serde_json::json!({
        "format": 2, "name": "bundle", "revision": "1", "language": ["en"],
        "window": {
            "tokens_max": 256, "stride": 190, "pad_to": 32, "cls": 101, "sep": 102, "pad": 0,
        },
        "decoder": {"version": "2"},
        "heads": [head],
        "files": {
            "model.onnx": Digest::of(b"model"), "tokenizer.json": Digest::of(b"{}"),
        },
    });
    write("bundle/bundle.json", &manifest.to_string());
    write("leases/record.avsc", "{}");
    root.join("leases")
}
