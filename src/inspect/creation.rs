//! `a flow, what its topics should be -> topics, made where they were missing`: `sluice topics create`.
//!
//! Deliberately changes no topic that is there: more partitions would move keys, and another
//! retention may delete what is still wanted. It tells what differs, and a person decides.

use std::collections::BTreeSet;

use clap::Args;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Serialize;

use super::configs::{self, Configs};
use super::topics::{CALL_MAX, Isolation, Topics};
use crate::config::Flow;
use crate::error::Fault;
use crate::kafka::{self, Connection, Quiet};

/// What a batch has besides the one message in it.
const BATCH_BYTES: usize = 1 << 16;

/// What the topics of a flow should be.
#[derive(Args, Clone, Debug)]
pub struct Wanted {
    /// Partitions of each topic; more workers than partitions have nothing to do
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// Copies of each partition
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 3,
        value_parser = clap::value_parser!(i32).range(1..=32_767)
    )]
    pub replication_factor: i32,
    /// Copies that must have a message before it counts as written
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 2,
        value_parser = clap::value_parser!(i32).range(1..=32_767)
    )]
    pub min_insync_replicas: i32,
    /// How long messages are kept, in milliseconds, -1 for ever [default: what the brokers say]
    #[arg(
        long,
        value_name = "MS",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..)
    )]
    pub retention_ms: Option<i64>,
}

/// How a topic was found, and left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was missing, and is there now.
    Created,
    /// It is missing, and nothing was to be made.
    Missing,
    /// It was there.
    Present,
}

/// One thing in which a topic that was there is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Partitions, replicas, or the name of a setting.
    pub of: &'static str,
    /// What it is.
    pub is: String,
    /// What was wanted.
    pub wanted: String,
}

/// One topic of the flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name.
    pub topic: String,
    /// How it was found.
    pub state: State,
    /// In what it is not as it should be; empty of one that was made.
    pub differs: Vec<Difference>,
}

/// Makes the topics of `flow` that are missing, unless `is_dry`, and hands each to `tell` at once:
/// where a later one fails, it is known what was done.
pub fn create<E: From<Fault>>(
    flow: &Flow,
    connection: &Connection,
    (wanted, is_dry): (&Wanted, bool),
    mut tell: impl FnMut(&Topic) -> Result<(), E>,
) -> Result<(), E> {
    let reader = Topics::connect(connection, Isolation::Committed)?;
    let maker = Maker::connect(connection)?;
    let output = &flow.pipeline.output;
    let names: BTreeSet<_> = output.topics().chain([&*flow.pipeline.input.topic]).collect();
    for name in names {
        let is_input = name == flow.pipeline.input.topic;
        let message_bytes = (!is_input).then_some(output.message_bytes_max);
        let is_missing = reader.partitions(name)?.is_empty();
        let state = match (is_missing, is_dry) {
            (true, true) => State::Missing,
            (true, false) => maker.make(name, wanted, message_bytes)?,
            (false, _) => State::Present,
        };
        let differs = match state {
            State::Present => differences(&reader, connection, name, (wanted, message_bytes))?,
            State::Created | State::Missing => Vec::new(),
        };
        tell(&Topic { topic: name.to_owned(), state, differs })?;
    }
    Ok(())
}

/// A client that makes topics.
struct Maker(AdminClient<Quiet>);

impl Maker {
    fn connect(connection: &Connection) -> Result<Self, Fault> {
        let made = connection.config().create_with_context(Quiet);
        let fault = |error| kafka::fault("creating a client that makes topics", error);
        Ok(Self(made.map_err(fault)?))
    }

    fn make(
        &self,
        name: &str,
        wanted: &Wanted,
        message_bytes: Option<usize>,
    ) -> Result<State, Fault> {
        let settings = settings(wanted, message_bytes);
        let topic = NewTopic {
            name,
            num_partitions: wanted.partitions,
            replication: TopicReplication::Fixed(wanted.replication_factor),
            config: settings.iter().map(|(key, value)| (*key, value.as_str())).collect(),
        };
        let options =
            AdminOptions::new().request_timeout(Some(CALL_MAX)).operation_timeout(Some(CALL_MAX));
        let doing = || format!("creating the topic `{name}`");
        let made = kafka::block_on(self.0.create_topics([&topic], &options))?;
        let made = made.map_err(|error| kafka::fault(doing(), error))?;
        match made.into_iter().find_map(Result::err) {
            None => Ok(State::Created),
            // Another one of us was quicker.
            Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(State::Present),
            Some((_, code)) => {
                let context = format!("{}{}", doing(), remedy(code));
                Err(kafka::fault(context, KafkaError::AdminOp(code)))
            }
        }
    }
}

/// What to do where the cluster makes no topic.
fn remedy(code: RDKafkaErrorCode) -> &'static str {
    let is_forbidden =
        [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::ClusterAuthorizationFailed]
            .contains(&code);
    if code == RDKafkaErrorCode::InvalidReplicationFactor {
        " (lower `--replication-factor`: there are fewer brokers)"
    } else if is_forbidden {
        " (grant this client the right to create it)"
    } else {
        ""
    }
}

/// The settings of a topic that is made; `message_bytes` of one that takes outcomes.
fn settings(wanted: &Wanted, message_bytes: Option<usize>) -> Vec<(&'static str, String)> {
    // Whatever the brokers do by default: all parts of a message share its key.
    let mut settings = vec![
        ("cleanup.policy", "delete".to_owned()),
        ("min.insync.replicas", wanted.min_insync_replicas.to_string()),
    ];
    settings.extend(wanted.retention_ms.map(|ms| ("retention.ms", ms.to_string())));
    let with_batch = message_bytes.map(|bytes| bytes.saturating_add(BATCH_BYTES));
    settings.extend(with_batch.map(|bytes| ("max.message.bytes", bytes.to_string())));
    settings
}

fn differences(
    reader: &Topics,
    connection: &Connection,
    name: &str,
    (wanted, message_bytes): (&Wanted, Option<usize>),
) -> Result<Vec<Difference>, Fault> {
    let counts = [
        ("partitions", reader.some_partitions(name)?.len(), wanted.partitions),
        ("replicas", reader.replicas(name)?, wanted.replication_factor),
    ];
    let mut found: Vec<_> = counts
        .into_iter()
        .filter(|(_, is, wanted)| i32::try_from(*is) != Ok(*wanted))
        .map(|(of, is, wanted)| Difference { of, is: is.to_string(), wanted: wanted.to_string() })
        .collect();
    let configs = configs::of_topic(connection, name)?;
    let settings = settings(wanted, message_bytes);
    found.extend(settings.into_iter().filter_map(|(of, wanted)| unlike(&configs, of, wanted)));
    Ok(found)
}

/// How the setting differs. Room for messages may be more than is needed; what this client may not
/// read differs from everything.
fn unlike(configs: &Configs, of: &'static str, wanted: String) -> Option<Difference> {
    let is = configs.get(of);
    let is_fit = match (of, configs.number(of), wanted.parse()) {
        ("max.message.bytes", Some(is), Ok(least)) => is >= least,
        _ => is == Some(&*wanted),
    };
    (!is_fit).then(|| Difference {
        of,
        is: is.unwrap_or("not to be read by this client").to_owned(),
        wanted,
    })
}
