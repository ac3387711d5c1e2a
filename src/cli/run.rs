//! `sluice run DIR...`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Failure, load_all};
use crate::config::settings::{Registry, Settings, planted_faults, redact_key};
use crate::failpoint;
use crate::registry::{Auth, Client, Endpoint};
use crate::telemetry;
use crate::types::Sensitive;
use crate::worker::{self, Worker};

/// Run one or more pipelines against Kafka until SIGTERM.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Pipeline folders, one flow each
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    telemetry::start(args.settings.logs.log_format, &args.settings.logs.log);
    failpoint::arm(&planted_faults()?);
    let flows = load_all(&args.dirs)?;
    // Asked for before the models load, so that a missing name or key is told at once.
    for flow in &flows {
        args.settings.kafka.transactional_id(flow)?;
    }
    let key = redact_key(&flows)?;
    let names: Vec<_> = flows.iter().map(|flow| flow.pipeline.name.clone()).collect();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pipelines = ?names, "starting");
    let registry = client(&args.settings.registry)?;
    let (base, engines) =
        worker::build(&args.settings.compute, registry.as_ref(), key.as_ref(), flows)?;
    let worker = Worker::start(&args.settings, base, engines)?;
    let memory = worker.memory();
    tracing::info!(
        memory_bytes_max = memory.worker_bytes,
        children_memory_bytes_max = memory.children_bytes,
        "running"
    );
    let done = worker.wait();
    match &done {
        Ok(()) => tracing::info!("drained"),
        Err(fault) => tracing::error!(error = fault.chain(), "stopped by a fault"),
    }
    Ok(done?)
}

/// A client of the registry that the settings name, if they do.
pub(super) fn client(registry: &Registry) -> Result<Option<Arc<Client>>, Failure> {
    let Some(url) = &registry.url else { return Ok(None) };
    let auth = registry.credentials()?.map(|credentials| Auth {
        user: credentials.user,
        password: Sensitive::new(credentials.password.reveal().to_owned()),
    });
    let client = Client::new(Endpoint { auth, ..Endpoint::at(url) })?;
    Ok(Some(Arc::new(client)))
}
