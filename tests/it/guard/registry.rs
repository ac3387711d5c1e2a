//! A schema registry that is down, slow, or answers nonsense: while envelopes come in, while a
//! worker starts, and while one drains.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{COUNT, LONG, SMALL_BUDGET, Worker, codes, contracts, recovered};
use crate::faults::enveloped;
use crate::support::flow::Flow;
use crate::support::kafka::{self, Input};
use crate::support::proxy::{Mood, Proxy};
use crate::support::{registry, unique, wait_for};

/// The base URL of the shared registry, through a proxy of the test's own.
fn behind() -> (Proxy, String) {
    let (address, path) = registry::url().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let proxy = Proxy::before(address);
    let url = format!("http://{}/{path}", proxy.address());
    (proxy, url)
}

/// Registers an envelope of its own, since a worker asks for an id only once.
fn new_envelope() -> u64 {
    let schema = format!(
        r#"{{"type": "record", "name": "{}", "fields": [
            {{"name": "content_type", "type": "string"}}, {{"name": "content", "type": "bytes"}}]}}"#,
        unique("Envelope").replace('-', "_")
    );
    registry::register(&unique("envelope"), &schema)
}

/// The same documents in envelopes.
fn in_envelopes(inputs: &[Input]) -> Vec<Input> {
    let id = new_envelope();
    inputs.iter().map(|input| enveloped(id, input)).collect()
}

const HTML: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 29\r\n\r\n\
                    <html><p>Welcome!</p></html>\n";
const NOT_HERE: &str = "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 22\r\n\
                        \r\n<html>no such</html>\r\n";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"schema\": \"{\\\"";
const BROKEN: &str = "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n";
const ANOTHER: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\n{\"schema\":\"\\\"string\\\"\"}";

#[test]
fn a_registry_in_trouble_refuses_no_document() {
    let (proxy, url) = behind();
    let flow = Flow::new(1, SMALL_BUDGET);
    let mut worker = Worker::start(&flow, &["--registry", &url], "");
    let moods = [
        Mood::Down,
        Mood::Slow(Duration::from_secs(3)),
        Mood::Says(HTML),
        Mood::Says(NOT_HERE),
        Mood::Says(CUT),
        Mood::Says(BROKEN),
    ];
    let (mut inputs, mut positions) = (Vec::new(), Vec::new());
    let documents = contracts(COUNT);
    for (batch, mood) in documents.chunks(COUNT.div_ceil(moods.len())).zip(moods) {
        proxy.turn(mood);
        let batch = in_envelopes(batch);
        positions.extend(kafka::produce(&flow.input, &batch));
        inputs.extend(batch);
        wait_for(&format!("a request while the registry is {mood:?}"), LONG, || {
            worker.lives();
            // Twice, so that one of them was a retry; but for the one that is only slow.
            let is_slow = matches!(mood, Mood::Slow(_));
            (proxy.ill_count() > usize::from(!is_slow)).then_some(())
        });
        proxy.turn(Mood::Well);
        let since = Instant::now();
        let seen = flow.wait_for(inputs.len(), &mut worker.process, LONG);
        recovered(&format!("the registry was {mood:?}"), since);
        assert_eq!(codes(&seen), Vec::<String>::new(), "{mood:?}");
    }
    assert_eq!(inputs.len(), COUNT);
    worker.wait_until("contracts", "running");
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_registry_that_answers_with_another_schema_holds_the_flow_until_it_is_mended() {
    let (proxy, url) = behind();
    let flow = Flow::new(1, SMALL_BUDGET);
    proxy.turn(Mood::Says(ANOTHER));
    let inputs = in_envelopes(&contracts(COUNT));
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = Worker::start(&flow, &["--registry", &url], "");
    let stands = worker.wait_until("contracts", "held");
    assert!(stands["refused_parts"]["SCHEMA_UNKNOWN"].as_u64().unwrap() >= 10, "{stands}");
    assert!(proxy.ill_count() > 0);
    proxy.turn(Mood::Well);
    // The wrong answer is kept for 10 s; each release before their end would refuse as many again.
    std::thread::sleep(Duration::from_secs(11));
    worker.release_until_out(&flow, "contracts", COUNT);
    let refused = codes(&flow.seen()).len();
    assert!(refused <= 30, "{refused} documents paid for the outage");
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}

#[test]
fn a_worker_that_starts_in_an_outage_waits_for_its_end() {
    let (proxy, url) = behind();
    let flow = Flow::with(1, "avro", "");
    let registered = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["schema", "register", flow.dir(), "--registry", registry::url()])
        .output()
        .unwrap();
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    let inputs = contracts(COUNT);
    kafka::produce(&flow.input, &inputs);
    for mood in [Mood::Down, Mood::Says(HTML), Mood::Says(NOT_HERE), Mood::Says(BROKEN)] {
        proxy.turn(mood);
        let mut worker = Worker::start(&flow, &["--registry", &url], "");
        wait_for("two requests", LONG, || {
            worker.lives();
            (proxy.ill_count() > 1).then_some(())
        });
        assert_eq!(worker.get("/readyz").0, 503);
        let since = Instant::now();
        worker.process.sigterm();
        assert!(worker.process.wait(LONG).success(), "{mood:?}\n{}", worker.process.tail());
        // The deadline of a drain is 25 s, and nothing is in work yet.
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    }
    proxy.turn(Mood::Down);
    let mut worker = Worker::start(&flow, &["--registry", &url], "");
    wait_for("a request", LONG, || (proxy.ill_count() > 0).then_some(()));
    proxy.turn(Mood::Well);
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!((seen.len(), codes(&seen).len()), (COUNT, 0));
}

#[test]
fn a_drain_in_an_outage_ends_in_time_and_the_next_worker_does_the_rest() {
    let (proxy, url) = behind();
    let flow = Flow::new(1, SMALL_BUDGET);
    proxy.turn(Mood::Down);
    let mut inputs = contracts(COUNT);
    inputs.splice(100.., in_envelopes(&contracts(COUNT)[100..]));
    let positions = kafka::produce(&flow.input, &inputs);
    let args = ["--registry", &url, "--drain-deadline-ms", "6000"];
    let mut worker = Worker::start(&flow, &args, "");
    worker.wait_until("contracts", "waiting");
    flow.wait_for(100, &mut worker.process, LONG);
    assert!(proxy.ill_count() > 0);
    worker.process.sigterm();
    assert!(worker.process.wait(LONG).success(), "{}", worker.process.tail());
    assert_eq!(flow.seen().len(), 100);
    proxy.turn(Mood::Well);
    let mut worker = Worker::start(&flow, &args, "");
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen).len(), 0);
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}
