//! Every metric and label name of the house, once.
//!
//! Labels are pipeline, stage, outcome and code: never a document id, an offset or free text.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a metric of one flow.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FlowLabels {
    pipeline: String,
}

/// Labels of an outcome.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    pipeline: String,
    outcome: &'static str,
    code: &'static str,
}

/// Labels of a stage.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    pipeline: String,
    stage: &'static str,
}

/// Labels of work that was not needed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SparedLabels {
    pipeline: String,
    reason: &'static str,
}

/// Labels of something that went one way or another.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventLabels {
    pipeline: String,
    event: &'static str,
}

/// Upper bounds in seconds, from a millisecond to a minute.
const SECONDS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

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
}

impl Spared {
    const fn name(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Cached => "cached",
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
    registry: Registry,
    deliveries: Family<FlowLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    tokens: Family<FlowLabels, Counter>,
    spared: Family<SparedLabels, Counter>,
    stages: Family<StageLabels, Histogram, fn() -> Histogram>,
    events: Family<EventLabels, Counter>,
    children: Counter,
    in_flight_deliveries: Family<FlowLabels, Gauge>,
    in_flight_bytes: Family<FlowLabels, Gauge>,
    in_flight_tokens: Family<FlowLabels, Gauge>,
    lag: Family<FlowLabels, Gauge>,
    partitions: Family<FlowLabels, Gauge>,
    held: Family<FlowLabels, Gauge>,
    waiting: Family<FlowLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sluice"),
            deliveries: Family::default(),
            outcomes: Family::default(),
            tokens: Family::default(),
            spared: Family::default(),
            stages: Family::new_with_constructor(seconds),
            events: Family::default(),
            children: Counter::default(),
            in_flight_deliveries: Family::default(),
            in_flight_bytes: Family::default(),
            in_flight_tokens: Family::default(),
            lag: Family::default(),
            partitions: Family::default(),
            held: Family::default(),
            waiting: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("deliveries", "Kafka messages consumed", self.deliveries.clone());
        registry.register("outcomes", "Parts ended, by outcome and code", self.outcomes.clone());
        registry.register(
            "tokens",
            "Tokens given to the model, in windows, without padding",
            self.tokens.clone(),
        );
        registry.register(
            "tokens_spared",
            "Likewise counted: tokens on which the model need not run, by reason",
            self.spared.clone(),
        );
        registry.register_with_unit(
            "stage",
            "Time a delivery spends in a stage",
            Unit::Seconds,
            self.stages.clone(),
        );
        registry.register("flow_events", "Rebalances and commits, by kind", self.events.clone());
        registry.register(
            "text_children_started",
            "Text children started; more than one in 500 documents and one a thread means deaths",
            self.children.clone(),
        );
        registry.register(
            "in_flight_deliveries",
            "Deliveries consumed and not yet committed",
            self.in_flight_deliveries.clone(),
        );
        registry.register_with_unit(
            "in_flight",
            "Bytes consumed and not yet committed",
            Unit::Bytes,
            self.in_flight_bytes.clone(),
        );
        registry.register(
            "in_flight_tokens",
            "Tokens that wait for the model or are in it",
            self.in_flight_tokens.clone(),
        );
        registry.register(
            "lag_messages",
            "Messages between the position and the last stable offset",
            self.lag.clone(),
        );
        registry.register("assigned_partitions", "Partitions assigned", self.partitions.clone());
        registry.register(
            "flow_held",
            "1 while too many rejects hold the flow: nothing is committed, a person must look",
            self.held.clone(),
        );
        registry.register(
            "flow_waiting",
            "1 while the flow waits for a registry, a topic, the model or a text child",
            self.waiting.clone(),
        );
    }

    /// Counts one consumed delivery.
    pub fn delivered(&self, pipeline: &str) {
        self.deliveries.get_or_create(&FlowLabels { pipeline: pipeline.to_owned() }).inc();
    }

    /// Counts one ended part; `code` is empty for a record.
    pub fn ended(&self, pipeline: &str, outcome: &'static str, code: &'static str) {
        let labels = OutcomeLabels { pipeline: pipeline.to_owned(), outcome, code };
        self.outcomes.get_or_create(&labels).inc();
    }

    /// Counts tokens that go to the model, overlaps and special ones included.
    pub fn inferred(&self, pipeline: &str, tokens: usize) {
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
        self.tokens.get_or_create(&FlowLabels { pipeline: pipeline.to_owned() }).inc_by(tokens);
    }

    /// Counts tokens, likewise, that need not.
    pub fn spared(&self, pipeline: &str, reason: Spared, tokens: usize) {
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
        let labels = SparedLabels { pipeline: pipeline.to_owned(), reason: reason.name() };
        self.spared.get_or_create(&labels).inc_by(tokens);
    }

    /// Notes how long a stage took.
    pub fn took(&self, pipeline: &str, stage: Stage, time: Duration) {
        let labels = StageLabels { pipeline: pipeline.to_owned(), stage: stage.name() };
        self.stages.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// Counts text children that were started; flows share them.
    pub fn children_started(&self, count: u64) {
        self.children.inc_by(count);
    }

    /// Counts an event of a flow.
    pub fn happened(&self, pipeline: &str, event: FlowEvent) {
        let labels = EventLabels { pipeline: pipeline.to_owned(), event: event.name() };
        self.events.get_or_create(&labels).inc();
    }

    /// Sets a level of a flow.
    pub fn level(&self, pipeline: &str, level: Level, value: usize) {
        let family = match level {
            Level::InFlightDeliveries => &self.in_flight_deliveries,
            Level::InFlightBytes => &self.in_flight_bytes,
            Level::InFlightTokens => &self.in_flight_tokens,
            Level::Lag => &self.lag,
            Level::Partitions => &self.partitions,
            Level::Held => &self.held,
            Level::Waiting => &self.waiting,
        };
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        family.get_or_create(&FlowLabels { pipeline: pipeline.to_owned() }).set(value);
    }

    /// All metrics in `OpenMetrics` text, version 1.0.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FlowEvent, Level, Metrics, Spared, Stage};

    #[test]
    fn the_page_holds_what_was_counted() {
        let metrics = Metrics::default();
        metrics.delivered("p");
        metrics.ended("p", "reject", "PDF_INVALID");
        metrics.inferred("p", 64);
        metrics.spared("p", Spared::Cached, 32);
        metrics.took("p", Stage::Prepare, Duration::from_millis(3));
        metrics.happened("p", FlowEvent::Committed);
        metrics.level("p", Level::InFlightBytes, 17);
        metrics.children_started(3);
        metrics.level("p", Level::Held, 1);
        let page = metrics.encode().unwrap();
        for line in [
            "sluice_deliveries_total{pipeline=\"p\"} 1",
            "sluice_outcomes_total{pipeline=\"p\",outcome=\"reject\",code=\"PDF_INVALID\"} 1",
            "sluice_tokens_total{pipeline=\"p\"} 64",
            "sluice_tokens_spared_total{pipeline=\"p\",reason=\"cached\"} 32",
            "sluice_stage_seconds_count{pipeline=\"p\",stage=\"prepare\"} 1",
            "sluice_flow_events_total{pipeline=\"p\",event=\"committed\"} 1",
            "sluice_in_flight_bytes{pipeline=\"p\"} 17",
            "sluice_text_children_started_total 3",
            "sluice_flow_held{pipeline=\"p\"} 1",
        ] {
            assert!(page.contains(line), "{line} not in\n{page}");
        }
    }
}
