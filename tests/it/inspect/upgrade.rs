//! A release under load: workers roll from one version of the record schema to the next, and a reader
//! of the newest reads both.

use std::collections::BTreeSet;
use std::sync::Arc;

use sluice::config;
use sluice::registry::{Client, Endpoint};
use sluice::sink::codec::{Codec, Form};
use sluice::worker;

use super::{LONG, ask};
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka;
use crate::support::process::Process;
use crate::support::registry;

/// Registers the schemas of the folder `dir`.
pub(super) fn register(dir: &str) {
    let all = ["schema", "register", dir, "--registry", registry::url()];
    let mut process = Process::sluice(&all, &[]);
    assert!(process.wait(LONG).success(), "{}", process.tail());
}

/// A folder of the next release: its record has one column more, with a default.
pub(super) fn newer(flow: &Flow) -> String {
    let dir = flow.edited(|yaml| yaml.replace("revision: \"", "revision: \"next-"));
    let path = std::path::Path::new(&dir).join("record.avsc");
    let schema = std::fs::read_to_string(&path).unwrap();
    let column = r#"{"name": "tier", "type": "string", "default": "none", "doc": "A tier."},"#;
    let place = r#"{"name": "title","#;
    assert!(schema.contains(place));
    std::fs::write(&path, schema.replacen(place, &format!("{column}\n    {place}"), 1)).unwrap();
    dir
}

/// The codec of a folder, as a reader of another process has it.
fn codec(dir: &str) -> Codec {
    let flow = config::load(std::path::Path::new(dir)).unwrap();
    let plan = worker::plan(&flow).unwrap();
    let schemas = worker::output_schemas(&flow, &plan).unwrap();
    Codec::new(Arc::new(schemas), Form::SingleObject).unwrap()
}

#[test]
fn two_workers_roll_to_a_new_schema_under_load_and_every_record_is_read_once() {
    let flow = Flow::with(4, "avro", "delivery:\n  transaction_timeout_ms: 5000\n");
    let next = newer(&flow);
    let with = ["--registry", registry::url()];
    register(flow.dir());
    let mut old: Vec<_> = ["a", "b"].map(|name| flow.worker(name, &with)).into();
    let mut inputs = Vec::new();
    let mut positions = Vec::new();
    let mut send = |count: usize| {
        let batch: Vec<_> = (inputs.len()..inputs.len() + count).map(short_contract).collect();
        positions.extend(kafka::produce(&flow.input, &batch));
        inputs.extend(batch);
        inputs.len()
    };
    send(60);
    flow.wait_for(20, &mut old[0], LONG);
    // The new schema is registered first; the old workers go on under theirs.
    register(&next);
    let mut new = Vec::new();
    for (mut leaves, name) in old.into_iter().zip(["a", "b"]) {
        send(40);
        leaves.sigterm();
        assert!(leaves.wait(LONG).success(), "{}", leaves.tail());
        new.push(flow.worker_of(&next, name, &with));
    }
    let total = send(40);
    let seen = flow.wait_for(total, &mut new[0], LONG);
    for worker in &mut new {
        worker.sigterm();
        assert!(worker.wait(LONG).success(), "{}", worker.tail());
    }
    assert_eq!(seen.len(), total);

    let client = Client::new(Endpoint::at(registry::url())).unwrap();
    let find = |id| client.schema_by_id(id).unwrap();
    let codec = codec(&next);
    let (mut ids, mut revisions, mut schemas) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, seen) in &seen {
        let body = seen.payload.as_deref().unwrap();
        schemas.insert(body[1..5].to_vec());
        let record = codec.read(body, &find).expect("both versions read");
        ids.insert(record["record_id"].as_str().unwrap().to_owned());
        let revision = record["provenance"]["pipeline_revision"].as_str().unwrap();
        let is_next = revision.starts_with("next-");
        revisions.insert(is_next);
        if let Some(tier) = record.get("tier") {
            assert!(is_next && tier == "none");
        }
    }
    assert_eq!(ids.len(), total, "each once");
    assert_eq!(revisions.len(), 2, "both releases have worked");
    assert!(schemas.len() >= 2, "{schemas:?}");
    let told = ask(&["reconcile"], &next, &with);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    assert_eq!(told.last()["sums"]["parts"], total, "{}", told.tail);
}
