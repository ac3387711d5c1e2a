//! Real logs of many programs: every entry is one part, with the lines that belong to it.

use std::path::Path;

use sluice::config::pipeline::{Envelope, Input, Split, Tombstone};
use sluice::decode::{Decoded, decode};
use sluice::registry::Client;
use sluice::types::{Delivery, Extent, Header, Position, Sensitive, Span};

use super::folder;

/// The places of the entries of a file.
fn entries(body: &[u8], content_type: &str) -> Vec<Span> {
    let header = Header {
        name: "content-type".to_owned(),
        value: Some(Sensitive::new(content_type.as_bytes().to_vec())),
    };
    let delivery = Delivery {
        position: Position { topic: "in".into(), partition: 0, offset: 0 },
        key: None,
        body: Some(Sensitive::new(body.to_vec())),
        headers: vec![header],
        sent: None,
    };
    let input = Input {
        topic: "in".to_owned(),
        group: None,
        envelope: Envelope::None,
        split: Split::Log,
        tombstone: Tombstone::Forward,
        document_bytes_max: 1 << 30,
        entry_bytes_max: 1 << 20,
        parts_max: 1_000_000,
        claims: None,
    };
    let decoded = decode(&delivery, &input, &None::<Client>).expect("no registry is asked");
    let Ok(Decoded::Parts(pieces)) = decoded else { panic!("a log has parts") };
    let range = |extent| match extent {
        Extent::Bytes(span) => span,
        Extent::Whole | Extent::Inside => panic!("an entry has a place"),
    };
    pieces.iter().map(|piece| range(piece.part.extent)).collect()
}

/// Asserts that entries start at exactly the lines that `is_start` names.
fn check(file: &Path, content_type: &str, is_start: impl Fn(&[u8]) -> bool) {
    let body = std::fs::read(file).expect("the data set has the file");
    let found: Vec<usize> = entries(&body, content_type).iter().map(|span| span.start).collect();
    let mut starts = Vec::new();
    let mut at = 0;
    for line in body.split(|byte| *byte == b'\n') {
        if !line.trim_ascii().is_empty() && is_start(line) {
            starts.push(at);
        }
        at += line.len() + 1;
    }
    assert!(!starts.is_empty(), "{}", file.display());
    assert_eq!(found.len(), starts.len(), "{}", file.display());
    assert_eq!(found, starts, "{}", file.display());
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn entries_of_real_logs_start_where_their_programs_wrote_them() {
    let logs = folder().join("logs_permissive");
    for (file, content_type) in [
        ("sshd_auth.log", "text/plain"),
        ("apache_access.log", "text/plain"),
        ("nginxplus_json.log", "application/x-ndjson"),
        ("nginxplus_json.log", "text/plain"),
        ("lnav/logfile_java.0", "text/plain"),
        ("lnav/logfile_spark.0", "text/plain"),
        ("lnav/logfile_glog.0", "text/plain"),
        ("lnav/logfile_rust_tracing.0", "text/plain"),
        ("lnav/logfile_syslog.1", "text/plain"),
    ] {
        check(&logs.join(file), content_type, |_line| true);
    }
    // Settings that a broker lists at its start, and stack traces, belong to the line above.
    for number in 0..3 {
        for hour in ["16", "20"] {
            let name = format!("kafka/kafka{number}-server.log.2016-12-19-{hour}");
            check(&logs.join(name), "text/plain", |line| line.starts_with(b"[20"));
        }
    }
    check(&logs.join("lnav/logfile_multiline.0"), "text/plain", |line| line.starts_with(b"2009"));
    check(&logs.join("lnav/logfile_laravel.1"), "text/plain", |line| line.starts_with(b"[2025"));
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn work_orders_are_an_entry_a_line() {
    let file = folder().join("pdl_excavator/test.jsonl");
    let lines = std::fs::read_to_string(file).expect("the data set has the file");
    let orders: Vec<String> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|order| order["OriginalShorttext"].as_str().map(|it| it.trim().to_owned()))
        .filter(|order| !order.is_empty())
        .collect();
    let body = orders.join("\n");
    let found: Vec<_> = entries(body.as_bytes(), "text/plain")
        .into_iter()
        .map(|span| body.get(span.range()).expect("whole characters"))
        .collect();
    assert_eq!(found, orders);
}
