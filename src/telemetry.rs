//! `tracing` to stderr, as JSON lines or as text; and a panic hook that prints the place only.
//!
//! Document text cannot reach a log: it travels as [`crate::types::Sensitive`], which has no
//! formatter, and a panic's message, which may quote a slice, is never printed.

use std::panic;
use std::sync::Once;

use crate::config::settings::LogFormat;
use crate::types::is_guard_lifted;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts logging at `level` (`error`, `warn`, `info`, `debug`, `trace`, or directives of
/// `tracing-subscriber`); a second start changes nothing.
pub fn start(format: LogFormat, level: &str) {
    static START: Once = Once::new();
    START.call_once(|| {
        let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
        // A line that cannot be written, to a full disk say, is lost: to tell of it on the same stderr
        // would panic.
        let builder =
            fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
        match format {
            LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).init(),
            LogFormat::Text => builder.with_target(false).init(),
        }
        panic::set_hook(Box::new(|info| {
            let place = info.location().map_or_else(
                || "an unknown place".to_owned(),
                |at| format!("{}:{}:{}", at.file(), at.line(), at.column()),
            );
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            // A message may quote a slice of text: only the test of this guard is told it.
            if is_guard_lifted() {
                let message = info.payload_as_str().unwrap_or_default();
                tracing::error!(message, "panicked");
            }
            tracing::error!(place, thread, "panicked: a bug in sluice, please report the place");
        }));
    });
}
