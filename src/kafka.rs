//! What the source and the sink share of Kafka: connection, logs, classes of errors.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::error::{Fault, FaultClass};

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
        tracing::warn!(error = %error, reason, "librdkafka");
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
            RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::MessageTimedOut,
        ) => FaultClass::Abort,
        _ => FaultClass::Fatal,
    }
}

/// Whether another producer of the same `transactional.id` has taken over.
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
