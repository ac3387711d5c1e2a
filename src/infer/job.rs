//! `windows of one document -> one answer`, however many threads work on it and whatever happens.
//!
//! Deliberately knows no runtime: it counts windows, keeps scores and answers once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failpoint::Point;
use crate::queue::FlowId;
use crate::telemetry::Mark;
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

/// Takes the answer of a job, once. Runs on a session thread, so it must be quick and must not
/// block, or the model waits; or on the thread that submits, where nothing has to be run.
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
    /// The span that its calls of the model belong to, if it has one.
    pub mark: Option<Mark>,
    /// Called exactly once, whatever happens.
    pub done: Done,
}

/// A job in work.
pub(super) struct Open {
    /// Where a test can plant a fault in it.
    pub(super) point: Point,
    pub(super) model: usize,
    pub(super) windows: Arc<Vec<Chunk>>,
    cancelled: Arc<AtomicBool>,
    pub(super) mark: Option<Mark>,
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
    pub(super) fn new(job: Job, point: Point) -> Self {
        let left_count = job.windows.len();
        let scores = std::iter::repeat_with(|| None).take(left_count).collect();
        Self {
            point,
            model: job.model,
            windows: job.windows,
            cancelled: job.cancelled,
            mark: job.mark,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::{Answer, Job, Open};
    use crate::failpoint::Point;
    use crate::queue::FlowId;
    use crate::types::{Chunk, Reject, RejectCode, Room, Sensitive, WindowScores};

    /// A job of `windows` windows and where its answers arrive, told in one word.
    fn open(windows: usize, cancelled: &Arc<AtomicBool>) -> (Open, Receiver<String>) {
        let (answers, receiver) = sync_channel(9);
        let chunk = || Chunk {
            ids: Sensitive::new(Vec::new()),
            padded_tokens: 0,
            tokens: 0..0,
            owned: 0..0,
        };
        let told = |answer| match answer {
            Answer::Scores(scores) => {
                let order: Vec<_> = scores.iter().map(|scores| scores.window).collect();
                format!("{order:?}")
            }
            Answer::Reject(reject) => reject.code.name().to_owned(),
            Answer::Cancelled => "cancelled".to_owned(),
        };
        let job = Job {
            flow: FlowId(0),
            model: 0,
            windows: Arc::new((0..windows).map(|_| chunk()).collect()),
            cancelled: Arc::clone(cancelled),
            mark: None,
            done: Box::new(move |answer| answers.send(told(answer)).unwrap()),
        };
        (Open::new(job, Point::Inferred), receiver)
    }

    fn keep(open: &Open, window: usize) {
        open.keep(WindowScores { window, logits: Vec::new(), classes: Vec::new() });
    }

    fn refused() -> Answer {
        Answer::Reject(Reject::new(RejectCode::InferFailed, Room::Infer, "a test"))
    }

    /// The answers that have arrived; the job is gone by then.
    fn answers(receiver: &Receiver<String>) -> Vec<String> {
        receiver.iter().collect()
    }

    #[test]
    fn the_last_window_answers_in_the_order_of_windows() {
        let (open, receiver) = open(3, &Arc::default());
        keep(&open, 2);
        keep(&open, 0);
        assert!(open.is_wanted());
        keep(&open, 0);
        assert!(open.is_wanted(), "the same window twice is no other one");
        keep(&open, 1);
        assert!(!open.is_wanted());
        drop(open);
        assert_eq!(answers(&receiver), ["[0, 1, 2]"]);
    }

    #[test]
    fn a_refused_job_wants_no_more_and_answers_once() {
        let (open, receiver) = open(2, &Arc::default());
        open.end(refused());
        assert!(!open.is_wanted());
        keep(&open, 0);
        keep(&open, 1);
        open.end(refused());
        drop(open);
        assert_eq!(answers(&receiver), ["INFER_FAILED"]);
    }

    #[test]
    fn a_cancelled_job_says_so_when_it_is_next_looked_at() {
        let cancelled = Arc::default();
        let (open, receiver) = open(2, &cancelled);
        keep(&open, 0);
        cancelled.store(true, Ordering::Relaxed);
        assert!(!open.is_wanted());
        keep(&open, 1);
        drop(open);
        assert_eq!(answers(&receiver), ["cancelled"]);
    }

    #[test]
    fn a_job_that_goes_away_unanswered_was_cancelled() {
        let (open, receiver) = open(1, &Arc::default());
        drop(open);
        assert_eq!(answers(&receiver), ["cancelled"]);
    }
}
