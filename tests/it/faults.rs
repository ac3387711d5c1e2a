//! What the world does to a worker: a registry that hangs, a broker that freezes, a topic that is made anew.

use std::time::{Duration, Instant};

use crate::support::broker::Broker;
use crate::support::checker::Kind;
use crate::support::flow::{Flow, short_contract};
use crate::support::gate::Gate;
use crate::support::kafka::{self, Input};
use crate::support::process::Process;
use crate::support::{registry, unique, wait_for};

/// Long enough for a model to load and a group to settle on a busy machine.
const LONG: Duration = Duration::from_mins(3);

/// A document in an Avro envelope of schema `id`, in Confluent wire format.
pub(crate) fn enveloped(id: u64, document: &Input) -> Input {
    let id = u32::try_from(id).unwrap();
    let mut body = [&[0], id.to_be_bytes().as_slice()].concat();
    for piece in [b"text/plain".as_slice(), document.payload.as_deref().unwrap()] {
        // Zigzag, then seven bits a byte, least significant first.
        let mut rest = piece.len() << 1;
        while rest >= 0x80 {
            body.push(u8::try_from(rest & 0x7F).unwrap() | 0x80);
            rest >>= 7;
        }
        body.push(u8::try_from(rest).unwrap());
        body.extend_from_slice(piece);
    }
    Input { payload: Some(body), headers: Vec::new(), ..document.clone() }
        .header("content-type", b"application/vnd.sluice.document+avro")
}

/// A worker of two flows, one of which sends `held` through `gate`, whose server hangs until it is
/// opened: the other one goes on meanwhile, and then the first one does. `told` is what the worker
/// logs of a request that is not answered; `start` starts it with these arguments.
pub(crate) fn holds_up_its_own_flow_only(
    (waits, held): (&Flow, &[Input]),
    gate: &Gate,
    told: &str,
    start: impl FnOnce(&[&str]) -> Process,
) {
    let goes_on = Flow::named("goes-on");
    let plain: Vec<_> = (0..20).map(short_contract).collect();
    let held_at = kafka::produce(&waits.input, held);
    // One prepare thread, which both flows share.
    let mut worker = start(&[goes_on.dir(), "--text-children", "1"]);
    wait_for("a request that is not answered", LONG, || {
        worker.stderr().contains(told).then_some(())
    });
    let plain_at = kafka::produce(&goes_on.input, &plain);
    let since = Instant::now();
    goes_on.wait_for(plain.len(), &mut worker, LONG);
    // Each request takes 10 s to fail: had they come in between, it would have been 200 s.
    assert!(since.elapsed() < Duration::from_mins(1), "{:?}", since.elapsed());
    assert!(waits.seen().is_empty());
    gate.open();
    let seen = waits.wait_for(held.len(), &mut worker, LONG);
    for (kind, seen) in &seen {
        assert_ne!(*kind, Kind::Reject, "{:?}", seen.header("sluice-detail"));
    }
    waits.drain_and_check(&mut worker, held, &held_at);
    let report = goes_on.check(&plain, &plain_at);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_registry_that_hangs_holds_up_its_own_flow_only() {
    let schema = r#"{"type": "record", "name": "Envelope", "fields": [
        {"name": "content_type", "type": "string"}, {"name": "content", "type": "bytes"}]}"#;
    let id = registry::register(&unique("envelope"), schema);
    let (address, path) = registry::url().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let gate = Gate::before(address);
    let url = format!("http://{}/{path}", gate.address());
    let waits = Flow::named("waits");
    let asks: Vec<_> = (0..20).map(|number| enveloped(id, &short_contract(number))).collect();
    let told = "asking the schema registry";
    holds_up_its_own_flow_only((&waits, &asks), &gate, told, |args| {
        waits.worker("a", &[args, &["--registry", &url]].concat())
    });
}

#[test]
fn the_documents_of_a_topic_that_is_made_anew_are_all_worked_on() {
    for protocol in ["consumer", "classic"] {
        let flow = Flow::new(1, "delivery:\n  commit_interval_ms: 200\n");
        let args = ["--group-protocol", protocol];
        let before: Vec<_> = (0..10).map(short_contract).collect();
        kafka::produce(&flow.input, &before);
        let mut worker = flow.worker("a", &args);
        flow.wait_for(before.len(), &mut worker, LONG);
        kafka::delete_topic(&flow.input);
        wait_for("the name to be free", LONG, || {
            kafka::try_create_topic(&flow.input).then_some(())
        });
        let after: Vec<_> = (100..106).map(short_contract).collect();
        kafka::produce(&flow.input, &after);
        let seen = flow.wait_for(before.len() + after.len(), &mut worker, LONG);
        for input in &after {
            let name = input.headers.iter().find(|(name, _)| name == "document-id").unwrap();
            let name = String::from_utf8(name.1.clone()).unwrap();
            let said = |body: &[u8]| String::from_utf8_lossy(body).contains(&format!("\"{name}\""));
            let count =
                seen.iter().filter(|(_, it)| it.payload.as_deref().is_some_and(said)).count();
            assert_eq!(count, 1, "{name} under `{protocol}`\n{}", worker.tail());
        }
    }
}

#[test]
fn a_broker_that_freezes_does_not_outlast_the_drain() {
    let broker = Broker::start(&[]);
    let flow = Flow::at(broker.address());
    let listen = format!("127.0.0.1:{}", crate::support::jvm::free_port());
    let deadline = Duration::from_secs(6);
    let deadline_ms = deadline.as_millis().to_string();
    let args = ["--listen", &listen, "--drain-deadline-ms", &deadline_ms];
    let mut worker = flow.worker("a", &args);
    let producer = kafka::producer_at(broker.address(), &[]);
    kafka::send_all(&producer, &flow.input, &(0..100).map(short_contract).collect::<Vec<_>>());
    wait_for("an outcome", LONG, || {
        let page = ureq::get(format!("http://{listen}/metrics")).call().ok()?;
        let page = page.into_body().read_to_string().ok()?;
        page.contains("sluice_outcomes_total{").then_some(())
    });
    broker.freeze();
    let since = Instant::now();
    worker.sigterm();
    let status = worker.wait(LONG);
    // The slack is for a machine that is busy with other tests.
    assert!(since.elapsed() < deadline + Duration::from_secs(3), "{:?}", since.elapsed());
    assert!(status.success(), "{}", worker.tail());
}
