//! Tests of [`super`]: against librdkafka's own mock of a cluster, which can be told to fall silent.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::config::pipeline::Delivery;
use crate::kafka::Connection;
use crate::shutdown::Stop;
use crate::types::Sensitive;

/// A group with a member, and the offset that it finds committed.
struct Member {
    consumer: BaseConsumer,
    committed: i64,
}

impl Offsets for Member {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    fn committed(&self, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Fault> {
        Ok(partitions.iter().map(|partition| (*partition, self.committed)).collect())
    }

    fn commit(&self, _offsets: &[(i32, i64)]) -> Result<(), Fault> {
        Ok(())
    }
}

fn sink(brokers: String) -> Kafka {
    sink_that_finds(0, brokers)
}

fn sink_that_finds(committed: i64, brokers: String) -> Kafka {
    let delivery = Delivery { transaction_timeout_ms: 2_000, ..Delivery::default() };
    let setup = Setup {
        // The broker comes back at once, and so does the client.
        connection: Connection {
            brokers,
            properties: vec![("reconnect.backoff.max.ms".to_owned(), "100".to_owned())],
        },
        pipeline: "p".to_owned(),
        input_topic: "in".to_owned(),
        output_topics: vec!["out".to_owned()],
        transactional_id: Some("p-a".to_owned()),
        delivery,
        message_bytes_max: 1_000_000,
    };
    let mut config = setup.connection.config();
    let consumer = config.set("group.id", "g").create().unwrap();
    let member = Member { consumer, committed };
    let metrics = Arc::new(Metrics::new(None).unwrap());
    Kafka::new(setup, Arc::default(), Arc::new(member), metrics).unwrap()
}

fn outgoing() -> Outgoing {
    Outgoing {
        topic: "out".to_owned(),
        key: None,
        headers: Vec::new(),
        payload: Some(Sensitive::new(b"body".to_vec())),
        kind: None,
        code: "",
    }
}

#[test]
fn a_drain_does_not_wait_for_a_coordinator_that_is_silent() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("out", 1, 1).unwrap();
    let sink = sink(cluster.bootstrap_servers());
    let shutdown = Shutdown::new(Duration::from_secs(2));
    sink.join(&shutdown).unwrap();
    sink.producer.begin_transaction().unwrap();
    sink.send(&outgoing()).unwrap();
    assert!(sink.reports(&shutdown).is_none());
    cluster.broker_round_trip_time(1, Duration::from_mins(1)).unwrap();
    shutdown.stop(Stop::Drain);
    let begun = Instant::now();
    sink.abort(&shutdown).unwrap();
    assert!((1..CALL_MAX.as_secs()).contains(&begun.elapsed().as_secs()), "a try, not more");
}

#[test]
fn a_message_after_one_that_voided_the_transaction_aborts_it_and_the_next_goes_through() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("out", 1, 1).unwrap();
    let (sink, shutdown) = (sink(cluster.bootstrap_servers()), Shutdown::default());
    sink.join(&shutdown).unwrap();
    let outgoing = outgoing();
    sink.producer.begin_transaction().unwrap();
    sink.send(&outgoing).unwrap();
    assert!(sink.reports(&shutdown).is_none());
    cluster.broker_down(1).unwrap();
    let fault = loop {
        // A message that nobody takes times out with the transaction.
        if let Err(fault) = sink.send(&outgoing) {
            break fault;
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(fault.class, FaultClass::Abort, "{}", fault.chain());
    assert!(fault.chain().contains("timed out"), "the cause is told: {}", fault.chain());
    cluster.broker_up(1).unwrap();
    sink.abort(&shutdown).unwrap();
    sink.producer.begin_transaction().unwrap();
    sink.send(&outgoing).unwrap();
    assert!(sink.reports(&shutdown).is_none());
    sink.producer.commit_transaction(CALL_MAX).unwrap();
}

/// A commit of one outcome, whose offset is 8.
fn commit() -> Commit<Outgoing> {
    let mut ledger = crate::ledger::Ledger::default();
    ledger.assign(0);
    let opened = ledger.open(0, 7, 1).unwrap();
    assert!(ledger.settle(&opened.ticket, vec![outgoing()], 4));
    let commit = ledger.cut(1).unwrap();
    // The leases outlive the ledger.
    assert!(commit.is_alive());
    commit
}

#[test]
fn a_transaction_that_the_broker_has_ended_is_made_again_unless_it_had_gone_through() {
    // By its timeout; and a coordinator that was moved and knows of no open transaction.
    let expired = (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, 500);
    let unknown = (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, 0);
    for ((error, round_trip_ms), committed) in
        [(expired, 7), (expired, 8), (unknown, 7), (unknown, 8)]
    {
        let is_made = committed == 8;
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("out", 1, 1).unwrap();
        cluster.create_topic("in", 1, 1).unwrap();
        let mut sink = sink_that_finds(committed, cluster.bootstrap_servers());
        let shutdown = Shutdown::default();
        sink.join(&shutdown).unwrap();
        // The five requests of a transaction outlast its timeout, which the mock does not keep by
        // itself; the two until its message is acknowledged do not outlast the message's.
        cluster.broker_round_trip_time(1, Duration::from_millis(round_trip_ms)).unwrap();
        cluster.request_errors(RDKafkaApiKey::EndTxn, &[error]);
        let commit = commit();
        match sink.transact(&commit, &shutdown) {
            Ok(()) => assert!(is_made),
            Err(fault) => {
                assert!(!is_made && fault.class == FaultClass::Abort, "{}", fault.chain());
            }
        }
        sink.transact(&commit, &shutdown).expect("the next one goes through");
    }
}

#[test]
fn a_producer_that_is_fenced_within_its_timeout_ends_the_worker() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("out", 1, 1).unwrap();
    cluster.create_topic("in", 1, 1).unwrap();
    let mut sink = sink(cluster.bootstrap_servers());
    let shutdown = Shutdown::default();
    sink.join(&shutdown).unwrap();
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[fenced]);
    let fault = sink.transact(&commit(), &shutdown).unwrap_err();
    assert_eq!(fault.class, FaultClass::Fatal, "{}", fault.chain());
    assert!(fault.chain().contains("SLUICE_INSTANCE"), "{}", fault.chain());
}

#[test]
fn a_call_that_the_client_does_not_come_back_from_is_given_up_and_a_new_producer_goes_on() {
    let cluster = MockCluster::new(2).unwrap();
    for topic in ["out", "in"] {
        cluster.create_topic(topic, 1, 2).unwrap();
        cluster.partition_leader(topic, 0, Some(1)).unwrap();
    }
    cluster.coordinator(MockCoordinator::Transaction("p-a".to_owned()), 1).unwrap();
    cluster.coordinator(MockCoordinator::Group("g".to_owned()), 2).unwrap();
    let mut sink = sink_that_finds(7, cluster.bootstrap_servers());
    let shutdown = Shutdown::default();
    sink.join(&shutdown).unwrap();
    cluster.broker_down(2).unwrap();
    let commit = commit();
    let fault = sink.transact(&commit, &shutdown).unwrap_err();
    assert_eq!(fault.class, FaultClass::Abort, "{}", fault.chain());
    cluster.broker_up(2).unwrap();
    sink.transact(&commit, &shutdown).expect("the next one goes through");
}
