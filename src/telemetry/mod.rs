//! `events -> stderr, and where a collector is named, OTLP`: log lines, the spans of deliveries, and a
//! panic hook that prints the place only.
//!
//! Document text cannot reach telemetry: it travels as [`crate::types::Sensitive`], which has no
//! formatter, and a panic's message, which may quote a slice, is never printed.

mod export;
mod trail;

use std::panic;
use std::sync::Once;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use export::{Export, MetricReader};
pub use trail::{Mark, Span, Trail, batch, enter, span};

use crate::config::settings::{LogFormat, Logs};
use crate::types::is_guard_lifted;

/// Starts logging at the level of `logs` (`error`, `warn`, `info`, `debug`, `trace`, or directives of
/// `tracing-subscriber`), to stderr and to `export` where that takes logs; a second start changes
/// nothing.
pub fn start(logs: &Logs, export: Option<&Export>) {
    static START: Once = Once::new();
    START.call_once(|| {
        let filter = EnvFilter::try_new(&logs.log).unwrap_or_else(|_| EnvFilter::new("info"));
        let sent = export.and_then(Export::log_layer);
        tracing_subscriber::registry().with(filter).with(stderr(logs.log_format)).with(sent).init();
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

fn stderr<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // A line that cannot be written, to a full disk say, is lost: to tell of it on the same stderr
    // would panic.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    }
}
