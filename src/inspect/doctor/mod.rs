//! `a flow's topics, group and schemas as they are -> what is wrong, and what to do`: `sluice doctor`.
//!
//! Looks twice, some seconds apart, for what should move. Deliberately mends nothing, and joins no
//! group: a worker does not notice that it is looked at.

mod movement;
mod schemas;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::output_topics;
use super::topics::{Isolation, Topics};
use crate::config::Flow;
use crate::config::settings::Kafka;
use crate::kafka::Connection;
use crate::registry::Client;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The flow does not work, or loses something.
    Error,
    /// It works, and is less safe or slower than it might be.
    Warning,
}

impl Severity {
    /// Name as it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnosis {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, by a name that stays.
    pub code: &'static str,
    /// Topic, partition, group or subject.
    pub subject: String,
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub remedy: String,
}

impl Diagnosis {
    fn error(code: &'static str, subject: impl Into<String>) -> Self {
        let (seen, remedy) = (String::new(), String::new());
        Self { severity: Severity::Error, code, subject: subject.into(), seen, remedy }
    }

    fn warning(code: &'static str, subject: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, subject) }
    }

    fn seen(self, seen: impl Into<String>) -> Self {
        Self { seen: seen.into(), ..self }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// For people.
    pub fn words(&self) -> String {
        let Self { severity, code, subject, seen, remedy } = self;
        format!("{} {code} {subject}: {seen}\n    {remedy}", severity.name())
    }
}

/// Whom to look at.
pub struct Patient<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Where it runs.
    pub kafka: &'a Kafka,
    /// How to reach the cluster.
    pub connection: &'a Connection,
    /// The registry, where there is one.
    pub registry: Option<&'a Arc<Client>>,
    /// Time between the two looks.
    pub watch: Duration,
    /// How many workers run, where that is known.
    pub workers: Option<usize>,
}

/// What all checks look at.
struct Look<'a> {
    patient: &'a Patient<'a>,
    committed: Topics,
    everything: Topics,
    /// Topics of the flow that are there, the input first.
    topics: Vec<String>,
}

impl Look<'_> {
    fn input(&self) -> &str {
        &self.patient.flow.pipeline.input.topic
    }

    fn brokers(&self) -> &str {
        &self.patient.connection.brokers
    }
}

/// Looks, and tells what is wrong, the worst first.
pub fn doctor(patient: &Patient<'_>) -> Result<Vec<Diagnosis>> {
    let mut found = Vec::new();
    let pipeline = &patient.flow.pipeline;
    let outputs = output_topics(&pipeline.output);
    let wanted = [pipeline.input.topic.clone()].into_iter();
    let wanted: Vec<String> = wanted.chain(outputs.into_iter().map(|(topic, _)| topic)).collect();
    let committed = Topics::connect(patient.connection, Isolation::Committed)?;
    let everything = Topics::connect(patient.connection, Isolation::Uncommitted)?;
    let mut look = Look { patient, committed, everything, topics: Vec::new() };
    for topic in wanted {
        if look.committed.partitions(&topic)?.is_empty() {
            found.push(missing(&topic, look.brokers()));
        } else {
            look.topics.push(topic);
        }
    }
    settings::check(&look, &mut found)?;
    movement::check(&look, &mut found)?;
    schemas::check(patient, &mut found)?;
    found.sort();
    Ok(found)
}

fn missing(topic: &str, brokers: &str) -> Diagnosis {
    Diagnosis::error("TOPIC_MISSING", topic)
        .seen("there is no such topic, or this client may not see it")
        .remedy(format!(
            "kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions N"
        ))
}
