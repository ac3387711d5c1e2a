//! `Kafka topic -> deliveries`, under a lease per assigned partition.
//!
//! One thread polls and does nothing slow: rebalance callbacks run on it, and a consumer that does
//! not poll is thrown out of its group. Back-pressure is by pausing partitions. Deliberately
//! commits nothing; offsets travel with the outcomes, in the sink.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use super::group::{Client, Group, connect};
use super::message::delivery_of;
use super::watch::Watch;
use crate::config::pipeline::Limits;
use crate::config::settings::GroupProtocol;
use crate::error::{Fault, FaultClass};
use crate::failpoint::{self, Point};
use crate::kafka::Connection;
use crate::ledger::{InFlight, Lease, SharedLedger, Ticket};
use crate::metrics::{FlowEvent, Level, Metrics};
use crate::shutdown::{Shutdown, Stop};
use crate::types::Delivery;

/// Longest wait for a message, so that the thread sees a stop soon.
const POLL_MAX: Duration = Duration::from_millis(100);
/// A partition that is behind and delivers nothing for so long is warned of; twice so long ends
/// the process.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// A cluster that refuses our credentials for so long, on every connection, ends the process: the
/// next one reads them anew.
const REFUSED_MAX: Duration = Duration::from_mins(1);
/// Shortest wait for the group to be left in order, where the time of a drain is over.
const LEAVE_MIN: Duration = Duration::from_millis(200);
/// Longest wait for room in what is in flight without a pause. Room comes with the next commit, most
/// often, and a pause is dear: librdkafka throws away what it has fetched, and takes up to a second
/// to notice a resume (its broker threads look once a second). Nothing else of the group is served
/// meanwhile, which a rebalance can bear.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest wait for the consumer to go back to an offset, which it does by itself.
const SEEK_MAX: Duration = Duration::from_secs(1);

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
    /// Where work on a range ends; `None`: never. See [`crate::config::Flow::ends`].
    pub ends: Option<BTreeMap<i32, i64>>,
}

/// A Kafka source: poll it on a thread of its own by [`Kafka::run`].
pub struct Kafka<T: Send + 'static> {
    setup: Setup,
    ledger: Arc<SharedLedger<T>>,
    metrics: Arc<Metrics>,
    group: Arc<Group<T>>,
    topic: Arc<str>,
    /// Those that librdkafka holds as paused, ours or not.
    paused: BTreeSet<i32>,
    /// Whether ours are, so that no message comes of a poll.
    is_paused: bool,
    /// Since when too much is in flight.
    full_since: Option<Instant>,
    /// Where to read again; nothing of such a partition is opened before.
    behind: Vec<(Lease, i64)>,
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
            is_paused: false,
            full_since: None,
            behind: Vec::new(),
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
            let polled = if is_draining || self.has_room() { client.poll(POLL_MAX) } else { None };
            match polled {
                Some(Ok(message)) if !is_draining => self.open(&client, &message, &mut deliver),
                // In a drain a message is not opened, so not committed: the next owner reads it.
                None | Some(Ok(_)) => {}
                Some(Err(error)) => self.endure(error)?,
            }
            let context = client.context();
            // A client that has never joined will not be taken the next time either.
            let lasted = if has_joined { REFUSED_MAX } else { Duration::ZERO };
            if let Some(refusal) = context.refusals.fault(&self.setup.connection, lasted) {
                return Err(refusal);
            }
            if !has_joined && context.is_assigned.load(Ordering::Acquire) {
                has_joined = true;
                joined();
            }
            self.regulate(&client, is_draining)?;
            self.end_range(&client, shutdown)?;
            if self.look(&client, Instant::now())? && !has_joined {
                has_joined = true;
                joined();
            }
        }
        self.leave(shutdown);
        Ok(())
    }

    /// Waits a moment for room where too much is in flight; false where none came. Where partitions
    /// are paused no message comes, so the group is to be polled.
    fn has_room(&mut self) -> bool {
        if self.is_paused {
            return true;
        }
        let limits = &self.setup.limits;
        let has_room = self.ledger.wait(POLL_MAX, |in_flight| !is_full(limits, &in_flight));
        if has_room {
            self.full_since = None;
        } else {
            self.full_since.get_or_insert_with(Instant::now);
        }
        has_room
    }

    fn open(
        &mut self,
        client: &Client<T>,
        message: &BorrowedMessage<'_>,
        deliver: &mut impl FnMut(Ticket, Delivery),
    ) {
        let (partition, offset) = (message.partition(), message.offset());
        if client.context().bound.is_past(partition, offset)
            || self.behind.iter().any(|(lease, _)| lease.partition() == partition)
        {
            return;
        }
        let delivery = delivery_of(message, &self.topic);
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
        if let KafkaError::PartitionEOF(partition) = error {
            self.group.client().context().bound.reached(partition);
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

    /// Pauses partitions when too much is in flight or the flow is held, and resumes them when half
    /// is done.
    fn regulate(&mut self, client: &Client<T>, is_draining: bool) -> Result<(), Fault> {
        let (in_flight, partitions, is_held) = {
            let mut ledger = self.ledger.lock();
            let is_held = ledger.is_held();
            if is_held && let Some(behind) = ledger.restart() {
                // What is read again is not done yet.
                for (lease, _) in &behind {
                    client.context().bound.assigned(lease.partition());
                }
                self.behind.extend(behind);
            }
            (ledger.in_flight(), ledger.partitions(), is_held)
        };
        let rebalances = client.context().rebalances_count.load(Ordering::Acquire);
        if rebalances != self.rebalances_seen {
            self.rebalances_seen = rebalances;
            // librdkafka keeps a pause over revocation and assignment; only a resume ends it.
            self.watch.reset();
        }
        let limits = &self.setup.limits;
        let has_waited = self.full_since.is_some_and(|since| since.elapsed() >= ROOM_WAIT_MAX);
        let is_full = is_full(limits, &in_flight) && (self.is_paused || has_waited);
        let is_low = in_flight.all_bytes() <= limits.in_flight_bytes_max / 2
            && in_flight.deliveries_count <= limits.in_flight_deliveries_max / 2;
        if is_full || is_held || is_draining {
            let fresh: Vec<i32> = partitions
                .iter()
                .copied()
                .filter(|partition| !self.paused.contains(partition))
                .collect();
            if !fresh.is_empty() {
                self.switch(client, &fresh, true)?;
                self.paused.extend(fresh);
            }
            self.is_paused = true;
        } else if (is_low || !self.is_paused)
            && self.behind.is_empty()
            && (self.is_paused || !self.paused.is_empty())
        {
            // A partition that comes back was paused when it left, and goes on with the others.
            let resumed: Vec<i32> = partitions
                .iter()
                .copied()
                .filter(|partition| self.paused.remove(partition))
                .filter(|partition| !client.context().bound.is_done(*partition))
                .collect();
            if is_low {
                (self.is_paused, self.full_since) = (false, None);
            }
            if !resumed.is_empty() {
                self.switch(client, &resumed, false)?;
                self.watch.reset();
            }
        }
        self.go_back(client);
        Ok(())
    }

    /// Goes back to what was dropped, where the flow was held; tried again with the next turn, since
    /// a partition that is about to be revoked takes no order.
    fn go_back(&mut self, client: &Client<T>) {
        self.behind.retain(|(lease, _)| lease.is_alive());
        let topic = &self.topic;
        self.behind.retain(|(lease, offset)| {
            let mut list = TopicPartitionList::new();
            let added =
                list.add_partition_offset(topic, lease.partition(), Offset::Offset(*offset));
            let sought = added.and_then(|()| client.seek_partitions(list, SEEK_MAX));
            let is_there = |sought: &TopicPartitionList| {
                sought.elements().iter().all(|partition| partition.error().is_ok())
            };
            !sought.is_ok_and(|sought| is_there(&sought))
        });
    }

    /// Pauses the partitions of a range that are done, and stops the worker when all are.
    fn end_range(&self, client: &Client<T>, shutdown: &Shutdown) -> Result<(), Fault> {
        let bound = &client.context().bound;
        let (partitions, in_flight, is_held) = {
            let ledger = self.ledger.lock();
            (ledger.partitions(), ledger.in_flight().deliveries_count, ledger.is_held())
        };
        // A flow that is held has dropped what it will work on again.
        if is_held {
            return Ok(());
        }
        let mine = partitions.iter().filter(|partition| !self.paused.contains(partition));
        for partition in mine {
            if let Some(is_pause) = bound.turned(*partition) {
                self.switch(client, &[*partition], is_pause)?;
            }
        }
        if in_flight == 0 && self.behind.is_empty() && bound.is_over(&partitions) {
            tracing::info!(pipeline = self.setup.pipeline, "the range is done");
            shutdown.stop(Stop::Drain);
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
        self.metrics.level(pipeline, Level::InFlightBytes, in_flight.all_bytes());
        self.metrics.level(pipeline, Level::InFlightDeliveries, in_flight.deliveries_count);
        let is_held = |one: &i32| self.paused.contains(one) || context.bound.is_done(*one);
        if own.iter().any(is_held) {
            self.watch.reset();
            return Ok(snapshot.is_joined);
        }
        let is_silent = |watch: &mut Watch, limit| watch.observe(&snapshot, &own, now, limit);
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

/// Whether no more may come in flight.
const fn is_full(limits: &Limits, in_flight: &InFlight) -> bool {
    in_flight.all_bytes() >= limits.in_flight_bytes_max
        || in_flight.deliveries_count >= limits.in_flight_deliveries_max
}
