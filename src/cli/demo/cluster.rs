//! `flows -> a cluster with their topics and samples on it`: embedded, or a real one.
//!
//! The embedded cluster is librdkafka's own. Deliberately reads nothing back: [`super::outcomes`]
//! does.

use std::fs;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::super::Failure;
use crate::config::samples::Sample;
use crate::config::{Flow, media_type_of};
use crate::error::{Fault, FaultClass};
use crate::kafka::{Connection, Quiet, block_on};

/// Longest wait for one call to the cluster.
pub(super) const CALL_MAX: Duration = Duration::from_secs(30);
/// Largest message on the demo's topics, in bytes.
const MESSAGE_BYTES_MAX: &str = "10000000";

/// A cluster for the time of the demo.
pub(super) struct Cluster {
    connection: Connection,
    pub(super) is_real: bool,
    topics: Vec<String>,
    /// Held so that the embedded brokers live.
    _embedded: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Cluster {
    /// The cluster of `real`, else an embedded one, with the topics of `flows`.
    pub(super) fn start(real: Option<Connection>, flows: &[Flow]) -> Result<Self, Failure> {
        let topics: Vec<_> = flows.iter().flat_map(topics_of).collect();
        if let Some(connection) = real {
            create_topics(&connection, &topics)?;
            return Ok(Self { connection, topics, is_real: true, _embedded: None });
        }
        let fault = |error| Fault::new(FaultClass::Fatal, "starting the embedded cluster", error);
        let embedded = MockCluster::new(1).map_err(fault)?;
        for topic in &topics {
            embedded.create_topic(topic, 1, 1).map_err(fault)?;
        }
        let connection =
            Connection { brokers: embedded.bootstrap_servers(), properties: Vec::new() };
        Ok(Self { connection, topics, is_real: false, _embedded: Some(embedded) })
    }

    /// Where it is.
    pub(super) fn brokers(&self) -> &str {
        &self.connection.brokers
    }

    /// How a client of the demo's own reaches it.
    pub(super) fn config(&self) -> ClientConfig {
        client_config(&self.connection)
    }

    /// Puts the samples of one flow on its input topic.
    pub(super) fn produce(&self, topic: &str, samples: &[Sample]) -> Result<(), Failure> {
        let fault = |error| Fault::new(FaultClass::Fatal, "producing the samples", error);
        let producer: BaseProducer<Quiet> =
            self.config().create_with_context(Quiet).map_err(fault)?;
        for sample in samples {
            let body = fs::read(&sample.path).map_err(|error| {
                Fault::new(FaultClass::Fatal, format!("reading `{}`", sample.path.display()), error)
            })?;
            let headers = OwnedHeaders::new()
                .insert(Header { key: "content-type", value: Some(media_type_of(&sample.path)) })
                .insert(Header { key: "document-id", value: Some(&sample.name) });
            let record = BaseRecord::to(topic).key(&sample.name).payload(&body).headers(headers);
            producer.send(record).map_err(|(error, _)| fault(error))?;
        }
        Ok(producer.flush(CALL_MAX).map_err(fault)?)
    }

    /// Takes the demo's topics off a real cluster.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        if !self.is_real {
            return Ok(());
        }
        let fault = |error| Fault::new(FaultClass::Fatal, "deleting the demo's topics", error);
        let admin: AdminClient<Quiet> = self.config().create_with_context(Quiet).map_err(fault)?;
        let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(CALL_MAX));
        block_on(admin.delete_topics(&names, &options))?.map_err(fault)?;
        Ok(())
    }
}

/// Topics that a flow publishes its outcomes to.
pub(super) fn outputs_of(flow: &Flow) -> Vec<String> {
    let output = &flow.pipeline.output;
    vec![output.record_topic.clone(), output.review_topic.clone(), output.reject_topic.clone()]
}

fn topics_of(flow: &Flow) -> Vec<String> {
    let mut topics = outputs_of(flow);
    topics.push(flow.pipeline.input.topic.clone());
    topics.extend(flow.pipeline.output.audit_topic.clone());
    topics
}

fn client_config(connection: &Connection) -> ClientConfig {
    let mut config = connection.config();
    config.set("message.max.bytes", MESSAGE_BYTES_MAX);
    config
}

fn create_topics(connection: &Connection, topics: &[String]) -> Result<(), Failure> {
    let fault = |error| Fault::new(FaultClass::Fatal, "making the demo's topics", error);
    let admin: AdminClient<Quiet> =
        client_config(connection).create_with_context(Quiet).map_err(fault)?;
    let new = topics.iter().map(|topic| {
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        new.set("max.message.bytes", MESSAGE_BYTES_MAX)
    });
    let new: Vec<_> = new.collect();
    let options = AdminOptions::new().operation_timeout(Some(CALL_MAX));
    for made in block_on(admin.create_topics(&new, &options))?.map_err(fault)? {
        made.map_err(|(topic, code)| {
            Fault::plain(FaultClass::Fatal, format!("making the topic `{topic}`: {code}"))
        })?;
    }
    Ok(())
}
