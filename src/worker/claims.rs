//! `deliveries that claim -> deliveries whose document is there`, on threads of one flow.
//!
//! A delivery of a few hundred bytes may become a document of many megabytes, so its size is taken
//! from what may be in flight before it is fetched, and given back once it is prepared. A try that
//! fails leaves its thread and comes back later: a store that is away, or a document that is not
//! there yet, keeps no other document waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::engine::panicked;
use super::flow::{Running, Work};
use crate::backoff::Backoff;
use crate::claim::{Got, Trial};
use crate::decode::Claimed;
use crate::error::{Fault, FaultClass};
use crate::ledger::Reservation;
use crate::metrics::{FlowEvent, Stage};
use crate::telemetry;
use crate::types::{Outcome, Outgoing, Room};

/// Time between two looks at whether a delivery that waits for room is still wanted.
const ROOM_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest time between two warnings of one flow: a store that is away fails for all its claims.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// A delivery whose document is to be fetched.
pub(super) struct Claiming {
    work: Arc<Work>,
    claimed: Box<Claimed>,
    trial: Trial,
    /// The pauses before the next tries.
    backoff: Backoff,
}

/// A document that was fetched, and the room that it takes.
pub(super) struct Fetched {
    pub(super) claimed: Claimed,
    pub(super) bytes: Vec<u8>,
    pub(super) held: Reservation<Outgoing>,
}

/// What the claims of a flow share.
#[derive(Default)]
pub(super) struct Warned(Mutex<Option<Instant>>);

impl Warned {
    /// Whether a warning is due; it counts as given.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARN_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

impl Running {
    /// Has the document of `claimed` fetched; never blocks.
    pub(super) fn claim(&self, work: &Arc<Work>, claimed: Box<Claimed>) {
        let work = Arc::clone(work);
        let waiting =
            Claiming { work, claimed, trial: Trial::default(), backoff: Backoff::default() };
        self.claims.push(Instant::now(), waiting);
    }

    /// Fetches documents until the flow closes. Several threads do.
    pub fn fetch_all(&self) {
        while let Some(mut waiting) = self.claims.pop() {
            let since = Instant::now();
            let Some(held) = self.hold(&waiting) else { continue };
            let fetched = catch_unwind(AssertUnwindSafe(|| self.fetch(&mut waiting)));
            self.shared.metrics.took(self.pipeline(), Stage::Claim, since.elapsed());
            if let Ok(Ok(_)) = &fetched {
                self.guard.waits("claims", None);
            }
            match fetched {
                Err(_) => self.refuse(&waiting.work, &panicked(Room::Claim)),
                Ok(Ok(Got::Unwanted)) => {}
                Ok(Ok(Got::Refused(reject))) => {
                    self.refuse(&waiting.work, &Outcome::Reject(reject));
                }
                Ok(Ok(Got::Bytes(bytes))) => {
                    let Claiming { work, claimed, .. } = waiting;
                    work.put(Fetched { claimed: *claimed, bytes, held });
                    self.enqueue(work);
                }
                Ok(Ok(Got::Unsettled)) => self.again(waiting, None),
                Ok(Err(fault)) => self.again(waiting, Some(&fault)),
            }
        }
    }

    /// Takes the room that the document needs; `None` where nobody wants it any more.
    fn hold(&self, waiting: &Claiming) -> Option<Reservation<Outgoing>> {
        let bytes_max = self.engine.flow.pipeline.limits.in_flight_bytes_max;
        let bytes = waiting.claimed.claim.size_bytes;
        while self.is_wanted(&waiting.work) {
            if let Some(held) = self.ledger.reserve(bytes, bytes_max, ROOM_INTERVAL) {
                return Some(held);
            }
        }
        None
    }

    fn is_wanted(&self, work: &Work) -> bool {
        work.ticket.lease.is_alive() && !self.shared.shutdown.is_over()
    }

    fn fetch(&self, waiting: &mut Claiming) -> Result<Got, Fault> {
        let Claiming { work, claimed, trial, .. } = waiting;
        let _inside = telemetry::enter(work.trail.as_ref(), 0);
        let _span = telemetry::span("claim");
        self.engine.fetch(&claimed.claim, trial, &|| self.is_wanted(work))
    }

    /// Puts a try off, or stops the worker where no later one can do better.
    fn again(&self, mut waiting: Claiming, fault: Option<&Fault>) {
        if let Some(fault) = fault {
            if fault.class == FaultClass::Fatal {
                self.stop(fault);
                return;
            }
            let (pipeline, error) = (self.pipeline(), fault.chain());
            self.shared.metrics.happened(pipeline, FlowEvent::Retried);
            self.guard.waits("claims", Some(&error));
            if self.warned.is_due() {
                tracing::warn!(pipeline, error, "claims are tried again");
            }
        }
        let pause = waiting.backoff.pause();
        self.claims.push(Instant::now() + pause, waiting);
    }
}
