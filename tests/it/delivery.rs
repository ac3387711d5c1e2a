//! The promise: every part ends in exactly one outcome, whatever is killed. On a real broker.

use std::time::Duration;

use crate::support::checker::Kind;
use crate::support::dice::Dice;
use crate::support::flow::{Flow, json, short_contract};
use crate::support::kafka::{self, Input};
use crate::support::process::{Process, was_killed};
use crate::support::wait_for;

/// Long enough for a model to load and a group to settle on a busy machine.
const LONG: Duration = Duration::from_mins(3);

/// Waits until the worker has partitions.
fn await_assigned(worker: &Process) {
    wait_for("an assignment", LONG, || {
        worker.stderr().contains("partitions assigned").then_some(())
    });
}

#[test]
fn killed_ten_times_and_joined_by_another_no_part_is_lost_or_doubled() {
    let flow =
        Flow::new(4, "delivery:\n  commit_interval_ms: 200\n  transaction_timeout_ms: 5000\n");
    let mut dice = Dice(0x5EED_1234_ABCD);
    let (mut inputs, mut positions) = (Vec::new(), Vec::new());
    let mut unfinished_at_kill = 0;
    let mut worker = flow.worker("a", &[]);
    let mut second = None;
    for kill in 0..10 {
        let batch: Vec<_> = (0..100).map(|number| short_contract(kill * 100 + number)).collect();
        positions.extend(kafka::produce(&flow.input, &batch));
        inputs.extend(batch);
        if kill == 2 {
            second = Some(flow.worker("b", &[]));
        }
        if let (7, Some(mut leaver)) = (kill, second.take_if(|_| kill == 7)) {
            leaver.sigterm();
            assert!(leaver.wait(LONG).success(), "{}", leaver.tail());
        }
        // Every other kill meets a worker that has just committed and has more to do; the others
        // fall anywhere: at the start, while the group settles, at rest.
        if kill % 2 == 0 {
            let before = flow.seen().len();
            flow.wait_for(before + 1, &mut worker, LONG);
            std::thread::sleep(Duration::from_millis(dice.roll(400)));
        } else {
            std::thread::sleep(Duration::from_millis(dice.roll(3_500)));
        }
        assert!(worker.exited().is_none(), "the worker ended\n{}", worker.tail());
        assert!(was_killed(worker.kill9()));
        unfinished_at_kill += usize::from(flow.seen().len() < inputs.len());
        worker = flow.worker("a", &[]);
    }
    assert!(unfinished_at_kill >= 3, "only {unfinished_at_kill} kills met a worker at work");
    flow.wait_for(inputs.len(), &mut worker, LONG);
    flow.drain_and_check(&mut worker, &inputs, &positions);
}

#[test]
fn the_classic_protocol_keeps_the_promise_too() {
    let flow =
        Flow::new(2, "delivery:\n  commit_interval_ms: 200\n  transaction_timeout_ms: 5000\n");
    let classic = ["--group-protocol", "classic", "--kafka", "session.timeout.ms=3000"];
    let inputs: Vec<_> = (0..150).map(short_contract).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut first = flow.worker("a", &classic);
    flow.wait_for(1, &mut first, LONG);
    let mut second = flow.worker("b", &classic);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(was_killed(first.kill9()));
    flow.wait_for(inputs.len(), &mut second, LONG);
    flow.drain_and_check(&mut second, &inputs, &positions);
}

#[test]
fn partitions_that_were_paused_through_a_rebalance_go_on() {
    for protocol in ["consumer", "classic"] {
        let flow = Flow::new(4, "limits:\n  in_flight_deliveries_max: 4\n");
        let args = ["--group-protocol", protocol];
        let inputs: Vec<_> = (0..120).map(short_contract).collect();
        let positions = kafka::produce(&flow.input, &inputs);
        let mut stays = flow.worker("a", &args);
        flow.wait_for(1, &mut stays, LONG);
        let mut leaves = flow.worker("b", &args);
        await_assigned(&leaves);
        leaves.sigterm();
        assert!(leaves.wait(LONG).success(), "{}", leaves.tail());
        flow.wait_for(inputs.len(), &mut stays, LONG);
        flow.drain_and_check(&mut stays, &inputs, &positions);
    }
}

#[test]
fn what_has_ended_does_not_wait_out_the_interval_where_nothing_is_left_in_work() {
    let flow =
        Flow::new(1, "delivery:\n  commit_interval_ms: 30000\n  transaction_timeout_ms: 45000\n");
    let mut worker = flow.worker("a", &[]);
    await_assigned(&worker);
    let inputs = [short_contract(0)];
    let positions = kafka::produce(&flow.input, &inputs);
    // A fifth of the interval is 6 s.
    flow.wait_for(1, &mut worker, Duration::from_secs(25));
    flow.drain_and_check(&mut worker, &inputs, &positions);
}

#[test]
fn at_least_once_repeats_with_the_same_ids_and_loses_nothing() {
    let flow = Flow::new(2, "delivery:\n  guarantee: at_least_once\n  commit_interval_ms: 200\n");
    let inputs: Vec<_> = (0..120).map(short_contract).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = flow.worker("a", &[]);
    flow.wait_for(1, &mut worker, LONG);
    assert!(was_killed(worker.kill9()));
    let mut worker = flow.worker("a", &[]);
    flow.wait_for(inputs.len(), &mut worker, LONG);
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    let report = flow.check(&inputs, &positions);
    assert!(report.lost.is_empty() && report.unexpected.is_empty(), "{report}");
    assert!(report.contradictory.is_empty(), "{report}");
}

#[test]
fn a_second_worker_of_the_same_instance_fences_the_first_which_says_so_and_exits() {
    let flow = Flow::new(1, "");
    let inputs = [short_contract(0)];
    kafka::produce(&flow.input, &inputs);
    let mut first = flow.worker("same", &[]);
    flow.wait_for(1, &mut first, LONG);
    let mut second = flow.worker("same", &[]);
    wait_for("a second worker", LONG, || {
        second.logs().iter().any(|line| line["message"] == "running").then_some(())
    });
    // Whoever holds the partition now meets more work; the first one is fenced as it commits, or
    // has lost the partition and is fenced when it gets it back.
    let more: Vec<_> = (1..40).map(short_contract).collect();
    kafka::produce(&flow.input, &more);
    second.kill9();
    let status = first.wait(LONG);
    assert_eq!(status.code(), Some(1), "{}", first.tail());
    let told = first.stderr();
    assert!(told.contains("is fenced") && told.contains("SLUICE_INSTANCE"), "{}", first.tail());
}

#[test]
fn gaps_of_aborted_transactions_hold_nothing_up() {
    use rdkafka::producer::Producer as _;
    let flow = Flow::new(1, "");
    let producer = kafka::producer(&[("transactional.id", &crate::support::unique("sender"))]);
    producer.init_transactions(LONG).unwrap();
    let (mut inputs, mut positions) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let batch = [short_contract(round)];
        producer.begin_transaction().unwrap();
        let sent = kafka::send_all(&producer, &flow.input, &batch);
        if round % 2 == 0 {
            producer.commit_transaction(LONG).unwrap();
            inputs.extend(batch);
            positions.extend(sent);
        } else {
            producer.abort_transaction(LONG).unwrap();
        }
    }
    let mut worker = flow.worker("a", &[]);
    flow.wait_for(inputs.len(), &mut worker, LONG);
    flow.drain_and_check(&mut worker, &inputs, &positions);
}

#[test]
fn every_bad_input_ends_as_one_reject_with_its_code_and_the_rest_goes_on() {
    let flow = Flow::new(1, "text:\n  text_bytes_max: 1000000\n");
    let plain = |key: &str, body: &[u8], kind: &str| {
        Input::new(key, body).header("content-type", kind.as_bytes())
    };
    let big = vec![b'a'; 2_000_000];
    let registry_id = [0, 0x7f, 0xff, 0xff, 0x01, 2, 3];
    let avro = "application/vnd.sluice.document+avro";
    let json_kind = "application/vnd.sluice.document+json";
    let cases = [
        ("DOCUMENT_EMPTY", plain("empty", b"", "text/plain")),
        ("TYPE_UNSUPPORTED", plain("word", b"PK\x03\x04", "application/msword")),
        ("PDF_INVALID", plain("cut", b"%PDF-1.7\n1 0 obj\n<< /Type", "application/pdf")),
        ("TEXT_TOO_LARGE", plain("long", &big, "text/plain")),
        ("ENCODING_INVALID", plain("latin", b"caf\xe9 au lait for the parties", "text/plain")),
        ("SCHEMA_UNKNOWN", plain("avro", &registry_id, avro)),
        ("TYPE_MISMATCH", plain("liar", b"%PDF-1.4\n%%EOF", "text/plain")),
        ("ENVELOPE_INVALID", plain("json", b"{\"content\": ", json_kind)),
    ];
    let mut inputs: Vec<_> = cases.iter().map(|(_, input)| input.clone()).collect();
    inputs.push(short_contract(7));
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = flow.worker("a", &["--kafka", "receive.message.max.bytes=100000000"]);
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    let report = flow.check(&inputs, &positions);
    assert!(report.is_clean(), "{report}");
    for (code, input) in &cases {
        let (kind, reject) = seen.iter().find(|(_, seen)| seen.key == input.key).unwrap();
        assert_eq!((*kind, reject.header("sluice-code").as_deref()), (Kind::Reject, Some(*code)));
        let is_whole = reject.payload == input.payload;
        assert!(is_whole || reject.header("sluice-omitted").as_deref() == Some("body"), "{code}");
    }
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    for line in worker.logs() {
        let line = line.to_string();
        assert!(!line.contains("au lait") && !line.contains("SUPPLY AGREEMENT"), "{line}");
    }
}

#[test]
fn a_tombstone_is_passed_on_under_its_key() {
    let flow = Flow::new(1, "");
    let tombstone = Input { key: Some(b"gone".to_vec()), ..Input::default() };
    kafka::produce(&flow.input, &[tombstone]);
    let mut worker = flow.worker("a", &[]);
    let seen = flow.wait_for(2, &mut worker, LONG);
    let kinds: Vec<_> = seen.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Record, Kind::Review]);
    for (_, seen) in seen {
        assert_eq!((seen.key.as_deref(), seen.payload), (Some(b"gone".as_slice()), None));
    }
}

#[test]
fn the_same_document_gives_the_same_record_in_any_company() {
    let texts: Vec<_> = (0..30).map(short_contract).collect();
    let run = |order: &[usize]| {
        let flow = Flow::new(1, "");
        let inputs: Vec<_> = order.iter().map(|number| texts[*number].clone()).collect();
        kafka::produce(&flow.input, &inputs);
        let mut worker = flow.worker("a", &[]);
        let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
        let mut bodies: Vec<_> = seen
            .into_iter()
            .map(|(_, seen)| {
                let mut body = json(&seen);
                // Where a document stood is no part of what it says.
                for place in ["/provenance", "/record/provenance"] {
                    if let Some(part) = body.pointer_mut(place).and_then(|it| it.as_object_mut()) {
                        for name in ["source_topic", "source_offset", "config_digest"] {
                            part.remove(name);
                        }
                    }
                }
                for place in ["", "/record"] {
                    if let Some(part) = body.pointer_mut(place).and_then(|it| it.as_object_mut()) {
                        part.remove("record_id");
                    }
                }
                (body["document_id"].to_string(), body.to_string())
            })
            .collect();
        bodies.sort();
        bodies
    };
    let forward: Vec<_> = (0..texts.len()).collect();
    let backward: Vec<_> = forward.iter().rev().copied().collect();
    assert_eq!(run(&forward), run(&backward));
    assert_eq!(run(&[3]).first(), run(&forward).iter().find(|(id, _)| id == "\"contract-3\""));
}
