//! `commits -> Kafka`: outcomes and the offsets behind them become visible together.
//!
//! One thread owns the producer. No inference happens inside a transaction: a commit is cut from
//! what has ended already, so that a transaction lasts milliseconds and never holds readers up.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig};

use super::producer::{Client, Setup, add_offsets, connect, still_max};
use super::topics::Topics;
use crate::backoff::{self, Backoff};
use crate::config::pipeline::Guarantee;
use crate::error::{Fault, FaultClass};
use crate::failpoint::{self, Point};
use crate::guard::Guard;
use crate::kafka::{self, Offsets};
use crate::ledger::{Commit, InFlight, SharedLedger};
use crate::metrics::{FlowEvent, Metrics, Stage};
use crate::pulse::Pulse;
use crate::shutdown::Shutdown;
use crate::types::Outgoing;

/// Longest wait for one call to the transaction coordinator; in a drain, what is left of it. A call
/// that took longer is resumed by the next one.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Shortest wait for one call, so that the last abort of a drain can get through.
const CALL_MIN: Duration = Duration::from_millis(200);
/// Where nothing is left in work, a commit is due after one part in so many of its interval.
const EARLY_PART: u32 = 5;
/// How long events are served around a call that serves none.
const SERVE_MAX: Duration = Duration::from_millis(10);
/// Time between two looks for the reports of messages that were sent.
const REPORTS_PAUSE: Duration = Duration::from_millis(1);
/// Longest wait for the reports of messages that an abort throws away.
const PURGE_MAX: Duration = Duration::from_secs(1);

/// A Kafka sink: run it on a thread of its own by [`Kafka::run`].
pub struct Kafka {
    setup: Setup,
    producer: Client,
    ledger: Arc<SharedLedger<Outgoing>>,
    offsets: Arc<dyn Offsets>,
    metrics: Arc<Metrics>,
    pulse: Pulse,
    /// When the open transaction was begun.
    begun: Cell<Option<Instant>>,
    /// Whether the cluster has taken this client once.
    is_registered: Cell<bool>,
    /// The open transaction cannot be ended by this producer, and a new one can go on.
    is_void: Cell<bool>,
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
        let producer = connect(&setup)?;
        let (begun, is_registered) = (Cell::new(None), Cell::new(false));
        let is_void = Cell::new(false);
        let pulse = Pulse::default();
        Ok(Self { setup, producer, ledger, offsets, metrics, pulse, begun, is_registered, is_void })
    }

    /// Beats as long as [`Self::run`] goes on, and how long it may be still.
    pub fn pulse(&self) -> (Pulse, Duration) {
        (self.pulse.clone(), still_max(&self.setup.delivery))
    }

    /// Registers the `transactional.id`; retries until the coordinator answers or the worker
    /// stops. A cluster that has refused our credentials and does not answer is a fatal fault.
    pub fn join(&self, shutdown: &Shutdown) -> Result<(), Fault> {
        if self.setup.transactional_id.is_none() {
            return Ok(());
        }
        let pipeline = self.setup.pipeline.as_str();
        let what = "registering the transactional id";
        let is_wanted = |fault: &Fault| {
            tracing::warn!(pipeline, error = fault.chain(), "trying again");
            shutdown.stopped().is_none()
        };
        let ask = || {
            self.pulse.beat();
            // The call serves no events: the token of a client comes by one, before it, and what
            // the cluster thinks of it after it.
            self.producer.poll(SERVE_MAX);
            let registered = self.producer.init_transactions(call_max(shutdown));
            self.producer.poll(SERVE_MAX);
            registered.map_err(|error| self.told(what, error))
        };
        let stopped = || Fault::plain(FaultClass::Abort, format!("{what}: told to stop"));
        backoff::persist(shutdown, is_wanted, ask)?.ok_or_else(stopped)?;
        self.is_registered.set(true);
        Ok(())
    }

    /// Cuts and makes commits until the worker stops; in a drain, until nothing is in flight.
    /// `guard` says what is cut, and is told what output topics lack. Calls `committed` with each
    /// commit that went through and how long it took, and `relieved` after each turn, in which less
    /// may have come to be in flight.
    pub fn run(
        mut self,
        shutdown: &Shutdown,
        guard: &Guard,
        committed: impl Fn(&Commit<Outgoing>, Duration),
        relieved: impl Fn(),
    ) -> Result<(), Fault> {
        self.await_topics(shutdown, guard)?;
        let interval = Duration::from_millis(self.setup.delivery.commit_interval_ms);
        let deliveries_max = self.setup.delivery.commit_deliveries_max;
        let mut last = Instant::now();
        loop {
            self.pulse.beat();
            let is_draining = shutdown.stopped().is_some();
            if shutdown.is_over() {
                return Ok(());
            }
            let wait = if is_draining { Duration::from_millis(10) } else { interval };
            let due = |wait: Duration| wait.saturating_sub(last.elapsed());
            let is_full = |in_flight: InFlight| in_flight.settled_count >= deliveries_max;
            self.ledger.wait(due(wait / EARLY_PART), is_full);
            self.ledger.wait(due(wait), |in_flight| is_full(in_flight) || in_flight.has_ended());
            let commit = guard.cut(deliveries_max);
            last = Instant::now();
            match commit {
                Some(commit) => {
                    if let Some(commit) = self.make_visible(commit, shutdown, guard)? {
                        committed(&commit, last.elapsed());
                    }
                }
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

    /// Tries a commit until it is through, and gives what of it is; `None` where all its leases have
    /// died, or work ends before.
    fn make_visible(
        &mut self,
        mut commit: Commit<Outgoing>,
        shutdown: &Shutdown,
        guard: &Guard,
    ) -> Result<Option<Commit<Outgoing>>, Fault> {
        let pipeline = self.setup.pipeline.clone();
        let since = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            self.pulse.beat();
            commit.retain_alive();
            if commit.groups.is_empty() {
                return Ok(None);
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
                    self.metrics.happened(&pipeline, FlowEvent::Aborted);
                }
            }
            if shutdown.is_over() {
                return Ok(None);
            }
            shutdown.rest(backoff.pause());
            self.await_topics(shutdown, guard)?;
        }
        failpoint::pass(Point::Committed);
        self.ledger.lock().committed(&commit);
        self.ledger.notify();
        self.metrics.happened(&pipeline, FlowEvent::Committed);
        self.metrics.took(&pipeline, Stage::Commit, since.elapsed());
        Ok(Some(commit))
    }

    /// One transaction: begin, send, offsets, commit. An error that voids it has aborted it.
    fn transact(&mut self, commit: &Commit<Outgoing>, shutdown: &Shutdown) -> Result<(), Fault> {
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
        let mut done = self.fill(commit, &Arc::new(metadata), shutdown);
        if let Err(fault) = &done
            && fault.class != FaultClass::Fatal
            && !self.is_void.get()
        {
            done = self.abort(shutdown).and(done);
        }
        self.begun.set(None);
        match done {
            // The abort may be what learned of it.
            Err(fault) if self.is_void.take() => self.renew(commit, &fault, shutdown),
            done => done,
        }
    }

    /// Goes on under a new epoch after `fault`. An error, upon which the commit is made again,
    /// unless it had gone through: what was met may have been the answer to it that was lost.
    ///
    /// Should another worker have taken over the id, it is fenced in turn, and exits: its own
    /// transactions are short.
    fn renew(
        &mut self,
        commit: &Commit<Outgoing>,
        fault: &Fault,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        let pipeline = self.setup.pipeline.as_str();
        tracing::warn!(pipeline, error = fault.chain(), "the producer is made anew");
        self.producer = connect(&self.setup)?;
        // Order: it waits for the end of the old transaction; from then on the offsets tell.
        self.join(shutdown)?;
        let mut wanted: Vec<_> = commit.next_offsets().collect();
        let partitions: Vec<_> = wanted.iter().map(|(partition, _)| *partition).collect();
        let found = self.insist(shutdown, || self.offsets.committed(&partitions))?;
        wanted.retain(|(partition, next_offset)| {
            // One that is higher was committed in a topic before this one of the same name.
            let is_there = |(of, offset): &(i32, i64)| of == partition && offset == next_offset;
            !found.iter().any(is_there)
        });
        if wanted.is_empty() {
            return Ok(());
        }
        Err(Fault::plain(FaultClass::Abort, "committing: the transaction was lost"))
    }

    /// Throws the open transaction away. At the end of a drain one try is enough: the next worker
    /// of this id ends what is left open.
    fn abort(&self, shutdown: &Shutdown) -> Result<(), Fault> {
        // Unlike a commit, an abort of the client serves no delivery reports and yet waits for
        // them.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        drop(self.producer.flush(PURGE_MAX));
        let aborted = self.insist(shutdown, || {
            self.producer.abort_transaction(call_max(shutdown)).map_err(|error| {
                let passes = kafka::may_be_aborted_later(&error);
                let mut fault = self.told("aborting a transaction", error);
                if passes && fault.class == FaultClass::Abort {
                    fault.class = FaultClass::Retry;
                }
                fault
            })
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
        metadata: &Arc<ConsumerGroupMetadata>,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        self.send_all(commit, shutdown)?;
        failpoint::pass(Point::Sent);
        check_alive(commit)?;
        let offsets: Vec<_> = commit.next_offsets().collect();
        let offsets = Arc::new(kafka::offset_list(&self.setup.input_topic, &offsets)?);
        let what = "adding offsets to a transaction";
        self.insist(shutdown, || {
            let Some(added) = add_offsets(&self.producer, &offsets, metadata, call_max(shutdown))
            else {
                self.is_void.set(true);
                let what = format!("{what}: the client does not come back from the call");
                return Err(Fault::plain(FaultClass::Abort, what));
            };
            added.map_err(|error| self.told(what, error))
        })?;
        failpoint::pass(Point::OffsetsSent);
        self.persist(shutdown, "committing a transaction", || {
            self.producer.commit_transaction(call_max(shutdown))
        })
    }

    /// `at_least_once`: the outcomes first, then the offsets.
    fn publish(&self, commit: &Commit<Outgoing>, shutdown: &Shutdown) -> Result<(), Fault> {
        self.send_all(commit, shutdown)?;
        let offsets: Vec<(i32, i64)> = commit.next_offsets().collect();
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
        // `flush` of the client polls in steps of 100 ms and would add as much to every commit; its
        // `poll` does not wait out the last millisecond of its time but burns it.
        while self.producer.in_flight_count() > 0 {
            let before = self.producer.in_flight_count();
            self.producer.poll(Duration::ZERO);
            if self.producer.in_flight_count() == before {
                thread::sleep(REPORTS_PAUSE);
            }
            if shutdown.is_over() {
                return Some(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue));
            }
        }
        self.producer.context().take()
    }

    fn send(&self, outgoing: &Outgoing) -> Result<(), Fault> {
        let headers = kafka::headers(&outgoing.headers);
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

    /// Waits until every output topic is there and takes messages as large as the pipeline's. What
    /// the brokers do not tell is left to the commit.
    fn await_topics(&self, shutdown: &Shutdown, guard: &Guard) -> Result<(), Fault> {
        let Setup { connection, pipeline, output_topics, message_bytes_max, .. } = &self.setup;
        let topics =
            Topics { connection, names: output_topics, message_bytes_max: *message_bytes_max };
        let told = |fault: &Fault| {
            self.pulse.beat();
            let error = fault.chain();
            tracing::error!(pipeline, error, "the flow waits and goes on by itself");
            guard.waits("topics", Some(&error));
            // A drain has no time for what a person must mend.
            shutdown.stopped().is_none()
        };
        let ask = || topics.check(self.producer.client(), call_max(shutdown));
        backoff::persist(shutdown, told, ask)?;
        guard.waits("topics", None);
        Ok(())
    }

    /// Calls `call` again while its error may pass, until the worker ends.
    fn persist(
        &self,
        shutdown: &Shutdown,
        what: &str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), Fault> {
        self.insist(shutdown, || call().map_err(|error| self.told(what, error)))
    }

    /// Likewise, for a call whose fault has its class already.
    fn insist<A>(
        &self,
        shutdown: &Shutdown,
        call: impl Fn() -> Result<A, Fault>,
    ) -> Result<A, Fault> {
        let pipeline = self.setup.pipeline.as_str();
        let told = |fault: &Fault| {
            tracing::warn!(pipeline, error = fault.chain(), "trying again");
            self.metrics.happened(pipeline, FlowEvent::Retried);
            true
        };
        let over = || Fault::plain(FaultClass::Abort, "committing: the time of a drain is over");
        let call = || {
            self.pulse.beat();
            // Few calls of the client serve its events, and one of them is that it wants a token: a
            // cluster that comes back would never let it in.
            self.producer.poll(Duration::ZERO);
            call()
        };
        backoff::persist(shutdown, told, call)?.ok_or_else(over)
    }

    /// The fault behind `error`; where it may pass, rather why the cluster has not taken this client.
    fn told(&self, what: &str, error: KafkaError) -> Fault {
        let fault = self.fault(what, error);
        let refusal = if fault.class == FaultClass::Retry { self.refused() } else { None };
        refusal.unwrap_or(fault)
    }

    /// Why the cluster has not taken this client, as long as it never has.
    fn refused(&self) -> Option<Fault> {
        let refusal =
            self.producer.context().refusals.fault(&self.setup.connection, Duration::ZERO);
        refusal.filter(|_| !self.is_registered.get())
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
            // One that has outlived its timeout was ended by it, or would have been.
            let has_expired = open_for.is_some_and(|open_for| open_for >= timeout);
            self.is_void.set(has_expired);
            let class = if has_expired { FaultClass::Abort } else { FaultClass::Fatal };
            return Fault::new(class, format!("{what}: {told}"), error);
        }
        if kafka::has_lost_track(&error) && self.begun.get().is_some() {
            self.is_void.set(true);
            return Fault::new(FaultClass::Abort, what, error);
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            let what = format!(
                "{what}: a topic takes smaller messages than `output.message_bytes_max` ({}); \
                 raise `max.message.bytes` of the topic, or lower the limit and restart",
                self.setup.message_bytes_max
            );
            return Fault::new(FaultClass::Abort, what, error);
        }
        kafka::fault(what, error)
    }
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
#[path = "kafka_tests.rs"]
mod tests;
