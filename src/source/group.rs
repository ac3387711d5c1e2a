//! A consumer in its group: rebalances become leases, statistics a snapshot; and what the sink needs
//! of the membership. Deliberately polls nothing: [`super::kafka`] does.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use super::bound::Bound;
use super::kafka::Setup;
use super::watch::Snapshot;
use crate::error::{Fault, FaultClass};
use crate::kafka::{self, Offsets, Refusals};
use crate::ledger::SharedLedger;
use crate::metrics::{FlowEvent, Metrics};

/// Longest wait for the group's coordinator to answer.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at librdkafka's statistics.
const STATISTICS_INTERVAL_MS: u32 = 1_000;
/// A worker that is gone without a word loses its partitions after so long, under the classic
/// protocol; under KIP-848 the broker's setting holds.
const CLASSIC_SESSION_TIMEOUT_MS: u32 = 10_000;

/// Turns rebalances into leases, and statistics into a snapshot.
pub(super) struct Context<T: Send + 'static> {
    pub(super) setup: Setup,
    is_classic: bool,
    ledger: Arc<SharedLedger<T>>,
    metrics: Arc<Metrics>,
    pub(super) rebalances_count: AtomicU64,
    pub(super) is_assigned: AtomicBool,
    pub(super) snapshot: Mutex<Option<Snapshot>>,
    pub(super) refusals: Refusals,
    pub(super) bound: Bound,
}

impl<T: Send> ClientContext for Context<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
        kafka::token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        kafka::log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.refusals.clear();
        }
        let snapshot = Snapshot::new(&statistics, &self.setup.topic, self.is_classic);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is asked for, by the watchdog, and comes this way too.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.refusals.note(&error, reason);
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
                    self.bound.assigned(partition);
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

/// The consumer of a flow.
pub(super) type Client<T> = BaseConsumer<Context<T>>;

/// The membership of a flow in its consumer group, as the sink needs it.
pub struct Group<T: Send + 'static> {
    pub(super) client: RwLock<Arc<Client<T>>>,
}

impl<T: Send> Group<T> {
    pub(super) fn client(&self) -> Arc<Client<T>> {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Send> Offsets for Group<T> {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.client().group_metadata()
    }

    fn committed(&self, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Fault> {
        let client = self.client();
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&client.context().setup.topic, *partition);
        }
        // A member of an older epoch is refused until it has heard of the new one.
        let asked = client.committed_offsets(list, CALL_MAX);
        let found = asked.map_err(|error| {
            Fault::new(FaultClass::Retry, "asking for committed offsets", error)
        })?;
        let offset = |element: &TopicPartitionListElem<'_>| {
            // Before the first commit there is none.
            let Offset::Offset(offset) = element.offset() else { return None };
            Some((element.partition(), offset))
        };
        Ok(found.elements().iter().filter_map(offset).collect())
    }

    fn commit(&self, offsets: &[(i32, i64)]) -> Result<(), Fault> {
        let client = self.client();
        let list = kafka::offset_list(&client.context().setup.topic, offsets)?;
        let done = client.commit(&list, CommitMode::Sync);
        done.map_err(|error| kafka::fault("committing offsets", error))
    }
}

/// A consumer as `setup` has it, subscribed.
pub(super) fn connect<T: Send>(
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
        // A tenth of it where the coordinator is down: one that stands still is left soon.
        .set("coordinator.query.interval.ms", "20000")
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
        refusals: Refusals::default(),
        bound: Bound::new(setup.ends.clone()),
    };
    let fault = |error| Fault::new(FaultClass::Fatal, "creating the consumer", error);
    let client: Client<T> = config.create_with_context(context).map_err(fault)?;
    client.subscribe(&[&setup.topic]).map_err(fault)?;
    Ok(Arc::new(client))
}
