//! `sluice run DIR...`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Failure, load_all};
use crate::config::settings::{Registry, Settings, is_unguarded, planted_faults, redact_key};
use crate::config::{Flow, admin};
use crate::failpoint;
use crate::inspect::range::{RangeArgs, output_name};
use crate::registry::{Client, Endpoint};
use crate::shutdown::{self, Shutdown};
use crate::telemetry::{self, Export};
use crate::types::lift_guard;
use crate::worker::{self, Control, Reach, Worker};

/// Longest time at the end for telemetry that is not sent yet.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Run one or more pipelines against Kafka until SIGTERM.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Pipeline folders, one flow each
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Work a range of the input off once more, into topics of its own with `.NAME` behind their
    /// names, in a group of its own; ends when the range is done. The same range and name go on
    /// where they were stopped; without an end, it is that of the topic at the start
    #[arg(long, value_name = "NAME", value_parser = output_name)]
    output: Option<String>,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let export = Export::start(&args.settings.otlp, args.settings.kafka.instance.as_deref())?;
    telemetry::start(&args.settings.logs, export.as_ref());
    let done = work(args, export.as_ref());
    if let Some(export) = export {
        export.stop(FLUSH_MAX);
    }
    done
}

fn work(args: &RunArgs, export: Option<&Export>) -> Result<(), Failure> {
    let shutdown = Shutdown::new(args.settings.service.drain_deadline());
    shutdown::on_signals(shutdown.clone())?;
    failpoint::arm(&planted_faults()?);
    if is_unguarded() {
        lift_guard();
    }
    let flows = load_all(&args.dirs)?;
    let (flows, settings) = ranged(args, flows)?;
    // Asked for before the models load, so that a missing name or key is told at once.
    for flow in &flows {
        settings.kafka.transactional_id(flow)?;
    }
    let key = redact_key(&flows)?;
    let token = admin::token()?;
    let names: Vec<_> = flows.iter().map(|flow| flow.pipeline.name.clone()).collect();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pipelines = ?names, "starting");
    let registry = client(&settings.registry)?;
    let reach = Reach::new(registry, key, &settings.stores);
    let (base, engines) = worker::build(&settings.compute, &reach, flows)?;
    tracing::info!(walls = %base.walls, "text children raise walls");
    let control = Control { shutdown, token: token.as_ref() };
    let worker = Worker::start(control, &settings, export, base, engines)?;
    let done = worker.map_or(Ok(()), |worker| {
        let memory = worker.memory();
        tracing::info!(
            memory_bytes_max = memory.worker_bytes,
            children_memory_bytes_max = memory.children_bytes,
            "running"
        );
        worker.wait()
    });
    match &done {
        Ok(()) => tracing::info!("drained"),
        Err(fault) => tracing::error!(error = fault.chain(), "stopped by a fault"),
    }
    Ok(done?)
}

/// With `--output` the one flow as it works its range off, and settings that keep it apart from the
/// live one.
fn ranged(args: &RunArgs, mut flows: Vec<Flow>) -> Result<(Vec<Flow>, Settings), Failure> {
    let usage = |words: &str| Err(Failure::Usage(words.to_owned()));
    let mut settings = args.settings.clone();
    let Some(name) = &args.output else {
        return if args.range.is_given() {
            usage("a range needs --output NAME: outcomes of a range must not mix with live ones")
        } else {
            Ok((flows, settings))
        };
    };
    let (Some(flow), true) = (flows.pop(), flows.is_empty()) else {
        return usage("--output takes one pipeline folder");
    };
    let id = flow.again_id(name, &args.range.to_string());
    settings.kafka.transactional_prefix.extend([".", &id]);
    let connection = worker::connection(&settings.kafka)?;
    let flow = worker::again(flow, &connection, &args.range, name)?;
    Ok((vec![flow], settings))
}

/// A client of the registry that the settings name, if they do.
pub(super) fn client(registry: &Registry) -> Result<Option<Arc<Client>>, Failure> {
    let Some(url) = &registry.url else { return Ok(None) };
    let (credentials, tls) = (registry.credentials()?, registry.tls()?);
    let client = Client::new(Endpoint { credentials, tls, ..Endpoint::at(url) })?;
    Ok(Some(Arc::new(client)))
}
