//! Output topics that are missing, go away, or take too small messages: the flow waits, says for
//! what, and goes on by itself.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{COUNT, LONG, SMALL_BUDGET, Worker, codes, contracts, recovered};
use crate::support::checker::Kind;
use crate::support::flow::Flow;
use crate::support::kafka::{self, Input, Seen};
use crate::support::wait_for;

fn delete_for_good(topic: &str) {
    kafka::delete_topic(topic);
    wait_for("the topic to be gone", LONG, || (!kafka::topic_exists(topic)).then_some(()));
}

fn create(topic: &str) {
    wait_for("the name to be free", LONG, || kafka::try_create_topic(topic).then_some(()));
}

/// A document of a type that no pipeline takes, of 300,000 bytes that do not compress: its reject
/// brings them all.
fn large() -> Input {
    let noise = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    let bytes: Vec<_> = (1..=37_500).flat_map(noise).collect();
    Input::new("large", &bytes).header("content-type", b"application/msword")
}

/// The one reject is that of the large document, whole.
fn check_large(seen: &[(Kind, Seen)]) {
    assert_eq!(codes(seen), ["TYPE_UNSUPPORTED"]);
    let reject = seen.iter().find(|(kind, _)| *kind == Kind::Reject).unwrap();
    assert_eq!(reject.1.payload, large().payload);
}

#[test]
fn an_output_topic_that_is_missing_at_the_start_is_waited_for() {
    let flow = Flow::new(1, SMALL_BUDGET);
    delete_for_good(&flow.record);
    let inputs = contracts(COUNT);
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "");
    worker.wait_to_say(&format!("the output topic `{}` does not exist; create it", flow.record));
    let stands = worker.wait_until("contracts", "waiting");
    assert!(stands["waiting_for"].to_string().contains("does not exist"), "{stands}");
    let (_, page) = worker.get("/metrics");
    assert!(page.contains("sluice_flow_waiting{pipeline=\"contracts\"} 1"), "{page}");
    create(&flow.record);
    let since = Instant::now();
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    recovered("an output topic was missing at the start", since);
    assert_eq!(codes(&seen).len(), 0);
    worker.wait_until("contracts", "running");
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn an_output_topic_that_is_deleted_while_it_runs_is_waited_for() {
    let flow = Flow::new(1, SMALL_BUDGET);
    let (before, after) = (contracts(COUNT / 2), contracts(COUNT / 2));
    let before_at = kafka::produce(&flow.input, &before);
    let mut worker = Worker::start(&flow, &[], "");
    let seen = flow.wait_for(before.len(), &mut worker.process, LONG);
    let id = |seen: &Seen| seen.header("sluice-record-id").unwrap();
    let mut ids: BTreeSet<_> = seen.iter().map(|(_, seen)| id(seen)).collect();
    let records = seen.iter().filter(|(kind, _)| *kind == Kind::Record);
    let gone = if records.count() * 2 > seen.len() { &flow.record } else { &flow.review };
    delete_for_good(gone);
    let after_at = kafka::produce(&flow.input, &after);
    worker.wait_to_say(&format!("the output topic `{gone}` does not exist; create it"));
    create(gone);
    let since = Instant::now();
    let expected: BTreeSet<_> = before_at
        .iter()
        .chain(&after_at)
        .map(|(partition, offset)| format!("contracts/{}/{partition}/{offset}/0", flow.input))
        .collect();
    wait_for("every document's outcome", LONG, || {
        worker.lives();
        ids.extend(flow.seen().iter().map(|(_, seen)| id(seen)));
        (ids == expected).then_some(())
    });
    recovered("an output topic was deleted", since);
    worker.process.sigterm();
    assert!(worker.process.wait(LONG).success(), "{}", worker.process.tail());
    let all = flow.seen();
    let doubled = all.len() - all.iter().map(|(_, seen)| id(seen)).collect::<BTreeSet<_>>().len();
    assert_eq!((doubled, codes(&all).len()), (0, 0));
}

#[test]
fn a_topic_of_smaller_messages_than_the_pipelines_is_told_at_the_start_and_waited_for() {
    let flow = Flow::new(1, SMALL_BUDGET);
    kafka::configure_topic(&flow.reject, "max.message.bytes", "100000");
    let mut inputs = contracts(COUNT);
    inputs[100] = large();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "");
    let told = format!("the output topic `{}` takes messages of at most 100000 bytes", flow.reject);
    worker.wait_to_say(&told);
    worker.wait_until("contracts", "waiting");
    assert_eq!(flow.seen().len(), 0);
    kafka::configure_topic(&flow.reject, "max.message.bytes", "2000000");
    let since = Instant::now();
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    recovered("an output topic took smaller messages at the start", since);
    check_large(&seen);
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_message_that_a_topic_no_longer_takes_is_neither_lost_nor_refused() {
    let flow = Flow::new(1, SMALL_BUDGET);
    let mut inputs = contracts(COUNT / 2);
    let mut positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "");
    flow.wait_for(inputs.len(), &mut worker.process, LONG);
    kafka::configure_topic(&flow.reject, "max.message.bytes", "100000");
    let mut more = contracts(COUNT / 2);
    more[50] = large();
    positions.extend(kafka::produce(&flow.input, &more));
    inputs.extend(more);
    worker.wait_to_say("a topic takes smaller messages than `output.message_bytes_max`");
    worker.wait_to_say("takes messages of at most 100000 bytes");
    kafka::configure_topic(&flow.reject, "max.message.bytes", "2000000");
    let since = Instant::now();
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    recovered("an output message was larger than its topic takes", since);
    check_large(&seen);
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}
