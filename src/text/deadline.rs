//! `patience, waits for a core -> time left`: the deadlines of one exchange with a text child.
//!
//! Time in which the child waited for a core does not count: where others keep the machine busy, or
//! a container has used up its share, good documents would be refused for it. A child that works,
//! sleeps or hangs does not wait, so its time ends. Deliberately asks for the waits only where a
//! deadline is over by the clock.

use std::fs;
use std::time::{Duration, Instant};

/// Longest time for one step and for all of them, waits for a core left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From one reply to the next.
    pub(super) progress: Duration,
    /// From the request to the last reply.
    pub(super) total: Duration,
}

/// The deadlines of one exchange.
pub(super) struct Deadlines {
    progress: Duration,
    next: Instant,
    last: Instant,
    pid: u32,
    waits: fn(u32) -> Duration,
    /// Waits that are in the deadlines already, or were before the exchange.
    seen: Duration,
}

impl Deadlines {
    /// Those of an exchange with the process `pid` that begins now.
    pub(super) fn new(pid: u32, patience: Patience) -> Self {
        Self::with(pid, patience, waited)
    }

    fn with(pid: u32, Patience { progress, total }: Patience, waits: fn(u32) -> Duration) -> Self {
        let now = Instant::now();
        let (next, last) = (now + progress.min(total), now + total);
        Self { progress, next, last, pid, waits, seen: waits(pid) }
    }

    /// A step was made.
    pub(super) fn progressed(&mut self) {
        self.next = Instant::now() + self.progress;
    }

    /// Time left for the step at hand; `None` where it is over.
    pub(super) fn left(&mut self) -> Option<Duration> {
        if self.by_the_clock().is_zero() {
            let waited = (self.waits)(self.pid);
            let more = waited.saturating_sub(self.seen);
            self.seen = waited;
            self.next += more;
            self.last += more;
        }
        Some(self.by_the_clock()).filter(|left| !left.is_zero())
    }

    fn by_the_clock(&self) -> Duration {
        self.next.min(self.last).saturating_duration_since(Instant::now())
    }
}

/// How long the threads of the process `pid` have been ready to run without a core to run on, by the
/// second number of `/proc/PID/task/TID/schedstat`, in nanoseconds (Linux,
/// `Documentation/scheduler/sched-stats.rst`); nothing where the kernel does not tell.
fn waited(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let of_thread = |path: std::path::PathBuf| {
        let numbers = fs::read_to_string(path.join("schedstat")).ok()?;
        numbers.split_whitespace().nth(1)?.parse().ok()
    };
    threads
        .filter_map(|thread| of_thread(thread.ok()?.path()))
        .map(Duration::from_nanos)
        .fold(Duration::ZERO, Duration::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Deadlines, Patience, waited};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(5);

    #[test]
    fn a_step_and_the_whole_have_an_end() {
        for (progress, total) in [(SHORT, LONG), (LONG, SHORT)] {
            let mut deadlines = Deadlines::with(0, Patience { progress, total }, |_| LONG);
            thread::sleep(SHORT);
            assert_eq!(deadlines.left(), None, "waits of before do not count");
        }
        let patience = Patience { progress: LONG, total: LONG };
        let mut deadlines = Deadlines::with(0, patience, |_| LONG);
        deadlines.next = Instant::now();
        assert_eq!(deadlines.left(), None);
        deadlines.progressed();
        assert!(deadlines.left().is_some());
        deadlines.last = Instant::now();
        deadlines.progressed();
        assert_eq!(deadlines.left(), None);
    }

    #[test]
    fn waits_for_a_core_put_the_end_off_once() {
        static WAITED: AtomicU64 = AtomicU64::new(0);
        let waits = |_| Duration::from_secs(WAITED.load(Ordering::Relaxed));
        let mut deadlines = Deadlines::with(0, Patience { progress: SHORT, total: SHORT }, waits);
        WAITED.store(100, Ordering::Relaxed);
        thread::sleep(SHORT);
        let left = deadlines.left().unwrap();
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(100), "{left:?}");
        deadlines.next = Instant::now();
        assert_eq!(deadlines.left(), None, "the same wait again");
    }

    /// A busy process, all of which share one core.
    fn busy() -> Child {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", "sh", "-c", "while :; do :; done"]).stdin(Stdio::null());
        command.spawn().unwrap()
    }

    #[test]
    fn a_process_that_shares_a_core_waits_for_it() {
        let mut both = [busy(), busy()];
        let begun = Instant::now();
        while waited(both[0].id()) < Duration::from_millis(30) {
            assert!(begun.elapsed() < LONG, "it never waits");
            thread::sleep(SHORT);
        }
        for one in &mut both {
            one.kill().unwrap();
            one.wait().unwrap();
        }
        assert_eq!(waited(u32::MAX), Duration::ZERO, "no such process");
    }
}
