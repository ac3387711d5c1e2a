//! Traces, metrics and logs, read back from what a real OpenTelemetry Collector was sent.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::pdf_maker::{Pdf, Stream};
use crate::service::get;
use crate::support::checker::Kind;
use crate::support::collector::Collector;
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{self, Input};
use crate::support::process::Process;
use crate::support::{env, jvm, wait_for};

const LONG: Duration = Duration::from_mins(3);

/// A trace that a producer has begun, and its span.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// A contract as a PDF of two pages, sent by a producer that traces.
fn contract(flags: &str) -> Input {
    let lines = [
        "This License Agreement is entered into as of March 3, 2024 by Alpha Corp and Beta LLC.",
        "This Agreement shall be governed by the laws of the State of Delaware.",
    ];
    let pages: Vec<_> = lines.iter().map(|line| Stream::line(line)).collect();
    Input::new("contract", &Pdf::of_pages(&pages).bytes())
        .header("content-type", b"application/pdf")
        .header("traceparent", traceparent(flags).as_bytes())
        .header("tracestate", b"vendor=1")
}

/// Works on `inputs`, drains, and gives what the record or reject of the first one carries as its `traceparent`.
fn work(flow: &Flow, inputs: &[Input], args: &[&str], env: &[(&str, &str)]) -> Option<String> {
    kafka::produce(&flow.input, inputs);
    let mut worker = flow.worker_with("a", args, env);
    flow.wait_for(inputs.len(), &mut worker, LONG);
    drain(&mut worker);
    let seen = flow.seen();
    let (_, first) =
        seen.iter().find(|(_, seen)| seen.key.as_deref() == inputs[0].key.as_deref())?;
    first.header("traceparent")
}

fn drain(worker: &mut Process) {
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// An attribute as text.
fn attribute(span: &Value, key: &str) -> Option<String> {
    let all = span["attributes"].as_array()?;
    let found = all.iter().find(|it| it["key"] == key)?;
    let value = found["value"].as_object()?.values().next()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// The spans of the trace of [`TRACE`].
fn of_trace(collector: &Collector) -> Vec<Value> {
    collector.spans().into_iter().filter(|span| text(span, "traceId") == TRACE).collect()
}

/// Checks the spans of one contract: each stage is there, under the span that it belongs to.
fn check_trace(spans: &[Value], input: &str, carried: &str) {
    let named = |name: &str| -> Vec<&Value> {
        spans.iter().filter(|span| text(span, "name") == name).collect()
    };
    let all: Vec<_> = spans.iter().map(|span| text(span, "name")).collect();
    let process = named(&format!("process {input}"));
    assert_eq!(process.len(), 1, "{all:?}");
    let process = process[0];
    assert_eq!(text(process, "parentSpanId"), PARENT, "it goes on from the producer's span");
    assert_eq!(process["kind"], 5, "a consumer's");
    for (key, value) in [
        ("messaging.system", "kafka"),
        ("messaging.destination.name", input),
        ("messaging.destination.partition.id", "0"),
        ("messaging.kafka.offset", "0"),
        ("messaging.operation.type", "process"),
        ("sluice.pipeline", "contracts"),
    ] {
        assert_eq!(attribute(process, key).as_deref(), Some(value), "{key}");
    }
    let own = text(process, "spanId");
    assert_eq!(carried, format!("00-{TRACE}-{own}-01"), "the outcome goes on from this span");
    for stage in ["decode", "text", "chunk", "infer", "assemble", "validate", "commit"] {
        let found = named(stage);
        assert_eq!(found.len(), 1, "`{stage}` in {all:?}");
        assert_eq!(text(found[0], "parentSpanId"), own, "{stage}");
        let time = |key| text(found[0], key).parse::<u64>().unwrap();
        assert!(time("endTimeUnixNano") >= time("startTimeUnixNano"), "{stage}");
    }
    let infer = named("infer")[0];
    let batches = named("batch");
    assert!(!batches.is_empty(), "{all:?}");
    for batch in batches {
        let links = batch["links"].as_array().unwrap();
        let linked: Vec<_> = links.iter().map(|link| text(link, "spanId")).collect();
        assert_eq!(linked, [text(infer, "spanId")]);
    }
    let size = attribute(named("text")[0], "sluice.text").unwrap();
    assert!(size.ends_with(" bytes"), "content is told by its size: {size}");
    let events = process["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert!(
        ["record", "review"].contains(&attribute(&events[0], "sluice.outcome").unwrap().as_str())
    );
}

#[test]
fn a_trace_runs_from_the_producer_through_each_stage_to_the_record() {
    let collector = Collector::start();
    for (protocol, address) in [("http/protobuf", &collector.http), ("grpc", &collector.grpc)] {
        let flow = Flow::new(1, "");
        let args = ["--otlp-endpoint", address, "--otlp-protocol", protocol];
        let carried = work(&flow, &[contract("01")], &args, &[]).unwrap();
        let name = format!("process {}", flow.input);
        let spans = wait_for("the whole trace", LONG, || {
            let spans = of_trace(&collector);
            let is_there = |name: &str| spans.iter().any(|span| text(span, "name") == name);
            is_there(&name).then_some(spans)
        });
        // The trace of the producer has a branch for each of the two flows that took the message.
        let own = carried.split('-').nth(2).unwrap();
        let infer: Vec<_> = spans
            .iter()
            .filter(|span| text(span, "name") == "infer" && text(span, "parentSpanId") == own)
            .map(|span| text(span, "spanId").to_owned())
            .collect();
        let branch: Vec<_> = spans
            .iter()
            .filter(|span| {
                let parent = text(span, "parentSpanId");
                text(span, "spanId") == own || parent == own || infer.iter().any(|it| it == parent)
            })
            .cloned()
            .collect();
        check_trace(&branch, &flow.input, &carried);
    }
    let resource = collector.resource();
    assert_eq!(attribute(&resource, "service.name").as_deref(), Some("sluice"));
    assert_eq!(attribute(&resource, "service.instance.id").as_deref(), Some("a"));
}

#[test]
fn metrics_and_logs_are_sent_too_and_signals_can_be_chosen() {
    let collector = Collector::start();
    let flow = Flow::new(1, "");
    let listen = format!("127.0.0.1:{}", jvm::free_port());
    let args = ["--otlp-endpoint", &collector.http, "--otlp-signals", "metrics,logs"];
    kafka::produce(&flow.input, &[short_contract(1), contract("01")]);
    let mut worker = flow.worker("a", &[&args[..], &["--listen", &listen]].concat());
    flow.wait_for(2, &mut worker, LONG);
    // Some levels are known from librdkafka's first statistics on, a second after the start.
    let page = wait_for("all metrics", LONG, || {
        let (_, page) = get(&format!("http://{listen}/metrics"));
        page.contains("sluice_assigned_partitions").then_some(page)
    });
    // For `scripts/promtool`.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.txt"), &page).unwrap();
    drain(&mut worker);
    let told = wait_for("metrics and logs", LONG, || {
        let (metrics, logs) = (collector.metrics(), collector.logs());
        (!metrics.is_empty() && logs.iter().any(|log| log["body"]["stringValue"] == "drained"))
            .then_some((metrics, logs))
    });
    let (metrics, logs) = told;
    let sent: BTreeSet<_> = metrics.iter().map(|it| text(it, "name").to_owned()).collect();
    let shown: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE sluice_")?.split(' ').next())
        .map(|name| {
            let name = name.trim_end_matches("_total");
            let name = name.trim_end_matches("_seconds").trim_end_matches("_bytes");
            format!("sluice.{name}")
        })
        .collect();
    assert_eq!(sent, shown, "the page and the collector have the same metrics");
    assert!(logs.iter().any(|log| log["body"]["stringValue"] == "running"));
    assert!(collector.spans().is_empty(), "traces were not asked for");
    let (_, record) =
        flow.seen().into_iter().find(|it| it.1.key.as_deref() == Some(b"contract")).unwrap();
    assert_eq!(
        record.header("traceparent"),
        Some(traceparent("01")),
        "a trace goes on all the same"
    );
}

#[test]
fn what_is_not_sampled_leaves_no_span_and_its_trace_goes_on() {
    let collector = Collector::start();
    let args = ["--otlp-endpoint", collector.http.as_str(), "--otlp-signals", "traces"];
    let flow = Flow::new(1, "");
    let carried = work(&flow, &[contract("00")], &args, &[]);
    assert_eq!(carried, Some(traceparent("00")), "the producer samples");
    let flow = Flow::new(1, "");
    let never = [("OTEL_TRACES_SAMPLER", "always_off")];
    let carried = work(&flow, &[contract("01"), short_contract(1)], &args, &never);
    assert_eq!(carried, Some(traceparent("01")));
    let seen = flow.seen();
    let plain = seen.iter().find(|it| it.1.key.as_deref() != Some(b"contract")).unwrap();
    assert_eq!(plain.1.header("traceparent"), None);
    let flow = Flow::new(1, "");
    work(&flow, &[contract("01")], &args, &[]);
    let spans = wait_for("the sampled one", LONG, || {
        let spans = collector.spans();
        (!spans.is_empty()).then_some(spans)
    });
    assert!(spans.iter().all(|span| text(span, "traceId") == TRACE), "{}", collector.tail());
}

#[test]
fn a_header_that_names_no_trace_begins_a_new_one() {
    let collector = Collector::start();
    let args = ["--otlp-endpoint", collector.http.as_str(), "--otlp-signals", "traces"];
    let flow = Flow::new(1, "");
    let input = short_contract(1).header("traceparent", b"00-Alpha Corporation-1-01");
    let carried = work(&flow, &[input], &args, &[]).unwrap();
    let process = wait_for("its span", LONG, || {
        let spans = collector.spans();
        spans.into_iter().find(|span| text(span, "name").starts_with("process "))
    });
    assert_eq!(text(&process, "parentSpanId"), "");
    let (trace, span) = (text(&process, "traceId"), text(&process, "spanId"));
    assert_eq!(carried, format!("00-{trace}-{span}-01"));
    assert!(!collector.told().contains("Alpha"), "a header may hold anything");
}

#[test]
fn a_collector_that_is_away_costs_telemetry_only() {
    let nobody = format!("http://127.0.0.1:{}", jvm::free_port());
    for protocol in ["http/protobuf", "grpc"] {
        let flow = Flow::new(1, "");
        let inputs: Vec<_> = (0..20).map(short_contract).collect();
        kafka::produce(&flow.input, &inputs);
        let args = ["--otlp-endpoint", nobody.as_str(), "--otlp-protocol", protocol];
        let mut worker = flow.worker("a", &args);
        flow.wait_for(inputs.len(), &mut worker, LONG);
        drain(&mut worker);
        let kinds: Vec<_> = flow.seen().into_iter().map(|(kind, _)| kind).collect();
        assert!(!kinds.contains(&Kind::Reject), "{protocol}");
        assert!(worker.stderr().contains("telemetry"), "it is told\n{}", worker.tail());
    }
}

#[test]
fn the_reference_page_of_metrics_is_of_this_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = sluice::metrics::reference();
    if env("SLUICE_ACCEPT").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let how = "SLUICE_ACCEPT=1 cargo test --test it the_reference_page_of_metrics";
    assert!(written == page, "docs/metrics.md is of other code; write it anew: {how}");
}
