//! One flow at work: deliveries in, settled outcomes in its ledger.
//!
//! Threads of the process share the slow stages; this file says what each does for one flow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::vec;

use super::agenda::Agenda;
use super::bytes::Bytes;
use super::claims::{Claiming, Fetched, Warned};
use super::engine::{Engine, Pending, Prepared, panicked};
use super::parts::{Backlog, Parts, Whole};
use super::trails::Trails;
use super::waiting::Waiting;
use crate::decode::{Decoded, Piece};
use crate::error::{Fault, FaultClass};
use crate::guard::Guard;
use crate::infer::{Answer, Handle, Job};
use crate::ledger::{Reservation, SharedLedger, Ticket};
use crate::metrics::{Level, Metrics, Spared, Stage};
use crate::queue::{FairQueue, FlowId};
use crate::route::{Origin, Router};
use crate::shutdown::{Shutdown, Stop};
use crate::telemetry::{self, Span, Trail};
use crate::text::Reader;
use crate::types::{
    Delivery, Digest, Document, Outcome, OutcomeKind, Outgoing, Part, Reject, RejectCode, Room,
    Sensitive, Shown, window_tokens,
};

/// Finished parts that wait for the finishing thread of a flow. A full channel makes the model
/// wait, which is right: finishing is far quicker.
const FINISHED_MAX: usize = 256;
/// Bytes of text that count for a token: a text of few and long words takes memory, too.
pub(super) const TOKEN_TEXT_BYTES: usize = 16;

/// A delivery in work. Its parts may end on several threads.
pub struct Work {
    /// Whose it is.
    pub flow: FlowId,
    pub(super) ticket: Ticket,
    pub(super) delivery: Delivery,
    /// Its spans, where its trace is sent.
    pub(super) trail: Option<Trail>,
    /// The document that the delivery claims, once it is there.
    fetched: Mutex<Option<Fetched>>,
    parts: Mutex<Parts<Vec<Outgoing>>>,
    /// What is left of it where it was put back half prepared.
    left: Mutex<Option<Left>>,
}

impl Work {
    /// Keeps the document that the delivery claims until it is prepared.
    pub(super) fn put(&self, fetched: Fetched) {
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
    }

    fn take_fetched(&self) -> Option<Fetched> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn parts(&self) -> MutexGuard<'_, Parts<Vec<Outgoing>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a delivery that is half prepared.
struct Left {
    pieces: vec::IntoIter<Piece>,
    /// The room that a fetched document takes, until all of it is prepared.
    _held: Option<Reservation<Outgoing>>,
}

/// Which part of a delivery.
#[derive(Clone, Copy)]
pub(super) struct Which {
    pub(super) part: Part,
    /// Digest of its document; `None` where no document was had.
    pub(super) digest: Option<Digest>,
}

/// A part that comes back from the model.
pub struct Finished {
    pub(super) work: Arc<Work>,
    pub(super) which: Which,
    pub(super) pending: Pending,
    answer: Answer,
    /// Whether the model had failed on it before, and was well after that.
    is_second: bool,
    submitted: Instant,
    /// Of its time at the model.
    span: Span,
}

/// What the threads of the process share.
#[derive(Clone)]
pub struct Shared {
    /// Deliveries that wait to be prepared, of all flows.
    pub queue: Arc<FairQueue<Arc<Work>>>,
    /// The inference pool.
    pub infer: Handle,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The switch that stops the worker.
    pub shutdown: Shutdown,
}

/// One flow at work.
pub struct Running {
    /// Number of the flow in the process.
    pub id: FlowId,
    /// Its middle.
    pub engine: Engine,
    router: Router<Bytes>,
    /// Its ledger.
    pub ledger: Arc<SharedLedger<Outgoing>>,
    /// Holds it where too many of its parts are refused.
    pub guard: Arc<Guard>,
    pub(super) shared: Shared,
    tokens: AtomicUsize,
    backlog: Arc<Backlog>,
    /// Deliveries that were put back half prepared, at the head of the queue.
    begun_count: AtomicUsize,
    /// `None` once the flow takes nothing more from the model.
    finished: Mutex<Option<SyncSender<Finished>>>,
    /// Spans that end with a commit.
    pub(super) trails: Trails,
    /// What waits for a dependency.
    pub(super) waiting: FairQueue<Waiting>,
    /// Deliveries whose documents are fetched.
    pub(super) claims: Agenda<Claiming>,
    pub(super) warned: Warned,
}

impl Running {
    /// A flow and the channel that its finishing thread reads.
    pub fn new(
        id: FlowId,
        engine: Engine,
        router: Router<Bytes>,
        shared: Shared,
    ) -> (Arc<Self>, Receiver<Finished>) {
        let (finished, receiver) = sync_channel(FINISHED_MAX);
        let ledger = Arc::default();
        let pipeline = &engine.flow.pipeline;
        let guard = Guard::new(
            &pipeline.name,
            pipeline.delivery.reject_budget,
            Arc::clone(&ledger),
            Arc::clone(&shared.metrics),
        );
        let running = Self {
            id,
            engine,
            router,
            ledger,
            guard: Arc::new(guard),
            shared,
            tokens: AtomicUsize::new(0),
            backlog: Arc::default(),
            begun_count: AtomicUsize::new(0),
            finished: Mutex::new(Some(finished)),
            trails: Trails::default(),
            waiting: FairQueue::default(),
            claims: Agenda::default(),
            warned: Warned::default(),
        };
        (Arc::new(running), receiver)
    }

    pub(super) fn pipeline(&self) -> &str {
        &self.engine.flow.pipeline.name
    }

    /// Whether the next delivery may be prepared: the model has room for its tokens; and, where it
    /// is not begun yet, not too much of others waits for its end or for a commit.
    pub fn has_room(&self) -> bool {
        let limits = &self.engine.flow.pipeline.limits;
        let (outcomes, bytes) = (limits.in_flight_outcomes_max, limits.in_flight_outcome_bytes_max);
        self.has_token_room()
            && (self.begun_count.load(Ordering::Acquire) > 0
                || self.backlog.is_below(outcomes, bytes)
                    && !self.ledger.lock().is_full(outcomes, bytes))
    }

    fn has_token_room(&self) -> bool {
        let tokens_max = self.engine.flow.pipeline.limits.in_flight_tokens_max;
        self.tokens.load(Ordering::Acquire) < tokens_max
    }

    fn parts(&self, count: usize) -> Parts<Vec<Outgoing>> {
        let bytes_max = self.engine.flow.pipeline.limits.in_flight_outcome_bytes_max;
        Parts::new(count, bytes_max, &self.backlog)
    }

    /// Lets preparing threads ask again, after a commit.
    pub fn wake(&self) {
        self.shared.queue.wake();
    }

    /// Takes a delivery in; never blocks. What is in flight is bounded by the source.
    pub fn accept(&self, ticket: Ticket, mut delivery: Delivery) {
        let trail = Trail::begin(&mut delivery, &self.engine.flow);
        if let Some(trail) = &trail {
            self.trails.keep(&ticket, trail.clone());
        }
        // None before it is begun: what waits to be is bounded by the source.
        let parts = Mutex::new(self.parts(0));
        let (fetched, left) = (Mutex::new(None), Mutex::new(None));
        let work = Work { flow: self.id, ticket, delivery, trail, fetched, parts, left };
        self.enqueue(Arc::new(work));
    }

    pub(super) fn enqueue(&self, work: Arc<Work>) {
        let fetched = work.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let fetched_bytes = fetched.as_ref().map_or(0, |fetched| fetched.bytes.len());
        drop(fetched);
        let size_bytes = work.delivery.size_bytes() + fetched_bytes;
        let cost = u64::try_from(size_bytes).unwrap_or(u64::MAX).max(1);
        // A closed queue means that the worker ends; the delivery is read again by the next one.
        drop(self.shared.queue.push(self.id, cost, work));
    }

    /// Decodes, reads and cuts one delivery on a preparing thread, or goes on with one. Other flows
    /// wait for this thread, so it never waits for a dependency, nor for a document that is claimed.
    pub fn prepare(self: &Arc<Self>, work: &Arc<Work>, reader: &mut Reader) {
        let left = work.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        if left.is_some() {
            self.begun_count.fetch_sub(1, Ordering::AcqRel);
        }
        if !work.ticket.lease.is_alive() {
            return;
        }
        let since = Instant::now();
        match left {
            Some(left) => self.prepare_parts(work, left, reader),
            None => self.begin(work, reader),
        }
        self.shared.metrics.took(self.pipeline(), Stage::Prepare, since.elapsed());
    }

    /// Takes a delivery apart, and prepares its parts.
    fn begin(self: &Arc<Self>, work: &Arc<Work>, reader: &mut Reader) {
        trace(self.pipeline(), &work.delivery);
        let (fetched, held) =
            work.take_fetched().map_or((None, None), |Fetched { claimed, bytes, held }| {
                (Some((claimed, bytes)), Some(held))
            });
        let inside = telemetry::enter(work.trail.as_ref(), 0);
        let span = telemetry::span("decode");
        let decode = || match fetched {
            None => self.engine.decode_known(&work.delivery),
            Some((claimed, bytes)) => Ok(self.engine.claimed(&work.delivery, claimed, bytes)),
        };
        let decoded = catch_unwind(AssertUnwindSafe(decode));
        drop((span, inside));
        match decoded {
            Err(_) => self.refuse(work, &panicked(Room::Decode)),
            Ok(Err(_not_known)) => self.wait(Waiting::Schema(Arc::clone(work))),
            Ok(Ok(Err(reject))) => self.refuse(work, &Outcome::Reject(reject)),
            Ok(Ok(Ok(Decoded::Claim(claimed)))) => self.claim(work, claimed),
            Ok(Ok(Ok(Decoded::Tombstone))) => {
                let policy = self.engine.flow.pipeline.input.tombstone;
                let cover = self.engine.cover(&work.delivery);
                let origin = Origin {
                    delivery: &work.delivery,
                    cover: cover.as_ref(),
                    part: Part::WHOLE,
                    digest: None,
                };
                self.guard.settle(&work.ticket, self.router.tombstone(&origin, policy));
            }
            Ok(Ok(Ok(Decoded::Parts(pieces)))) => {
                *work.parts() = self.parts(pieces.len());
                let left = Left { pieces: pieces.into_iter(), _held: held };
                self.prepare_parts(work, left, reader);
            }
        }
    }

    /// Prepares parts while the model has room. What is left goes back to the head of the queue, so
    /// that no thread waits with it, and no other delivery of the flow is begun before it is done.
    fn prepare_parts(self: &Arc<Self>, work: &Arc<Work>, mut left: Left, reader: &mut Reader) {
        // By value, so that a part's bytes are gone once it is prepared.
        while let Some(Piece { part, document }) = left.pieces.next() {
            match document {
                Ok(document) => self.prepare_part(work, part, document, reader),
                Err(reject) => {
                    let which = Which { part, digest: None };
                    self.end(work, which, &Outcome::Reject(reject));
                }
            }
            if left.pieces.len() > 0 && !self.has_token_room() {
                *work.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
                self.begun_count.fetch_add(1, Ordering::AcqRel);
                // A closed queue means that the worker ends.
                drop(self.shared.queue.put_back(self.id, Arc::clone(work)));
                return;
            }
        }
    }

    fn prepare_part(
        self: &Arc<Self>,
        work: &Arc<Work>,
        part: Part,
        document: Document,
        reader: &mut Reader,
    ) {
        let which = Which { part, digest: Some(document.digest) };
        let _inside = telemetry::enter(work.trail.as_ref(), part.number);
        let prepare = || self.engine.prepare(&work.delivery, &document, reader);
        match catch_unwind(AssertUnwindSafe(prepare)) {
            Err(_) => self.end(work, which, &panicked(Room::Text)),
            Ok(Ok(prepared)) => self.go_on(work, which, prepared),
            Ok(Err(fault)) if fault.class == FaultClass::Retry => {
                self.wait(Waiting::Text(Arc::clone(work), part, Box::new(document)));
            }
            Ok(Err(fault)) => self.stop(&fault),
        }
    }

    /// A part was prepared.
    pub(super) fn go_on(self: &Arc<Self>, work: &Arc<Work>, which: Which, prepared: Prepared) {
        match prepared {
            Prepared::Ended(outcome) => self.end(work, which, &outcome),
            Prepared::Pending(pending) => self.submit(work, which, *pending, false),
        }
    }

    /// Leaves `waiting` to the flow's own thread.
    fn wait(&self, waiting: Waiting) {
        // A closed queue means that the worker ends.
        drop(self.waiting.push(self.id, 1, waiting));
    }

    /// Nothing in this process can mend `fault`.
    pub(super) fn stop(&self, fault: &Fault) {
        self.shared.shutdown.stop(Stop::Fault(fault.chain()));
    }

    /// Gives a part to the model, for the second time or the first.
    pub(super) fn submit(
        self: &Arc<Self>,
        work: &Arc<Work>,
        which: Which,
        pending: Pending,
        is_second: bool,
    ) {
        let tokens = pending.tokens_held();
        let in_flight = self.tokens.fetch_add(tokens, Ordering::AcqRel) + tokens;
        self.shared.metrics.level(self.pipeline(), Level::InFlightTokens, in_flight);
        let (windows, (unread, gated)) = (pending.windows(), pending.spared_tokens());
        let all = window_tokens(&windows);
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(finished) = finished else { return };
        let work = Arc::clone(work);
        let inside = telemetry::enter(work.trail.as_ref(), which.part.number);
        let mut span = telemetry::span("infer");
        drop(inside);
        span.count("sluice.tokens", all);
        let mark = span.mark();
        let cancelled = work.ticket.lease.death();
        let submitted = Instant::now();
        let done = move |answer| {
            // A closed channel means that the worker ends.
            let answered = Finished { work, which, pending, answer, is_second, submitted, span };
            drop(finished.send(answered));
        };
        let (flow, model) = (self.id, self.engine.model);
        let job = Job { flow, model, windows, cancelled, mark, done: Box::new(done) };
        let cached = self.shared.infer.submit(job);
        let (pipeline, metrics) = (self.pipeline(), &self.shared.metrics);
        metrics.inferred(pipeline, all - cached);
        metrics.spared(pipeline, Spared::Cached, cached);
        metrics.spared(pipeline, Spared::Unread, unread);
        metrics.spared(pipeline, Spared::Gated, gated);
    }

    /// Ends [`Self::wait_all`] and [`Self::fetch_all`], and [`Self::finish_all`] once the model has
    /// answered what it was given.
    pub fn close(&self) {
        drop(self.finished.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.waiting.close());
        self.claims.close();
    }

    /// Assembles, judges and routes what comes back from the model, until the channel closes.
    pub fn finish_all(&self, receiver: &Receiver<Finished>) {
        for finished in receiver {
            let since = Instant::now();
            let tokens = finished.pending.tokens_held();
            let waited = since.duration_since(finished.submitted);
            self.shared.metrics.took(self.pipeline(), Stage::Infer, waited);
            self.finish(finished);
            let in_flight = self.tokens.fetch_sub(tokens, Ordering::AcqRel).saturating_sub(tokens);
            self.shared.metrics.level(self.pipeline(), Level::InFlightTokens, in_flight);
            self.shared.queue.wake();
            self.shared.metrics.took(self.pipeline(), Stage::Finish, since.elapsed());
        }
    }

    fn finish(&self, finished: Finished) {
        let is_first_failure = !finished.is_second
            && matches!(&finished.answer, Answer::Reject(it) if it.code == RejectCode::InferFailed);
        if is_first_failure {
            return self.wait(Waiting::Model(Box::new(finished)));
        }
        let Finished { work, which, pending, answer, span, .. } = finished;
        drop(span);
        let _inside = telemetry::enter(work.trail.as_ref(), which.part.number);
        let outcome = match answer {
            Answer::Cancelled => return,
            Answer::Reject(reject) => Outcome::Reject(reject),
            Answer::Scores(scores) => {
                let finish = AssertUnwindSafe(|| self.engine.finish(pending, &scores));
                catch_unwind(finish).unwrap_or_else(|_| panicked(Room::Assemble))
            }
        };
        self.end(&work, which, &outcome);
    }

    /// The delivery as a whole is refused.
    pub(super) fn refuse(&self, work: &Arc<Work>, outcome: &Outcome) {
        *work.parts() = self.parts(1);
        self.end(work, Which { part: Part::WHOLE, digest: None }, outcome);
    }

    /// One part has ended; the last one settles the delivery.
    pub(super) fn end(&self, work: &Arc<Work>, which: Which, outcome: &Outcome) {
        let Which { part, digest } = which;
        if let Some(extraction) = outcome.extraction() {
            self.shared.metrics.found(self.pipeline(), extraction);
        }
        let route = |outcome: &Outcome| {
            let cover = self.engine.cover(&work.delivery);
            let cover = cover.as_ref();
            self.router.route(outcome, &Origin { delivery: &work.delivery, cover, part, digest })
        };
        let routed = catch_unwind(AssertUnwindSafe(|| route(outcome)));
        let outgoing = routed.unwrap_or_else(|_| route(&panicked(Room::Route)));
        if let (Some(trail), Some(first)) = (&work.trail, outgoing.first()) {
            let kind = first.kind.map_or("", OutcomeKind::name);
            trail.ended(part.number, kind, first.code);
        }
        let bytes = outgoing.iter().map(Outgoing::size_bytes).sum();
        let whole = work.parts().end(part.number, outgoing, bytes);
        match whole {
            None => {}
            Some(Whole::Fits(all)) => {
                self.guard.settle(&work.ticket, all.into_iter().flatten().collect());
            }
            Some(Whole::TooLarge(bytes)) => {
                let limit = self.engine.flow.pipeline.limits.in_flight_outcome_bytes_max;
                let detail = format!(
                    "the outcomes of its parts have {bytes} bytes together; the limit \
                     `limits.in_flight_outcome_bytes_max` is {limit}"
                );
                let reject = Reject::new(RejectCode::RecordTooLarge, Room::Route, detail);
                self.refuse(work, &Outcome::Reject(reject));
            }
        }
    }
}

/// Tells of a delivery how large each of its pieces is.
fn trace(pipeline: &str, delivery: &Delivery) {
    fn of(bytes: Option<&Sensitive<Vec<u8>>>) -> &[u8] {
        bytes.map_or(&[], |bytes| bytes.as_slice())
    }
    let (key, body) = (of(delivery.key.as_ref()), of(delivery.body.as_ref()));
    let position = &delivery.position;
    tracing::trace!(pipeline, %position, key = %Shown(key), body = %Shown(body), "a delivery");
    for header in &delivery.headers {
        let (name, value) = (Shown(header.name.as_bytes()), Shown(of(header.value.as_ref())));
        tracing::trace!(pipeline, %position, %name, %value, "a header");
    }
}
