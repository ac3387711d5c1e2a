//! Text children that cannot be started, die, hang and eat memory.

use super::{COUNT, LONG, SMALL_BUDGET, Worker, codes};
use crate::pdf_maker::{Pdf, Stream};
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input};

/// A short contract as HTML, which a text child reads.
fn of_html(number: usize) -> Input {
    let Input { key, payload, .. } = short_contract(number);
    let text = String::from_utf8(payload.unwrap()).unwrap();
    let key = String::from_utf8(key.unwrap()).unwrap();
    Input::new(&key, format!("<p>{text}</p>").as_bytes()).header("content-type", b"text/html")
}

fn all_of_html() -> Vec<Input> {
    (0..COUNT).map(of_html).collect()
}

#[test]
fn text_children_that_cannot_be_started_or_die_of_no_document_refuse_none() {
    let flow = Flow::new(1, SMALL_BUDGET);
    let inputs = all_of_html();
    let positions = kafka::produce(&flow.input, &inputs);
    // The first two starts are proofs at the start of the worker. The child that dies has read others
    // before, so that none of them can be told from its murderer.
    let faults = "started=fail@3-10,given=fail@50";
    let mut worker = Worker::start(&flow, &["--text-children", "1"], faults);
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen), Vec::<String>::new());
    assert_eq!((worker.planted_count("started"), worker.planted_count("given")), (8, 1));
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn documents_that_all_kill_their_child_hold_the_flow_and_a_drain_of_it_is_in_order() {
    let flow = Flow::new(1, SMALL_BUDGET);
    let inputs = all_of_html();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "given=fail");
    let stands = worker.wait_until("contracts", "held");
    assert!(stands["refused_parts"]["TEXT_CRASHED"].as_u64().unwrap() >= 10, "{stands}");
    assert!(worker.planted_count("given") >= 10);
    worker.process.sigterm();
    assert!(worker.process.wait(LONG).success(), "{}", worker.process.tail());
    let refused = flow.seen().len();
    assert!(refused < 10, "{refused} of them were refused");
    let mut worker = Worker::start(&flow, &[], "");
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen).len(), refused);
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_document_that_hangs_its_child_and_one_that_eats_its_memory_are_refused_alone() {
    let flow = Flow::new(
        1,
        "text:\n  progress_timeout_ms: 5000\n  total_timeout_ms: 20000\n  memory_bytes_max: 268435456\n",
    );
    let mut inputs = all_of_html();
    // A tag with so many attributes that looking for doubles among them takes minutes.
    let names: Vec<_> = (0..1_000_000).map(|number| format!("a{number}")).collect();
    let slow = format!("<p {}>text", names.join(" "));
    inputs[70] = Input::new("slow", slow.as_bytes()).header("content-type", b"text/html");
    let bomb = Pdf::of_pages(&[Stream::bomb(b" ", 4 << 30)]).bytes();
    inputs[130] = Input::new("bomb", &bomb).header("content-type", b"application/pdf");
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &[], "");
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    for (key, code) in [("slow", "TEXT_TIMEOUT"), ("bomb", "TEXT_MEMORY")] {
        let reject = seen.iter().find(|(_, seen)| seen.key.as_deref() == Some(key.as_bytes()));
        assert_eq!(reject.unwrap().1.header("sluice-code").as_deref(), Some(code));
    }
    assert_eq!(codes(&seen).len(), 2, "{:?}", codes(&seen));
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}
