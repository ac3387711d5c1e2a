//! What the source and the sink share of Kafka: connection, credentials, logs, classes of errors.

mod oauth;

use std::error::Error as StdError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::error::{Fault, FaultClass};
use crate::types::Header;

/// Longest wait for the administration of a cluster: above the time of every request, which the client
/// keeps by itself, most often.
const ADMIN_MAX: Duration = Duration::from_mins(1);
/// Room of a producer's queue, in kilobytes, where messages are of the usual size.
const PRODUCER_QUEUE_KBYTES: usize = 65_536;

/// How to reach the cluster.
#[derive(Clone)]
pub struct Connection {
    /// `host:port`, several by commas.
    pub brokers: String,
    /// Further properties of librdkafka, for security above all. They may hold secrets, so this
    /// type has no `Debug`.
    pub properties: Vec<(String, String)>,
}

impl Connection {
    /// A client configuration with the connection's properties and nothing else.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "sluice");
        // A leader that moved is found so soon, where the old one stands still and tells nobody.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// Likewise for a producer of messages of at most so many bytes.
    pub fn producer_config(&self, message_bytes_max: usize) -> ClientConfig {
        let mut config = self.config();
        // Limit: sending waits where so much is not acknowledged. Two of the largest messages fit.
        let queue_kbytes = message_bytes_max.div_ceil(512).max(PRODUCER_QUEUE_KBYTES);
        config
            .set("enable.idempotence", "true")
            // Where Java clients put the same key.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.max.bytes", message_bytes_max.to_string())
            .set("queue.buffering.max.kbytes", queue_kbytes.to_string());
        config
    }

    fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().rfind(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Which settings to look at where the cluster does not take us, or we not it.
    fn remedy(&self, is_tls: bool) -> &'static str {
        let mechanism =
            self.property("sasl.mechanisms").or_else(|| self.property("sasl.mechanism"));
        match mechanism {
            _ if is_tls => {
                "check SLUICE_KAFKA_SSL_CA_LOCATION, and where the brokers ask for a certificate \
                 SLUICE_KAFKA_SSL_CERTIFICATE_LOCATION and SLUICE_KAFKA_SSL_KEY_LOCATION"
            }
            Some(name) if name.eq_ignore_ascii_case("OAUTHBEARER") => {
                "check the token of SLUICE_KAFKA_OAUTH_TOKEN_FILE or of \
                 SLUICE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: its end, audience and issuer"
            }
            Some(_) | None => {
                "check SLUICE_KAFKA_SASL_MECHANISM, SLUICE_KAFKA_SASL_USERNAME and \
                 SLUICE_KAFKA_SASL_PASSWORD_FILE (or SLUICE_KAFKA_SASL_PASSWORD)"
            }
        }
    }
}

/// The token that librdkafka asks for, from the source in [`Connection::properties`]; every context
/// of a client hands the question on to here.
pub fn token(config: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
    oauth::token(config).map_err(|fault| fault.chain().into())
}

/// Keeps the refusal of a client's certificates or credentials. librdkafka tries on for ever;
/// whoever runs a client asks here whether that is worth it.
#[derive(Default)]
pub struct Refusals(Mutex<Option<Refusal>>);

struct Refusal {
    since: Instant,
    is_of_tls: bool,
    reason: String,
}

impl Refusals {
    /// Keeps `error` where it is one; `reason` is librdkafka's line, which names brokers. A
    /// connection that breaks while TLS begins is none: it has no word of a certificate. A broker
    /// that asks for one and gets none says so only after TLS stands, as it breaks.
    pub fn note(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let is_broken =
            matches!(code, Some(RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure));
        let is_of_tls =
            is_broken && ["certificate", "unknown ca"].iter().any(|words| reason.contains(words));
        if is_of_tls || code == Some(RDKafkaErrorCode::Authentication) {
            let mut kept = self.lock();
            let since = kept.as_ref().map_or_else(Instant::now, |refusal| refusal.since);
            *kept = Some(Refusal { since, is_of_tls, reason: reason.to_owned() });
        }
    }

    /// A broker has taken the client.
    pub fn clear(&self) {
        *self.lock() = None;
    }

    /// The fault of a refusal that has lasted so long, with the settings to look at.
    pub fn fault(&self, connection: &Connection, lasted: Duration) -> Option<Fault> {
        let kept = self.lock();
        let refusal = kept.as_ref().filter(|refusal| refusal.since.elapsed() >= lasted)?;
        let (reason, remedy) = (&refusal.reason, connection.remedy(refusal.is_of_tls));
        let what = format!("connecting to `{}`: {reason}; {remedy}", connection.brokers);
        Some(Fault::plain(FaultClass::Fatal, what))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes librdkafka's log lines on. They name brokers, topics and offsets, never a payload.
pub fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(facility, line, "librdkafka"),
        RDKafkaLogLevel::Warning => tracing::warn!(facility, line, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(facility, line, "librdkafka");
        }
    }
}

/// A context that only logs.
pub struct Quiet;

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
        token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error; who asked for it is told by the poll.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(error = %error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    // In a transaction, the commit tells of a message that was not delivered.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// The consumer group whose offsets travel with the outcomes.
pub trait Offsets: Send + Sync {
    /// Metadata of the current generation; `None` before the first join.
    fn metadata(&self) -> Option<ConsumerGroupMetadata>;

    /// The committed offsets (partition, next offset) of `partitions`, once no transaction that may
    /// change them is open. Any error may pass.
    fn committed(&self, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Fault>;

    /// Commits offsets (partition, next offset) outside a transaction.
    fn commit(&self, offsets: &[(i32, i64)]) -> Result<(), Fault>;
}

/// What to do about an error of the producer. What is not known to be harmless is fatal, as
/// librdkafka's manual advises.
pub fn class_of(error: &KafkaError) -> FaultClass {
    if let KafkaError::Transaction(error) = error {
        return if error.is_fatal() {
            FaultClass::Fatal
        } else if error.txn_requires_abort() {
            FaultClass::Abort
        } else if error.is_retriable() {
            FaultClass::Retry
        } else {
            FaultClass::Fatal
        };
    }
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::RebalanceInProgress,
        ) => FaultClass::Retry,
        Some(
            // A message was offered to a transaction that is void already.
            RDKafkaErrorCode::State
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::StaleMemberEpoch
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::MessageTimedOut
            // A topic that is missing is waited for.
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => FaultClass::Abort,
        _ => FaultClass::Fatal,
    }
}

/// Whether an abort that met this may be asked for again: the transaction stays open, and the client
/// waits for that. For any other call these end the transaction.
pub fn may_be_aborted_later(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        Some(
            RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Unknown
        )
    )
}

/// Whether the epoch of the producer is over: another one of the same `transactional.id` has taken
/// over, or the coordinator has ended a transaction that lasted too long. The two cannot be told
/// apart by the code: the coordinator raises the epoch in both cases, and the client makes one error
/// of `INVALID_PRODUCER_EPOCH` and `PRODUCER_FENCED`.
pub fn is_fenced(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        Some(
            RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::Fenced
        )
    )
}

/// Whether broker and producer disagree about what has gone before, as they may after the
/// coordinator or a leader has moved: this producer cannot go on, and a new one can.
pub fn has_lost_track(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        Some(
            RDKafkaErrorCode::InvalidTransactionalState
                | RDKafkaErrorCode::InvalidProducerIdMapping
                | RDKafkaErrorCode::UnknownProducerId
                | RDKafkaErrorCode::OutOfOrderSequenceNumber
        )
    )
}

fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::Transaction(error) = error {
        return Some(error.code());
    }
    error.rdkafka_error_code()
}

/// A fault of Kafka, met while doing `context`.
pub fn fault(context: impl Into<String>, error: KafkaError) -> Fault {
    Fault::new(class_of(&error), context, error)
}

/// Waits for an answer of the administration of a cluster, whose calls are futures; an error of class
/// `Retry` where none comes in [`ADMIN_MAX`].
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Fault> {
    answer_within(ADMIN_MAX, future)
}

fn answer_within<T>(time: Duration, future: impl Future<Output = T>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(FaultClass::Fatal, "starting a runtime", error))?;
    // The timer is of the runtime, so it is made inside.
    let answer = runtime.block_on(async { tokio::time::timeout(time, future).await });
    let what = "asking for the administration of the cluster: the client does not come back";
    answer.map_err(|error| Fault::new(FaultClass::Retry, what, error))
}

/// `headers` as librdkafka takes them.
pub fn headers(headers: &[Header]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, header| {
        let value = header.value.as_ref().map(|value| value.as_slice());
        all.insert(KafkaHeader { key: &header.name, value })
    })
}

/// `offsets` (partition, next offset) of `topic` as librdkafka takes them.
pub fn offset_list(topic: &str, offsets: &[(i32, i64)]) -> Result<TopicPartitionList, Fault> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .map_err(|error| Fault::new(FaultClass::Fatal, "listing offsets", error))?;
    }
    Ok(list)
}

/// What to tell of a producer whose epoch is over, see [`is_fenced`]: the likelier of its two causes
/// first. `open_for` is how long the transaction has been open, none where none was.
pub fn told_of_fenced(id: &str, open_for: Option<Duration>, timeout: Duration) -> String {
    let other = format!(
        "another worker runs with the transactional id `{id}`; give each worker its own \
         `SLUICE_INSTANCE`"
    );
    let Some(open_for) = open_for else { return format!("this worker is fenced: {other}") };
    let (open_ms, timeout_ms) = (open_for.as_millis(), timeout.as_millis());
    let late = format!(
        "the broker ended its transaction, open for {open_ms} ms, by \
         `delivery.transaction_timeout_ms` ({timeout_ms}); look for a slow broker or a worker that \
         stood still, or raise the limit"
    );
    let (first, second) = if open_for >= timeout { (late, other) } else { (other, late) };
    format!("this worker is fenced: {first}; or {second}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::{Connection, Refusals, answer_within, class_of, told_of_fenced};
    use crate::error::FaultClass;

    #[test]
    fn an_answer_that_never_comes_is_a_fault_that_may_pass() {
        let time = Duration::from_millis(10);
        assert_eq!(answer_within(time, std::future::ready(7)).unwrap(), 7);
        let fault = answer_within(time, std::future::pending::<()>()).unwrap_err();
        assert_eq!(fault.class, FaultClass::Retry);
        assert!(fault.chain().contains("does not come back"), "{}", fault.chain());
    }

    #[test]
    fn a_refusal_of_credentials_is_told_with_the_settings_to_look_at() {
        let connection = |mechanism: &str| Connection {
            brokers: "kafka:9093".to_owned(),
            properties: vec![
                ("sasl.mechanism".to_owned(), mechanism.to_owned()),
                ("sasl.password".to_owned(), "hunter2".to_owned()),
            ],
        };
        for (code, mechanism, setting) in [
            (RDKafkaErrorCode::SSL, "PLAIN", "SLUICE_KAFKA_SSL_CA_LOCATION"),
            (
                RDKafkaErrorCode::BrokerTransportFailure,
                "PLAIN",
                "SLUICE_KAFKA_SSL_CERTIFICATE_LOCATION",
            ),
            (RDKafkaErrorCode::Authentication, "scram-sha-256", "SLUICE_KAFKA_SASL_PASSWORD_FILE"),
            (RDKafkaErrorCode::Authentication, "OAUTHBEARER", "SLUICE_KAFKA_OAUTH_TOKEN_FILE"),
        ] {
            let refusals = Refusals::default();
            let fault = |lasted| refusals.fault(&connection(mechanism), lasted);
            refusals.note(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "down");
            refusals.note(&KafkaError::Global(RDKafkaErrorCode::SSL), "Disconnected");
            let broken = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
            refusals.note(&broken, "Connection reset by peer");
            assert!(fault(Duration::ZERO).is_none(), "a broker that is down");
            refusals.note(&KafkaError::Global(code), "the reason, a certificate");
            assert!(fault(Duration::from_mins(1)).is_none(), "it has not lasted yet");
            let fault = fault(Duration::ZERO).unwrap();
            let told = fault.chain();
            assert_eq!(fault.class, FaultClass::Fatal);
            assert!(told.contains(setting) && told.contains("the reason"), "{told}");
            assert!(told.contains("kafka:9093") && !told.contains("hunter2"), "{told}");
            refusals.clear();
            assert!(refusals.fault(&connection(mechanism), Duration::ZERO).is_none());
        }
    }

    #[test]
    fn a_message_for_a_void_transaction_aborts_and_what_is_not_known_is_fatal() {
        for (code, class) in [
            (RDKafkaErrorCode::State, FaultClass::Abort),
            (RDKafkaErrorCode::MessageTimedOut, FaultClass::Abort),
            (RDKafkaErrorCode::UnknownTopicOrPartition, FaultClass::Abort),
            (RDKafkaErrorCode::QueueFull, FaultClass::Retry),
            (RDKafkaErrorCode::Fatal, FaultClass::Fatal),
            (RDKafkaErrorCode::TopicAuthorizationFailed, FaultClass::Fatal),
        ] {
            assert_eq!(class_of(&KafkaError::MessageProduction(code)), class, "{code}");
        }
    }

    #[test]
    fn a_fenced_worker_is_told_both_causes_and_the_likelier_first() {
        let timeout = Duration::from_secs(15);
        let told = |open_ms: Option<u64>| {
            let told = told_of_fenced("p-a", open_ms.map(Duration::from_millis), timeout);
            (told.find("SLUICE_INSTANCE"), told.find("transaction_timeout_ms"))
        };
        let (instance, limit) = told(Some(20));
        assert!(instance.unwrap() < limit.unwrap());
        let (instance, limit) = told(Some(15_000));
        assert!(limit.unwrap() < instance.unwrap());
        assert!(matches!(told(None), (Some(_), None)), "no transaction, no timeout");
    }
}
