//! The producer on librdkafka's own broker, which can be made silent and taken away.

use rdkafka::mocking::MockCluster;

use super::*;
use crate::shutdown::Stop;
use crate::types::Sensitive;

/// A group that nobody has joined.
struct Nobody;

impl Offsets for Nobody {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        None
    }

    fn commit(&self, _offsets: &[(i32, i64)]) -> Result<(), Fault> {
        Ok(())
    }
}

fn sink(brokers: String) -> Kafka {
    let delivery = Delivery { transaction_timeout_ms: 1_000, ..Delivery::default() };
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
    Kafka::new(setup, Arc::default(), Arc::new(Nobody), Arc::default()).unwrap()
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
        std::thread::sleep(Duration::from_millis(50));
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
