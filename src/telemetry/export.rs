//! `settings -> exporters over OTLP`, each with a thread of its own that sends in batches.
//!
//! A collector that is away costs telemetry and nothing else: queues are bounded, what does not fit is
//! dropped and counted in a warning, and no delivery waits.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::metrics::reader::MetricReader as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Runtime;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::trail;
use crate::config::settings::{Otlp, OtlpProtocol, Signal};
use crate::error::{Fault, FaultClass};
use crate::http;

/// What collects metrics and sends them.
pub type MetricReader = PeriodicReader<MetricExporter>;

const HTTP: Protocol = Protocol::HttpBinary;
const GRPC: Protocol = Protocol::Grpc;

/// An exporter of that type, whose builders share their methods but no trait, for `signal` to a [`Target`].
macro_rules! exporter {
    ($exporter:ident, $signal:literal, $to:expr) => {{
        let (builder, address) = ($exporter::builder(), $to.address($signal));
        match $to.protocol {
            OtlpProtocol::HttpProtobuf => {
                builder.with_http().with_protocol(HTTP).with_endpoint(address).build()
            }
            OtlpProtocol::Grpc => {
                builder.with_tonic().with_protocol(GRPC).with_endpoint(address).build()
            }
        }
    }};
}

/// The exporters of a process.
pub struct Export {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    metrics: Option<MetricReader>,
    resource: Resource,
    /// What gRPC runs on; none over HTTP.
    _runtime: Option<Runtime>,
}

impl Export {
    /// Exporters as `otlp` says, `None` where it names no collector. Fatal where the address is none;
    /// that nobody listens there is told by a warning later.
    pub fn start(otlp: &Otlp, instance: Option<&str>) -> Result<Option<Self>, Fault> {
        let Some(endpoint) = otlp.otlp_endpoint.as_deref().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        http::provide_tls();
        let fault =
            |error| Fault::new(FaultClass::Fatal, format!("--otlp-endpoint `{endpoint}`"), error);
        let runtime = match otlp.otlp_protocol {
            OtlpProtocol::HttpProtobuf => None,
            OtlpProtocol::Grpc => Some(runtime()?),
        };
        let inside = runtime.as_ref().map(Runtime::enter);
        let resource = resource(&otlp.otlp_service, instance);
        let wants = |signal| otlp.otlp_signals.contains(&signal);
        let to = Target { endpoint, protocol: otlp.otlp_protocol };
        let traces = wants(Signal::Traces)
            .then(|| exporter!(SpanExporter, "traces", to))
            .transpose()
            .map_err(fault)?;
        let logs = wants(Signal::Logs)
            .then(|| exporter!(LogExporter, "logs", to))
            .transpose()
            .map_err(fault)?;
        let metrics = wants(Signal::Metrics)
            .then(|| exporter!(MetricExporter, "metrics", to))
            .transpose()
            .map_err(fault)?;
        let traces = traces.map(|exporter| {
            let builder = SdkTracerProvider::builder().with_resource(resource.clone());
            builder.with_batch_exporter(exporter).build()
        });
        if let Some(traces) = &traces {
            trail::send_to(traces.tracer("sluice"));
        }
        let logs = logs.map(|exporter| {
            let builder = SdkLoggerProvider::builder().with_resource(resource.clone());
            builder.with_batch_exporter(exporter).build()
        });
        let metrics = metrics.map(|exporter| PeriodicReader::builder(exporter).build());
        drop(inside);
        Ok(Some(Self { traces, logs, metrics, resource, _runtime: runtime }))
    }

    /// Log events of this crate as log records; the exporters' own stay out, or each would make
    /// another.
    pub(super) fn log_layer<S>(&self) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let bridge = OpenTelemetryTracingBridge::new(self.logs.as_ref()?);
        Some(bridge.with_filter(filter_fn(|event| event.target().starts_with("sluice"))).boxed())
    }

    /// What sends metrics, and whose they are.
    pub fn metrics(&self) -> Option<(MetricReader, Resource)> {
        Some((self.metrics.clone()?, self.resource.clone()))
    }

    /// Sends what waits, for at most `time`, and ends.
    pub fn stop(self, time: Duration) {
        let third = time / 3;
        let ends = [
            self.metrics.map(|reader| reader.shutdown_with_timeout(third)),
            self.traces.map(|traces| traces.shutdown_with_timeout(third)),
            self.logs.map(|logs| logs.shutdown_with_timeout(third)),
        ];
        for error in ends.into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "telemetry was not sent to its end");
        }
    }
}

/// Where exporters send to.
struct Target<'a> {
    endpoint: &'a str,
    protocol: OtlpProtocol,
}

impl Target<'_> {
    /// The address of a signal: over HTTP it has a path of its own.
    /// <https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp>
    fn address(&self, signal: &str) -> String {
        match self.protocol {
            OtlpProtocol::HttpProtobuf => {
                format!("{}/v1/{signal}", self.endpoint.trim_end_matches('/'))
            }
            OtlpProtocol::Grpc => self.endpoint.to_owned(),
        }
    }
}

/// Who tells: name, version and instance, and what `OTEL_RESOURCE_ATTRIBUTES` adds.
fn resource(service: &str, instance: Option<&str>) -> Resource {
    let builder = Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let own = instance.map(|name| KeyValue::new("service.instance.id", name.to_owned()));
    builder.with_attributes(own).build()
}

fn runtime() -> Result<Runtime, Fault> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("otlp").enable_all().build();
    runtime.map_err(|error| Fault::new(FaultClass::Fatal, "starting a thread for gRPC", error))
}
