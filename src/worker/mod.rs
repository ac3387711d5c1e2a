//! Wires the rooms, supervises the threads, drains: the only place that knows all rooms.
//!
//! Threads of a process: per flow one that polls (source), one that waits for dependencies, one that
//! finishes and one that commits (sink), and where it takes claims those that fetch documents;
//! shared by all flows, those that prepare documents, each with a text child of its own, and those
//! that own an inference session; one for health and one for signals.

mod again;
mod agenda;
mod build;
mod bytes;
mod claims;
mod engine;
mod flow;
mod memory;
mod parts;
mod trails;
mod waiting;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use again::again;
pub use build::{Base, Reach, build, output_schemas, plan, provenance, redactor};
pub use bytes::Bytes;
pub use engine::{Engine, Pending, Prepared};
pub use memory::Bound;

use self::flow::{Finished, Running, Shared};
use crate::admin::{self, Admin};
use crate::backoff;
use crate::config::pipeline::{Limits, Pipeline};
use crate::config::settings::{self, Secret, Settings};
use crate::config::{Flow, Property};
use crate::error::{Fault, FaultClass};
use crate::guard::Board;
use crate::health::{self, Health};
use crate::infer;
use crate::kafka::Connection;
use crate::listen::Port;
use crate::metrics::Metrics;
use crate::pulse::Monitor;
use crate::queue::{FairQueue, FlowId};
use crate::route::Router;
use crate::shutdown::{Shutdown, Stop};
use crate::sink;
use crate::sink::codec::Codec;
use crate::source;
use crate::telemetry::Export;
use crate::text::{Launch, Reader};
use crate::types::Outgoing;

/// Time between two looks at the session threads and the sinks.
const SUPERVISE_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two looks at threads that should end.
const JOIN_INTERVAL: Duration = Duration::from_millis(10);

/// What stops a worker from outside.
pub struct Control<'a> {
    /// Stops it; may have been used before it starts.
    pub shutdown: Shutdown,
    /// Who brings it is let in at the admin port, which is closed without one.
    pub token: Option<&'a Secret>,
}

/// A running worker.
pub struct Worker {
    shutdown: Shutdown,
    shared: Shared,
    flows: Vec<Arc<Running>>,
    /// Threads that end with the flows: sources and sinks.
    edges: Vec<Supervised>,
    /// Watch the sinks: pipeline and pulse.
    monitors: Vec<(String, Monitor)>,
    /// Threads that serve all flows and end after them.
    middle: Vec<Supervised>,
    pool: infer::Pool,
    board: Arc<Board>,
    memory: Bound,
}

impl Worker {
    /// Starts a worker over `engines`; returns once every transactional id is registered and
    /// every thread runs, and `None` where it was told to stop before. Metrics go to `export`, too.
    pub fn start(
        control: Control<'_>,
        settings: &Settings,
        export: Option<&Export>,
        base: Base,
        engines: Vec<Engine>,
    ) -> Result<Option<Self>, Fault> {
        let Control { shutdown, token } = control;
        if shutdown.stopped().is_some() {
            return Ok(None);
        }
        let memory = memory_bound(settings, &engines);
        let metrics = Arc::new(Metrics::new(export.and_then(Export::metrics))?);
        for engine in &engines {
            let (pipeline, bundle) = (&engine.flow.pipeline.name, engine.bundle());
            metrics.runs(pipeline, [&bundle.name, &bundle.revision], bundle.model_digest);
        }
        let handle = base.pool.handle();
        metrics.watch(settings.compute.device.name(), move || handle.usage());
        let board = Arc::new(Board::default());
        let health = Health::new(engines.len(), Arc::clone(&metrics), Arc::clone(&board));
        let health = Arc::new(health);
        let service = &settings.service;
        let router = health::router(Arc::clone(&health));
        let mut ports = vec![Port::bind(service.listen, "--listen", router)?];
        if let Some(token) = token {
            let admin = Admin::new(Arc::clone(&board), shutdown.clone(), token.reveal());
            let router = admin::router(Arc::new(admin));
            ports.push(Port::bind(service.admin_listen, "--admin-listen", router)?);
        }
        let shared = Shared {
            queue: Arc::new(FairQueue::default()),
            infer: base.pool.handle(),
            metrics,
            shutdown: shutdown.clone(),
        };
        health.warm();
        let mut worker = Self {
            shutdown,
            shared,
            flows: Vec::new(),
            edges: Vec::new(),
            monitors: Vec::new(),
            middle: Vec::new(),
            pool: base.pool,
            board,
            memory,
        };
        worker.attend(ports);
        let mut edges = Vec::new();
        for (number, engine) in engines.into_iter().enumerate() {
            match worker.add_flow(settings, number, engine, &base.launch) {
                Ok(edge) => edges.push(edge),
                Err(_) if worker.shutdown.stopped() == Some(Stop::Drain) => return Ok(None),
                Err(fault) => return Err(fault),
            }
        }
        for _ in 0..settings.compute.text_children() {
            worker.add_preparer(base.launch.clone());
        }
        // Order: all flows are registered before any consumes, so that a fault at start leaves
        // nothing half done.
        for (source, sink) in edges {
            worker.add_edges(source, sink, &health);
        }
        Ok(Some(worker))
    }

    /// The most memory that the limits of its flows let this worker have.
    pub const fn memory(&self) -> Bound {
        self.memory
    }

    /// Waits until the worker has stopped, by the deadline of its drain; an error where a flow could
    /// not go on.
    pub fn wait(mut self) -> Result<(), Fault> {
        while !self.shutdown.wait(SUPERVISE_INTERVAL) {
            if self.pool.is_failed() {
                self.shutdown.stop(Stop::Fault("a session thread panicked".to_owned()));
            }
            for (pipeline, monitor) in &mut self.monitors {
                if let Some(time) = monitor.look(SUPERVISE_INTERVAL) {
                    let what = format!(
                        "the sink of `{pipeline}` has not come back from the Kafka client for {} s; \
                         what it had in work is delivered again after a restart",
                        time.as_secs()
                    );
                    self.shutdown.stop(Stop::Fault(what));
                }
            }
        }
        let mut left = join_all(self.edges, &self.shutdown);
        drop(self.shared.queue.close());
        for flow in &self.flows {
            flow.close();
        }
        self.pool.close();
        left.extend(join_all(self.middle, &self.shutdown));
        if !left.is_empty() {
            tracing::warn!(threads = ?left, "the deadline is over; these threads are left behind");
        }
        match self.shutdown.stopped() {
            Some(Stop::Fault(chain)) => Err(Fault::plain(FaultClass::Fatal, chain)),
            Some(Stop::Drain) | None => Ok(()),
        }
    }

    /// Serves the ports. The thread is not joined: it ends with the process, so that health is told to
    /// the last.
    fn attend(&self, ports: Vec<Port>) {
        let attend = move || -> std::io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let serving: tokio::task::JoinSet<_> = ports.into_iter().map(Port::serve).collect();
                serving.join_all().await.into_iter().collect()
            })
        };
        let shutdown = self.shutdown.clone();
        drop(thread::spawn(move || {
            if let Err(error) = attend() {
                shutdown.stop(Stop::Fault(format!("serving health: {error}")));
            }
        }));
    }

    fn add_flow(
        &mut self,
        settings: &Settings,
        number: usize,
        engine: Engine,
        launch: &Launch,
    ) -> Result<(source::Kafka<Outgoing>, sink::Kafka), Fault> {
        let id = FlowId(u64::try_from(number).unwrap_or(u64::MAX));
        let transactional_id = settings.kafka.transactional_id(&engine.flow)?;
        let output = engine.flow.pipeline.output.clone();
        let codec = self.codec(&engine)?;
        let router = Router::new(engine.provenance().clone(), output, Bytes(codec));
        let (running, finished) = Running::new(id, engine, router, self.shared.clone());
        let pipeline = &running.engine.flow.pipeline;
        let connection = connection(&settings.kafka)?;
        let source = source::Kafka::new(
            source::Setup {
                connection: connection.clone(),
                pipeline: pipeline.name.clone(),
                topic: pipeline.input.topic.clone(),
                group: running.engine.flow.group(),
                protocol: settings.kafka.group_protocol,
                limits: source_limits(pipeline),
                ends: running.engine.flow.ends.clone(),
            },
            Arc::clone(&running.ledger),
            Arc::clone(&self.shared.metrics),
        )?;
        let setup = sink::Setup {
            connection,
            pipeline: pipeline.name.clone(),
            input_topic: pipeline.input.topic.clone(),
            transactional_id,
            output_topics: pipeline.output.topics().map(str::to_owned).collect(),
            delivery: pipeline.delivery.clone(),
            message_bytes_max: pipeline.output.message_bytes_max,
        };
        let sink = sink::Kafka::new(
            setup,
            Arc::clone(&running.ledger),
            source.group(),
            Arc::clone(&self.shared.metrics),
        )?;
        sink.join(&self.shutdown)?;
        self.add_own(&running, finished, launch.clone());
        self.board.add(Arc::clone(&running.guard));
        self.flows.push(running);
        Ok((source, sink))
    }

    /// The codec of a flow; a registry that is away is waited for.
    fn codec(&self, engine: &Engine) -> Result<Codec, Fault> {
        let pipeline = engine.flow.pipeline.name.as_str();
        let is_wanted = |fault: &Fault| {
            tracing::warn!(pipeline, error = fault.chain(), "trying again");
            self.shutdown.stopped().is_none()
        };
        let codec = backoff::persist(&self.shutdown, is_wanted, || engine.codec())?;
        codec.ok_or_else(|| Fault::plain(FaultClass::Abort, "starting: told to stop"))
    }

    /// The threads of a flow in the middle.
    fn add_own(
        &mut self,
        running: &Arc<Running>,
        finished: std::sync::mpsc::Receiver<Finished>,
        launch: Launch,
    ) {
        let flow = Arc::clone(running);
        let finish = self.supervised("finish", move || {
            flow.finish_all(&finished);
            Ok(())
        });
        let flow = Arc::clone(running);
        let wait = self.supervised("wait", move || {
            flow.wait_all(launch);
            Ok(())
        });
        self.middle.extend([finish, wait]);
        let claims = &running.engine.flow.pipeline.input.claims;
        let threads = claims
            .as_ref()
            .map_or(0, |_| running.engine.flow.pipeline.limits.claims_concurrent_max);
        for _ in 0..threads {
            let flow = Arc::clone(running);
            let fetch = self.supervised("claim", move || {
                flow.fetch_all();
                Ok(())
            });
            self.middle.push(fetch);
        }
    }

    fn add_preparer(&mut self, launch: Launch) {
        let flows = self.flows.clone();
        let (queue, metrics) = (Arc::clone(&self.shared.queue), Arc::clone(&self.shared.metrics));
        let thread = self.supervised("prepare", move || {
            let mut reader = Reader::new(launch);
            let flow_of = |id: FlowId| flows.iter().find(|flow| flow.id == id);
            let has_room = |id| flow_of(id).is_some_and(|flow| flow.has_room());
            while let Some(work) = queue.pop(has_room) {
                let Some(flow) = flow_of(work.flow) else { continue };
                let before = reader.children_started();
                flow.prepare(&work, &mut reader);
                metrics.children_started(reader.children_started() - before);
            }
            Ok(())
        });
        self.middle.push(thread);
    }

    fn add_edges(
        &mut self,
        source: source::Kafka<Outgoing>,
        sink: sink::Kafka,
        health: &Arc<Health>,
    ) {
        let Some(running) = self.flows.get(self.edges.len() / 2).cloned() else { return };
        let (pulse, still_max) = sink.pulse();
        let pipeline = running.engine.flow.pipeline.name.clone();
        self.monitors.push((pipeline, Monitor::new(pulse, still_max)));
        let (shutdown, flow) = (self.shutdown.clone(), Arc::clone(&running));
        let sink = self.supervised("sink", move || {
            let committed = |commit: &_, took| flow.trails.committed(commit, took);
            sink.run(&shutdown, &flow.guard, committed, || flow.wake())
        });
        let (shutdown, health) = (self.shutdown.clone(), Arc::clone(health));
        let source = self.supervised("source", move || {
            source.run(
                &shutdown,
                || health.joined(),
                |ticket, delivery| running.accept(ticket, delivery),
            )
        });
        self.edges.extend([source, sink]);
    }

    /// A thread whose fault or panic stops the worker.
    fn supervised(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), Fault> + Send + 'static,
    ) -> Supervised {
        let shutdown = self.shutdown.clone();
        let handle = thread::spawn(move || {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            match done {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => shutdown.stop(Stop::Fault(fault.chain())),
                Err(_) => shutdown.stop(Stop::Fault(format!("the thread `{name}` panicked"))),
            }
        });
        Supervised { name, handle }
    }
}

/// The limits that the source keeps. Where claims are taken, deliveries leave room for a largest
/// document: one that waits for room may be the one whose commit would make some.
fn source_limits(pipeline: &Pipeline) -> Limits {
    let limits = pipeline.limits.clone();
    let kept = pipeline.input.claims.as_ref().map_or(0, |_| pipeline.input.document_bytes_max);
    Limits { in_flight_bytes_max: limits.in_flight_bytes_max.saturating_sub(kept), ..limits }
}

fn memory_bound(settings: &Settings, engines: &[Engine]) -> Bound {
    let threads = memory::Threads {
        prepare_count: settings.compute.text_children(),
        session_count: settings.compute.inference_threads(),
        cache_bytes: settings.compute.cache_bytes,
    };
    // A model that is gone by now was read before.
    let size =
        |flow: &Flow| std::fs::metadata(&flow.bundle.model_path).map_or(0, |file| file.len());
    memory::bound(engines.iter().map(|engine| &engine.flow), threads, size)
}

/// How to reach the cluster that the settings name.
pub fn connection(kafka: &settings::Kafka) -> Result<Connection, Fault> {
    let properties = kafka.properties()?.into_iter();
    Ok(Connection {
        brokers: kafka.brokers.clone(),
        properties: properties.map(Property::into_pair).collect(),
    })
}

/// A thread of the worker; its panic is caught and told by itself.
struct Supervised {
    name: &'static str,
    handle: JoinHandle<()>,
}

/// Waits for `threads`, but not past the time by which the process should be gone: a broker that
/// does not answer keeps the closing of a client waiting for minutes. Names those that did not end.
fn join_all(threads: Vec<Supervised>, shutdown: &Shutdown) -> Vec<&'static str> {
    let mut left = threads;
    loop {
        left.retain(|thread| !thread.handle.is_finished());
        if left.is_empty() || shutdown.until_exit() == Some(Duration::ZERO) {
            return left.into_iter().map(|thread| thread.name).collect();
        }
        thread::sleep(JOIN_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Supervised, join_all};
    use crate::shutdown::{Shutdown, Stop};

    #[test]
    fn a_thread_that_hangs_does_not_outlive_the_deadline() {
        let shutdown = Shutdown::new(Duration::from_millis(300));
        shutdown.stop(Stop::Drain);
        let (ends, hangs) = sync_channel::<()>(0);
        let quick = Supervised { name: "quick", handle: thread::spawn(|| {}) };
        let handle = thread::spawn(move || assert!(hangs.recv().is_err()));
        let begun = Instant::now();
        let left = join_all(vec![quick, Supervised { name: "hangs", handle }], &shutdown);
        assert_eq!(left, ["hangs"]);
        assert!((Duration::from_millis(300)..Duration::from_secs(30)).contains(&begun.elapsed()));
        drop(ends);
    }
}
