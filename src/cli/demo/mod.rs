//! `sluice demo`: samples in, tables out, all pipelines in one process, through a Kafka cluster
//! that lives in it too.
//!
//! The cluster is librdkafka's own. It ignores `read_committed`, so the demo shows the way of a
//! document and proves nothing about delivery; `--brokers` takes a real cluster.

mod cluster;
mod outcomes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use self::cluster::Cluster;
use self::outcomes::Shown;
use super::table::{self, Row};
use super::{Failure, load_all, say, say_aside};
use crate::config::Flow;
use crate::config::samples::{Sample, sample_key, samples};
use crate::config::settings::{self, Compute, GroupProtocol, LogFormat, Settings};
use crate::config::stores::Stores;
use crate::error::{Fault, FaultClass};
use crate::shutdown::{self, Shutdown, Stop};
use crate::telemetry;
use crate::worker::{self, Control, Reach, Worker};

/// Folder whose pipelines are shown where none is named.
const PIPELINES: &str = "pipelines";
/// Parts of one document that are shown in full; of the others, how they ended.
const PARTS_SHOWN_MAX: usize = 3;
/// Longest end of the worker, in milliseconds.
const DRAIN_DEADLINE_MS: u64 = 10_000;

/// Run the samples of pipelines through an embedded Kafka, and show what comes out.
#[derive(Args)]
pub(super) struct DemoArgs {
    /// Pipeline folders; all of `pipelines` unless named
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Brokers of a real cluster; topics of the demo's own are made there and deleted. The
    /// variables `SLUICE_KAFKA_*` hold for it
    #[arg(long, value_name = "HOST:PORT,..")]
    brokers: Option<String>,
    #[command(flatten)]
    compute: Compute,
    /// Level of the log lines on stderr
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    telemetry::start(&logs(args), None);
    let since = Instant::now();
    let dirs = if args.dirs.is_empty() { all_pipelines()? } else { args.dirs.clone() };
    let mut flows = load_all(&dirs)?;
    flows.iter_mut().for_each(rename_topics);
    let samples = dirs.iter().map(|dir| samples_in(dir)).collect::<Result<Vec<_>, _>>()?;
    let real = args.brokers.as_deref().map(|brokers| worker::connection(&kafka(brokers, true)));
    // Before there are topics that would be left behind.
    let shutdown = Shutdown::new(Duration::from_millis(DRAIN_DEADLINE_MS));
    shutdown::on_signals(shutdown.clone())?;
    let cluster = Cluster::start(real.transpose()?, &flows)?;
    for (flow, samples) in flows.iter().zip(&samples) {
        let topic = &flow.pipeline.input.topic;
        cluster.produce(topic, samples)?;
        say_aside(&format!("{} documents are on `{topic}`\n", samples.len()));
    }
    say_aside("loading the models\n");

    let settings = settings(args, &cluster);
    let reach = Reach::new(None, sample_key(), &settings.stores);
    let (base, engines) = worker::build(&settings.compute, &reach, flows)?;
    let mut shown = Vec::with_capacity(engines.len());
    for (engine, samples) in engines.iter().zip(&samples) {
        let (codec, flow) = (engine.codec()?, engine.flow.clone());
        shown.push(Shown { flow, codec, inputs: samples.len(), rows: BTreeMap::new() });
    }
    let control = Control { shutdown: shutdown.clone(), token: None };
    let Some(worker) = Worker::start(control, &settings, None, base, engines)? else {
        return cluster.remove();
    };
    let is_stopped = || shutdown.stopped().is_some();
    let watched = outcomes::watch(&cluster, &mut shown, &is_stopped);
    shutdown.stop(Stop::Drain);
    let stopped = worker.wait();
    let completed = watched.and_then(|()| outcomes::complete(&cluster, &mut shown));
    cluster.remove()?;
    stopped?;
    completed?;
    shown.iter().try_for_each(show)?;
    let rows: Vec<_> = shown.iter().flat_map(|one| one.rows.values()).collect();
    say(&format!(
        "demo: {} documents, {} in {:.1} s",
        shown.iter().map(|one| one.inputs).sum::<usize>(),
        tally(&rows),
        since.elapsed().as_secs_f64()
    ))
}

/// The folders of [`PIPELINES`], by name.
fn all_pipelines() -> Result<Vec<PathBuf>, Failure> {
    let fault = |error| {
        let what = format!("reading the folder `{PIPELINES}`; name pipeline folders instead");
        Fault::new(FaultClass::Fatal, what, error)
    };
    let mut dirs = Vec::new();
    for entry in std::fs::read_dir(PIPELINES).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.join("pipeline.yaml").is_file() {
            dirs.push(path);
        }
    }
    dirs.sort();
    Ok(dirs)
}

fn samples_in(dir: &Path) -> Result<Vec<Sample>, Failure> {
    let fault = |error| Fault::new(FaultClass::Fatal, "reading the folder `samples`", error);
    Ok(samples(dir).map_err(fault)?)
}

/// Topics of the demo's own, so that a real cluster's are left alone.
fn rename_topics(flow: &mut Flow) {
    let own = |topic: &mut String| *topic = format!("sluice-demo-{}.{topic}", std::process::id());
    let pipeline = &mut flow.pipeline;
    own(&mut pipeline.input.topic);
    own(&mut pipeline.output.record_topic);
    own(&mut pipeline.output.review_topic);
    own(&mut pipeline.output.reject_topic);
    pipeline.output.audit_topic.iter_mut().for_each(own);
    // Samples are there to be refused too.
    pipeline.delivery.reject_budget.share_max = 1.0;
    pipeline.input.group = Some(format!("sluice-demo-{}.{}", std::process::id(), pipeline.name));
}

fn kafka(brokers: &str, is_real: bool) -> settings::Kafka {
    settings::Kafka {
        brokers: brokers.to_owned(),
        instance: Some("demo".to_owned()),
        transactional_prefix: format!("sluice-demo-{}", std::process::id()),
        // The embedded cluster assigns by the classic protocol only.
        group_protocol: if is_real { GroupProtocol::Auto } else { GroupProtocol::Classic },
        properties: Vec::new(),
    }
}

fn logs(args: &DemoArgs) -> settings::Logs {
    settings::Logs { log_format: LogFormat::Text, log: args.log.clone() }
}

fn settings(args: &DemoArgs, cluster: &Cluster) -> Settings {
    Settings {
        kafka: kafka(cluster.brokers(), cluster.is_real),
        registry: settings::Registry::default(),
        stores: Stores::default(),
        compute: args.compute.clone(),
        service: settings::Service {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            drain_deadline_ms: DRAIN_DEADLINE_MS,
            admin_listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        },
        logs: logs(args),
        otlp: settings::Otlp::default(),
    }
}

/// Prints the outcomes of one flow in the order of its inputs.
fn show(shown: &Shown) -> Result<(), Failure> {
    say(&format!("== {} ==\n", shown.flow.pipeline.name))?;
    let rows: Vec<_> = shown.rows.iter().collect();
    for parts in rows.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
        let (in_full, others) = parts.split_at(parts.len().min(PARTS_SHOWN_MAX));
        for (_, row) in in_full {
            say(&table::block(row, &shown.flow))?;
        }
        if !others.is_empty() {
            let others: Vec<_> = others.iter().map(|(_, row)| *row).collect();
            say(&format!("... and {} parts more: {}\n", others.len(), tally(&others)))?;
        }
    }
    Ok(())
}

/// How many of each outcome.
fn tally(rows: &[&Row]) -> String {
    let count = |outcome: &str| rows.iter().filter(|row| row.outcome == outcome).count();
    format!("{} records, {} reviews, {} rejects", count("record"), count("review"), count("reject"))
}
