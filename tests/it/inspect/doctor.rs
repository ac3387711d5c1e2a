//! `sluice doctor`: healthy flows are left in peace; each illness is named with its remedy.

use rdkafka::producer::Producer as _;
use serde_json::{Value, json};

use super::{LONG, Told, ask, worked_off};
use crate::support::broker::Broker;
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka;
use crate::support::{registry, unique, wait_for};

fn doctor(dir: &str, args: &[&str]) -> Told {
    ask(&["doctor"], dir, &[&["--watch-ms", "1000"], args].concat())
}

/// Codes of the errors.
fn errors(told: &Told) -> Vec<&str> {
    let lines = told.lines.iter().filter(|line| line["severity"] == "error");
    lines.filter_map(|line| line["code"].as_str()).collect()
}

fn line<'t>(told: &'t Told, code: &str) -> &'t Value {
    let found = told.lines.iter().find(|line| line["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}\n{}", told.tail))
}

#[test]
fn a_flow_that_is_well_has_no_error_and_one_whose_worker_is_gone_is_told() {
    let flow = Flow::new(2, "");
    worked_off(&flow, &[short_contract(0), short_contract(1)], 2);
    let well = doctor(flow.dir(), &["--workers", "2"]);
    assert_eq!((well.code, errors(&well).len()), (Some(0), 0), "{}", well.tail);
    // One node: nothing can be replicated.
    line(&well, "DURABILITY");
    line(&doctor(flow.dir(), &["--workers", "3"]), "WORKERS_IDLE");
    let [(partition, _)] = kafka::produce(&flow.input, &[short_contract(2)])[..] else { panic!() };
    let ill = doctor(flow.dir(), &[]);
    assert_eq!((ill.code, errors(&ill)), (Some(1), vec!["LAG_WITHOUT_COMMITS"]), "{}", ill.tail);
    assert_eq!(line(&ill, "LAG_WITHOUT_COMMITS")["subject"], format!("{}/{partition}", flow.input));
}

#[test]
fn an_open_transaction_is_named_with_the_command_that_ends_it() {
    let flow = Flow::new(1, "");
    let lingers = kafka::producer(&[("transactional.id", &unique("lingers"))]);
    lingers.init_transactions(LONG).unwrap();
    lingers.begin_transaction().unwrap();
    let sent = kafka::send_all(&lingers, &flow.record, &[short_contract(0)]);
    assert_eq!(sent, [(0, 0)]);
    let ill = doctor(flow.dir(), &[]);
    assert_eq!((ill.code, errors(&ill)), (Some(1), vec!["TRANSACTION_OPEN"]), "{}", ill.tail);
    let open = line(&ill, "TRANSACTION_OPEN");
    assert_eq!(open["subject"], format!("{}/0", flow.record));
    let remedy = open["remedy"].as_str().unwrap();
    let command = format!("abort --topic {} --partition 0 --start-offset 0", flow.record);
    assert!(remedy.contains(&command), "{remedy}");
    lingers.commit_transaction(LONG).unwrap();
    wait_for("a flow that is well", LONG, || {
        errors(&doctor(flow.dir(), &[])).is_empty().then_some(())
    });
}

#[test]
fn topics_that_are_missing_too_small_or_compacted_and_messages_that_expired_are_told() {
    let flow = Flow::new(1, "");
    worked_off(&flow, &[short_contract(0)], 1);
    let gone = flow.edited(|yaml| yaml.replace(&flow.review, "no-such-topic"));
    let told = doctor(&gone, &[]);
    assert_eq!(errors(&told), ["TOPIC_MISSING"], "{}", told.tail);
    assert_eq!(line(&told, "TOPIC_MISSING")["subject"], "no-such-topic");

    let large = flow
        .edited(|yaml| yaml.replace("\noutput:\n", "\noutput:\n  message_bytes_max: 2000000\n"));
    let told = doctor(&large, &[]);
    assert_eq!(errors(&told), ["MESSAGE_BYTES"; 4], "{}", told.tail);

    let compacted = kafka::create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let split = flow.edited(|yaml| {
        yaml.replace(&flow.record, &compacted).replace("\ninput:\n", "\ninput:\n  split: log\n")
    });
    let told = doctor(&split, &[]);
    assert_eq!(errors(&told), ["COMPACTED"], "{}", told.tail);

    kafka::produce(&flow.input, &[short_contract(1), short_contract(2)]);
    kafka::expire(&flow.input, 3);
    let told = doctor(flow.dir(), &[]);
    assert_eq!(errors(&told), ["EXPIRED_UNREAD"], "{}", told.tail);
}

#[test]
fn schemas_that_are_not_registered_or_older_than_the_latest_are_told() {
    let flow = Flow::with(1, "avro", "");
    let with = ["--registry", registry::url()];
    let told = doctor(flow.dir(), &with);
    assert_eq!(errors(&told), ["SCHEMA_UNREGISTERED"; 3], "{}", told.tail);
    let silent = doctor(flow.dir(), &["--registry", "http://127.0.0.1:1"]);
    assert_eq!(errors(&silent), ["REGISTRY_SILENT"], "{}", silent.tail);
    super::upgrade::register(flow.dir());
    assert_eq!(doctor(flow.dir(), &with).code, Some(0));
    let newer = super::upgrade::newer(&flow);
    super::upgrade::register(&newer);
    let told = doctor(flow.dir(), &with);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    assert_eq!(
        line(&told, "SCHEMA_OTHER_ID")["subject"],
        json!(format!("{}-value", flow.record)),
        "{}",
        told.tail
    );
}

#[test]
fn a_group_protocol_that_the_brokers_do_not_have_is_told() {
    let old = Broker::start(&[("group.coordinator.rebalance.protocols", "classic")]);
    let flow = Flow::at(old.address());
    let ask = |protocol| {
        let at = ["--brokers", old.address(), "--group-protocol", protocol];
        let all = [&["doctor", flow.dir(), "--json", "--watch-ms", "100"], &at[..]].concat();
        let mut process = crate::support::process::Process::sluice(&all, &[]);
        process.wait(LONG);
        process.stdout()
    };
    assert!(ask("consumer").contains("GROUP_PROTOCOL"), "{}", ask("consumer"));
    assert!(!ask("auto").contains("GROUP_PROTOCOL"), "{}", ask("auto"));
}
