//! `sluice reconcile`: agrees where all is well, and names what is lost, doubled or contradicted.

use serde_json::json;
use sluice::inspect::range::RangeArgs;
use sluice::inspect::reconcile::{self, Question};
use sluice::kafka::Connection;

use super::{LONG, Told, ask, copied, worked_off};
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input};

fn reconcile(dir: &str, args: &[&str]) -> Told {
    ask(&["reconcile"], dir, args)
}

/// The findings as (what, record id).
fn findings(told: &Told) -> Vec<(&str, &str)> {
    told.all("finding").into_iter().zip(told.all("record_id")).collect()
}

/// A log of so many entries, one of them broken.
fn log(lines: u32) -> Input {
    let mut body = Vec::new();
    for line in 0..lines {
        body.extend(format!("2026-01-01 10:00:{line:02} pump {line}").bytes());
        body.extend(if line == 3 { b" \xFF\n".as_slice() } else { b"\n" });
    }
    Input::new("host", &body).header("content-type", b"text/plain")
}

#[test]
fn parts_tombstones_rejects_and_gaps_agree_and_what_is_not_committed_is_told_apart() {
    use rdkafka::producer::Producer as _;
    let flow = Flow::splitting(1, "");
    let tombstone = Input { key: Some(b"gone".to_vec()), ..Input::default() };
    let bad = Input::new("word", b"PK\x03\x04").header("content-type", b"application/msword");
    let sender = kafka::producer(&[("transactional.id", &crate::support::unique("sender"))]);
    sender.init_transactions(LONG).unwrap();
    sender.begin_transaction().unwrap();
    kafka::send_all(&sender, &flow.input, &[short_contract(0)]);
    sender.abort_transaction(LONG).unwrap();
    let inputs = [log(12), tombstone, bad, short_contract(1)];
    // 12 entries, two messages for the tombstone, and one each.
    let positions = worked_off(&flow, &inputs, 16);
    // Offsets 0 and 1 are the aborted message and the mark of its transaction.
    assert_eq!(positions.first(), Some(&(0, 2)));
    let late = kafka::produce(&flow.input, &[short_contract(2)]);
    assert_eq!(late, [(0, 6)]);

    let told = reconcile(flow.dir(), &[]);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    let sums = told.last();
    assert_eq!(
        sums["offsets"],
        json!({"asked": 6, "expired": 0, "gaps": 2, "uncommitted": 0}),
        "{sums}"
    );
    assert_eq!((&sums["sums"]["messages"], &sums["sums"]["parts"]), (&json!(4), &json!(14)));
    assert_eq!((&sums["sums"]["rejects"], &sums["sums"]["audited"]), (&json!(2), &json!(14)));

    // In many small sweeps as in one.
    let loaded = sluice::config::load(std::path::Path::new(flow.dir())).unwrap();
    let connection = Connection { brokers: kafka::brokers().to_owned(), properties: Vec::new() };
    let swept = reconcile::reconcile(&Question {
        flow: &loaded,
        connection: &connection,
        registry: None,
        range: &RangeArgs::default(),
        parts_max: 3,
    });
    let swept = swept.unwrap();
    assert!(swept.is_clean(), "{}", swept.table());
    assert_eq!(json!(swept.verdict.sums), sums["sums"]);
    assert_eq!(json!(swept.offsets), sums["offsets"]);

    let told = reconcile(flow.dir(), &["--from", "0:4", "--to", "0:9"]);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    assert_eq!(
        told.last()["offsets"],
        json!({"asked": 5, "expired": 0, "gaps": 0, "uncommitted": 3}),
        "{}",
        told.tail
    );

    kafka::expire(&flow.input, 4);
    let told = reconcile(flow.dir(), &["--from", "0:1"]);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    assert_eq!(
        told.last()["offsets"],
        json!({"asked": 5, "expired": 3, "gaps": 0, "uncommitted": 0}),
        "{}",
        told.tail
    );
    assert_eq!(reconcile(flow.dir(), &["--from", "7:0"]).code, Some(64));
}

#[test]
fn what_is_lost_doubled_invented_or_contradicted_is_named() {
    let flow = Flow::new(2, "");
    let inputs: Vec<_> = (0..12).map(short_contract).collect();
    worked_off(&flow, &inputs, inputs.len());
    let clean = reconcile(flow.dir(), &[]);
    assert_eq!(clean.code, Some(0), "{}", clean.tail);
    let (_, outcome) = flow.seen().into_iter().next().unwrap();
    let topic = [&flow.record, &flow.review]
        .into_iter()
        .find(|topic| kafka::read_committed_all(topic).contains(&outcome))
        .unwrap();
    let own = outcome.header("sluice-record-id").unwrap();

    let lost = reconcile(&copied(&flow, topic, |all| drop(all.remove(0))), &[]);
    assert_eq!(lost.code, Some(1), "{}", lost.tail);
    assert_eq!(findings(&lost), [("missing", own.as_str())], "{}", lost.tail);

    let twin = outcome.clone();
    let doubled = reconcile(&copied(&flow, topic, |all| all.push(twin)), &[]);
    assert_eq!(doubled.code, Some(1), "{}", doubled.tail);
    let expected = [("doubled", own.as_str()), ("audit_missing", own.as_str())];
    assert_eq!(findings(&doubled), expected, "{}", doubled.tail);

    let mut stranger = outcome.clone();
    let invented = format!("{}/1", own.strip_suffix("/0").unwrap());
    for (name, value) in &mut stranger.headers {
        if name == "sluice-record-id" {
            *value = invented.clone().into_bytes();
        }
    }
    let unexpected = reconcile(&copied(&flow, topic, |all| all.push(stranger)), &[]);
    assert_eq!(unexpected.code, Some(1), "{}", unexpected.tail);
    assert_eq!(findings(&unexpected), [("unexpected", invented.as_str())], "{}", unexpected.tail);

    // The one outcome moves from its topic to the reject topic: the audit knows better.
    let moved = outcome.input();
    let one_less = copied(&flow, topic, |all| drop(all.remove(0)));
    let rejects = kafka::create_topic("copy", 1, &[]);
    kafka::produce(&rejects, &[Input { partition: None, ..moved }]);
    let yaml = std::path::Path::new(&one_less).join("pipeline.yaml");
    let text = std::fs::read_to_string(&yaml).unwrap().replace(&flow.reject, &rejects);
    std::fs::write(&yaml, text).unwrap();
    let told = reconcile(&one_less, &[]);
    assert_eq!(told.code, Some(1), "{}", told.tail);
    assert_eq!(findings(&told), [("audit_contradicts", own.as_str())], "{}", told.tail);

    let silent = reconcile(&copied(&flow, &flow.audit, |all| drop(all.remove(0))), &[]);
    assert_eq!(silent.code, Some(1), "{}", silent.tail);
    assert_eq!(silent.all("finding"), ["audit_missing"], "{}", silent.tail);
}

#[test]
fn a_flow_that_redacts_reconciles_and_so_does_one_that_writes_avro() {
    let flow = Flow::with(1, "avro", "redact:\n  rules: [email]\n");
    let bad = Input::new("word", b"PK\x03\x04").header("content-type", b"application/msword");
    let mut inputs: Vec<_> = (0..5).map(short_contract).collect();
    inputs.push(bad);
    worked_off(&flow, &inputs, inputs.len());
    let told = reconcile(flow.dir(), &[]);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    assert_eq!(told.last()["sums"]["audited"], json!(6), "{}", told.tail);
    assert_eq!(told.last()["sums"]["rejects"], json!(1), "{}", told.tail);
    let lost = reconcile(&copied(&flow, &flow.reject, Vec::clear), &[]);
    assert_eq!(lost.all("finding"), ["missing"], "{}", lost.tail);
    // Younger than the retention of its topic, so not deleted by it.
    kafka::expire(&flow.record, 1);
    let lost = reconcile(flow.dir(), &[]);
    assert_eq!(lost.all("finding"), ["missing"], "{}", lost.tail);
}
