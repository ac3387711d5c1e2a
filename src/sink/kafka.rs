//! `commits -> Kafka`: outcomes and the offsets behind them become visible together.
//!
//! One thread owns the producer. No inference happens inside a transaction: a commit is cut from
//! what has ended already, so that a transaction lasts milliseconds and never holds readers up.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig,
};

use crate::config::pipeline::{Delivery, Guarantee};
use crate::error::{Fault, FaultClass};
use crate::failpoint::{self, Point};
use crate::kafka::{self, Connection, Offsets};
use crate::ledger::{Commit, SharedLedger};
use crate::metrics::{FlowEvent, Metrics, Stage};
use crate::shutdown::Shutdown;
use crate::types::Outgoing;

/// Longest wait for one call to the transaction coordinator; in a drain, what is left of it. A call
/// that took longer is resumed by the next one.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Shortest wait for one call, so that the last abort of a drain can get through.
const CALL_MIN: Duration = Duration::from_millis(200);
/// Pause before the first retry; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between retries.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the reports of messages that an abort throws away.
const PURGE_MAX: Duration = Duration::from_secs(1);
/// Room for headers and framing above the largest payload, in bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 65_536;

/// What a Kafka sink needs to know.
#[derive(Clone)]
pub struct Setup {
    /// How to reach the cluster.
    pub connection: Connection,
    /// Pipeline name, for logs and metrics.
    pub pipeline: String,
    /// Input topic, whose offsets are committed.
    pub input_topic: String,
    /// `transactional.id`; must be set for `exactly_once`.
    pub transactional_id: Option<String>,
    /// When and how commits are cut.
    pub delivery: Delivery,
    /// Largest payload, in bytes.
    pub message_bytes_max: usize,
}

/// Keeps the first error of a message until the commit asks for it.
#[derive(Default)]
struct Context {
    failed: Mutex<Option<KafkaError>>,
}

impl Context {
    fn take(&self) -> Option<KafkaError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        kafka::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(error = %error, reason, "the producer met an error");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.clone());
        }
    }
}

/// A Kafka sink: run it on a thread of its own by [`Kafka::run`].
pub struct Kafka {
    setup: Setup,
    producer: BaseProducer<Context>,
    ledger: Arc<SharedLedger<Outgoing>>,
    offsets: Arc<dyn Offsets>,
    metrics: Arc<Metrics>,
    /// When the open transaction was begun.
    begun: Cell<Option<Instant>>,
}

impl Kafka {
    /// Connects. With `exactly_once`, fences any other worker of the same `transactional.id` and
    /// waits for its transaction to end: call this before the source polls.
    pub fn new(
        setup: Setup,
        ledger: Arc<SharedLedger<Outgoing>>,
        offsets: Arc<dyn Offsets>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let fault = |error| Fault::new(FaultClass::Fatal, "creating the producer", error);
        let message_bytes_max = setup.message_bytes_max + MESSAGE_OVERHEAD_BYTES;
        let mut config = setup.connection.producer_config(message_bytes_max);
        if let Some(id) = &setup.transactional_id {
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", setup.delivery.transaction_timeout_ms.to_string());
        }
        let producer = config.create_with_context(Context::default()).map_err(fault)?;
        Ok(Self { setup, producer, ledger, offsets, metrics, begun: Cell::new(None) })
    }

    /// Registers the `transactional.id`; retries until the coordinator answers or the worker
    /// stops.
    pub fn join(&self, shutdown: &Shutdown) -> Result<(), Fault> {
        if self.setup.transactional_id.is_none() {
            return Ok(());
        }
        self.persist(shutdown, "registering the transactional id", || {
            self.producer.init_transactions(call_max(shutdown))
        })
    }

    /// Cuts and makes commits until the worker stops; in a drain, until nothing is in flight.
    /// Calls `relieved` after each turn, in which less may have come to be in flight.
    pub fn run(self, shutdown: &Shutdown, relieved: impl Fn()) -> Result<(), Fault> {
        let interval = Duration::from_millis(self.setup.delivery.commit_interval_ms);
        let deliveries_max = self.setup.delivery.commit_deliveries_max;
        let mut last = Instant::now();
        loop {
            let is_draining = shutdown.stopped().is_some();
            if shutdown.is_over() {
                return Ok(());
            }
            let wait = if is_draining { Duration::from_millis(10) } else { interval };
            let due = wait.saturating_sub(last.elapsed());
            self.ledger.wait(due, |in_flight| in_flight.settled_count >= deliveries_max);
            let commit = self.ledger.lock().cut(deliveries_max);
            last = Instant::now();
            match commit {
                Some(commit) => self.make_visible(commit, shutdown)?,
                // Order: the source leaves first; until then it may still open a delivery.
                None if is_draining && self.ledger.lock().partitions().is_empty() => {
                    return Ok(());
                }
                // What has settled may wait behind an open delivery: do not spin.
                None => self.producer.poll(Duration::from_millis(10)),
            }
            relieved();
        }
    }

    /// Tries a commit until it is through, or all its leases have died.
    fn make_visible(&self, mut commit: Commit<Outgoing>, shutdown: &Shutdown) -> Result<(), Fault> {
        let pipeline = self.setup.pipeline.as_str();
        let since = Instant::now();
        let mut pause = BACKOFF_MIN;
        loop {
            commit.retain_alive();
            if commit.groups.is_empty() {
                return Ok(());
            }
            let result = match self.setup.delivery.guarantee {
                Guarantee::ExactlyOnce => self.transact(&commit, shutdown),
                Guarantee::AtLeastOnce => self.publish(&commit, shutdown),
            };
            match result {
                Ok(()) => break,
                Err(fault) if fault.class == FaultClass::Fatal => return Err(fault),
                Err(fault) => {
                    tracing::warn!(pipeline, error = fault.chain(), "a commit is tried again");
                    self.metrics.happened(pipeline, FlowEvent::Aborted);
                }
            }
            if shutdown.is_over() {
                return Ok(());
            }
            shutdown.rest(pause);
            pause = (pause * 2).min(BACKOFF_MAX);
        }
        failpoint::pass(Point::Committed);
        self.ledger.lock().committed(&commit);
        self.ledger.notify();
        self.metrics.happened(pipeline, FlowEvent::Committed);
        self.metrics.took(pipeline, Stage::Commit, since.elapsed());
        Ok(())
    }

    /// One transaction: begin, send, offsets, commit. An error that voids it has aborted it.
    fn transact(&self, commit: &Commit<Outgoing>, shutdown: &Shutdown) -> Result<(), Fault> {
        // Order: metadata before the leases are looked at. A lease that is alive after this call
        // was alive in the generation that the metadata names, and the broker refuses the offsets
        // of any other.
        let Some(metadata) = self.offsets.metadata() else {
            return Err(Fault::plain(FaultClass::Abort, "committing: the group is not joined"));
        };
        check_alive(commit)?;
        failpoint::pass(Point::Cut);
        let begun = self.producer.begin_transaction();
        begun.map_err(|error| self.fault("beginning a transaction", error))?;
        self.begun.set(Some(Instant::now()));
        let mut done = self.fill(commit, &metadata, shutdown);
        if let Err(fault) = &done
            && fault.class != FaultClass::Fatal
        {
            done = self.abort(shutdown).and(done);
        }
        self.begun.set(None);
        done
    }

    /// Throws the open transaction away. At the end of a drain one try is enough: the next worker
    /// of this id ends what is left open.
    fn abort(&self, shutdown: &Shutdown) -> Result<(), Fault> {
        // Unlike a commit, an abort of the client serves no delivery reports and yet waits for
        // them.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        drop(self.producer.flush(PURGE_MAX));
        let aborted = self.persist(shutdown, "aborting a transaction", || {
            self.producer.abort_transaction(call_max(shutdown))
        });
        // The messages of the aborted transaction report that they were purged.
        drop(self.reports(shutdown));
        match aborted {
            Err(fault) if shutdown.is_over() => {
                let (pipeline, error) = (self.setup.pipeline.as_str(), fault.chain());
                tracing::warn!(pipeline, error, "a transaction was left to the next worker");
                Ok(())
            }
            other => other,
        }
    }

    fn fill(
        &self,
        commit: &Commit<Outgoing>,
        metadata: &ConsumerGroupMetadata,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        self.send_all(commit, shutdown)?;
        failpoint::pass(Point::Sent);
        check_alive(commit)?;
        let offsets: Vec<_> = next_offsets(commit).collect();
        let offsets = kafka::offset_list(&self.setup.input_topic, &offsets)?;
        self.persist(shutdown, "adding offsets to a transaction", || {
            self.producer.send_offsets_to_transaction(&offsets, metadata, call_max(shutdown))
        })?;
        failpoint::pass(Point::OffsetsSent);
        self.persist(shutdown, "committing a transaction", || {
            self.producer.commit_transaction(call_max(shutdown))
        })
    }

    /// `at_least_once`: the outcomes first, then the offsets.
    fn publish(&self, commit: &Commit<Outgoing>, shutdown: &Shutdown) -> Result<(), Fault> {
        self.send_all(commit, shutdown)?;
        let offsets: Vec<(i32, i64)> = next_offsets(commit).collect();
        match self.offsets.commit(&offsets) {
            Err(fault) if fault.class == FaultClass::Retry && !shutdown.is_over() => {
                self.metrics.happened(&self.setup.pipeline, FlowEvent::Retried);
                self.offsets.commit(&offsets)
            }
            other => other,
        }
    }

    /// Sends every outcome and waits until the brokers have acknowledged each.
    fn send_all(&self, commit: &Commit<Outgoing>, shutdown: &Shutdown) -> Result<(), Fault> {
        for outgoing in commit.groups.iter().flat_map(|group| &group.outcomes) {
            self.send(outgoing)?;
        }
        match self.reports(shutdown) {
            None => Ok(()),
            Some(error) => Err(self.fault("sending outcomes", error)),
        }
    }

    /// Waits for the delivery report of every message that was sent; the first error among them.
    fn reports(&self, shutdown: &Shutdown) -> Option<KafkaError> {
        // `flush` of the client polls in steps of 100 ms and would add as much to every commit.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
            if shutdown.is_over() {
                return Some(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue));
            }
        }
        self.producer.context().take()
    }

    fn send(&self, outgoing: &Outgoing) -> Result<(), Fault> {
        let headers = outgoing.headers.iter().fold(
            OwnedHeaders::new_with_capacity(outgoing.headers.len()),
            |headers, header| {
                let value = header.value.as_ref().map(|value| value.as_slice());
                headers.insert(KafkaHeader { key: &header.name, value })
            },
        );
        let mut record = BaseRecord::<[u8], [u8]>::to(&outgoing.topic).headers(headers);
        if let Some(key) = &outgoing.key {
            record = record.key(key.as_slice());
        }
        if let Some(payload) = &outgoing.payload {
            record = record.payload(payload.as_slice());
        }
        while let Err((error, returned)) = self.producer.send(record) {
            let code = error.rdkafka_error_code();
            if code == Some(RDKafkaErrorCode::State) {
                // A message before this one has failed and voided the transaction: that is the
                // error to tell.
                self.producer.poll(Duration::from_millis(100));
                let cause = self.producer.context().take().unwrap_or(error);
                return Err(self.fault("sending outcomes", cause));
            }
            if code != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.fault(format!("sending to `{}`", outgoing.topic), error));
            }
            self.producer.poll(Duration::from_millis(10));
            record = returned;
        }
        Ok(())
    }

    /// Calls `call` again while its error may pass, with growing pauses, until the worker ends.
    fn persist(
        &self,
        shutdown: &Shutdown,
        what: &str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), Fault> {
        let mut pause = BACKOFF_MIN;
        loop {
            let Err(error) = call() else { return Ok(()) };
            let fault = self.fault(what, error);
            if fault.class != FaultClass::Retry || shutdown.is_over() {
                return Err(fault);
            }
            tracing::warn!(pipeline = self.setup.pipeline, error = fault.chain(), "trying again");
            self.metrics.happened(&self.setup.pipeline, FlowEvent::Retried);
            shutdown.rest(pause);
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    fn fault(&self, what: impl Into<String>, error: KafkaError) -> Fault {
        let what = what.into();
        // After a fatal error every call says no more than that there was one.
        let error = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => {
                let first = self.producer.client().fatal_error();
                first.map_or(error, |(code, _)| KafkaError::Global(code))
            }
            Some(_) | None => error,
        };
        if kafka::is_fenced(&error) {
            let id = self.setup.transactional_id.as_deref().unwrap_or_default();
            let timeout = Duration::from_millis(self.setup.delivery.transaction_timeout_ms.into());
            let open_for = self.begun.get().map(|begun| begun.elapsed());
            let told = kafka::told_of_fenced(id, open_for, timeout);
            return Fault::new(FaultClass::Fatal, format!("{what}: {told}"), error);
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            let what = format!(
                "{what}: a topic takes smaller messages than `output.message_bytes_max` ({}); \
                 raise `max.message.bytes` of the topic or lower the limit",
                self.setup.message_bytes_max
            );
            return Fault::new(FaultClass::Fatal, what, error);
        }
        kafka::fault(what, error)
    }
}

fn next_offsets(commit: &Commit<Outgoing>) -> impl Iterator<Item = (i32, i64)> + '_ {
    commit.groups.iter().map(|group| (group.lease.partition(), group.next_offset))
}

/// A commit of a dead lease must not go on: the offsets would be those of another's work.
fn check_alive(commit: &Commit<Outgoing>) -> Result<(), Fault> {
    if commit.is_alive() {
        return Ok(());
    }
    Err(Fault::plain(FaultClass::Abort, "committing: a partition was revoked"))
}

/// Longest wait for one call now.
fn call_max(shutdown: &Shutdown) -> Duration {
    shutdown.left().map_or(CALL_MAX, |left| left.clamp(CALL_MIN, CALL_MAX))
}

#[cfg(test)]
mod tests {
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
}
