//! What a flow does with work that a dependency holds up: it waits, on a thread of the flow's own.
//!
//! Other flows share the threads that prepare and infer, so none of those ever waits. A dependency
//! that fails makes no document bad: it is asked again for as long as somebody wants the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::engine::{Pending, panicked};
use super::flow::{Finished, Running, Which, Work};
use crate::backoff;
use crate::error::{Fault, FaultClass};
use crate::infer::{self, Answer};
use crate::text::{Launch, Reader};
use crate::types::{Document, Outcome, Part, Room};

/// Work that waits.
pub(super) enum Waiting {
    /// For the registry, which knows the schema of the envelope.
    Schema(Arc<Work>),
    /// For a text child that could not be started, or was not fit to work.
    Text(Arc<Work>, Part, Box<Document>),
    /// For the model, which has failed on this part.
    Model(Box<Finished>),
}

impl Waiting {
    const fn work(&self) -> &Arc<Work> {
        match self {
            Self::Schema(work) | Self::Text(work, ..) => work,
            Self::Model(finished) => &finished.work,
        }
    }
}

impl Running {
    /// Takes up what waits, one after the other, until the flow is closed. Text children that are
    /// started here are as `launch` says.
    pub(super) fn wait_all(self: &Arc<Self>, launch: Launch) {
        let mut reader = Reader::new(launch);
        while let Some(waiting) = self.waiting.pop(|_| true) {
            if !waiting.work().ticket.lease.is_alive() {
                continue;
            }
            match waiting {
                Waiting::Schema(work) => self.ask(work),
                Waiting::Text(work, part, document) => {
                    self.read(&work, part, &document, &mut reader);
                }
                Waiting::Model(finished) => self.infer_again(*finished),
            }
        }
    }

    /// Asks the registry for the schema of an envelope; then the delivery goes back to the queue.
    fn ask(&self, work: Arc<Work>) {
        let decode = || self.engine.decode(&work.delivery);
        match catch_unwind(AssertUnwindSafe(|| self.persist(&work, decode))) {
            Err(_) => self.refuse(&work, &panicked(Room::Decode)),
            Ok(None) => {}
            Ok(Some(Err(reject))) => self.refuse(&work, &Outcome::Reject(reject)),
            // The schema is known from here on.
            Ok(Some(Ok(_))) => self.enqueue(work),
        }
    }

    fn read(
        self: &Arc<Self>,
        work: &Arc<Work>,
        part: Part,
        document: &Document,
        reader: &mut Reader,
    ) {
        let which = Which { part, digest: Some(document.digest) };
        let before = reader.children_started();
        let prepare = || self.engine.prepare(&work.delivery, document, reader);
        match catch_unwind(AssertUnwindSafe(|| self.persist(work, prepare))) {
            Err(_) => self.end(work, which, &panicked(Room::Text)),
            Ok(None) => {}
            Ok(Some(prepared)) => self.go_on(work, which, prepared),
        }
        self.shared.metrics.children_started(reader.children_started() - before);
    }

    /// Waits until the model does its least work, and gives it the part again: what it then fails
    /// on is the part's fault.
    fn infer_again(self: &Arc<Self>, finished: Finished) {
        let Finished { work, which, pending, .. } = finished;
        if self.persist(&work, || self.control(&pending)).is_some() {
            self.submit(&work, which, pending, true);
        }
    }

    /// Runs the model on nothing, as long as the longest window of `pending`.
    fn control(&self, pending: &Pending) -> Result<(), Fault> {
        let fault = |what: String| Err(Fault::plain(FaultClass::Retry, what));
        let windows = pending.windows();
        let longest = windows.iter().map(|window| window.padded_tokens).max();
        let blank = infer::blank(self.engine.bundle(), longest.unwrap_or_default());
        let (answers, answer) = sync_channel(1);
        let done = Box::new(move |answer| drop(answers.send(answer)));
        self.shared.infer.control(self.id, self.engine.model, blank, done);
        match answer.recv() {
            Ok(Answer::Scores(_)) => Ok(()),
            Ok(Answer::Reject(reject)) => {
                fault(format!("running the model on a blank window: {}", reject.detail))
            }
            Ok(Answer::Cancelled) | Err(_) => fault("the model has stopped".to_owned()),
        }
    }

    /// Calls `call` again while its fault may pass. `None` where nobody wants the answer any more:
    /// the lease died, or the worker ends.
    fn persist<A>(&self, work: &Work, call: impl FnMut() -> Result<A, Fault>) -> Option<A> {
        let mut has_waited = false;
        let is_wanted = |fault: &Fault| {
            let error = fault.chain();
            tracing::warn!(pipeline = self.pipeline(), error, "trying again");
            self.guard.waits("work", Some(&error));
            has_waited = true;
            work.ticket.lease.is_alive()
        };
        let answer = backoff::persist(&self.shared.shutdown, is_wanted, call);
        if has_waited {
            self.guard.waits("work", None);
        }
        answer.unwrap_or_else(|fault| {
            self.stop(&fault);
            None
        })
    }
}
