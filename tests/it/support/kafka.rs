//! What tests do with a Kafka broker: topics, messages in, messages out.
//!
//! The broker is that of `tests/it/support/broker.rs`, or what `KAFKA_BROKERS` names instead.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::broker::Broker;
use super::{env, unique};

/// Limit: one answer of a broker on a busy machine; ordinary answers take milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// `bootstrap.servers` of the broker that all tests share.
pub(crate) fn brokers() -> &'static str {
    static GIVEN: OnceLock<Option<String>> = OnceLock::new();
    static SHARED: OnceLock<Broker> = OnceLock::new();
    match GIVEN.get_or_init(|| env("KAFKA_BROKERS")) {
        Some(given) => given,
        None => SHARED.get_or_init(|| Broker::start(&[])).address(),
    }
}

/// The settings of a client of [`brokers`].
pub(crate) fn client() -> ClientConfig {
    client_of(brokers())
}

/// The settings of a client of these servers.
pub(crate) fn client_of(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

/// A client with these settings.
pub(crate) fn create<T: FromClientConfig>(config: &ClientConfig) -> T {
    config.create().expect("creating a Kafka client")
}

/// Creates a topic whose name starts with `stem` and is used by nobody else; gives the name.
///
/// # Panics
/// When the broker refuses.
pub(crate) fn create_topic(stem: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
    let name = unique(stem);
    create_topic_at(brokers(), &name, (partitions, 1), configs);
    name
}

/// Creates the topic `name` at these servers, of so many partitions with so many replicas.
///
/// # Panics
/// When the broker refuses.
pub(crate) fn create_topic_at(
    servers: &str,
    name: &str,
    (partitions, replicas): (i32, i32),
    configs: &[(&str, &str)],
) {
    let topic = NewTopic {
        name,
        num_partitions: partitions,
        replication: TopicReplication::Fixed(replicas),
        config: configs.to_vec(),
    };
    agreed(administer(servers, async |admin, options| {
        admin.create_topics([&topic], options).await
    }));
}

/// Creates the topic `name` with one partition at [`brokers`]; false while the name is taken.
///
/// # Panics
/// When nobody answers.
pub(crate) fn try_create_topic(name: &str) -> bool {
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let results =
        administer(brokers(), async |admin, options| admin.create_topics([&topic], options).await);
    results.iter().all(Result::is_ok)
}

/// Whether there is a topic of that name at [`brokers`].
///
/// # Panics
/// When nobody answers.
#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "the tests that plant faults need it")
)]
pub(crate) fn topic_exists(name: &str) -> bool {
    let consumer: BaseConsumer = create(&client());
    let metadata = consumer.fetch_metadata(None, ANSWER_TIMEOUT).expect("asking for topics");
    metadata.topics().iter().any(|topic| topic.name() == name)
}

/// Deletes a topic at [`brokers`].
///
/// # Panics
/// When the broker refuses.
pub(crate) fn delete_topic(name: &str) {
    agreed(administer(brokers(), async |admin, options| {
        admin.delete_topics(&[name], options).await
    }));
}

/// Sets one property of a topic at [`brokers`].
///
/// # Panics
/// When the broker refuses.
#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "the tests that plant faults need it")
)]
pub(crate) fn configure_topic(name: &str, key: &str, value: &str) {
    let config = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
    let admin: AdminClient<DefaultClientContext> = create(&client());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a tokio runtime");
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
    let results = runtime.block_on(admin.alter_configs([&config], &options));
    let results = results.expect("asking to configure a topic");
    for result in results {
        result.expect("configuring a topic");
    }
}

/// Deletes what partition 0 of a topic holds before `offset`, as retention would.
///
/// # Panics
/// When the broker refuses.
pub(crate) fn expire(topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = create(&client());
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("naming an offset");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a tokio runtime");
    runtime.block_on(admin.delete_records(&before, &options)).expect("deleting messages");
}

fn agreed(results: Vec<TopicResult>) {
    for result in results {
        result.unwrap_or_else(|(topic, code)| panic!("creating or deleting `{topic}`: {code}"));
    }
}

/// Raises the number of partitions of the topic `name` to `partitions`.
///
/// # Panics
/// When the broker refuses.
pub(crate) fn add_partitions(servers: &str, name: &str, partitions: usize) {
    let more = NewPartitions::new(name, partitions);
    agreed(administer(servers, async |admin, options| {
        admin.create_partitions([&more], options).await
    }));
}

fn administer(
    servers: &str,
    ask: impl AsyncFnOnce(
        &AdminClient<DefaultClientContext>,
        &AdminOptions,
    ) -> KafkaResult<Vec<TopicResult>>,
) -> Vec<TopicResult> {
    let admin = create(ClientConfig::new().set("bootstrap.servers", servers));
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a tokio runtime");
    runtime.block_on(ask(&admin, &options)).expect("asking for a topic")
}

/// One message to produce. Without a partition the key decides, as in Java's client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    /// The key.
    pub(crate) key: Option<Vec<u8>>,
    /// The body; none is a tombstone.
    pub(crate) payload: Option<Vec<u8>>,
    /// The headers, in order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The partition.
    pub(crate) partition: Option<i32>,
    /// How many outcomes it must have; one unless set.
    pub(crate) parts: Option<u32>,
}

impl Input {
    /// A message with key and body only.
    pub(crate) fn new(key: &str, payload: &[u8]) -> Self {
        Self { key: Some(key.into()), payload: Some(payload.into()), ..Self::default() }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Which must have so many outcomes.
    pub(crate) fn parts(mut self, parts: u32) -> Self {
        self.parts = Some(parts);
        self
    }

    /// To this partition.
    pub(crate) fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// Collects where each message went: its place in the input, then partition and offset.
#[derive(Default)]
pub(crate) struct Receipts(Mutex<Vec<(usize, (i32, i64))>>);

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Box<usize>) {
        // A failed message leaves no receipt; `send_all` misses it.
        if let Ok(message) = result {
            let mut receipts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            receipts.push((*place, (message.partition(), message.offset())));
        }
    }
}

/// A producer for [`send_all`]; `configs` come on top, such as a `transactional.id`.
pub(crate) fn producer(configs: &[(&str, &str)]) -> BaseProducer<Receipts> {
    producer_at(brokers(), configs)
}

/// Likewise at these servers.
pub(crate) fn producer_at(servers: &str, configs: &[(&str, &str)]) -> BaseProducer<Receipts> {
    let mut config = client_of(servers);
    config.set("partitioner", "murmur2_random").set("acks", "all").set("linger.ms", "0");
    config.set("message.max.bytes", "16777216");
    for (name, value) in configs {
        config.set(*name, *value);
    }
    config.create_with_context(Receipts::default()).expect("creating a producer")
}

/// Sends `inputs` in order and waits for the broker; gives partition and offset of each.
///
/// # Panics
/// When one of them is not acknowledged.
pub(crate) fn send_all(
    producer: &BaseProducer<Receipts>,
    topic: &str,
    inputs: &[Input],
) -> Vec<(i32, i64)> {
    offer(producer, topic, inputs, 0);
    acknowledged(producer, topic, inputs.len(), ANSWER_TIMEOUT)
}

/// Hands `inputs` to the producer in order, and does not wait for the broker. `first` is the place of the first of them among
/// those that are not yet acknowledged.
pub(crate) fn offer(
    producer: &BaseProducer<Receipts>,
    topic: &str,
    inputs: &[Input],
    first: usize,
) {
    for (place, input) in (first..).zip(inputs) {
        let mut record = BaseRecord::with_opaque_to(topic, Box::new(place));
        record.key = input.key.as_ref();
        record.payload = input.payload.as_ref();
        record.partition = input.partition;
        if !input.headers.is_empty() {
            let headers = OwnedHeaders::new();
            record.headers =
                Some(input.headers.iter().fold(headers, |all, (key, value)| {
                    all.insert(Header { key, value: Some(value) })
                }));
        }
        while let Err((error, back)) = producer.send(record) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(is_full, "sending to `{topic}`: {error}");
            record = back;
            producer.poll(Duration::from_millis(10));
        }
    }
}

/// Waits for the broker to take the `count` messages that were offered; gives partition and offset of each.
///
/// # Panics
/// When one of them is not acknowledged.
pub(crate) fn acknowledged(
    producer: &BaseProducer<Receipts>,
    topic: &str,
    count: usize,
    timeout: Duration,
) -> Vec<(i32, i64)> {
    producer.flush(timeout).expect("sending to the broker");
    let mut receipts = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    receipts.sort_unstable();
    let sent: Vec<_> = receipts.drain(..).map(|(_, position)| position).collect();
    assert_eq!(sent.len(), count, "acknowledged messages to `{topic}`");
    sent
}

/// Sends `inputs` outside of a transaction; gives partition and offset of each.
pub(crate) fn produce(topic: &str, inputs: &[Input]) -> Vec<(i32, i64)> {
    send_all(&producer(&[("enable.idempotence", "true")]), topic, inputs)
}

/// One message as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its partition.
    pub(crate) partition: i32,
    /// Its offset.
    pub(crate) offset: i64,
    /// Its key.
    pub(crate) key: Option<Vec<u8>>,
    /// Its body.
    pub(crate) payload: Option<Vec<u8>>,
    /// Its headers, in order; a header without a value reads as empty.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Seen {
    /// A message that was polled.
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|all| all.iter());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|it| (it.key.to_owned(), it.value.unwrap_or_default().to_vec()))
                .collect(),
        }
    }

    /// The message as it would be produced again, to the same partition.
    pub(crate) fn input(&self) -> Input {
        Input {
            key: self.key.clone(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            partition: Some(self.partition),
            parts: None,
        }
    }

    /// The value of the first header of this name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// All messages of `topic` that are committed now, by partition and offset. Open and aborted transactions do not show.
pub(crate) fn read_committed_all(topic: &str) -> Vec<Seen> {
    read_committed_at(brokers(), topic)
}

/// Likewise at these servers.
pub(crate) fn read_committed_at(servers: &str, topic: &str) -> Vec<Seen> {
    read_all(servers, topic, "read_committed")
}

/// All messages of `topic`, those of aborted and open transactions included.
pub(crate) fn read_uncommitted_all(topic: &str) -> Vec<Seen> {
    read_all(brokers(), topic, "read_uncommitted")
}

fn read_all(servers: &str, topic: &str, isolation: &str) -> Vec<Seen> {
    let mut config = client_of(servers);
    config.set("group.id", unique("reader")).set("enable.auto.commit", "false");
    config.set("isolation.level", isolation).set("enable.partition.eof", "true");
    config.set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer = create(&config);
    let metadata =
        consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT).expect("asking for a topic");
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);

    // The end of each partition at this moment: the last stable offset or the high watermark, as the isolation level has it.
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions.map(MetadataPartition::id) {
        let range = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT);
        let (first, end) = range.expect("asking for the end of a partition");
        if first < end {
            ends.insert(partition, end);
            let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
            added.expect("naming a partition");
        }
    }
    consumer.assign(&assignment).expect("assigning partitions");

    let mut seen = Vec::new();
    let mut last = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                last = Instant::now();
                let end = ends.get(&message.partition()).copied().unwrap_or(0);
                if message.offset() < end {
                    seen.push(Seen::of(&message));
                }
                if message.offset() + 1 >= end {
                    ends.remove(&message.partition());
                }
            }
            // What is left before the end are marks of transactions, which no reader is given.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            Some(Err(error)) => panic!("reading `{topic}`: {error}"),
            None => {
                assert!(last.elapsed() < ANSWER_TIMEOUT, "reading `{topic}`: nothing more comes");
            }
        }
    }
    seen.sort_by_key(|it| (it.partition, it.offset));
    seen
}
