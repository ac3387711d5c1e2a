//! SIGTERM or SIGINT -> drain, within a deadline; a fault in one flow stops all.
//!
//! The deadline is the one by which the process is gone: its last part is kept for leaving, so
//! work ends before it. Deliberately ends nothing itself; threads ask, and the worker joins them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Fault, FaultClass};

/// Longest time for leaving once work has ended: groups are left, connections closed.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// Why the worker stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Asked to: finish what is in work, commit, leave.
    Drain,
    /// A flow cannot go on; the text is the whole chain of causes.
    Fault(String),
}

#[derive(Default)]
struct State {
    stop: Option<(Stop, Instant)>,
    /// When the process should be gone; a fault in a drain puts it off no further.
    exit_by: Option<Instant>,
    deadline: Duration,
}

impl State {
    /// Of the time of a drain, what is kept for leaving: a fifth.
    fn leave_time(&self) -> Duration {
        (self.deadline / 5).min(LEAVE_MAX)
    }

    fn left(&self) -> Option<Duration> {
        let (stop, since) = self.stop.as_ref()?;
        let work_time = match stop {
            Stop::Drain => self.deadline.saturating_sub(self.leave_time()),
            Stop::Fault(_) => Duration::ZERO,
        };
        Some(work_time.saturating_sub(since.elapsed()))
    }
}

/// The one switch that stops the worker. Cheap to clone; the first stop wins, but a fault takes
/// the place of a drain.
#[derive(Clone, Default)]
pub struct Shutdown {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Shutdown {
    /// A switch whose drains may last `deadline`.
    pub fn new(deadline: Duration) -> Self {
        let shutdown = Self::default();
        shutdown.lock().deadline = deadline;
        shutdown
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the worker.
    pub fn stop(&self, stop: Stop) {
        let mut state = self.lock();
        let is_worse = matches!(stop, Stop::Fault(_));
        let is_drained = matches!(state.stop, None | Some((Stop::Drain, _)));
        if state.stop.is_none() || (is_worse && is_drained) {
            let now = Instant::now();
            let exit_by = now + if is_worse { state.leave_time() } else { state.deadline };
            state.exit_by = Some(state.exit_by.map_or(exit_by, |before| before.min(exit_by)));
            state.stop = Some((stop, now));
        }
        self.shared.1.notify_all();
    }

    /// Why the worker stops, if it does.
    pub fn stopped(&self) -> Option<Stop> {
        self.lock().stop.as_ref().map(|(stop, _)| stop.clone())
    }

    /// Whether work should end now: a fault, or the time of a drain is over but for leaving.
    pub fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// Time that is left for work; `None` while the worker does not stop.
    pub fn left(&self) -> Option<Duration> {
        self.lock().left()
    }

    /// Time until the process should be gone; `None` while the worker does not stop.
    pub fn until_exit(&self) -> Option<Duration> {
        Some(self.lock().exit_by?.saturating_duration_since(Instant::now()))
    }

    /// Sleeps for `time`, but not past the end of work.
    pub fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let left = state.left().unwrap_or(Duration::MAX);
            let pause = end.saturating_duration_since(Instant::now()).min(left);
            if pause.is_zero() {
                return;
            }
            let waited = self.shared.1.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits at most `time` for a stop; true where there is one.
    pub fn wait(&self, time: Duration) -> bool {
        let guard = self.lock();
        let waited = self.shared.1.wait_timeout_while(guard, time, |state| state.stop.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stop.is_some()
    }
}

/// From now on SIGTERM and SIGINT drain, where before they would have ended the process. To be called
/// before the first long work of a start, which they may meet.
pub fn on_signals(shutdown: Shutdown) -> Result<(), Fault> {
    let fault = |error| Fault::new(FaultClass::Fatal, "taking SIGTERM and SIGINT", error);
    let runtime = runtime::Builder::new_current_thread().enable_io().build().map_err(fault)?;
    let context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    drop(context);
    // Not joined: it ends with the process.
    drop(thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        tracing::info!("draining");
        shutdown.stop(Stop::Drain);
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{LEAVE_MAX, Shutdown, Stop};

    #[test]
    fn a_fault_takes_the_place_of_a_drain_but_not_of_a_fault() {
        let shutdown = Shutdown::new(Duration::from_mins(1));
        assert!(!shutdown.wait(Duration::ZERO));
        shutdown.stop(Stop::Drain);
        assert!(!shutdown.is_over());
        shutdown.stop(Stop::Fault("first".to_owned()));
        shutdown.stop(Stop::Fault("second".to_owned()));
        assert_eq!(shutdown.stopped(), Some(Stop::Fault("first".to_owned())));
        assert!(shutdown.is_over());
    }

    #[test]
    fn the_last_part_of_a_drain_is_kept_for_leaving() {
        for (deadline_s, leave_s) in [(10, 2), (25, 5), (3_600, 5)] {
            let shutdown = Shutdown::new(Duration::from_secs(deadline_s));
            assert_eq!((shutdown.left(), shutdown.until_exit()), (None, None));
            shutdown.stop(Stop::Drain);
            let (left, exit) = (shutdown.left().unwrap(), shutdown.until_exit().unwrap());
            let kept = exit.saturating_sub(left).as_secs_f64();
            assert!((kept - f64::from(leave_s)).abs() < 0.5, "{kept} s of {deadline_s} s");
            shutdown.stop(Stop::Fault(String::new()));
            assert_eq!(shutdown.left(), Some(Duration::ZERO));
            assert!(shutdown.until_exit().unwrap() <= LEAVE_MAX);
        }
    }

    #[test]
    fn a_fault_in_a_drain_does_not_put_the_exit_off() {
        let shutdown = Shutdown::new(Duration::from_millis(10));
        shutdown.stop(Stop::Drain);
        std::thread::sleep(Duration::from_millis(20));
        shutdown.stop(Stop::Fault(String::new()));
        assert_eq!(shutdown.until_exit(), Some(Duration::ZERO));
    }

    #[test]
    fn a_rest_ends_with_a_fault_and_with_the_time_of_a_drain() {
        for stop in [Stop::Drain, Stop::Fault(String::new())] {
            let shutdown = Shutdown::new(Duration::from_millis(50));
            let begun = Instant::now();
            let stopping = shutdown.clone();
            let thread = std::thread::spawn(move || stopping.stop(stop));
            shutdown.rest(Duration::from_mins(1));
            thread.join().unwrap();
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
    }

    #[test]
    fn a_drain_without_time_is_over_at_once() {
        let shutdown = Shutdown::new(Duration::ZERO);
        shutdown.stop(Stop::Drain);
        assert!(shutdown.is_over());
    }
}
