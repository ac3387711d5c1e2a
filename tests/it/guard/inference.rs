//! A model that fails: for a while, on one document, on all.

use super::{COUNT, LONG, SMALL_BUDGET, Worker, codes, contracts};
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input};
use crate::support::wait_for;

/// A contract whose window is longer than those of short ones, of more than 192 tokens.
fn long_contract(number: usize) -> Input {
    let short = short_contract(number);
    let text = String::from_utf8(short.payload.unwrap()).unwrap().repeat(3);
    Input { payload: Some(text.into_bytes()), headers: short.headers, ..short_contract(number) }
}

#[test]
fn a_model_that_fails_for_a_while_refuses_no_document() {
    let flow = Flow::new(1, SMALL_BUDGET);
    let inputs = contracts(COUNT);
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "inferred=fail@20-80,controlled=fail@1-6");
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen), Vec::<String>::new());
    assert_eq!((worker.planted_count("inferred"), worker.planted_count("controlled")), (61, 6));
    worker.wait_until("contracts", "running");
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_document_on_which_the_model_fails_is_refused_and_the_rest_goes_on() {
    let flow = Flow::new(1, SMALL_BUDGET);
    let mut inputs = contracts(COUNT);
    inputs[57] = long_contract(57);
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "inferred=fail-above:192");
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen), ["INFER_FAILED"]);
    let reject = seen.iter().find(|(_, seen)| seen.header("sluice-code").is_some()).unwrap();
    assert_eq!(reject.1.payload, inputs[57].payload);
    // Two runs, each tried twice, and between them a blank one that went through.
    assert_eq!(worker.planted_count("inferred"), 4);
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_model_that_fails_on_every_document_holds_its_flow_and_no_other() {
    let (held, goes_on) = (Flow::new(1, SMALL_BUDGET), Flow::named("goes-on"));
    let inputs: Vec<_> = (0..COUNT).map(long_contract).collect();
    let positions = kafka::produce(&held.input, &inputs);
    let mut worker = Worker::start(&held, &[goes_on.dir()], "inferred=fail-above:192");
    let stands = worker.wait_until("contracts", "held");
    assert!(stands["refused_parts"]["INFER_FAILED"].as_u64().unwrap() >= 10, "{stands}");
    let plain = contracts(COUNT);
    let plain_at = kafka::produce(&goes_on.input, &plain);
    goes_on.wait_for(COUNT, &mut worker.process, LONG);

    assert_eq!(worker.get("/healthz").0, 200, "a restart would mend nothing");
    let (status, body) = worker.get("/readyz");
    assert!(status == 503 && body.contains("flows held: contracts"), "{status} {body}");
    let (_, page) = worker.get("/metrics");
    assert!(page.contains("sluice_flow_held{pipeline=\"contracts\"} 1"), "{page}");
    assert!(page.contains("sluice_flow_held{pipeline=\"goes-on\"} 0"), "{page}");
    worker.wait_to_say("the flow is held");
    assert!(worker.process.stderr().contains("INFER_FAILED 1"), "{}", worker.process.tail());

    // Still ill: released, it is held again, and has refused no more than its budget each time.
    assert_eq!(worker.ask("POST", "/flows/contracts/release").0, 200);
    worker.wait_until("contracts", "held");
    let refused = held.seen().len();
    assert!(refused < 20, "{refused} documents were refused by two holds of 10");

    worker.process.sigterm();
    assert!(worker.process.wait(LONG).success(), "{}", worker.process.tail());
    assert!(goes_on.check(&plain, &plain_at).is_clean());
    assert_eq!(held.seen().len(), refused, "a drain publishes nothing of a held flow");

    // The restart releases it, and the model is well again.
    let mut worker = Worker::start(&held, &[], "");
    let seen = held.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen).len(), refused, "what was not committed was worked on again");
    held.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_range_that_was_read_to_its_end_before_its_flow_is_held_is_worked_off_all_the_same() {
    const RANGE: usize = 60;
    let flow = Flow::new(1, SMALL_BUDGET);
    let inputs: Vec<_> = (0..RANGE).map(long_contract).collect();
    kafka::produce(&flow.input, &inputs);
    for topic in [&flow.record, &flow.review, &flow.reject, &flow.audit] {
        kafka::create_topic_at(kafka::brokers(), &format!("{topic}.v2"), (1, 1), &[]);
    }
    let to = format!("0:{RANGE}");
    let range = ["--from", "0:0", "--to", &to, "--output", "v2"];
    let mut worker = Worker::start(&flow, &range, "inferred=fail-above:192");
    let mut holds = 0;
    let status = wait_for("the end of the range", LONG, || {
        if worker.stands("contracts")["state"] == "held" {
            holds += usize::from(worker.ask("POST", "/flows/contracts/release").0 == 200);
        }
        worker.process.exited()
    });
    assert!(status.success() && holds >= 3, "{holds} holds\n{}", worker.process.tail());
    let refused = kafka::read_committed_all(&format!("{}.v2", flow.reject));
    assert_eq!(refused.len(), RANGE, "each once, whatever was dropped at a hold");
}
