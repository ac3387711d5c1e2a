//! `a delivery's way through the worker -> spans`, a trace from its producer to whoever reads its
//! record.
//!
//! ```text
//! process TOPIC               from taking the delivery in to its commit; its parent is the `traceparent` of the message
//! |- claim                    one try to fetch the document
//! |- decode
//! |- text, chunk              of each part
//! |- infer                    from the part's turn at the model to its answer
//! |  `- batch                 one call of the model, linked to the `infer` of each of its rows
//! |- assemble, validate       of each part
//! `- commit                   the transaction that made the outcomes visible
//! ```
//!
//! Outcomes carry the span `process` as their `traceparent`. Names and attributes are those of the semantic conventions for
//! messaging (<https://opentelemetry.io/docs/specs/semconv/messaging/kafka/>); attributes are written here and hold numbers,
//! names from the configuration, and codes.
//!
//! Deliberately not `tracing` spans: a trace begins in a header, its spans end on other threads than they began on, and the
//! attributes of a delivery must come from one place that can be read through.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, ContextGuard, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use crate::config::Flow;
use crate::types::{Delivery, Header, Sensitive, Shown};

/// Header of W3C Trace Context that names a trace and the span in it.
const TRACEPARENT: &str = "traceparent";
/// Most parts of a delivery that have spans of their own: a log has a part a line.
const PARTS_MAX: u32 = 16;

/// Where spans go; empty where no traces are sent.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends the spans of this process to `tracer`, the first one that is given.
pub(super) fn send_to(tracer: SdkTracer) {
    drop(TRACER.set(tracer));
}

/// The headers of a delivery, as they may name a parent.
struct Headers<'a> {
    delivery: &'a Delivery,
    /// Where identifiers must not leave, neither does what the sender wrote beside the trace:
    /// spans would carry it to the collector.
    is_redacted: bool,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        if self.is_redacted && !key.eq_ignore_ascii_case(TRACEPARENT) {
            return None;
        }
        std::str::from_utf8(self.delivery.header(key)?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.delivery.headers.iter().map(|header| header.name.as_str()).collect()
    }
}

/// One delivery's span; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct Trail {
    context: Context,
}

impl Trail {
    /// Begins the span of a delivery that `flow` consumes, and names it in the delivery's headers, so that outcomes carry it. `None` where no traces are sent, or not this one's.
    pub fn begin(delivery: &mut Delivery, flow: &Flow) -> Option<Self> {
        let tracer = TRACER.get()?;
        let headers = Headers { delivery, is_redacted: flow.pipeline.redact.is_some() };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        let position = &delivery.position;
        let span = tracer
            .span_builder(format!("process {}", position.topic))
            .with_kind(SpanKind::Consumer)
            .with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.destination.name", position.topic.to_string()),
                KeyValue::new("messaging.destination.partition.id", position.partition.to_string()),
                KeyValue::new("messaging.kafka.offset", position.offset),
                KeyValue::new("messaging.consumer.group.name", flow.group()),
                KeyValue::new("messaging.message.body.size", size(delivery.body.as_ref())),
                KeyValue::new("sluice.pipeline", flow.pipeline.name.clone()),
            ])
            .start_with_context(tracer, &parent);
        let own = span.span_context().clone();
        if !own.is_sampled() {
            return None;
        }
        delivery.headers.retain(|header| !header.name.eq_ignore_ascii_case(TRACEPARENT));
        delivery.headers.push(Header {
            name: TRACEPARENT.to_owned(),
            value: Some(Sensitive::new(written(&own).into_bytes())),
        });
        Some(Self { context: parent.with_span(span) })
    }

    /// A part of the delivery has ended.
    pub fn ended(&self, part: u32, outcome: &'static str, code: &'static str) {
        if part < PARTS_MAX {
            let part = KeyValue::new("sluice.part", i64::from(part));
            let outcome = KeyValue::new("sluice.outcome", outcome);
            let code = KeyValue::new("sluice.code", code);
            self.context.span().add_event("ended", vec![part, outcome, code]);
        }
    }

    /// The outcomes became visible now, by a commit that `took` so long.
    #[expect(clippy::disallowed_methods, reason = "spans carry times, and no record does")]
    pub fn committed(&self, took: Duration) {
        if let Some(tracer) = TRACER.get() {
            let since = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
            let builder = tracer.span_builder("commit").with_start_time(since);
            drop(builder.start_with_context(tracer, &self.context));
        }
    }
}

/// From here until the guard is dropped the work of this thread is for part `part` of the delivery of `trail`.
pub fn enter(trail: Option<&Trail>, part: u32) -> Option<ContextGuard> {
    let trail = trail.filter(|_| part < PARTS_MAX)?;
    Some(trail.context.clone().attach())
}

/// Where a span stands, for the links of others.
pub type Mark = SpanContext;

/// A span that ends when it is dropped; or none, where the work of this thread is for no delivery whose trace is sent.
pub struct Span(Option<SdkSpan>);

impl Span {
    /// Notes a count or a size.
    pub fn count(&mut self, key: &'static str, count: usize) {
        self.note(key, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes how large content is; nothing of itself.
    pub fn size(&mut self, key: &'static str, content: &[u8]) {
        if self.0.is_some() {
            self.note(key, Shown(content).to_string());
        }
    }

    fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Where it stands.
    pub fn mark(&self) -> Option<Mark> {
        self.0.as_ref().map(|span| span.span_context().clone())
    }
}

/// A span of the stage `name` of what this thread works on.
pub fn span(name: &'static str) -> Span {
    let Some(tracer) = TRACER.get() else { return Span(None) };
    Context::map_current(|parent| {
        let is_sent = parent.span().span_context().is_sampled();
        Span(is_sent.then(|| tracer.span_builder(name).start_with_context(tracer, parent)))
    })
}

/// A span of one call of the model, under the first of its `rows` and linked to all.
pub fn batch(rows: &[Mark]) -> Span {
    let (Some(tracer), Some(first)) = (TRACER.get(), rows.first()) else { return Span(None) };
    let parent = Context::new().with_remote_span_context(first.clone());
    let links = rows.iter().map(|row| Link::with_context(row.clone())).collect();
    Span(Some(tracer.span_builder("batch").with_links(links).start_with_context(tracer, &parent)))
}

fn size(body: Option<&Sensitive<Vec<u8>>>) -> i64 {
    i64::try_from(body.map_or(0, |body| body.len())).unwrap_or(i64::MAX)
}

/// A span as W3C Trace Context writes it. <https://www.w3.org/TR/trace-context/#traceparent-header>
fn written(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags())
}

#[cfg(test)]
mod tests {
    use opentelemetry::propagation::Extractor as _;

    use super::Headers;
    use crate::types::{Delivery, Header, Position, Sensitive};

    #[test]
    fn of_a_flow_that_redacts_nothing_beside_the_trace_reaches_a_span() {
        let header = |name: &str| Header {
            name: name.to_owned(),
            value: Some(Sensitive::new(b"emr=JaneDoe".to_vec())),
        };
        let delivery = Delivery {
            position: Position { topic: "in".into(), partition: 0, offset: 7 },
            key: None,
            body: None,
            headers: vec![header("traceparent"), header("tracestate")],
            sent: None,
        };
        for (is_redacted, state) in [(false, Some("emr=JaneDoe")), (true, None)] {
            let headers = Headers { delivery: &delivery, is_redacted };
            assert_eq!(headers.get("tracestate"), state);
            assert_eq!(headers.get("traceparent"), Some("emr=JaneDoe"));
        }
    }
}
