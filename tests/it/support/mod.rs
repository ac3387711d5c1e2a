//! What the integration tests share: real servers, child processes, and the checker of deliveries.
//!
//! The servers are shared by all tests of a process: run them with `cargo test`, since a runner that starts a process for
//! each test would start a broker for each.
//!
//! Nothing in here skips. A server that cannot be started fails the test, and the message names the remedy.

pub(crate) mod broker;
pub(crate) mod checker;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod dice;
pub(crate) mod flow;
pub(crate) mod gate;
pub(crate) mod jvm;
pub(crate) mod kafka;
pub(crate) mod keys;
pub(crate) mod memory;
pub(crate) mod process;
#[cfg(feature = "failpoints")]
pub(crate) mod proxy;
pub(crate) mod reaper;
pub(crate) mod registry;
pub(crate) mod s3;
pub(crate) mod slope;
pub(crate) mod tls;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An environment variable, where it is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where servers and data are"
)]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `stem` made unique on this machine, so that tests share servers, the user's own too, without seeing each other.
#[expect(
    clippy::disallowed_methods,
    reason = "names are unique on the machine, also after a restart"
)]
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = epoch.expect("the clock is past 1970").as_secs();
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{seconds:x}-{}-{count}", std::process::id())
}

/// Asks again until there is an answer.
///
/// # Panics
/// When there is none after `timeout`; the message names `what`.
pub(crate) fn wait_for<T>(
    what: &str,
    timeout: Duration,
    mut answer: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = answer() {
            return found;
        }
        assert!(start.elapsed() < timeout, "no {what} within {timeout:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
