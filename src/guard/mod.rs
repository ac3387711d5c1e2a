//! `ended deliveries -> a commit, or the flow held where too many are refused`.
//!
//! A flow whose rejects are over its budget is held: nothing more of it is committed, and what was
//! not is worked on again once a person has released it. Deliberately neither pauses a partition
//! nor reads again: the source does, by what the ledger says.

mod budget;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::budget::Budget;
use crate::config::pipeline::RejectBudget;
use crate::ledger::{Commit, InFlight, SharedLedger, Ticket};
use crate::metrics::{Level, Metrics};
use crate::types::{OutcomeKind, Outgoing, RejectCode};

/// The guard of one flow.
pub struct Guard {
    pipeline: String,
    ledger: Arc<SharedLedger<Outgoing>>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

struct State {
    budget: Budget,
    /// Why and since when the flow is held.
    hold: Option<(String, Instant)>,
    /// A person has accepted the rejects, and the budget has not been kept since.
    is_accepting: bool,
    /// What the flow waits for, by who of it waits.
    waiting_for: BTreeMap<&'static str, String>,
}

/// How a flow stands. Holds no word of a document.
#[derive(Clone, Debug)]
pub struct Status {
    /// Name of its pipeline.
    pub pipeline: String,
    /// Why it is held, and for how long.
    pub hold: Option<(String, Duration)>,
    /// Whether rejects over the budget are published, by a person's word.
    pub is_accepting: bool,
    /// What it waits for: dependencies.
    pub waiting_for: Vec<String>,
    /// Deliveries that the budget looks at.
    pub recent_deliveries: usize,
    /// The share of them that was refused.
    pub refused_share: f64,
    /// Refused parts of them, by code.
    pub codes: Vec<(RejectCode, usize)>,
    /// What is consumed and not yet committed.
    pub in_flight: InFlight,
    /// Assigned partitions.
    pub partitions: Vec<i32>,
}

impl Guard {
    /// The guard of the flow of `pipeline` over its ledger.
    pub fn new(
        pipeline: &str,
        spec: RejectBudget,
        ledger: Arc<SharedLedger<Outgoing>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = State {
            budget: Budget::new(spec),
            hold: None,
            is_accepting: false,
            waiting_for: BTreeMap::new(),
        };
        metrics.level(pipeline, Level::Held, 0);
        metrics.level(pipeline, Level::Waiting, 0);
        Self { pipeline: pipeline.to_owned(), ledger, metrics, state: Mutex::new(state) }
    }

    /// Name of the flow's pipeline.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Settles a delivery with the messages of all its parts; false where its lease has died.
    pub fn settle(&self, ticket: &Ticket, outgoing: Vec<Outgoing>) -> bool {
        let kinds: Vec<_> = outgoing.iter().filter_map(ended).collect();
        let bytes = outgoing.iter().map(Outgoing::size_bytes).sum();
        if !self.ledger.lock().settle(ticket, outgoing, bytes) {
            return false;
        }
        for (kind, code) in kinds {
            self.metrics.ended(&self.pipeline, kind.name(), code);
        }
        self.ledger.notify();
        true
    }

    /// Takes what is to be made visible next, at most `deliveries_max` deliveries. `None` where there
    /// is nothing, where the flow is held, and where this is a reject too many: then the flow is held
    /// from now on. Deliveries count in the order in which they are cut, that of their offsets, so
    /// that it does not matter which of them were done first.
    pub fn cut(&self, deliveries_max: usize) -> Option<Commit<Outgoing>> {
        // Order: the ledger before the state, here and in `release`. Under one lock, so that what is
        // judged is what is cut.
        let mut ledger = self.ledger.lock();
        let mut state = self.state();
        if state.hold.is_some() {
            return None;
        }
        let Some(why) = ledger.ready(deliveries_max).find_map(|outgoing| state.count(outgoing))
        else {
            return ledger.cut(deliveries_max);
        };
        state.hold = Some((why.clone(), Instant::now()));
        ledger.hold();
        drop(state);
        drop(ledger);
        self.tell(&why);
        self.ledger.notify();
        None
    }

    fn tell(&self, why: &str) {
        let codes: Vec<_> = self.status().codes;
        let codes: Vec<_> = codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let (pipeline, codes) = (self.pipeline.as_str(), codes.join(", "));
        self.metrics.level(pipeline, Level::Held, 1);
        tracing::error!(
            pipeline,
            why,
            codes,
            "the flow is held: nothing more of it is committed; see `sluice explain FLOW_HELD`, \
             mend what its codes name and release the flow on the admin port (POST \
             /flows/{pipeline}/release) or by a restart; with ?accept=true the rejects are \
             published"
        );
    }

    /// Lets a held flow go on; false where it was not held. What was not committed is worked on
    /// again. With `accepts_rejects` the budget looks away until it is kept again.
    pub fn release(&self, accepts_rejects: bool) -> bool {
        let mut ledger = self.ledger.lock();
        let mut state = self.state();
        if state.hold.take().is_none() {
            return false;
        }
        state.budget.clear();
        state.is_accepting = accepts_rejects;
        ledger.release();
        drop(state);
        drop(ledger);
        self.metrics.level(&self.pipeline, Level::Held, 0);
        tracing::info!(pipeline = self.pipeline, accepts_rejects, "the flow is released");
        self.ledger.notify();
        true
    }

    /// Says what `who` of the flow waits for; `None` once it has it.
    pub fn waits(&self, who: &'static str, what: Option<&str>) {
        let mut state = self.state();
        match what {
            Some(what) => drop(state.waiting_for.insert(who, what.to_owned())),
            None => drop(state.waiting_for.remove(who)),
        }
        let is_waiting = !state.waiting_for.is_empty();
        self.metrics.level(&self.pipeline, Level::Waiting, usize::from(is_waiting));
    }

    /// Whether the flow is held.
    pub fn is_held(&self) -> bool {
        self.state().hold.is_some()
    }

    /// How the flow stands.
    pub fn status(&self) -> Status {
        let (in_flight, partitions) = {
            let ledger = self.ledger.lock();
            (ledger.in_flight(), ledger.partitions())
        };
        let state = self.state();
        Status {
            pipeline: self.pipeline.clone(),
            hold: state.hold.as_ref().map(|(why, since)| (why.clone(), since.elapsed())),
            is_accepting: state.is_accepting,
            waiting_for: state.waiting_for.values().cloned().collect(),
            recent_deliveries: state.budget.len(),
            refused_share: state.budget.share(),
            codes: state.budget.codes().into_iter().collect(),
            in_flight,
            partitions,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a part has ended, and its code; `None` for what is no outcome of a part.
fn ended(outgoing: &Outgoing) -> Option<(OutcomeKind, &'static str)> {
    outgoing.kind.zip(Some(outgoing.code))
}

impl State {
    /// Counts the delivery that ended so; says why, where that is a reject too many.
    fn count(&mut self, outgoing: &[Outgoing]) -> Option<String> {
        let parts_count = outgoing.iter().filter_map(ended).count();
        let refused = outgoing.iter().filter_map(ended);
        let refused = refused.filter(|(kind, _)| *kind == OutcomeKind::Reject);
        let codes = refused.filter_map(|(_, code)| RejectCode::from_name(code)).collect();
        self.budget.count(parts_count, codes);
        if self.is_accepting {
            self.is_accepting = !self.budget.is_kept();
            return None;
        }
        self.budget.over()
    }
}

/// The guards of all flows of the process, for those who watch them.
#[derive(Default)]
pub struct Board {
    guards: Mutex<Vec<Arc<Guard>>>,
}

impl Board {
    /// Adds the guard of one more flow.
    pub fn add(&self, guard: Arc<Guard>) {
        self.lock().push(guard);
    }

    /// All guards, in the order of their flows.
    pub fn all(&self) -> Vec<Arc<Guard>> {
        self.lock().clone()
    }

    /// The guard of the flow of that pipeline.
    pub fn find(&self, pipeline: &str) -> Option<Arc<Guard>> {
        self.lock().iter().find(|guard| guard.pipeline == pipeline).cloned()
    }

    /// Pipelines whose flows are held.
    pub fn held(&self) -> Vec<String> {
        let held = self.all().into_iter().filter(|guard| guard.is_held());
        held.map(|guard| guard.pipeline.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Guard>>> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a held flow is called.
pub const CODE: &str = "FLOW_HELD";

/// The page of `sluice explain FLOW_HELD`.
pub const PAGE: &str = "\
A flow is held: too many of its recent documents were refused, or so many in a row for what is \
rarely a document's own fault. Nothing more of it is committed; partitions are paused, the other \
flows of the process go on. What was not committed is worked on again after the release, so that \
an outage that has ended rejects nothing of it.
Likely cause: a new version of a sender, a registry with other schemas, a model or a release that \
does not fit, a machine without memory.
What to do: the log line names the codes, `sluice explain CODE` what each means. Mend the cause and \
release the flow: POST /flows/NAME/release on the admin port, or restart the worker. Where the \
documents are bad indeed, release with ?accept=true: rejects are then published until the share is \
within the budget again. `delivery.reject_budget` in pipeline.yaml says what is too many.";

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use super::{Guard, PAGE};
    use crate::config::pipeline::RejectBudget;
    use crate::ledger::SharedLedger;
    use crate::metrics::Metrics;
    use crate::types::{OutcomeKind, Outgoing, RejectCode};

    fn outgoing(kind: OutcomeKind, code: &'static str) -> Vec<Outgoing> {
        let topic = String::new();
        vec![Outgoing {
            topic,
            key: None,
            headers: Vec::new(),
            payload: None,
            kind: Some(kind),
            code,
        }]
    }

    /// A guard that takes two rejects for too many, and its ledger with a lease.
    fn guard() -> (Guard, Arc<SharedLedger<Outgoing>>) {
        let ledger: Arc<SharedLedger<Outgoing>> = Arc::default();
        ledger.lock().assign(0);
        let spec = RejectBudget { share_max: 0.5, window_deliveries: 10, rejects_min: 2 };
        let metrics = Arc::new(Metrics::new(None).unwrap());
        (Guard::new("p", spec, Arc::clone(&ledger), metrics), ledger)
    }

    fn end(guard: &Guard, ledger: &SharedLedger<Outgoing>, offset: i64, kind: OutcomeKind) -> bool {
        let opened = ledger.lock().open(0, offset, 1).unwrap();
        let code = if kind == OutcomeKind::Reject { RejectCode::PdfNoText.name() } else { "" };
        guard.settle(&opened.ticket, outgoing(kind, code))
    }

    #[test]
    fn the_reject_that_is_too_many_is_not_cut_and_comes_again_after_the_release() {
        let (guard, ledger) = guard();
        assert!(end(&guard, &ledger, 0, OutcomeKind::Reject));
        let commit = guard.cut(10).unwrap();
        ledger.lock().committed(&commit);
        assert!(end(&guard, &ledger, 1, OutcomeKind::Reject));
        assert!(guard.cut(10).is_none() && guard.is_held() && guard.cut(10).is_none());
        assert!(guard.status().hold.unwrap().0.contains("100 %"));
        let again = ledger.lock().restart().unwrap();
        assert_eq!(again.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [1]);
        assert!(guard.release(false));
        assert!(!guard.is_held() && !guard.release(false));
        assert!(end(&guard, &ledger, 1, OutcomeKind::Record));
        assert_eq!(guard.cut(10).unwrap().groups[0].next_offset, 2);
    }

    #[test]
    fn accepted_rejects_are_cut_until_the_budget_is_kept_again() {
        let (guard, ledger) = guard();
        let end_all = |offsets: Range<i64>, kind| {
            for offset in offsets {
                assert!(end(&guard, &ledger, offset, kind));
            }
        };
        let next_offset = || {
            let commit = guard.cut(100)?;
            ledger.lock().committed(&commit);
            Some(commit.groups[0].next_offset)
        };
        end_all(0..2, OutcomeKind::Reject);
        assert!(next_offset().is_none() && guard.is_held() && ledger.lock().restart().is_some());
        assert!(guard.release(true));
        end_all(0..6, OutcomeKind::Reject);
        assert_eq!(next_offset(), Some(6));
        assert!(guard.status().is_accepting);
        end_all(6..12, OutcomeKind::Record);
        assert_eq!(next_offset(), Some(12));
        assert!(!guard.status().is_accepting);
        end_all(12..20, OutcomeKind::Reject);
        assert!(next_offset().is_none() && guard.is_held());
    }

    #[test]
    fn deliveries_count_in_the_order_of_their_offsets() {
        let (guard, ledger) = guard();
        let open = |offset| ledger.lock().open(0, offset, 1).unwrap().ticket;
        let tickets: Vec<_> = (0..8).map(open).collect();
        let settle = |index: usize, kind, code| {
            assert!(guard.settle(&tickets[index], outgoing(kind, code)));
        };
        // What is refused is done first: the model reads the others.
        for index in 4..8 {
            settle(index, OutcomeKind::Reject, RejectCode::PdfNoText.name());
        }
        assert!(guard.cut(100).is_none() && !guard.is_held());
        for index in 0..4 {
            settle(index, OutcomeKind::Record, "");
        }
        assert_eq!(guard.cut(100).unwrap().groups[0].next_offset, 8, "half is not above half");
    }

    #[test]
    fn its_page_has_its_three_parts() {
        assert!(PAGE.contains("Likely cause: ") && PAGE.contains("What to do: "));
    }
}
