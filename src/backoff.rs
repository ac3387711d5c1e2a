//! `tries -> growing pauses`: the one way in which a call that failed is made again.
//!
//! A pause doubles from [`PAUSE_MIN`] to [`PAUSE_MAX`], and of each a random half is left out, so
//! that workers that lost the same server do not all come back to it at once. Deliberately counts
//! no tries: what may pass is tried until it does, or until nobody wants it any more.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::error::{Fault, FaultClass};
use crate::shutdown::Shutdown;

/// Longest pause after the first failure.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause of all: that long after a dependency is back at the latest, work goes on.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pauses between the tries of one call.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSE_MIN }
    }
}

impl Backoff {
    /// How long to wait before the next try: between half of the present pause and all of it.
    pub fn pause(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(PAUSE_MAX);
        // The standard library seeds each of these anew; no more is needed of chance here.
        let chance = RandomState::new().hash_one(()) % 1024;
        let left_out = longest / 2 * u32::try_from(chance).unwrap_or_default() / 1024;
        longest.saturating_sub(left_out)
    }
}

/// Calls `call` until it answers, with growing pauses while its fault may pass
/// ([`FaultClass::Retry`]); another fault is given back. `is_wanted` is asked after each failure
/// and hears of it: `None` where it says no, and where the time of a drain is over.
pub fn persist<A>(
    shutdown: &Shutdown,
    mut is_wanted: impl FnMut(&Fault) -> bool,
    mut call: impl FnMut() -> Result<A, Fault>,
) -> Result<Option<A>, Fault> {
    let mut backoff = Backoff::default();
    loop {
        let fault = match call() {
            Ok(answer) => return Ok(Some(answer)),
            Err(fault) if fault.class != FaultClass::Retry => return Err(fault),
            Err(fault) => fault,
        };
        if !is_wanted(&fault) || shutdown.is_over() {
            return Ok(None);
        }
        shutdown.rest(backoff.pause());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, PAUSE_MAX, PAUSE_MIN, persist};
    use crate::error::{Fault, FaultClass};
    use crate::shutdown::{Shutdown, Stop};

    #[test]
    fn pauses_double_to_a_limit_and_lose_at_most_half_to_chance() {
        let mut backoff = Backoff::default();
        let mut longest = PAUSE_MIN;
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!((longest / 2..=longest).contains(&pause), "{pause:?} of {longest:?}");
            longest = (longest * 2).min(PAUSE_MAX);
        }
        assert_eq!(longest, PAUSE_MAX);
    }

    #[test]
    fn two_workers_do_not_keep_step() {
        let pauses = || {
            let mut backoff = Backoff::default();
            (0..20).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        assert_ne!(pauses(), pauses());
    }

    #[test]
    fn a_call_is_made_again_until_it_answers() {
        let (shutdown, mut tries, mut told) = (Shutdown::new(Duration::ZERO), 0, 0);
        let answer = persist(
            &shutdown,
            |_| {
                told += 1;
                true
            },
            || {
                tries += 1;
                let fault = || Fault::plain(FaultClass::Retry, "a test");
                if tries < 3 { Err(fault()) } else { Ok(tries) }
            },
        );
        assert_eq!((answer.unwrap(), told), (Some(3), 2));
    }

    #[test]
    fn what_cannot_pass_and_what_nobody_wants_is_not_tried_again() {
        let shutdown = Shutdown::new(Duration::ZERO);
        let fail = |class| move || -> Result<(), Fault> { Err(Fault::plain(class, "a test")) };
        let fault = persist(&shutdown, |_| true, fail(FaultClass::Fatal)).unwrap_err();
        assert_eq!(fault.class, FaultClass::Fatal);
        assert!(persist(&shutdown, |_| false, fail(FaultClass::Retry)).unwrap().is_none());
        shutdown.stop(Stop::Drain);
        assert!(persist(&shutdown, |_| true, fail(FaultClass::Retry)).unwrap().is_none());
    }
}
