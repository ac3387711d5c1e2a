//! The gate at work: what the worker spares the model, and how a record tells that it did.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sluice::config::bundle::Bundle;

use crate::onnx::bundle_dir;
use crate::service::get;
use crate::support::flow::{Flow, contracts, json};
use crate::support::jvm;
use crate::support::kafka::{self, Input};

const LONG: Duration = Duration::from_mins(3);

/// What a worker on a real contract publishes, and its counts of tokens by reason, `read` for those
/// that the model was given.
fn published(extra: &str) -> (Value, BTreeMap<String, u64>) {
    let flow = Flow::new(1, extra);
    let body = std::fs::read(contracts().join("samples/005-distributor.txt")).unwrap();
    let input = Input::new("a", &body).header("content-type", b"text/plain");
    kafka::produce(&flow.input, &[input]);
    let listen = format!("127.0.0.1:{}", jvm::free_port());
    let mut worker = flow.worker("a", &["--listen", &listen]);
    flow.wait_for(1, &mut worker, LONG);
    let (_, page) = get(&format!("http://{listen}/metrics"));
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    let mut counts = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("sluice_tokens")) {
        let (series, count) = line.rsplit_once(' ').unwrap();
        let reason = series.split_once("reason=\"").and_then(|(_, rest)| rest.split('"').next());
        counts.insert(reason.unwrap_or("read").to_owned(), count.parse().unwrap());
    }
    (json(&flow.seen()[0].1), counts)
}

#[test]
fn a_gate_spares_the_model_tokens_and_stands_in_the_record() {
    let digest = Bundle::load(&bundle_dir()).unwrap().gate.unwrap().digest.to_string();
    let (gated, spared) = published("");
    let (whole, all) = published("gate: false\n");
    assert_eq!(gated["provenance"]["gate_digest"], digest.as_str());
    assert_eq!(whole["provenance"]["gate_digest"], Value::Null);
    let of =
        |counts: &BTreeMap<String, u64>, reason: &str| counts.get(reason).copied().unwrap_or(0);
    assert!(of(&spared, "gated") > 0, "{spared:?}");
    assert_eq!(of(&all, "gated"), 0, "{all:?}");
    assert_eq!(of(&spared, "read") + of(&spared, "gated"), of(&all, "read"), "{spared:?} {all:?}");
    // The same answers, more or less sure.
    for field in ["title", "parties", "agreement_date", "governing_law"] {
        assert_eq!(gated[field], whole[field], "{field}");
    }
}
