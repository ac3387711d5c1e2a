//! `Kafka topic -> deliveries`, under a lease per assigned partition.
//!
//! One thread polls and does nothing slow: rebalance callbacks run on it, and a consumer that does
//! not poll is thrown out of its group. Back-pressure is by pausing partitions. Deliberately
//! commits nothing; offsets travel with the outcomes, in the sink.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use super::watch::{Snapshot, Watch};
use crate::config::pipeline::Limits;
use crate::config::settings::GroupProtocol;
use crate::error::{Fault, FaultClass};
use crate::failpoint::{self, Point};
use crate::kafka::{self, Connection, Offsets};
use crate::ledger::{SharedLedger, Ticket};
use crate::metrics::{FlowEvent, Level, Metrics};
use crate::shutdown::{Shutdown, Stop};
use crate::types::{Delivery, Header, Position, Sensitive};

/// Longest wait for a message, so that the thread sees a stop soon.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Time between two looks at librdkafka's statistics.
const STATISTICS_INTERVAL_MS: u32 = 1_000;
/// A partition that is behind and delivers nothing for so long is warned of; twice so long ends
/// the process.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// A worker that is gone without a word loses its partitions after so long, under the classic
/// protocol; under KIP-848 the broker's setting holds.
const CLASSIC_SESSION_TIMEOUT_MS: u32 = 10_000;
/// Shortest wait for the group to be left in order, where the time of a drain is over.
const LEAVE_MIN: Duration = Duration::from_millis(200);

/// What a Kafka source needs to know.
#[derive(Clone)]
pub struct Setup {
    /// How to reach the cluster.
    pub connection: Connection,
    /// Pipeline name, for logs and metrics.
    pub pipeline: String,
    /// Input topic.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// Protocol of the group.
    pub protocol: GroupProtocol,
    /// How much may be in flight.
    pub limits: Limits,
}

/// Turns rebalances into leases, and statistics into a snapshot.
struct Context<T: Send + 'static> {
    setup: Setup,
    is_classic: bool,
    ledger: Arc<SharedLedger<T>>,
    metrics: Arc<Metrics>,
    rebalances_count: AtomicU64,
    is_assigned: AtomicBool,
    snapshot: Mutex<Option<Snapshot>>,
}

impl<T: Send> ClientContext for Context<T> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        kafka::log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        let snapshot = Snapshot::new(&statistics, &self.setup.topic, self.is_classic);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is asked for, by the watchdog, and comes this way too.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::warn!(error = %error, reason, "the consumer met an error");
    }
}

impl<T: Send> ConsumerContext for Context<T> {
    // Order: a lease dies before librdkafka answers the broker, so that whoever sees a living
    // lease after asking for the group's metadata holds metadata of the assignment's generation.
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let partitions = |list: &TopicPartitionList| -> Vec<i32> {
            list.elements().iter().map(TopicPartitionListElem::partition).collect()
        };
        let pipeline = self.setup.pipeline.as_str();
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = partitions(list);
                tracing::info!(pipeline, ?partitions, "partitions assigned");
                let mut ledger = self.ledger.lock();
                for partition in partitions {
                    ledger.assign(partition);
                }
                self.is_assigned.store(true, Ordering::Release);
                self.metrics.happened(pipeline, FlowEvent::Assigned);
            }
            Rebalance::Revoke(list) => {
                let partitions = partitions(list);
                tracing::info!(pipeline, ?partitions, "partitions revoked");
                let mut ledger = self.ledger.lock();
                for partition in partitions {
                    ledger.revoke(partition);
                }
                self.metrics.happened(pipeline, FlowEvent::Revoked);
            }
            Rebalance::Error(error) => {
                tracing::warn!(pipeline, error = %error, "rebalance failed; all leases end");
                self.ledger.lock().revoke_all();
            }
        }
        self.ledger.notify();
        self.rebalances_count.fetch_add(1, Ordering::AcqRel);
    }
}

type Client<T> = BaseConsumer<Context<T>>;

/// The membership of a flow in its consumer group, as the sink needs it.
pub struct Group<T: Send + 'static> {
    client: RwLock<Arc<Client<T>>>,
}

impl<T: Send> Group<T> {
    fn client(&self) -> Arc<Client<T>> {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Send> Offsets for Group<T> {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.client().group_metadata()
    }

    fn commit(&self, offsets: &[(i32, i64)]) -> Result<(), Fault> {
        let client = self.client();
        let list = kafka::offset_list(&client.context().setup.topic, offsets)?;
        let done = client.commit(&list, CommitMode::Sync);
        done.map_err(|error| kafka::fault("committing offsets", error))
    }
}

/// A Kafka source: poll it on a thread of its own by [`Kafka::run`].
pub struct Kafka<T: Send + 'static> {
    setup: Setup,
    ledger: Arc<SharedLedger<T>>,
    metrics: Arc<Metrics>,
    group: Arc<Group<T>>,
    topic: Arc<str>,
    paused: BTreeSet<i32>,
    rebalances_seen: u64,
    watch: Watch,
    has_warned: bool,
}

impl<T: Send> Kafka<T> {
    /// Connects and subscribes; no partition is assigned before the first poll.
    pub fn new(
        setup: Setup,
        ledger: Arc<SharedLedger<T>>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let is_classic = setup.protocol == GroupProtocol::Classic;
        let client = connect(&setup, is_classic, &ledger, &metrics)?;
        let topic = Arc::from(setup.topic.as_str());
        let group = Arc::new(Group { client: RwLock::new(client) });
        Ok(Self {
            setup,
            ledger,
            metrics,
            group,
            topic,
            paused: BTreeSet::new(),
            rebalances_seen: 0,
            watch: Watch::default(),
            has_warned: false,
        })
    }

    /// The group, for the sink.
    pub fn group(&self) -> Arc<Group<T>> {
        Arc::clone(&self.group)
    }

    /// Polls until the worker stops, and hands each delivery to `deliver`, which must not block.
    /// `joined` is called once, when the group has been joined. A drain ends when nothing is in
    /// flight; the group is left in order.
    pub fn run(
        mut self,
        shutdown: &Shutdown,
        mut joined: impl FnMut(),
        mut deliver: impl FnMut(Ticket, Delivery),
    ) -> Result<(), Fault> {
        let mut has_joined = false;
        loop {
            let is_draining = match shutdown.stopped() {
                None => false,
                Some(Stop::Fault(_)) => break,
                Some(Stop::Drain) => true,
            };
            if is_draining
                && (shutdown.is_over() || self.ledger.lock().in_flight().deliveries_count == 0)
            {
                break;
            }
            let client = self.group.client();
            match client.poll(POLL_MAX) {
                Some(Ok(message)) if !is_draining => self.open(&message, &mut deliver),
                // In a drain a message is not opened, so not committed: the next owner reads it.
                None | Some(Ok(_)) => {}
                Some(Err(error)) => self.endure(error)?,
            }
            if !has_joined && client.context().is_assigned.load(Ordering::Acquire) {
                has_joined = true;
                joined();
            }
            self.regulate(&client, is_draining)?;
            if self.look(&client, Instant::now())? && !has_joined {
                has_joined = true;
                joined();
            }
        }
        self.leave(shutdown);
        Ok(())
    }

    fn open(&mut self, message: &BorrowedMessage<'_>, deliver: &mut impl FnMut(Ticket, Delivery)) {
        let delivery = delivery_of(message, &self.topic);
        let (partition, offset) = (message.partition(), message.offset());
        let opened = self.ledger.lock().open(partition, offset, delivery.size_bytes());
        let Some(opened) = opened else { return };
        let pipeline = self.setup.pipeline.as_str();
        if let Some(expected) = opened.rewound_from {
            let topic = &*self.topic;
            tracing::error!(
                pipeline,
                topic,
                partition,
                offset,
                expected,
                "the position went back: the log was cut, or the topic was made anew; what stands \
                 there now is worked on, and what was published before may come again"
            );
            self.metrics.happened(pipeline, FlowEvent::Rewound);
        }
        failpoint::pass(Point::Polled);
        self.metrics.delivered(pipeline);
        deliver(opened.ticket, delivery);
    }

    /// Goes on after an error that mends itself, and ends at one that does not.
    fn endure(&mut self, error: KafkaError) -> Result<(), Fault> {
        if matches!(error, KafkaError::PartitionEOF(_)) {
            return Ok(());
        }
        let pipeline = self.setup.pipeline.as_str();
        let code = error.rdkafka_error_code();
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let is_unsupported = matches!(
            code,
            Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion)
        );
        if is_fatal && is_unsupported && self.setup.protocol == GroupProtocol::Auto {
            tracing::info!(
                pipeline,
                "the broker has no KIP-848 groups; using the classic protocol"
            );
            return self.reconnect();
        }
        if is_fatal {
            return Err(Fault::new(FaultClass::Fatal, "consuming", error));
        }
        let is_refused = matches!(
            code,
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::SaslAuthenticationFailed
            )
        );
        if is_refused {
            let topic = &self.topic;
            let what = format!("consuming `{topic}`; grant this client READ on topic and group");
            return Err(Fault::new(FaultClass::Fatal, what, error));
        }
        tracing::warn!(pipeline, error = %error, "consuming goes on after an error");
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), Fault> {
        self.setup.protocol = GroupProtocol::Classic;
        self.ledger.lock().revoke_all();
        self.paused.clear();
        self.rebalances_seen = 0;
        let client = connect(&self.setup, true, &self.ledger, &self.metrics)?;
        *self.group.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    /// Pauses partitions when too much is in flight, and resumes them when half is done.
    fn regulate(&mut self, client: &Client<T>, is_draining: bool) -> Result<(), Fault> {
        let (in_flight, partitions) = {
            let ledger = self.ledger.lock();
            (ledger.in_flight(), ledger.partitions())
        };
        let rebalances = client.context().rebalances_count.load(Ordering::Acquire);
        if rebalances != self.rebalances_seen {
            self.rebalances_seen = rebalances;
            // librdkafka keeps a pause over revocation and assignment; only a resume ends it.
            self.watch.reset();
        }
        let limits = &self.setup.limits;
        let is_full = in_flight.bytes >= limits.in_flight_bytes_max
            || in_flight.deliveries_count >= limits.in_flight_deliveries_max;
        let is_low = in_flight.bytes <= limits.in_flight_bytes_max / 2
            && in_flight.deliveries_count <= limits.in_flight_deliveries_max / 2;
        if is_full || is_draining {
            let fresh: Vec<i32> = partitions
                .iter()
                .copied()
                .filter(|partition| !self.paused.contains(partition))
                .collect();
            if !fresh.is_empty() {
                self.switch(client, &fresh, true)?;
                self.paused.extend(fresh);
            }
        } else if is_low && !self.paused.is_empty() {
            let resumed: Vec<i32> = partitions
                .iter()
                .copied()
                .filter(|partition| self.paused.contains(partition))
                .collect();
            if !resumed.is_empty() {
                self.switch(client, &resumed, false)?;
                self.paused.retain(|partition| !resumed.contains(partition));
                self.watch.reset();
            }
        }
        Ok(())
    }

    fn switch(&self, client: &Client<T>, partitions: &[i32], is_pause: bool) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let done = if is_pause { client.pause(&list) } else { client.resume(&list) };
        done.map_err(|error| Fault::new(FaultClass::Fatal, "pausing or resuming partitions", error))
    }

    /// Reads the latest statistics; true where the group is joined.
    fn look(&mut self, client: &Client<T>, now: Instant) -> Result<bool, Fault> {
        let context = client.context();
        let snapshot = context.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(snapshot) = snapshot else { return Ok(false) };
        let (in_flight, own) = {
            let ledger = self.ledger.lock();
            (ledger.in_flight(), ledger.partitions())
        };
        let pipeline = self.setup.pipeline.as_str();
        self.metrics.level(pipeline, Level::Lag, snapshot.lag);
        self.metrics.level(pipeline, Level::Partitions, own.len());
        self.metrics.level(pipeline, Level::InFlightBytes, in_flight.bytes);
        self.metrics.level(pipeline, Level::InFlightDeliveries, in_flight.deliveries_count);
        if own.iter().any(|partition| self.paused.contains(partition)) {
            self.watch.reset();
            return Ok(snapshot.is_joined);
        }
        let is_silent = |watch: &mut Watch, limit| watch.observe(&snapshot, now, limit);
        if let Some(partition) = is_silent(&mut self.watch, SILENCE_MAX * 2) {
            let what =
                format!("consuming: partition {partition} of `{}` has gone silent", self.topic);
            return Err(Fault::plain(FaultClass::Fatal, what));
        }
        let silent = is_silent(&mut self.watch, SILENCE_MAX);
        if let (Some(partition), false) = (silent, self.has_warned) {
            tracing::warn!(pipeline, partition, "behind, and no delivery for a minute");
        }
        self.has_warned = silent.is_some();
        Ok(snapshot.is_joined)
    }

    /// Leaves the group, so that the others take over at once; for as long as the process may live.
    fn leave(self, shutdown: &Shutdown) {
        let client = self.group.client();
        client.unsubscribe();
        // Half of it: closing the client takes time too.
        let time = shutdown.until_exit().map_or(LEAVE_MIN, |left| (left / 2).max(LEAVE_MIN));
        let since = Instant::now();
        while since.elapsed() < time && !self.ledger.lock().partitions().is_empty() {
            // Serves the revocation; a message that still comes is not opened.
            drop(client.poll(POLL_MAX));
        }
        // The sink of a drain ends when no lease is left.
        self.ledger.lock().revoke_all();
        self.ledger.notify();
    }
}

fn connect<T: Send>(
    setup: &Setup,
    is_classic: bool,
    ledger: &Arc<SharedLedger<T>>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Client<T>>, Fault> {
    let mut config = setup.connection.config();
    config
        .set("group.id", &setup.group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string())
        // Limit: prefetched and not yet delivered, beside what is in flight.
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.message.max.bytes", "8388608")
        // One answer of a broker; a single message that is larger still comes.
        .set("fetch.max.bytes", "16777216");
    if is_classic {
        // Cooperative rebalances with own commits have open faults in librdkafka (#4059).
        config.set("group.protocol", "classic").set("partition.assignment.strategy", "roundrobin");
        if config.get("session.timeout.ms").is_none() {
            config.set("session.timeout.ms", CLASSIC_SESSION_TIMEOUT_MS.to_string());
        }
    } else {
        config.set("group.protocol", "consumer");
    }
    let context = Context {
        setup: setup.clone(),
        is_classic,
        ledger: Arc::clone(ledger),
        metrics: Arc::clone(metrics),
        rebalances_count: AtomicU64::new(0),
        is_assigned: AtomicBool::new(false),
        snapshot: Mutex::new(None),
    };
    let fault = |error| Fault::new(FaultClass::Fatal, "creating the consumer", error);
    let client: Client<T> = config.create_with_context(context).map_err(fault)?;
    client.subscribe(&[&setup.topic]).map_err(fault)?;
    Ok(Arc::new(client))
}

fn delivery_of(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Delivery {
    let sensitive = |bytes: &[u8]| Sensitive::new(bytes.to_vec());
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let own = |header: rdkafka::message::Header<'_, &[u8]>| Header {
            name: header.key.to_owned(),
            value: header.value.map(sensitive),
        };
        headers.iter().map(own).collect()
    });
    Delivery {
        position: Position {
            topic: Arc::clone(topic),
            partition: message.partition(),
            offset: message.offset(),
        },
        key: message.key().map(sensitive),
        body: message.payload().map(sensitive),
        headers,
        sent: message.timestamp().to_millis().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    }
}
