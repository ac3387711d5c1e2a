//! `notes at half load -> latency`, as a `read_committed` reader sees it, over the bare inference time of each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;

use crate::ceiling;
use crate::corpus::Workload;
use crate::run::{LONG, PARTITIONS, await_joined};
use crate::support::dice::Dice;
use crate::support::flow::Flow;
use crate::support::kafka::{self, Seen};
use crate::support::unique;
use crate::windows::Windows;

/// The workload whose documents are of one page, a message each.
pub const WORKLOAD: &str = "notes";
/// Documents that arrive before any counts.
const WARM: usize = 20;

/// Sends the documents of `workload` one by one, as a Poisson process at half of `documents_a_second`, and tells how long
/// each took.
pub fn tell(workload: &Workload, windows: &Windows, documents_a_second: f64) {
    assert_eq!(workload.inputs.len(), windows.of_document.len(), "a document a message");
    let alone = ceiling::alone(windows);
    let flow = Flow::shipped(workload.pipeline, PARTITIONS, None, "");
    let mut worker = flow.worker("bench", &[]);
    await_joined(&mut worker);
    let mut config = kafka::client();
    config.set("group.id", unique("reader")).set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "10");
    let reader: BaseConsumer = kafka::create(&config);
    reader.subscribe(&[&flow.record, &flow.review, &flow.reject]).expect("subscribing");
    let producer = kafka::producer(&[("linger.ms", "0")]);
    let mut dice = Dice(1);
    let mut sent: BTreeMap<String, (usize, Instant)> = BTreeMap::new();
    let mut latencies = Vec::new();
    let (mut next, mut number) = (Instant::now() + Duration::from_secs(5), 0);
    let count = workload.inputs.len();
    let last = Instant::now() + LONG;
    while latencies.len() < count {
        assert!(Instant::now() < last, "{} of {count} came", latencies.len());
        if number < count && Instant::now() >= next {
            let (partition, offset) = (number % PARTITIONS as usize, number / PARTITIONS as usize);
            let id = format!("{}/{}/{partition}/{offset}/0", workload.pipeline, flow.input);
            let input = workload.inputs[number].clone().partition(partition as i32);
            kafka::offer(&producer, &flow.input, &[input], number);
            sent.insert(id, (number, Instant::now()));
            // Exponential gaps: a Poisson process.
            let share = (dice.roll(1 << 20) + 1) as f64 / f64::from(1 << 20);
            let gap = -share.ln() / (documents_a_second / 2.0);
            next += Duration::from_secs_f64(gap);
            number += 1;
        }
        producer.poll(Duration::ZERO);
        let Some(Ok(message)) = reader.poll(Duration::from_millis(1)) else { continue };
        assert!(message.payload().is_some(), "an outcome");
        let id = Seen::of(&message).header("sluice-record-id").expect("an id");
        let (number, at) = sent.remove(&id).expect("an outcome of what was sent, once");
        latencies.push((number, at.elapsed().as_secs_f64()));
    }
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    latencies.retain(|(number, _)| *number >= WARM);
    let mut seconds: Vec<_> = latencies.iter().map(|(_, seconds)| *seconds).collect();
    let mut bare: Vec<_> = latencies.iter().map(|(number, _)| alone[*number]).collect();
    seconds.sort_by(f64::total_cmp);
    bare.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], share: f64| sorted[(sorted.len() as f64 * share) as usize] * 1e3;
    println!(
        "{}: latency at {:.1} documents/s, half load: p50 {:.0} ms, p99 {:.0} ms; bare inference p50 {:.0} ms, p99 {:.0} ms",
        workload.name,
        documents_a_second / 2.0,
        at(&seconds, 0.5),
        at(&seconds, 0.99),
        at(&bare, 0.5),
        at(&bare, 0.99)
    );
}
