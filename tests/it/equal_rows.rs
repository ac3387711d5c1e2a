//! Rows of one length that share calls on the processor: bit for bit as if each had been alone, with
//! a real model that says so, and not shared where the saying is false.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice::config::bundle::Bundle;
use sluice::infer::{Answer, Policy};
use sluice::types::Chunk;

use super::batches::{scores, start_with, submit, together, usage, window};

/// Documents of one window each: many of few lengths, as lines are, and some that are long.
fn lines() -> Vec<Arc<Vec<Chunk>>> {
    let tokens = |seed: usize| if seed.is_multiple_of(9) { 100 } else { 6 + seed % 4 };
    (0..90).map(|seed| Arc::new(vec![window(seed, tokens(seed))])).collect()
}

/// The shipped bundle of that name, or one like it whose manifest `change` has been at.
fn bundle(name: &str, change: impl Fn(&mut Value)) -> Arc<Bundle> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "tokenizer.json"] {
        std::fs::copy(shipped.join(file), folder.path().join(file)).unwrap();
    }
    let manifest = std::fs::read(shipped.join("bundle.json")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
    manifest["files"].as_object_mut().unwrap().retain(|file, _| folder.path().join(file).exists());
    change(&mut manifest);
    std::fs::write(folder.path().join("bundle.json"), manifest.to_string()).unwrap();
    // The model is read again when a pool starts, so the folder stays.
    Arc::new(Bundle::load(&folder.keep()).unwrap())
}

/// All bits that a document's windows score.
fn bits(answer: &Answer) -> Vec<u32> {
    let numbers =
        scores(answer).iter().flat_map(|scores| scores.logits.iter().chain(&scores.classes));
    numbers.map(|number| number.to_bits()).collect()
}

#[test]
fn short_rows_share_calls_and_none_changes_by_a_bit() {
    let lines = lines();
    for name in ["incident-logs", "support-tickets"] {
        let bundle = bundle(name, |_| ());
        let alone = start_with(&bundle, Some(Policy::Alone), 0);
        let expected: Vec<_> =
            lines.iter().map(|line| bits(&submit(&alone, line, 0).recv().unwrap())).collect();
        assert!(expected.iter().all(|bits| !bits.is_empty()) && expected[1] != expected[5]);
        let pool = start_with(&bundle, None, 0);
        let found: Vec<_> = together(&pool, &lines).iter().map(bits).collect();
        assert!(found == expected, "{name}: company changes a row");
        let usage = usage(&pool);
        assert!(usage.batch_count * 3 < usage.row_count, "{usage:?}");
        assert_eq!(usage.padding_count, 0, "{usage:?}");
    }
}

/// The ranges of this one are taken over the call.
#[test]
fn a_bundle_that_is_wrong_about_its_rows_is_found_out_at_the_start() {
    let claims = |manifest: &mut Value| {
        manifest["window"]["independent_rows"] = json!(true);
        manifest.as_object_mut().unwrap().remove("gate");
    };
    let pool = start_with(&bundle("contracts", claims), None, 0);
    let lines = lines();
    assert!(together(&pool, &lines).iter().all(|answer| scores(answer).len() == 1));
    let usage = usage(&pool);
    assert_eq!(usage.batch_count, usage.row_count, "{usage:?}");
}
