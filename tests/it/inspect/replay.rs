//! `sluice replay`: the same input gives the same outcome, a difference is named by its place, and what
//! cannot be run says why.

use serde_json::json;

use super::{Told, ask, copied, worked_off};
use crate::support::flow::{Flow, json as body_of, short_contract};
use crate::support::kafka::{self, Input};

fn replay(dir: &str, id: &str, args: &[&str]) -> Told {
    ask(&["replay"], dir, &[&["--record", id], args].concat())
}

#[test]
fn a_record_a_review_and_a_reject_are_made_again_the_same() {
    for (format, extra) in [("json", ""), ("avro", "redact:\n  rules: [email]\n")] {
        let flow = Flow::with(1, format, extra);
        let inputs = [
            short_contract(1),
            Input::new("odd", b"It was a mild morning, and nothing was signed by anybody at all.")
                .header("content-type", b"text/plain"),
            Input::new("word", b"PK\x03\x04").header("content-type", b"application/msword"),
        ];
        worked_off(&flow, &inputs, inputs.len());
        for (_, seen) in flow.seen() {
            let id = seen.header("sluice-record-id").unwrap();
            let told = replay(flow.dir(), &id, &[]);
            assert_eq!(told.code, Some(0), "{format} {id}\n{}", told.tail);
            assert_eq!(told.last()["answer"], "same", "{}", told.tail);
        }
    }
}

#[test]
fn a_difference_is_named_by_place_and_shown_on_request_only() {
    let flow = Flow::new(1, "");
    worked_off(&flow, &[short_contract(1)], 1);
    let seen = kafka::read_committed_all(&flow.record);
    let [record] = &seen[..] else { panic!("{} records", seen.len()) };
    let id = record.header("sluice-record-id").unwrap();
    let mut body = body_of(record);
    body["title"] = json!("FORGED AGREEMENT");
    let forged = copied(&flow, &flow.record, |all| {
        all[0].payload = Some(body.to_string().into_bytes());
    });
    // The copy names another topic, so the configuration is another one too.
    let told = replay(&forged, &id, &["--anyway"]);
    assert_eq!((told.code, &told.last()["answer"]), (Some(1), &json!("differs")), "{}", told.tail);
    assert_eq!(told.last()["differences"], json!([{"path": "/title"}]), "{}", told.tail);
    assert!(!told.tail.contains("FORGED"), "{}", told.tail);
    let told = replay(&forged, &id, &["--anyway", "--show-values"]);
    assert!(told.tail.contains("FORGED"), "{}", told.tail);
}

#[test]
fn what_cannot_be_run_says_why() {
    let flow = Flow::new(1, "");
    worked_off(&flow, &[short_contract(1)], 1);
    let id = format!("contracts/{}/0/0/0", flow.input);
    let other = flow.edited(|yaml| yaml.replace("revision: \"", "revision: \"other-"));
    let told = replay(&other, &id, &[]);
    assert_eq!(told.code, Some(1), "{}", told.tail);
    assert_eq!(told.last()["answer"], "cannot_be_run", "{}", told.tail);
    let why = told.last()["why"].to_string();
    assert!(why.contains("config_digest") && why.contains("pipeline_revision"), "{why}");
    assert!(!why.contains("model_digest"), "{why}");
    let told = replay(&other, &id, &["--anyway"]);
    assert_eq!((told.code, &told.last()["answer"]), (Some(0), &json!("same")), "{}", told.tail);

    assert_eq!(replay(flow.dir(), "contracts/elsewhere/0/0/0", &[]).code, Some(64));
    let unknown = replay(flow.dir(), &id.replace("/0/0/0", "/0/9/0"), &[]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.tail);
    kafka::expire(&flow.input, 1);
    let told = replay(flow.dir(), &id, &[]);
    assert_eq!((told.code, &told.last()["answer"]), (Some(1), &json!("cannot_be_run")));
    assert_eq!(told.last()["why"], json!(["the input has expired"]), "{}", told.tail);
}
