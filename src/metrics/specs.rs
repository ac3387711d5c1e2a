//! Every metric and label name of the house, once, and the reference page of them.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
pub(super) struct Spec {
    /// Name by the conventions of OpenTelemetry.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Unit in UCUM; empty for a count.
    pub(super) unit: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

impl Spec {
    const fn new(
        name: &'static str,
        kind: Kind,
        unit: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind, unit, labels, help }
    }

    /// Name as Prometheus has it.
    /// <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>
    pub(super) fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let end = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{end}", self.name.replace('.', "_"))
    }
}

pub(super) const PIPELINE: &[&str] = &["pipeline"];
pub(super) const MODEL: &[&str] = &["model", "revision"];

pub(super) const DELIVERIES: Spec =
    Spec::new("sluice.deliveries", Kind::Counter, "", PIPELINE, "Kafka messages consumed");
pub(super) const OUTCOMES: Spec = Spec::new(
    "sluice.outcomes",
    Kind::Counter,
    "",
    &["pipeline", "outcome", "code"],
    "Parts ended: `record`, `review` or `reject`, and the code of the last two",
);
pub(super) const TOKENS: Spec = Spec::new(
    "sluice.tokens",
    Kind::Counter,
    "",
    PIPELINE,
    "Tokens given to the model, in windows, without padding",
);
pub(super) const TOKENS_SPARED: Spec = Spec::new(
    "sluice.tokens_spared",
    Kind::Counter,
    "",
    &["pipeline", "reason"],
    "Likewise counted: tokens on which the model need not run, because their window was scored before (`cached`), the gate \
     expects nothing there (`gated`) or no column reads the model (`unread`)",
);
pub(super) const STAGE: Spec = Spec::new(
    "sluice.stage",
    Kind::Histogram,
    "s",
    &["pipeline", "stage"],
    "Time in a stage: `claim` (one try to fetch a document, waiting for its room included), `prepare` (decode, text and chunk), \
     `infer` (waiting for the model and being in it), `finish` (assemble, validate, route), `commit`",
);
pub(super) const FLOW_EVENTS: Spec = Spec::new(
    "sluice.flow_events",
    Kind::Counter,
    "",
    &["pipeline", "event"],
    "Rebalances (`assigned`, `revoked`, a call each), logs that were cut (`rewound`), commits (`committed`, `aborted`) and calls \
     that were tried again (`retried`)",
);
pub(super) const CHILDREN: Spec = Spec::new(
    "sluice.text_children_started",
    Kind::Counter,
    "",
    &[],
    "Text children started; more than one in 500 documents and one a thread means deaths",
);
pub(super) const IN_FLIGHT_DELIVERIES: Spec = Spec::new(
    "sluice.in_flight_deliveries",
    Kind::Gauge,
    "",
    PIPELINE,
    "Deliveries consumed and not yet committed",
);
pub(super) const IN_FLIGHT_BYTES: Spec = Spec::new(
    "sluice.in_flight",
    Kind::Gauge,
    "By",
    PIPELINE,
    "Bytes consumed and not yet committed",
);
pub(super) const IN_FLIGHT_TOKENS: Spec = Spec::new(
    "sluice.in_flight_tokens",
    Kind::Gauge,
    "",
    PIPELINE,
    "Tokens that wait for the model or are in it",
);
pub(super) const LAG: Spec = Spec::new(
    "sluice.lag_messages",
    Kind::Gauge,
    "",
    PIPELINE,
    "Messages between the position and the last stable offset, over all assigned partitions",
);
pub(super) const PARTITIONS: Spec =
    Spec::new("sluice.assigned_partitions", Kind::Gauge, "", PIPELINE, "Partitions assigned");
pub(super) const HELD: Spec = Spec::new(
    "sluice.flow_held",
    Kind::Gauge,
    "",
    PIPELINE,
    "1 while too many rejects hold the flow: nothing is committed, a person must look",
);
pub(super) const WAITING: Spec = Spec::new(
    "sluice.flow_waiting",
    Kind::Gauge,
    "",
    PIPELINE,
    "1 while the flow waits for a registry, a topic, a store, the model or a text child",
);
pub(super) const CONFIDENCE: Spec = Spec::new(
    "sluice.confidence",
    Kind::Histogram,
    "",
    &["pipeline", "label"],
    "Calibrated confidence of what was found, by column, and of each yes-or-no column's answer; its shift is the sign of drift",
);
pub(super) const BATCHES: Spec =
    Spec::new("sluice.batches", Kind::Counter, "", MODEL, "Calls of a model");
pub(super) const BATCH_ROWS: Spec =
    Spec::new("sluice.batch_rows", Kind::Counter, "", MODEL, "Windows in those calls");
pub(super) const BATCH_TOKENS: Spec = Spec::new(
    "sluice.batch_tokens",
    Kind::Counter,
    "",
    &["model", "revision", "kind"],
    "Tokens in those calls: of windows (`text`) and what fills their rows up (`padding`)",
);
pub(super) const BUSY: Spec = Spec::new(
    "sluice.session_busy",
    Kind::Counter,
    "s",
    &["device"],
    "Time that sessions spent in calls of a model, over all of them",
);
pub(super) const SESSIONS: Spec = Spec::new(
    "sluice.sessions",
    Kind::Gauge,
    "",
    &["device"],
    "Threads that own inference sessions",
);
pub(super) const MODEL_INFO: Spec = Spec::new(
    "sluice.model_info",
    Kind::Gauge,
    "",
    &["pipeline", "model", "revision", "digest"],
    "1: the model of a pipeline",
);
pub(super) const BUILD_INFO: Spec =
    Spec::new("sluice.build_info", Kind::Gauge, "", &["version"], "1: the version of sluice");

/// Every metric, in the order of the reference page.
pub(super) const ALL: [&Spec; 22] = [
    &DELIVERIES,
    &OUTCOMES,
    &CONFIDENCE,
    &TOKENS,
    &TOKENS_SPARED,
    &STAGE,
    &FLOW_EVENTS,
    &LAG,
    &PARTITIONS,
    &IN_FLIGHT_DELIVERIES,
    &IN_FLIGHT_BYTES,
    &IN_FLIGHT_TOKENS,
    &HELD,
    &WAITING,
    &CHILDREN,
    &BATCHES,
    &BATCH_ROWS,
    &BATCH_TOKENS,
    &BUSY,
    &SESSIONS,
    &MODEL_INFO,
    &BUILD_INFO,
];

/// Upper bounds in seconds, from a millisecond to a minute.
pub(super) const SECONDS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of confidences, finer where most are.
pub(super) const CONFIDENCES: [f64; 12] =
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];

/// The reference page of all metrics, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Written from `src/metrics/specs.rs` by a test. `/metrics` on the health port shows them to Prometheus under the first name; \
         a collector gets them by OTLP under the second.\n\
         Durations are in seconds, sizes in bytes. No label holds a document id, an offset or text.\n\n\
         | Prometheus | OpenTelemetry | kind | labels | what |\n|--|--|--|--|--|\n",
    );
    for spec in ALL {
        let labels: Vec<_> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!(
            "| `{}` | `{}` | {} | {} | {} |\n",
            spec.prometheus_name(),
            spec.name,
            match spec.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            },
            labels.join(", "),
            spec.help
        );
        page.push_str(&row);
    }
    page
}
