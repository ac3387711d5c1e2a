//! The producer of a sink: its settings, and the one call that it may not come back from.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::context::Context;
use crate::config::pipeline::{Delivery, Guarantee};
use crate::error::{Fault, FaultClass};
use crate::kafka::Connection;

/// Room for headers and framing above the largest payload, in bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 65_536;
/// Largest batch of messages, in bytes: a topic's limit is one on batches.
const BATCH_BYTES_MAX: usize = 1_000_000;
/// How long a call may outlast the time that it was given before it is taken for lost.
const OVERTIME_MAX: Duration = Duration::from_secs(5);

/// So many times the time of a transaction, and no less than the other, a sink may be between two
/// calls: none is given more.
const STILL_TRANSACTIONS: u32 = 3;
const STILL_MIN: Duration = Duration::from_secs(30);
/// The same without transactions: twice the time for which librdkafka tries to send a message.
const STILL_AT_LEAST_ONCE: Duration = Duration::from_mins(10);

/// What a Kafka sink needs to know.
#[derive(Clone)]
pub struct Setup {
    /// How to reach the cluster.
    pub connection: Connection,
    /// Pipeline name, for logs and metrics.
    pub pipeline: String,
    /// Input topic, whose offsets are committed.
    pub input_topic: String,
    /// Output topics.
    pub output_topics: Vec<String>,
    /// `transactional.id`; must be set for `exactly_once`.
    pub transactional_id: Option<String>,
    /// When and how commits are cut.
    pub delivery: Delivery,
    /// Largest payload, in bytes.
    pub message_bytes_max: usize,
}

/// What a sink and its threads share.
pub(super) type Client = Arc<BaseProducer<Context>>;

/// A producer as `setup` has it.
pub(super) fn connect(setup: &Setup) -> Result<Client, Fault> {
    let fault = |error| Fault::new(FaultClass::Fatal, "creating the producer", error);
    let message_bytes_max = setup.message_bytes_max + MESSAGE_OVERHEAD_BYTES;
    let mut config = setup.connection.producer_config(message_bytes_max);
    config.set("batch.size", setup.message_bytes_max.min(BATCH_BYTES_MAX).to_string());
    if let Some(id) = &setup.transactional_id {
        let timeout_ms = setup.delivery.transaction_timeout_ms;
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", timeout_ms.to_string())
            // Given up before the broker ends the transaction, which would fence this worker.
            .set("message.timeout.ms", (timeout_ms / 4 * 3).to_string());
    }
    config.create_with_context(Context::default()).map(Arc::new).map_err(fault)
}

/// The time after which a sink that has begun no further call does not come back from the last one.
pub(super) fn still_max(delivery: &Delivery) -> Duration {
    match delivery.guarantee {
        Guarantee::ExactlyOnce => {
            let timeout = Duration::from_millis(delivery.transaction_timeout_ms.into());
            (timeout * STILL_TRANSACTIONS).max(STILL_MIN)
        }
        Guarantee::AtLeastOnce => STILL_AT_LEAST_ONCE,
    }
}

/// Adds offsets to the open transaction; `None` where the client does not come back in `time` and
/// a little more.
///
/// librdkafka does not keep the time of this call, and may never end it where the coordinator of the
/// group has moved (its issues 5456 and 5511). So it runs on a thread of its own, which ends with
/// the client that another one has taken over from.
pub(super) fn add_offsets(
    client: &Client,
    offsets: &Arc<TopicPartitionList>,
    metadata: &Arc<ConsumerGroupMetadata>,
    time: Duration,
) -> Option<KafkaResult<()>> {
    let (done, answer) = sync_channel(1);
    let (client, offsets) = (Arc::clone(client), Arc::clone(offsets));
    let metadata = Arc::clone(metadata);
    thread::spawn(move || {
        // Nobody waits any more for an answer that is too late.
        drop(done.send(client.send_offsets_to_transaction(&offsets, &metadata, time)));
    });
    answer.recv_timeout(time + OVERTIME_MAX).ok()
}
