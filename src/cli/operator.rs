//! What the operator's commands have in common: a pipeline folder, a cluster, a registry, a form.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Failure, load, run};
use crate::config::Flow;
use crate::config::settings::{Kafka, Logs, Registry};
use crate::inspect::range::output_name;
use crate::kafka::Connection;
use crate::registry::Client;
use crate::telemetry;
use crate::worker;

/// Where to look.
#[derive(Args)]
pub(super) struct Operator {
    /// Pipeline folder
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// One JSON object a line instead of words for people
    #[arg(long)]
    pub json: bool,
    /// Look at the outputs of `sluice run --output NAME`
    #[arg(long, value_name = "NAME", value_parser = output_name)]
    pub output: Option<String>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub logs: Logs,
}

/// A pipeline and the ways to what it works on.
pub(super) struct Begun {
    pub flow: Flow,
    pub connection: Connection,
    pub registry: Option<Arc<Client>>,
}

impl Operator {
    /// Starts logging, loads the pipeline and finds the cluster.
    pub(super) fn begin(&self) -> Result<Begun, Failure> {
        telemetry::start(&self.logs, None);
        let flow = load(&self.dir)?;
        let flow = match &self.output {
            Some(name) => flow.to_outputs(name),
            None => flow,
        };
        let connection = worker::connection(&self.kafka)?;
        let registry = run::client(&self.registry)?;
        Ok(Begun { flow, connection, registry })
    }
}
