//! The spans of the deliveries in flight, until a commit ends them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ledger::{Commit, Lease, Partition, Ticket};
use crate::telemetry::Trail;
use crate::types::Outgoing;

/// Trails by partition and offset. Deliveries without one leave no mark.
#[derive(Default)]
pub(super) struct Trails(Mutex<BTreeMap<(Partition, i64), (Lease, Trail)>>);

impl Trails {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Partition, i64), (Lease, Trail)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the trail of an open delivery.
    pub(super) fn keep(&self, ticket: &Ticket, trail: Trail) {
        let at = (ticket.lease.partition(), ticket.offset);
        self.lock().insert(at, (ticket.lease.clone(), trail));
    }

    /// Ends the trails of what `commit` has made visible in the time that it `took`, and forgets those whose lease has died.
    pub(super) fn committed(&self, commit: &Commit<Outgoing>, took: Duration) {
        let mut trails = self.lock();
        for group in &commit.groups {
            let partition = group.lease.partition();
            let done = (partition, i64::MIN)..(partition, group.next_offset);
            for (_, (lease, trail)) in trails.extract_if(done, |_, _| true) {
                if lease.is_alive() {
                    trail.committed(took);
                }
            }
        }
        trails.retain(|_, (lease, _)| lease.is_alive());
    }
}
