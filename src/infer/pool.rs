//! Session threads: each owns one session a model, takes the next window in fair order, runs it.
//!
//! Deliberately restarts nothing: a thread that dies takes the process's health with it
//! ([`Pool::is_failed`]), since whoever took an answer may be lost with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cache::{Cache, Key};
use super::job::{Answer, Done, Job, Open};
use super::processor::cpu_class;
use super::session::{RowScores, RunError, Runtime, Session};
use crate::config::bundle::Bundle;
use crate::config::settings::Device;
use crate::error::{Fault, FaultClass};
use crate::failpoint::{self, Point};
use crate::queue::{FairQueue, FlowId};
use crate::telemetry;
use crate::types::{Chunk, ModelUsage, Reject, RejectCode, Room, Sensitive, Usage, WindowScores};

/// What a pool is made of.
pub struct Setup {
    /// Models, by the index that jobs name.
    pub bundles: Vec<Arc<Bundle>>,
    /// Session threads; one a core. Each holds every model in memory.
    pub thread_count: usize,
    /// Where the models run.
    pub device: Device,
    /// The shared library of ONNX Runtime (`ORT_DYLIB_PATH`).
    pub library: PathBuf,
    /// Most bytes of scores that are kept for windows that come again; 0: none.
    pub cache_bytes: usize,
}

/// What runs the models, for the provenance of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Version of ONNX Runtime, such as `1.31.1`.
    pub onnxruntime_version: String,
    /// Execution provider, such as `cpu`.
    pub provider: String,
    /// Instruction class of the processor, such as `x86_64-avx512-vnni`.
    pub cpu_class: String,
}

/// One window of one job.
struct Task {
    job: Arc<Open>,
    window: usize,
    /// Under which its scores are kept.
    key: Option<Key>,
}

/// What threads and handles share.
struct Shared {
    queue: FairQueue<Task>,
    cache: Cache,
    usage: Mutex<Usage>,
    is_failed: AtomicBool,
}

impl Shared {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        // Nothing that can panic runs under this lock.
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call of a model on one row, which took `busy`.
    fn ran(&self, model: usize, chunk: &Chunk, busy: Duration) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut usage = self.usage();
        usage.busy += busy;
        if let Some(model) = usage.models.get_mut(model) {
            model.batch_count += 1;
            model.row_count += 1;
            model.token_count += count(chunk.ids.len());
            model.padding_count += count(chunk.padded_tokens - chunk.ids.len());
        }
    }
}

/// The running session threads. Dropping it closes it.
pub struct Pool {
    shared: Arc<Shared>,
    engine: Engine,
    threads: Vec<JoinHandle<()>>,
}

/// Submits jobs to a [`Pool`]. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Pool {
    /// Loads ONNX Runtime, opens every model on every thread and runs each once on its longest
    /// row, so that the first document meets a warm model. Fatal where library, device or a model is
    /// missing or does not fit.
    pub fn start(setup: Setup) -> Result<Self, Fault> {
        let runtime = Runtime::load(&setup.library)?;
        let engine = Engine {
            onnxruntime_version: runtime.version().to_owned(),
            provider: setup.device.name().to_owned(),
            cpu_class: cpu_class(),
        };
        let models = setup
            .bundles
            .into_iter()
            .map(|bundle| {
                let bytes = bundle.model_bytes().map_err(|error| {
                    Fault::new(FaultClass::Fatal, "opening a model bundle", error)
                })?;
                Ok((bundle, bytes))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let count = setup.thread_count.max(1);
        let usage_of = |(bundle, _): &(Arc<Bundle>, Vec<u8>)| ModelUsage {
            name: bundle.name.clone(),
            revision: bundle.revision.clone(),
            ..ModelUsage::default()
        };
        let usages = models.iter().map(usage_of).collect();
        let loader = Arc::new(Loader { runtime, models, device: setup.device });
        let shared = Arc::new(Shared {
            queue: FairQueue::default(),
            cache: Cache::new(setup.cache_bytes),
            usage: Mutex::new(Usage { models: usages, busy: Duration::ZERO, session_count: count }),
            is_failed: AtomicBool::new(false),
        });
        let (ready, warm) = sync_channel(count);
        let mut pool = Self { shared, engine, threads: Vec::with_capacity(count) };
        for number in 0..count {
            let (shared, loader, ready) =
                (Arc::clone(&pool.shared), Arc::clone(&loader), ready.clone());
            let thread = thread::Builder::new()
                .name(format!("infer-{number}"))
                .spawn(move || own_sessions(&shared, loader, &ready))
                .map_err(|error| Fault::new(FaultClass::Fatal, "starting a thread", error))?;
            pool.threads.push(thread);
        }
        drop(ready);
        for _ in 0..count {
            let lost = |_| Fault::plain(FaultClass::Fatal, "a session thread died at its start");
            warm.recv().map_err(lost)??;
        }
        Ok(pool)
    }

    /// A handle to submit jobs by.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// What runs the models.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a session thread has died of a panic. Nothing can mend that: exit.
    pub fn is_failed(&self) -> bool {
        self.shared.is_failed.load(Ordering::Relaxed)
    }

    /// Lets each thread end the window that it runs, and cancels all other jobs. Whoever drains
    /// waits for the answers first.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Jobs that go away here answer `Cancelled`.
        drop(self.shared.queue.close());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a session thread ended by a panic");
            }
        }
    }
}

impl Handle {
    /// What has been done so far.
    pub fn usage(&self) -> Usage {
        self.shared.usage().clone()
    }

    /// Queues `job`. What is in flight is bounded where documents are admitted
    /// (`limits.in_flight_tokens_max`). On a closed pool the job ends as cancelled at once; where
    /// all its windows are known, it is answered here. Gives the tokens of the windows that are.
    pub fn submit(&self, job: Job) -> usize {
        self.enqueue(job, Point::Inferred)
    }

    /// Queues the run of a [`blank`] window, to learn whether the model works at all. `done` is
    /// called as that of a job is.
    pub fn control(&self, flow: FlowId, model: usize, blank: Chunk, done: Done) {
        let (windows, cancelled) = (Arc::new(vec![blank]), Arc::default());
        let job = Job { flow, model, windows, cancelled, mark: None, done };
        self.enqueue(job, Point::Controlled);
    }

    fn enqueue(&self, job: Job, point: Point) -> usize {
        let flow = job.flow;
        let open = Arc::new(Open::new(job, point));
        if open.windows.is_empty() {
            open.end(Answer::Scores(Vec::new()));
        }
        let mut known_tokens = 0;
        for (window, chunk) in open.windows.iter().enumerate() {
            // A control is to run.
            let is_kept = point != Point::Controlled;
            let key = is_kept.then(|| self.shared.cache.key(open.model, chunk)).flatten();
            if let Some(known) = key.and_then(|key| self.shared.cache.get(&key)) {
                known_tokens += chunk.ids.len();
                open.keep(scores_of(window, known));
                continue;
            }
            let cost = u64::try_from(chunk.padded_tokens).unwrap_or(u64::MAX);
            let task = Task { job: Arc::clone(&open), window, key };
            if self.shared.queue.push(flow, cost, task).is_err() {
                open.end(Answer::Cancelled);
                break;
            }
        }
        known_tokens
    }
}

/// The scores of a job's window.
fn scores_of(window: usize, RowScores { logits, classes }: RowScores) -> WindowScores {
    WindowScores { window, logits, classes }
}

/// What a thread needs to open its sessions; goes away once all have.
struct Loader {
    runtime: Runtime,
    models: Vec<(Arc<Bundle>, Vec<u8>)>,
    device: Device,
}

impl Loader {
    fn open(&self) -> Result<Vec<Session>, Fault> {
        let open = |(bundle, bytes): &(Arc<Bundle>, Vec<u8>)| {
            let mut session = Session::open(&self.runtime, bundle, bytes, self.device)?;
            warm(&mut session, bundle).map_err(|error| {
                let path = bundle.model_path.display();
                Fault::new(FaultClass::Fatal, format!("warming model `{path}`"), error)
            })?;
            Ok(session)
        };
        self.models.iter().map(open).collect()
    }
}

/// Runs `session` once on its longest row, for which it needs the most memory.
fn warm(session: &mut Session, bundle: &Bundle) -> Result<(), RunError> {
    session.scores(&[&blank(bundle, bundle.window.tokens_max)]).map(drop)
}

/// A row without text, `tokens` long.
pub fn blank(bundle: &Bundle, tokens: usize) -> Chunk {
    let ids = Sensitive::new(vec![i64::from(bundle.window.first_id); tokens]);
    Chunk { ids, padded_tokens: tokens, tokens: 0..0, owned: 0..0 }
}

/// Marks the pool as failed if its thread unwinds.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.is_failed.store(true, Ordering::Relaxed);
        }
    }
}

/// The life of a session thread.
fn own_sessions(shared: &Shared, loader: Arc<Loader>, ready: &SyncSender<Result<(), Fault>>) {
    let _watch = Watch(shared);
    let opened = loader.open();
    drop(loader);
    let mut sessions = match opened {
        Ok(sessions) => sessions,
        Err(fault) => {
            // The channel holds one answer a thread; a starter that gave up reads none.
            drop(ready.send(Err(fault)));
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    while let Some(task) = shared.queue.pop(|_| true) {
        if task.job.is_wanted() {
            run(shared, &mut sessions, &task);
        }
    }
}

/// Runs one window, once more if it fails, and tells its job.
fn run(shared: &Shared, sessions: &mut [Session], task: &Task) {
    let refuse = |code, detail: String| {
        task.job.end(Answer::Reject(Reject::new(code, Room::Infer, detail)));
    };
    let (Some(session), Some(chunk)) =
        (sessions.get_mut(task.job.model), task.job.windows.get(task.window))
    else {
        return refuse(RejectCode::InferFailed, format!("no model {} is open", task.job.model));
    };
    let mut span = telemetry::batch(task.job.mark.as_slice());
    span.count("sluice.rows", 1);
    span.count("sluice.tokens", chunk.ids.len());
    let begun = Instant::now();
    let mut attempt = || {
        if failpoint::pass_with(task.job.point, chunk.padded_tokens) {
            return Ok(Err(RunError::Planted));
        }
        catch_unwind(AssertUnwindSafe(|| session.scores(&[chunk])))
    };
    let result = match attempt() {
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "running a window failed; trying once more");
            attempt()
        }
        other @ (Ok(Ok(_)) | Err(_)) => other,
    };
    drop(span);
    shared.ran(task.job.model, chunk, begun.elapsed());
    match result {
        Ok(Ok(rows)) => {
            let scores = rows.into_iter().next().unwrap_or_default();
            if let Some(key) = task.key {
                shared.cache.keep(key, &scores);
            }
            task.job.keep(scores_of(task.window, scores));
        }
        Ok(Err(error)) => refuse(RejectCode::InferFailed, format!("running the model: {error}")),
        Err(_panic) => refuse(RejectCode::InternalPanic, "running the model panicked".to_owned()),
    }
}
