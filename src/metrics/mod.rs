//! `what happens -> metrics`, for a page and for a collector.
//!
//! Labels are names from the configuration, stages, outcomes and codes: never a document id, an offset or free text.
//! `docs/metrics.md` is written from the table in `specs.rs`.

mod specs;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};

pub use self::specs::reference;
use self::specs::{
    BATCH_ROWS, BATCH_TOKENS, BATCHES, BUILD_INFO, BUSY, CHILDREN, CONFIDENCE, CONFIDENCES,
    DELIVERIES, FLOW_EVENTS, HELD, IN_FLIGHT_BYTES, IN_FLIGHT_DELIVERIES, IN_FLIGHT_TOKENS, LAG,
    MODEL_INFO, OUTCOMES, PARTITIONS, SECONDS, SESSIONS, STAGE, Spec, TOKENS, TOKENS_SPARED,
    WAITING,
};
use crate::error::{Fault, FaultClass};
use crate::telemetry::MetricReader;
use crate::types::{Digest, Extraction, OutcomeKind, RejectCode, Usage};

/// A phase of the work on one delivery whose time is measured.
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// One try to fetch a claimed document, waiting for its room included.
    Claim,
    /// Decode, text and chunk.
    Prepare,
    /// Waiting for the model and being in it.
    Infer,
    /// Assemble, validate, route.
    Finish,
    /// From the begin of a commit to its end.
    Commit,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Prepare => "prepare",
            Self::Infer => "infer",
            Self::Finish => "finish",
            Self::Commit => "commit",
        }
    }
}

/// Why the model need not run on a window.
#[derive(Clone, Copy, Debug)]
pub enum Spared {
    /// No column of its document is filled by the model.
    Unread,
    /// The same window was scored before.
    Cached,
    /// The gate expects nothing there.
    Gated,
}

impl Spared {
    const fn name(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Cached => "cached",
            Self::Gated => "gated",
        }
    }
}

/// Something that happens to a flow and is counted.
#[derive(Clone, Copy, Debug)]
pub enum FlowEvent {
    /// Partitions were assigned.
    Assigned,
    /// Partitions were revoked.
    Revoked,
    /// The position of a partition went back: its log was cut, or its topic made anew.
    Rewound,
    /// A commit went through.
    Committed,
    /// A commit was aborted and is tried again.
    Aborted,
    /// A call was tried again.
    Retried,
}

impl FlowEvent {
    /// All of them.
    const ALL: [Self; 6] = [
        Self::Assigned,
        Self::Revoked,
        Self::Rewound,
        Self::Committed,
        Self::Aborted,
        Self::Retried,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Revoked => "revoked",
            Self::Rewound => "rewound",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Retried => "retried",
        }
    }
}

/// A level of one flow.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Deliveries consumed and not yet committed.
    InFlightDeliveries,
    /// Their bytes.
    InFlightBytes,
    /// Tokens that wait for the model or are in it.
    InFlightTokens,
    /// Offsets between the position and the last stable offset, over all assigned partitions.
    Lag,
    /// Assigned partitions.
    Partitions,
    /// 1 while the flow is held for its rejects.
    Held,
    /// 1 while the flow waits for a dependency.
    Waiting,
}

/// The metrics of one process.
pub struct Metrics {
    /// Its page for Prometheus.
    registry: Registry,
    meter: Meter,
    /// Keeps the readers going.
    _provider: SdkMeterProvider,
    deliveries: Counter<u64>,
    outcomes: Counter<u64>,
    confidence: Histogram<f64>,
    tokens: Counter<u64>,
    spared: Counter<u64>,
    stages: Histogram<f64>,
    events: Counter<u64>,
    children: Counter<u64>,
    levels: Levels,
}

/// The gauges of a flow.
struct Levels {
    in_flight_deliveries: Gauge<u64>,
    in_flight_bytes: Gauge<u64>,
    in_flight_tokens: Gauge<u64>,
    lag: Gauge<u64>,
    partitions: Gauge<u64>,
    held: Gauge<u64>,
    waiting: Gauge<u64>,
}

fn counter(meter: &Meter, spec: &'static Spec) -> Counter<u64> {
    meter.u64_counter(spec.name).with_description(spec.help).with_unit(spec.unit).build()
}

fn gauge(meter: &Meter, spec: &'static Spec) -> Gauge<u64> {
    meter.u64_gauge(spec.name).with_description(spec.help).with_unit(spec.unit).build()
}

fn histogram(meter: &Meter, spec: &'static Spec, bounds: &[f64]) -> Histogram<f64> {
    let builder = meter.f64_histogram(spec.name).with_description(spec.help).with_unit(spec.unit);
    builder.with_boundaries(bounds.to_vec()).build()
}

fn outcome(pipeline: &str, outcome: &'static str, code: &'static str) -> [KeyValue; 3] {
    [of(pipeline), KeyValue::new("outcome", outcome), KeyValue::new("code", code)]
}

fn of(pipeline: &str) -> KeyValue {
    KeyValue::new("pipeline", pipeline.to_owned())
}

impl Metrics {
    /// Metrics for the page, and for a collector where `sent` brings what sends them and whose they are.
    pub fn new(sent: Option<(MetricReader, Resource)>) -> Result<Self, Fault> {
        let registry = Registry::new();
        let page = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| Fault::new(FaultClass::Fatal, "making the metrics", error))?;
        let mut builder = SdkMeterProvider::builder().with_reader(page);
        if let Some((reader, resource)) = sent {
            builder = builder.with_reader(reader).with_resource(resource);
        }
        let provider = builder.build();
        let meter = provider.meter("sluice");
        let build = gauge(&meter, &BUILD_INFO);
        build.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        Ok(Self {
            deliveries: counter(&meter, &DELIVERIES),
            outcomes: counter(&meter, &OUTCOMES),
            confidence: histogram(&meter, &CONFIDENCE, &CONFIDENCES),
            tokens: counter(&meter, &TOKENS),
            spared: counter(&meter, &TOKENS_SPARED),
            stages: histogram(&meter, &STAGE, &SECONDS),
            events: counter(&meter, &FLOW_EVENTS),
            children: counter(&meter, &CHILDREN),
            levels: Levels {
                in_flight_deliveries: gauge(&meter, &IN_FLIGHT_DELIVERIES),
                in_flight_bytes: gauge(&meter, &IN_FLIGHT_BYTES),
                in_flight_tokens: gauge(&meter, &IN_FLIGHT_TOKENS),
                lag: gauge(&meter, &LAG),
                partitions: gauge(&meter, &PARTITIONS),
                held: gauge(&meter, &HELD),
                waiting: gauge(&meter, &WAITING),
            },
            registry,
            meter,
            _provider: provider,
        })
    }

    /// Tells name, revision and digest of the model that a pipeline runs, and begins its counts of
    /// events and rejects at 0: one that is first seen at 1 has not risen, for an alert.
    pub fn runs(&self, pipeline: &str, [name, revision]: [&str; 2], digest: Digest) {
        let labels = [
            of(pipeline),
            KeyValue::new("model", name.to_owned()),
            KeyValue::new("revision", revision.to_owned()),
            KeyValue::new("digest", digest.to_string()),
        ];
        gauge(&self.meter, &MODEL_INFO).record(1, &labels);
        for event in FlowEvent::ALL {
            self.events.add(0, &[of(pipeline), KeyValue::new("event", event.name())]);
        }
        for code in RejectCode::ALL {
            self.outcomes.add(0, &outcome(pipeline, OutcomeKind::Reject.name(), code.name()));
        }
    }

    /// Shows what `usage` says of the inference sessions whenever metrics are read; `device` is theirs.
    pub fn watch(&self, device: &'static str, usage: impl Fn() -> Usage + Send + Sync + 'static) {
        let usage = Arc::new(usage);
        let counted = |spec: &'static Spec| {
            let builder = self.meter.u64_observable_counter(spec.name);
            builder.with_description(spec.help).with_unit(spec.unit)
        };
        let of_model = |name: &str, revision: &str| {
            let (name, revision) = (name.to_owned(), revision.to_owned());
            [KeyValue::new("model", name), KeyValue::new("revision", revision)]
        };
        let now = Arc::clone(&usage);
        let batches = counted(&BATCHES).with_callback(move |seen| {
            for model in now().models {
                seen.observe(model.batch_count, &of_model(&model.name, &model.revision));
            }
        });
        let now = Arc::clone(&usage);
        let rows = counted(&BATCH_ROWS).with_callback(move |seen| {
            for model in now().models {
                seen.observe(model.row_count, &of_model(&model.name, &model.revision));
            }
        });
        let now = Arc::clone(&usage);
        let tokens = counted(&BATCH_TOKENS).with_callback(move |seen| {
            for model in now().models {
                let [name, revision] = of_model(&model.name, &model.revision);
                let kinds = [("text", model.token_count), ("padding", model.padding_count)];
                for (kind, count) in kinds {
                    let kind = KeyValue::new("kind", kind);
                    seen.observe(count, &[name.clone(), revision.clone(), kind]);
                }
            }
        });
        let device = KeyValue::new("device", device);
        let busy = self.meter.f64_observable_counter(BUSY.name);
        let (of_device, now) = (device.clone(), Arc::clone(&usage));
        let busy =
            busy.with_description(BUSY.help).with_unit(BUSY.unit).with_callback(move |seen| {
                seen.observe(now().busy.as_secs_f64(), std::slice::from_ref(&of_device));
            });
        // An observable instrument goes on by its callback.
        batches.build();
        rows.build();
        tokens.build();
        busy.build();
        let sessions = u64::try_from(usage().session_count).unwrap_or(u64::MAX);
        gauge(&self.meter, &SESSIONS).record(sessions, &[device]);
    }

    /// Counts one consumed delivery.
    pub fn delivered(&self, pipeline: &str) {
        self.deliveries.add(1, &[of(pipeline)]);
    }

    /// Counts one ended part; `code` is empty for a record.
    pub fn ended(&self, pipeline: &str, outcome: &'static str, code: &'static str) {
        self.outcomes.add(1, &self::outcome(pipeline, outcome, code));
    }

    /// Notes how sure the values of a part are.
    pub fn found(&self, pipeline: &str, extraction: &Extraction) {
        let Extraction { fields, flags } = extraction;
        let of_label = |name: &str| [of(pipeline), KeyValue::new("label", name.to_owned())];
        for field in fields.iter().filter(|field| !field.values.is_empty()) {
            let labels = of_label(&field.name);
            for value in &field.values {
                self.confidence.record(f64::from(value.evidence.confidence), &labels);
            }
        }
        for flag in flags {
            self.confidence.record(f64::from(flag.confidence), &of_label(&flag.name));
        }
    }

    /// Counts tokens that go to the model, overlaps and special ones included.
    pub fn inferred(&self, pipeline: &str, tokens: usize) {
        self.tokens.add(u64::try_from(tokens).unwrap_or(u64::MAX), &[of(pipeline)]);
    }

    /// Counts tokens, likewise, that need not.
    pub fn spared(&self, pipeline: &str, reason: Spared, tokens: usize) {
        let labels = [of(pipeline), KeyValue::new("reason", reason.name())];
        self.spared.add(u64::try_from(tokens).unwrap_or(u64::MAX), &labels);
    }

    /// Notes how long a stage took.
    pub fn took(&self, pipeline: &str, stage: Stage, time: Duration) {
        let labels = [of(pipeline), KeyValue::new("stage", stage.name())];
        self.stages.record(time.as_secs_f64(), &labels);
    }

    /// Counts text children that were started; flows share them.
    pub fn children_started(&self, count: u64) {
        self.children.add(count, &[]);
    }

    /// Counts an event of a flow.
    pub fn happened(&self, pipeline: &str, event: FlowEvent) {
        self.events.add(1, &[of(pipeline), KeyValue::new("event", event.name())]);
    }

    /// Sets a level of a flow.
    pub fn level(&self, pipeline: &str, level: Level, value: usize) {
        let gauge = match level {
            Level::InFlightDeliveries => &self.levels.in_flight_deliveries,
            Level::InFlightBytes => &self.levels.in_flight_bytes,
            Level::InFlightTokens => &self.levels.in_flight_tokens,
            Level::Lag => &self.levels.lag,
            Level::Partitions => &self.levels.partitions,
            Level::Held => &self.levels.held,
            Level::Waiting => &self.levels.waiting,
        };
        gauge.record(u64::try_from(value).unwrap_or(u64::MAX), &[of(pipeline)]);
    }

    /// All metrics as a page for Prometheus.
    ///
    /// # Errors
    /// Where two metrics of one name differ in kind: a bug.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// Media type of that page.
    pub const fn content_type() -> &'static str {
        prometheus::TEXT_FORMAT
    }
}

#[cfg(test)]
mod tests;
