//! The pinned jars in `.runtime/servers` -> a running Java server that answers.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::env;
use super::process::Process;

/// Limit: a cold start takes 4 to 6 s on 2 cores; a machine ten times as slow is still served.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// Where `make servers` put `name`.
///
/// # Panics
/// When it is not there.
pub(crate) fn servers(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".runtime/servers").join(name);
    assert!(path.exists(), "{} is missing; run `make servers`", path.display());
    path
}

/// The Java to run, and the options that make a server of a test start quickly and stay small.
pub(crate) fn java() -> (String, [&'static str; 5]) {
    let java = env("JAVA_HOME").map_or_else(|| "java".to_owned(), |home| home + "/bin/java");
    let works = Command::new(&java).arg("-version").output().is_ok_and(|run| run.status.success());
    assert!(
        works,
        "`{java}` does not run; install Java 17 or newer (on Debian: apt-get install openjdk-17-jre-headless)"
    );
    // No profiling data in the system's temporary folder; the quick compiler only; the collector with the fewest threads.
    let options =
        ["-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
    (java, options)
}

/// A port of 127.0.0.1 on which nobody listens.
///
/// It lies below the range that outgoing connections are given (32768 and up), so none of those can take it between this
/// answer and the start of the server.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side start at different places.
    let seed = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(COUNT));
    let seed = seed.expect("a remainder below 12,000");
    let candidates = std::iter::repeat_with(|| {
        FIRST + (seed + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT
    });
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(usize::from(COUNT)).find(free).expect("a free port from 20000 to 31999")
}

/// Waits until `ready` says so.
///
/// # Panics
/// When the server ends before, or is not ready in time; the message ends with its last output.
pub(crate) fn wait_until_ready(server: &mut Process, name: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        if let Some(status) = server.exited() {
            panic!("{name} ended while starting: {status}\n{}", server.tail());
        }
        assert!(
            start.elapsed() < START_TIMEOUT,
            "{name} is not ready after {START_TIMEOUT:?}\n{}",
            server.tail()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
