//! `beats and looks -> hangs or not`: tells a thread that is stuck in a call from one that waits.
//!
//! Counts looks and reads no clock: a process that was stopped for an hour is no thread that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The beats of one thread. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Says that the thread goes on.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at a pulse at equal intervals.
#[derive(Debug)]
pub struct Monitor {
    pulse: Pulse,
    seen_count: u64,
    still_time: Duration,
    still_max: Duration,
}

impl Monitor {
    /// One that lets `pulse` be still for `still_max`.
    pub const fn new(pulse: Pulse, still_max: Duration) -> Self {
        Self { pulse, seen_count: 0, still_time: Duration::ZERO, still_max }
    }

    /// Looks, `interval` after the last look; gives how long the pulse has been still where that
    /// is too long.
    pub fn look(&mut self, interval: Duration) -> Option<Duration> {
        let count = self.pulse.0.load(Ordering::Relaxed);
        if count == self.seen_count {
            self.still_time += interval;
        } else {
            (self.seen_count, self.still_time) = (count, Duration::ZERO);
        }
        (self.still_time >= self.still_max).then_some(self.still_time)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Monitor, Pulse};

    #[test]
    fn what_beats_between_looks_lives_and_what_does_not_hangs() {
        let second = Duration::from_secs(1);
        let pulse = Pulse::default();
        let mut monitor = Monitor::new(pulse.clone(), 3 * second);
        for _ in 0..5 {
            pulse.beat();
            assert_eq!(monitor.look(second), None);
            assert_eq!(monitor.look(second), None);
        }
        pulse.clone().beat();
        let looks: Vec<_> = (0..5).map(|_| monitor.look(second)).collect();
        assert_eq!(looks, [None, None, None, Some(3 * second), Some(4 * second)]);
        pulse.beat();
        assert_eq!(monitor.look(second), None);
    }
}
