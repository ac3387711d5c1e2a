//! The page of metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use super::specs::ALL;
use super::{FlowEvent, Level, Metrics, Spared, Stage};
use crate::types::{Digest, Extraction, Flag, ModelUsage, Usage};

/// Metrics, each of which has been told something.
fn told() -> Metrics {
    let metrics = Metrics::new(None).unwrap();
    metrics.delivered("p");
    metrics.ended("p", "reject", "PDF_INVALID");
    metrics.inferred("p", 64);
    metrics.spared("p", Spared::Cached, 32);
    metrics.took("p", Stage::Prepare, Duration::from_millis(3));
    metrics.happened("p", FlowEvent::Committed);
    for level in [
        Level::InFlightDeliveries,
        Level::InFlightBytes,
        Level::InFlightTokens,
        Level::Lag,
        Level::Partitions,
        Level::Held,
        Level::Waiting,
    ] {
        metrics.level("p", level, 17);
    }
    metrics.children_started(3);
    let flag = Flag {
        name: "leak".to_owned(),
        label: "Leak".to_owned(),
        is_present: true,
        confidence: 0.75,
        evidence: Vec::new(),
    };
    metrics.runs("p", ["m", "1"], Digest::of(b"model"));
    metrics.found("p", &Extraction { fields: Vec::new(), flags: vec![flag] });
    metrics.watch("cpu", || Usage {
        models: vec![ModelUsage {
            name: "m".to_owned(),
            revision: "1".to_owned(),
            batch_count: 2,
            row_count: 3,
            token_count: 50,
            padding_count: 14,
        }],
        busy: Duration::from_millis(1500),
        session_count: 2,
    });
    metrics
}

#[test]
fn the_page_holds_what_was_counted() {
    let page = told().encode().unwrap();
    for line in [
        "sluice_deliveries_total{pipeline=\"p\"} 1",
        "sluice_outcomes_total{code=\"PDF_INVALID\",outcome=\"reject\",pipeline=\"p\"} 1",
        "sluice_tokens_total{pipeline=\"p\"} 64",
        "sluice_tokens_spared_total{pipeline=\"p\",reason=\"cached\"} 32",
        "sluice_stage_seconds_count{pipeline=\"p\",stage=\"prepare\"} 1",
        "sluice_flow_events_total{event=\"committed\",pipeline=\"p\"} 1",
        "sluice_flow_events_total{event=\"rewound\",pipeline=\"p\"} 0",
        "sluice_outcomes_total{code=\"TEXT_TIMEOUT\",outcome=\"reject\",pipeline=\"p\"} 0",
        "sluice_in_flight_bytes{pipeline=\"p\"} 17",
        "sluice_text_children_started_total 3",
        "sluice_flow_held{pipeline=\"p\"} 17",
        "sluice_confidence_bucket{label=\"leak\",pipeline=\"p\",le=\"0.7\"} 0",
        "sluice_confidence_bucket{label=\"leak\",pipeline=\"p\",le=\"0.8\"} 1",
        "sluice_batches_total{model=\"m\",revision=\"1\"} 2",
        "sluice_batch_rows_total{model=\"m\",revision=\"1\"} 3",
        "sluice_batch_tokens_total{kind=\"text\",model=\"m\",revision=\"1\"} 50",
        "sluice_batch_tokens_total{kind=\"padding\",model=\"m\",revision=\"1\"} 14",
        "sluice_session_busy_seconds_total{device=\"cpu\"} 1.5",
        "sluice_sessions{device=\"cpu\"} 2",
    ] {
        assert!(page.contains(line), "{line} not in\n{page}");
    }
}

#[test]
fn the_page_and_the_reference_name_the_same_metrics_and_labels() {
    let page = told().encode().unwrap();
    let shown: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let known: BTreeSet<_> = ALL
        .iter()
        .map(|spec| (spec.prometheus_name(), format!("{:?}", spec.kind).to_lowercase()))
        .collect();
    assert_eq!(shown, known);
    for spec in ALL {
        let name = spec.prometheus_name();
        let mut lines = page.lines().filter(|line| line.starts_with(&name));
        let line = lines.next().unwrap();
        for label in spec.labels {
            assert!(line.contains(&format!("{label}=")), "{label} not in {line}");
        }
        let labels = line.matches("=\"").count() - line.matches("le=\"").count();
        assert_eq!(labels, spec.labels.len(), "{line}");
    }
}
