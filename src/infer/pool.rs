//! Session threads: each owns one session a model, takes the next window in fair order, with it
//! those that may share its call and wait already, and runs them.
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
use super::cuda;
use super::job::{Answer, Done, Job, Open};
use super::policy::{Policy, Shape};
use super::probe;
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
    /// Which windows share a call, for tests and benches; else what suits device and model.
    pub policy: Option<Policy>,
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
    /// To which its row is brought.
    length: usize,
    /// Under which its scores are kept.
    key: Option<Key>,
}

impl Task {
    fn chunk(&self) -> Option<&Chunk> {
        self.job.windows.get(self.window)
    }

    /// Whether both may share a call: of one model, of one length, and controls apart from jobs.
    fn joins(&self, other: &Self) -> bool {
        self.job.model == other.job.model
            && self.job.point == other.job.point
            && self.length == other.length
    }
}

/// How rows of one model share calls.
struct Rows {
    policy: Policy,
    /// Most tokens of a row.
    tokens_max: usize,
    /// Set before the first job where this processor's kernels make a row depend on its company.
    is_alone: AtomicBool,
}

impl Rows {
    fn new(bundle: &Bundle, setup: &Setup) -> Self {
        let policy = setup.policy.unwrap_or_else(|| Policy::of(setup.device, &bundle.window));
        Self { policy, tokens_max: bundle.window.tokens_max, is_alone: AtomicBool::new(false) }
    }

    fn policy(&self) -> Policy {
        if self.is_alone.load(Ordering::Relaxed) { Policy::Alone } else { self.policy }
    }
}

/// What threads and handles share.
struct Shared {
    /// By model.
    rows: Vec<Rows>,
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

    fn policy(&self, model: usize) -> Policy {
        self.rows.get(model).map_or(Policy::Alone, Rows::policy)
    }

    /// The length to which the row of a window of that model is brought.
    fn length(&self, model: usize, chunk: &Chunk) -> usize {
        let tokens_max = self.rows.get(model).map(|rows| rows.tokens_max).unwrap_or_default();
        self.policy(model).length(chunk.padded_tokens, tokens_max)
    }

    /// Counts a call of a model in `shape` on `chunks`, which took `busy` and is not made again.
    fn ran(&self, model: usize, chunks: &[&Chunk], shape: Shape, busy: Duration) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let tokens: usize = chunks.iter().map(|chunk| chunk.ids.len()).sum();
        let mut usage = self.usage();
        usage.busy += busy;
        if let Some(model) = usage.models.get_mut(model) {
            model.batch_count += 1;
            model.row_count += count(chunks.len());
            model.token_count += count(tokens);
            model.padding_count += count(shape.size().saturating_sub(tokens));
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
    /// Loads ONNX Runtime, opens every model on every thread and runs each once in the shapes it
    /// will meet, so that the first document meets a warm model. Fatal where library, device or a
    /// model is missing or does not fit.
    pub fn start(setup: Setup) -> Result<Self, Fault> {
        if setup.device == Device::Cuda {
            cuda::check(&cuda::Places::of_system(&setup.library))?;
        }
        let runtime = Runtime::load(&setup.library)?;
        let engine = Engine {
            onnxruntime_version: runtime.version().to_owned(),
            provider: setup.device.name().to_owned(),
            cpu_class: cpu_class(),
        };
        let rows = setup.bundles.iter().map(|bundle| Rows::new(bundle, &setup)).collect();
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
            rows,
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

    /// Lets each thread end the windows that it runs, and cancels all other jobs. Whoever drains
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
            let length = self.shared.length(open.model, chunk);
            let task = Task { job: Arc::clone(&open), window, length, key };
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
    /// Sessions of all models, warm. `rows` says how theirs share calls.
    fn open(&self, rows: &[Rows]) -> Result<Vec<Session>, Fault> {
        let open = |((bundle, bytes), rows): (&(Arc<Bundle>, Vec<u8>), &Rows)| {
            let mut session = Session::open(&self.runtime, bundle, bytes, self.device)?;
            warm(&mut session, bundle, rows).map_err(|error| {
                let path = bundle.model_path.display();
                Fault::new(FaultClass::Fatal, format!("warming model `{path}`"), error)
            })?;
            Ok(session)
        };
        self.models.iter().zip(rows).map(open).collect()
    }
}

/// Runs `session` once in every shape that a card is given, or once on the longest row, for which
/// it needs the most memory. Rows that company would change are kept alone from here on.
fn warm(session: &mut Session, bundle: &Bundle, rows: &Rows) -> Result<(), RunError> {
    let policy = rows.policy;
    for shape in policy.shapes(bundle.window.tokens_max) {
        session.scores(&[&blank(bundle, shape.tokens)], shape)?;
    }
    if matches!(policy, Policy::Equal { .. })
        && !probe::rows_are_independent(session, bundle, policy)?
        && !rows.is_alone.swap(true, Ordering::Relaxed)
    {
        let (model, revision) = (&bundle.name, &bundle.revision);
        tracing::warn!(
            model,
            revision,
            "on this processor rows that share a call change each other, against \
             `window.independent_rows` of the bundle; each goes alone, more slowly"
        );
    }
    Ok(())
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
    let opened = loader.open(&shared.rows);
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
    let most = |first: &Task| shared.policy(first.job.model).rows_max(first.length);
    while let Some(tasks) = shared.queue.pop_group(|_| true, most, Task::joins) {
        run(shared, &mut sessions, tasks);
    }
}

/// Runs windows that may share a call, and tells their jobs. A call of several that fails, for want
/// of memory or because of one of them, is made again in pieces; a window that fails alone, and
/// once more, is its job's own trouble.
fn run(shared: &Shared, sessions: &mut [Session], tasks: Vec<Task>) {
    let mut left = vec![tasks];
    while let Some(mut tasks) = left.pop() {
        tasks.retain(|task| task.job.is_wanted());
        let Some(first) = tasks.first() else { continue };
        let (model, length) = (first.job.model, first.length);
        let Some(session) = sessions.get_mut(model) else {
            let detail = format!("no model {model} is open");
            refuse(&tasks, &Refusal { code: RejectCode::InferFailed, detail });
            continue;
        };
        match call(shared, session, &tasks) {
            Ok(scores) => {
                for (task, scores) in tasks.iter().zip(scores) {
                    if let Some(key) = task.key {
                        shared.cache.keep(key, &scores);
                    }
                    task.job.keep(scores_of(task.window, scores));
                }
            }
            Err(refusal) if tasks.len() > 1 => {
                let piece = shared.policy(model).piece(tasks.len(), length);
                let (reason, rows) = (&refusal.detail, tasks.len());
                tracing::warn!(reason, rows, piece, "running windows failed; trying in pieces");
                while !tasks.is_empty() {
                    let rest = tasks.split_off(piece.min(tasks.len()));
                    left.push(std::mem::replace(&mut tasks, rest));
                }
            }
            Err(refusal) => refuse(&tasks, &refusal),
        }
    }
}

/// Why windows have no scores.
struct Refusal {
    code: RejectCode,
    detail: String,
}

fn refuse(tasks: &[Task], refusal: &Refusal) {
    for task in tasks {
        let reject = Reject::new(refusal.code, Room::Infer, refusal.detail.clone());
        task.job.end(Answer::Reject(reject));
    }
}

/// The scores of windows of one model and one length, by one call; of a single one that fails, by
/// a second call.
fn call(shared: &Shared, session: &mut Session, tasks: &[Task]) -> Result<Vec<RowScores>, Refusal> {
    let Some(first) = tasks.first() else { return Ok(Vec::new()) };
    let chunks: Vec<&Chunk> = tasks.iter().filter_map(Task::chunk).collect();
    let shape = shared.policy(first.job.model).shape(chunks.len(), first.length);
    let marks: Vec<_> = tasks.iter().filter_map(|task| task.job.mark.clone()).collect();
    let mut span = telemetry::batch(&marks);
    span.count("sluice.rows", chunks.len());
    span.count("sluice.tokens", chunks.iter().map(|chunk| chunk.ids.len()).sum());
    let begun = Instant::now();
    let mut attempt = || {
        if failpoint::pass_with(first.job.point, shape.size()) {
            return Ok(Err(RunError::Planted));
        }
        catch_unwind(AssertUnwindSafe(|| session.scores(&chunks, shape)))
    };
    let is_single = tasks.len() == 1;
    let result = match attempt() {
        Ok(Err(error)) if is_single => {
            tracing::warn!(error = %error, "running a window failed; trying once more");
            attempt()
        }
        other @ (Ok(_) | Err(_)) => other,
    };
    drop(span);
    let is_last = is_single || matches!(result, Ok(Ok(_)));
    if is_last {
        shared.ran(first.job.model, &chunks, shape, begun.elapsed());
    } else {
        // The pieces count its rows.
        shared.usage().busy += begun.elapsed();
    }
    match result {
        Ok(Ok(scores)) => Ok(scores),
        Ok(Err(error)) => {
            let detail = format!("running the model: {error}");
            Err(Refusal { code: RejectCode::InferFailed, detail })
        }
        Err(_panic) => {
            let detail = "running the model panicked".to_owned();
            Err(Refusal { code: RejectCode::InternalPanic, detail })
        }
    }
}
