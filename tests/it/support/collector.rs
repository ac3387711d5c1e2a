//! A running OpenTelemetry Collector that writes what it is sent to a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::reaper::Reaper;
use super::{jvm, unique, wait_for};

const START: Duration = Duration::from_mins(1);

/// The collector. Dropping it kills it.
pub(crate) struct Collector {
    process: Process,
    file: PathBuf,
    /// Address for OTLP over HTTP.
    pub(crate) http: String,
    /// Address for OTLP over gRPC.
    pub(crate) grpc: String,
}

impl Collector {
    /// Starts one on free ports; returns once it takes connections.
    ///
    /// # Panics
    /// When it is not built, or does not start.
    pub(crate) fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/collector");
        assert!(program.exists(), "run `make collector`: {} is missing", program.display());
        let folder = Reaper::shared().folder().join(unique("collector"));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("told.jsonl");
        let [http, grpc] = [jvm::free_port(), jvm::free_port()];
        let config = format!(
            "receivers:\n  otlp:\n    protocols:\n      http:\n        endpoint: 127.0.0.1:{http}\n      grpc:\n        \
             endpoint: 127.0.0.1:{grpc}\nexporters:\n  file:\n    path: {}\n    flush_interval: 100ms\nservice:\n  pipelines:\n    \
             traces: &all\n      receivers: [otlp]\n      exporters: [file]\n    metrics: *all\n    logs: *all\n",
            file.display()
        );
        let path = folder.join("collector.yaml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(format!("file:{}", path.display()));
        let mut process = Process::spawn("collector", command);
        wait_for("the collector", START, || {
            assert!(process.exited().is_none(), "{}", process.tail());
            let is_open = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            (is_open(http) && is_open(grpc)).then_some(())
        });
        let address = |port| format!("http://127.0.0.1:{port}");
        Self { process, file, http: address(http), grpc: address(grpc) }
    }

    /// All that it was sent so far, as it wrote it.
    pub(crate) fn told(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// The exports among it that have `key`: `resourceSpans`, `resourceMetrics` or `resourceLogs`.
    fn exports(&self, key: &str) -> Vec<Value> {
        let told = self.told();
        // The last line may be half written.
        let lines = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.flat_map(|line| line[key].as_array().cloned().unwrap_or_default()).collect()
    }

    /// The items of a signal, over all exports.
    fn items(&self, [resource, scope, items]: [&str; 3]) -> Vec<Value> {
        let list = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
        let scopes = self.exports(resource).into_iter().flat_map(move |it| list(&it, scope));
        scopes.flat_map(|it| list(&it, items)).collect()
    }

    /// Spans.
    pub(crate) fn spans(&self) -> Vec<Value> {
        self.items(["resourceSpans", "scopeSpans", "spans"])
    }

    /// Metrics, once an export.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        self.items(["resourceMetrics", "scopeMetrics", "metrics"])
    }

    /// Log records.
    pub(crate) fn logs(&self) -> Vec<Value> {
        self.items(["resourceLogs", "scopeLogs", "logRecords"])
    }

    /// Attributes of the resource of the first export of spans.
    pub(crate) fn resource(&self) -> Value {
        self.exports("resourceSpans").first().map(|it| it["resource"].clone()).unwrap_or_default()
    }

    /// Its last output.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }
}
