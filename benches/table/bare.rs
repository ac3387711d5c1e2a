//! `texts in a foreign language -> the flow without chunk and model, over a bare loop of librdkafka`: what decoding, routing, Avro
//! and the ledger cost beside Kafka itself.
//!
//! A text in a language that no model knows goes to review with its words and no extraction, so the worker takes the envelope off,
//! looks at the language, routes and writes Avro, and runs nothing else. The bare loop consumes the same messages and produces as
//! many bytes, in transactions that are cut as the worker's are.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::corpus::Workload;
use crate::run::{self, PARTITIONS};
use crate::support::flow::shipped;
use crate::support::kafka::{self, Input};
use crate::support::unique;

/// Bytes of a text.
const TEXT_BYTES: usize = 10_000;
/// Messages of a run.
const MESSAGE_COUNT: usize = 20_000;
/// As `delivery.commit_interval_ms` and `delivery.commit_deliveries_max` are by default.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
const COMMIT_MESSAGES_MAX: usize = 1_000;
/// Limit: one answer of the broker.
const LONG: Duration = Duration::from_secs(30);

/// Texts of 10 KB, each with a number of its own.
pub fn workload() -> Workload {
    let sample = shipped("contracts").join("samples/010-mietvertrag.txt");
    let sample = std::fs::read_to_string(sample).unwrap();
    let long = sample.repeat(1 + TEXT_BYTES / sample.len());
    let end = long.floor_char_boundary(TEXT_BYTES);
    let input = |number: usize| {
        let body = format!("Nummer {number}\n\n{}", long.split_at(end).0);
        Input::new(&number.to_string(), body.as_bytes()).header("content-type", b"text/plain")
    };
    Workload {
        name: "foreign-texts",
        pipeline: "contracts",
        content_type: "text/plain",
        is_lines: false,
        inputs: (0..MESSAGE_COUNT).map(input).collect(),
    }
}

/// Time of the bare loop over that of the worker, each going first in turn.
pub fn tell(workload: &Workload, rounds: usize) {
    let bytes_each = run::review_bytes(workload);
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (worker, bare) = if round % 2 == 1 {
            let worker = run::worker(workload, "", &[]).seconds;
            (worker, looped(workload, bytes_each))
        } else {
            let bare = looped(workload, bytes_each);
            (run::worker(workload, "", &[]).seconds, bare)
        };
        let rate = |seconds: f64| workload.inputs.len() as f64 / seconds;
        println!(
            "round {round}: worker {:.0} documents/s, bare loop {:.0}, {bytes_each} bytes out each; ratio {:.3}",
            rate(worker),
            rate(bare),
            bare / worker
        );
        ratios.push(bare / worker);
    }
    println!("{}: over a bare loop {}", workload.name, crate::spread(&mut ratios));
}

/// Seconds from the assignment to the last commit of a loop that does nothing with a message.
fn looped(workload: &Workload, bytes_each: usize) -> f64 {
    let large = [("max.message.bytes", "16777216")];
    let input = kafka::create_topic("bare-in", PARTITIONS, &large);
    let output = kafka::create_topic("bare-out", PARTITIONS, &[]);
    kafka::produce(&input, &workload.inputs);
    let mut config = kafka::client();
    config.set("group.id", unique("bare")).set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("queued.max.messages.kbytes", "16384").set("fetch.max.bytes", "16777216");
    let consumer: BaseConsumer = kafka::create(&config);
    let mut config = kafka::client();
    config.set("transactional.id", unique("bare")).set("compression.type", "lz4");
    let producer: BaseProducer = kafka::create(config.set("linger.ms", "5"));
    producer.init_transactions(LONG).unwrap();
    consumer.subscribe(&[&input]).unwrap();
    let mut message = loop {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            break Some(message.unwrap());
        }
    };
    let begun = Instant::now();
    let (mut seen, mut open, mut cut) = (0, 0, begun);
    let mut offsets = TopicPartitionList::new();
    while seen < workload.inputs.len() {
        if let Some(message) = message.take() {
            if open == 0 {
                producer.begin_transaction().unwrap();
            }
            let mut body = message.payload().unwrap().to_vec();
            body.resize(bytes_each, b' ');
            let mut record = BaseRecord::to(&output).payload(&body).key(message.key().unwrap());
            while let Err((_, refused)) = producer.send(record) {
                // The queue is full.
                record = refused;
                producer.poll(Duration::from_millis(1));
            }
            let place = (message.partition(), Offset::Offset(message.offset() + 1));
            if offsets.set_partition_offset(&input, place.0, place.1).is_err() {
                offsets.add_partition_offset(&input, place.0, place.1).unwrap();
            }
            (seen, open) = (seen + 1, open + 1);
        }
        let is_due = open >= COMMIT_MESSAGES_MAX || cut.elapsed() >= COMMIT_INTERVAL;
        if open > 0 && (is_due || seen == workload.inputs.len()) {
            let group = consumer.group_metadata().unwrap();
            producer.send_offsets_to_transaction(&offsets, &group, LONG).unwrap();
            producer.commit_transaction(LONG).unwrap();
            (open, cut) = (0, Instant::now());
        }
        producer.poll(Duration::ZERO);
        message = consumer.poll(Duration::from_millis(10)).map(|it| it.unwrap());
    }
    begun.elapsed().as_secs_f64()
}
