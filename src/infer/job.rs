//! `windows of one document -> one answer`, however many threads work on it and whatever happens.
//!
//! Deliberately knows no runtime: it counts windows, keeps scores and answers once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::queue::FlowId;
use crate::types::{Chunk, Reject, WindowScores};

/// How a job ends.
pub enum Answer {
    /// Scores of all windows, in the order of the windows.
    Scores(Vec<WindowScores>),
    /// The model could not be run on this document, or a bug was met.
    Reject(Reject),
    /// The job was cancelled, or the pool was closed before it was done.
    Cancelled,
}

/// Takes the answer of a job. Runs on a session thread, once: it must be quick and must not
/// block, or the model waits.
pub type Done = Box<dyn FnOnce(Answer) + Send>;

/// The windows of one document, to be run.
pub struct Job {
    /// Whose share of the model this takes.
    pub flow: FlowId,
    /// Index of the bundle in [`super::Setup::bundles`].
    pub model: usize,
    /// The windows; see [`crate::types::Chunks::windows`].
    pub windows: Arc<Vec<Chunk>>,
    /// Set once nobody wants the answer (a dead lease): windows not yet begun are then skipped.
    /// Shared by as many jobs as die together.
    pub cancelled: Arc<AtomicBool>,
    /// Called exactly once, whatever happens.
    pub done: Done,
}

/// A job in work.
pub(super) struct Open {
    pub(super) model: usize,
    pub(super) windows: Arc<Vec<Chunk>>,
    cancelled: Arc<AtomicBool>,
    state: Mutex<State>,
}

struct State {
    /// Scores by window.
    scores: Vec<Option<WindowScores>>,
    left_count: usize,
    /// `None` once the job has been answered.
    done: Option<Done>,
}

impl Open {
    pub(super) fn new(job: Job) -> Self {
        let left_count = job.windows.len();
        let scores = std::iter::repeat_with(|| None).take(left_count).collect();
        Self {
            model: job.model,
            windows: job.windows,
            cancelled: job.cancelled,
            state: Mutex::new(State { scores, left_count, done: Some(job.done) }),
        }
    }

    /// Whether running another window still serves anyone. Ends a cancelled job.
    pub(super) fn is_wanted(&self) -> bool {
        if self.cancelled.load(Ordering::Relaxed) {
            self.end(Answer::Cancelled);
        }
        self.lock().done.is_some()
    }

    /// Keeps the scores of one window; the last one answers the job.
    pub(super) fn keep(&self, scores: WindowScores) {
        let mut state = self.lock();
        let Some(slot) = state.scores.get_mut(scores.window).filter(|slot| slot.is_none()) else {
            return;
        };
        *slot = Some(scores);
        state.left_count -= 1;
        if state.left_count > 0 {
            return;
        }
        let all = std::mem::take(&mut state.scores).into_iter().flatten().collect();
        drop(state);
        self.end(Answer::Scores(all));
    }

    /// Answers the job, unless it has been.
    pub(super) fn end(&self, answer: Answer) {
        let done = {
            let mut state = self.lock();
            state.scores = Vec::new();
            state.done.take()
        };
        // A panic of whoever takes the answer ends this thread, and with it the pool's health.
        if let Some(done) = done {
            done(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    /// A job that goes away unanswered, with the queue or with a thread, was cancelled.
    fn drop(&mut self) {
        self.end(Answer::Cancelled);
    }
}
