//! SIGTERM or SIGINT -> drain, within a deadline; a fault in one flow stops all.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

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
    deadline: Duration,
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
            state.stop = Some((stop, Instant::now()));
        }
        self.shared.1.notify_all();
    }

    /// Why the worker stops, if it does.
    pub fn stopped(&self) -> Option<Stop> {
        self.lock().stop.as_ref().map(|(stop, _)| stop.clone())
    }

    /// Whether work should end now: a fault, or the deadline of a drain is over.
    pub fn is_over(&self) -> bool {
        let state = self.lock();
        match &state.stop {
            None => false,
            Some((Stop::Fault(_), _)) => true,
            Some((Stop::Drain, since)) => since.elapsed() >= state.deadline,
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

/// Waits for SIGTERM or SIGINT and then drains.
pub async fn on_signal(shutdown: Shutdown) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    shutdown.stop(Stop::Drain);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Shutdown, Stop};

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
    fn a_drain_without_time_is_over_at_once() {
        let shutdown = Shutdown::new(Duration::ZERO);
        shutdown.stop(Stop::Drain);
        assert!(shutdown.is_over());
    }
}
