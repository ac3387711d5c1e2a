//! A thread that does not come back from a call ends the worker, which the platform starts again.

use std::time::Instant;

use super::{LONG, Worker, contracts, recovered};
use crate::support::flow::Flow;
use crate::support::kafka;

#[test]
fn a_sink_that_hangs_in_a_transaction_ends_the_worker_and_nothing_is_lost() {
    let flow = Flow::new(2, "delivery:\n  transaction_timeout_ms: 5000\n");
    let inputs = contracts(200);
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "offsets-sent=wait:3600000@1");
    worker.wait_to_say("a planted fault");
    let since = Instant::now();
    let status = worker.process.wait(LONG);
    assert_eq!(status.code(), Some(1), "{}", worker.process.tail());
    let told = worker.process.stderr();
    assert!(told.contains("has not come back from the Kafka client for 30 s"), "{told}");
    assert_eq!(worker.planted_count("offsets-sent"), 1);
    assert!(flow.seen().is_empty());
    let mut next = flow.worker("a", &[]);
    flow.wait_for(inputs.len(), &mut next, LONG);
    recovered("sink hangs", since);
    flow.drain_and_check(&mut next, &inputs, &positions);
}
