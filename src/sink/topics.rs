//! `output topics -> there and wide enough, or what a person must mend`.
//!
//! Deliberately creates and changes no topic: how many partitions and replicas one needs is its
//! owner's to say.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::ProducerContext;

use crate::error::{Fault, FaultClass};
use crate::kafka::{self, Connection, Quiet};

/// The configuration of a topic that bounds its batches of messages.
const TOPIC_LIMIT: &str = "max.message.bytes";

/// The output topics of a flow, and what they must take.
pub(super) struct Topics<'a> {
    pub(super) connection: &'a Connection,
    pub(super) names: &'a [String],
    /// `output.message_bytes_max` of the pipeline.
    pub(super) message_bytes_max: usize,
}

impl Topics<'_> {
    /// Asks the brokers; a fault of class `Retry` names the topic and the fix. What they do not
    /// tell, since they are away or this client may not ask, is no fault.
    pub(super) fn check<C: ProducerContext>(
        &self,
        client: &Client<C>,
        timeout: Duration,
    ) -> Result<(), Fault> {
        for name in self.names {
            if is_missing(client, name, timeout) {
                let what = format!("the output topic `{name}` does not exist; create it");
                return Err(Fault::plain(FaultClass::Retry, what));
            }
        }
        for (name, limit) in self.limits(timeout) {
            if limit < self.message_bytes_max {
                let what = format!(
                    "the output topic `{name}` takes messages of at most {limit} bytes and \
                     `output.message_bytes_max` is {}; raise `{TOPIC_LIMIT}` of the topic, or lower \
                     the limit in pipeline.yaml and restart",
                    self.message_bytes_max
                );
                return Err(Fault::plain(FaultClass::Retry, what));
            }
        }
        Ok(())
    }

    /// Names and limits of the topics, of those that tell theirs.
    fn limits(&self, timeout: Duration) -> Vec<(String, usize)> {
        let asked = self.describe(timeout).unwrap_or_else(|error| {
            tracing::debug!(error = %error, "the limits of the output topics cannot be read");
            Vec::new()
        });
        let limit = |topic: ConfigResource| {
            let limit = topic.get(TOPIC_LIMIT)?.value.as_ref()?.parse().ok()?;
            match topic.specifier {
                OwnedResourceSpecifier::Topic(name) => Some((name, limit)),
                OwnedResourceSpecifier::Group(_) | OwnedResourceSpecifier::Broker(_) => None,
            }
        };
        asked.into_iter().filter_map(limit).collect()
    }

    fn describe(&self, timeout: Duration) -> Result<Vec<ConfigResource>, KafkaError> {
        let admin: AdminClient<Quiet> = self.connection.config().create_with_context(Quiet)?;
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let topics: Vec<_> = self.names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = kafka::block_on(admin.describe_configs(&topics, &options));
        let answers = answers.map_err(|fault| KafkaError::ClientCreation(fault.chain()))??;
        Ok(answers.into_iter().filter_map(Result::ok).collect())
    }
}

/// Whether the brokers say that there is no such topic.
fn is_missing<C: ProducerContext>(client: &Client<C>, name: &str, timeout: Duration) -> bool {
    let Ok(metadata) = client.fetch_metadata(Some(name), timeout) else { return false };
    metadata
        .topics()
        .iter()
        .filter_map(MetadataTopic::error)
        .any(|error| RDKafkaErrorCode::from(error) == RDKafkaErrorCode::UnknownTopicOrPartition)
}
