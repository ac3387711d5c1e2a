//! What the source and the sink share of Kafka: connection, logs, classes of errors.

use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::error::{Fault, FaultClass};

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

/// The consumer group whose offsets travel with the outcomes.
pub trait Offsets: Send + Sync {
    /// Metadata of the current generation; `None` before the first join.
    fn metadata(&self) -> Option<ConsumerGroupMetadata>;

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
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::MessageTimedOut,
        ) => FaultClass::Abort,
        _ => FaultClass::Fatal,
    }
}

/// Whether the epoch of the producer is over: another one of the same `transactional.id` has taken
/// over, or the coordinator has ended a transaction that lasted too long. The two cannot be told
/// apart by the code: the coordinator raises the epoch in both cases, and the client makes one error
/// of `INVALID_PRODUCER_EPOCH` and `PRODUCER_FENCED`.
pub fn is_fenced(error: &KafkaError) -> bool {
    let code = if let KafkaError::Transaction(error) = error {
        Some(error.code())
    } else {
        error.rdkafka_error_code()
    };
    matches!(
        code,
        Some(
            RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::Fenced
        )
    )
}

/// A fault of Kafka, met while doing `context`.
pub fn fault(context: impl Into<String>, error: KafkaError) -> Fault {
    Fault::new(class_of(&error), context, error)
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

    use super::{class_of, told_of_fenced};
    use crate::error::FaultClass;

    #[test]
    fn a_message_for_a_void_transaction_aborts_and_what_is_not_known_is_fatal() {
        for (code, class) in [
            (RDKafkaErrorCode::State, FaultClass::Abort),
            (RDKafkaErrorCode::MessageTimedOut, FaultClass::Abort),
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
