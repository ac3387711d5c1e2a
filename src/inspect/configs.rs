//! `topic, broker -> its settings`, as the cluster has them.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};

use super::topics::CALL_MAX;
use crate::error::Fault;
use crate::kafka::{self, Connection, Quiet};

/// Settings by name.
#[derive(Clone, Debug, Default)]
pub struct Configs(BTreeMap<String, String>);

impl Configs {
    /// The setting of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The setting of that name as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Whether only the last message of a key is kept.
    pub fn is_compacted(&self) -> bool {
        self.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    }
}

/// The settings of a topic; none where this client may not read them.
pub fn of_topic(connection: &Connection, topic: &str) -> Result<Configs, Fault> {
    let admin = admin(connection)?;
    of(&admin, &ResourceSpecifier::Topic(topic))
}

/// The settings of one of the brokers; none where this client may not read them.
pub fn of_any_broker(connection: &Connection) -> Result<Configs, Fault> {
    let admin = admin(connection)?;
    let metadata = admin.inner().fetch_metadata(None, CALL_MAX);
    let metadata = metadata.map_err(|error| kafka::fault("asking for the brokers", error))?;
    match metadata.brokers().first() {
        None => Ok(Configs::default()),
        Some(broker) => of(&admin, &ResourceSpecifier::Broker(broker.id())),
    }
}

fn admin(connection: &Connection) -> Result<AdminClient<Quiet>, Fault> {
    let made = connection.config().create_with_context(Quiet);
    made.map_err(|error| kafka::fault("creating a client that reads settings", error))
}

fn of(admin: &AdminClient<Quiet>, of: &ResourceSpecifier<'_>) -> Result<Configs, Fault> {
    let options = AdminOptions::new().request_timeout(Some(CALL_MAX));
    let found = kafka::block_on(admin.describe_configs([of], &options))?
        .map_err(|error| kafka::fault("reading settings of the cluster", error))?;
    let entries = found.into_iter().filter_map(Result::ok).flat_map(|resource| resource.entries);
    Ok(Configs(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()))
}
