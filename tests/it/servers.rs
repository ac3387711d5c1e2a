//! The servers under the other tests are real: what the tests conclude from them rests on what is shown here.

use std::process::Command;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use serde_json::json;

use crate::support::broker::Broker;
use crate::support::kafka::{self, Input};
use crate::support::process::{Process, was_killed};
use crate::support::reaper::Reaper;
use crate::support::{registry, unique, wait_for};

const SOON: Duration = Duration::from_secs(30);

fn payloads(seen: &[kafka::Seen]) -> Vec<&str> {
    let bodies = seen.iter().filter_map(|it| it.payload.as_deref());
    bodies.map(|it| std::str::from_utf8(it).unwrap()).collect()
}

#[test]
fn only_committed_records_are_seen() {
    let topic = kafka::create_topic("committed", 1, &[]);
    let open = kafka::producer(&[("transactional.id", &unique("open"))]);
    let closed = kafka::producer(&[("transactional.id", &unique("closed"))]);
    open.init_transactions(SOON).unwrap();
    closed.init_transactions(SOON).unwrap();

    closed.begin_transaction().unwrap();
    kafka::send_all(&closed, &topic, &[Input::new("a", b"first"), Input::new("b", b"second")]);
    closed.commit_transaction(SOON).unwrap();
    closed.begin_transaction().unwrap();
    kafka::send_all(&closed, &topic, &[Input::new("a", b"aborted")]);
    closed.abort_transaction(SOON).unwrap();
    closed.begin_transaction().unwrap();
    kafka::send_all(&closed, &topic, &[Input::new("a", b"third")]);
    closed.commit_transaction(SOON).unwrap();
    open.begin_transaction().unwrap();
    kafka::send_all(&open, &topic, &[Input::new("a", b"open")]);
    kafka::produce(&topic, &[Input::new("a", b"behind the open one")]);

    assert_eq!(payloads(&kafka::read_committed_all(&topic)), ["first", "second", "third"]);
    let all = ["first", "second", "aborted", "third", "open", "behind the open one"];
    assert_eq!(payloads(&kafka::read_uncommitted_all(&topic)), all);

    open.commit_transaction(SOON).unwrap();
    let all = ["first", "second", "third", "open", "behind the open one"];
    assert_eq!(payloads(&kafka::read_committed_all(&topic)), all);
}

#[test]
fn a_message_comes_back_as_it_was_sent() {
    let topic = kafka::create_topic("whole", 3, &[("cleanup.policy", "compact")]);
    assert_eq!(kafka::read_committed_all(&topic), []);
    let pdf = Input::new("contract 1", b"%PDF").header("content-type", b"application/pdf");
    let tombstone = Input { key: Some(b"contract 2".to_vec()), ..Input::default() }.partition(2);
    let sent = kafka::produce(&topic, &[pdf.clone().partition(1), pdf, tombstone]);
    assert_eq!(sent.first(), Some(&(1, 0)));
    assert_eq!(sent.last().map(|it| it.0), Some(2));

    let seen = kafka::read_committed_all(&topic);
    assert_eq!(seen.len(), 3);
    let first = seen.iter().find(|it| (it.partition, it.offset) == (1, 0)).unwrap();
    assert_eq!(first.key.as_deref(), Some(&b"contract 1"[..]));
    assert_eq!(first.payload.as_deref(), Some(&b"%PDF"[..]));
    assert_eq!(first.header("content-type").as_deref(), Some("application/pdf"));
    let last = seen.last().unwrap();
    assert_eq!((last.payload.as_ref(), last.headers.len()), (None, 0));
}

fn joins(protocol: &str, brokers: &str, topic: &str) -> bool {
    let mut config = kafka::client();
    config.set("bootstrap.servers", brokers).set("group.id", unique("group"));
    config.set("group.protocol", protocol).set("auto.offset.reset", "earliest");
    config.set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut answer = None;
    wait_for("message or refusal", SOON, || {
        answer = consumer.poll(Duration::from_millis(100)).map(|it| it.is_ok());
        answer
    })
}

#[test]
fn both_group_protocols_are_served() {
    let topic = kafka::create_topic("groups", 1, &[]);
    kafka::produce(&topic, &[Input::new("a", b"one")]);
    assert!(joins("consumer", kafka::brokers(), &topic), "KIP-848");
    assert!(joins("classic", kafka::brokers(), &topic), "classic");
}

#[test]
fn a_broker_can_be_had_without_the_new_group_protocol() {
    let broker = Broker::start(&[("group.coordinator.rebalance.protocols", "classic")]);
    assert!(!joins("consumer", broker.address(), "none"), "KIP-848 is switched off");
}

const V1: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
const V2: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"long"}]}"#;
const V3: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"long","default":0}]}"#;

#[test]
fn a_registered_schema_reads_back() {
    let subject = unique("read-back-value");
    let (status, _) =
        registry::request("GET", &format!("/subjects/{subject}/versions/latest"), None);
    assert_eq!(status, 404);
    let id = registry::register(&subject, V1);
    assert_eq!(registry::register(&subject, V1), id, "registering again changes nothing");
    let read: serde_json::Value = serde_json::from_str(&registry::schema(id)).unwrap();
    assert_eq!(read, serde_json::from_str::<serde_json::Value>(V1).unwrap());
    let found =
        registry::request("POST", &format!("/subjects/{subject}"), Some(&json!({ "schema": V1 })));
    assert_eq!(found.0, 200);
    assert_eq!(found.1.get("id"), Some(&json!(id)));
}

#[test]
fn an_incompatible_schema_is_refused() {
    let subject = unique("compatible-value");
    registry::register(&subject, V1);
    let config = json!({ "compatibility": "BACKWARD" });
    assert_eq!(registry::request("PUT", &format!("/config/{subject}"), Some(&config)).0, 200);
    let asked = |schema: &str| {
        let path = format!("/compatibility/subjects/{subject}/versions/latest");
        registry::request("POST", &path, Some(&json!({ "schema": schema }))).1
    };
    assert_eq!(asked(V2).get("is_compatible"), Some(&json!(false)));
    assert_eq!(asked(V3).get("is_compatible"), Some(&json!(true)));
    let path = format!("/subjects/{subject}/versions");
    assert_eq!(registry::request("POST", &path, Some(&json!({ "schema": V2 }))).0, 409);
    registry::register(&subject, V3);
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn is_running(pid: &str) -> bool {
    // A zombie is not running; it waits for init of a container that may never ask.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X']) && !rest.is_empty())
}

#[test]
fn a_child_can_be_killed_or_asked_to_end() {
    let mut child = Process::spawn("sleep", shell("sleep 600"));
    assert_eq!(child.exited(), None);
    assert!(was_killed(child.kill9()));

    let script = "trap 'echo drained; exit 3' TERM; echo '{\"level\":\"INFO\"}' >&2; while :; do sleep 0.1; done";
    let mut child = Process::spawn("drain", shell(script));
    wait_for("log line", SOON, || (!child.logs().is_empty()).then_some(()));
    child.sigterm();
    assert_eq!(child.wait(SOON).code(), Some(3));
    assert_eq!(child.stdout(), "drained\n");
    assert_eq!(child.logs(), [json!({ "level": "INFO" })]);
}

#[test]
fn a_dropped_child_takes_its_own_children_along() {
    let child = Process::spawn("parent", shell("sleep 600 & echo $!; wait"));
    let grandchild = wait_for("pid", SOON, || child.stdout().lines().next().map(str::to_owned));
    assert!(is_running(&grandchild));
    drop(child);
    wait_for("end of the grandchild", SOON, || (!is_running(&grandchild)).then_some(()));
}

#[test]
fn the_worker_runs() {
    let mut worker = Process::sluice(&["--version"], &[("SLUICE_LOG", "info")]);
    assert!(worker.wait(SOON).success(), "{}", worker.tail());
}

#[test]
fn nothing_outlives_the_test_process() {
    let reaper = Reaper::start();
    let folder = reaper.folder().to_owned();
    std::fs::write(folder.join("log"), "text").unwrap();
    let mut watched = Process::spawn("watched", shell("sleep 600 & wait"));
    let mut spared = Process::spawn("spared", shell("sleep 600 & wait"));
    reaper.watch(watched.id());
    reaper.watch(spared.id());
    reaper.forget(spared.id());

    // What the kernel does to the pipe when the test process is gone.
    drop(reaper);
    assert!(was_killed(watched.wait(SOON)));
    assert_eq!(spared.exited(), None, "a forgotten child is left alone");
    assert!(!folder.exists());
}
