//! Deliveries of many parts: all of them in one transaction, whatever is killed; a part that is
//! refused is refused alone. On a real broker.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::checker::Kind;
use crate::support::flow::Flow;
use crate::support::kafka::{self, Input, Seen};
use crate::support::process::was_killed;

/// Long enough for a model to load and a group to settle on a busy machine.
const LONG: Duration = Duration::from_mins(3);

const LINES_COUNT: usize = 200;

/// A log of 200 entries, one of which is broken and one of which has several lines.
fn log(number: usize) -> Input {
    let mut body = Vec::new();
    for line in 0..LINES_COUNT {
        match line {
            7 => body.extend(b"2026-01-01 10:00:07 broken \xFF byte"),
            9 => body.extend(b"2026-01-01 10:00:09 ERROR boom\njava.lang.Error: x\n\tat a.B"),
            _ => body
                .extend(format!("2026-01-01 10:{number:02}:{:02} pump {line}", line % 60).bytes()),
        }
        body.extend(if line % 5 == 0 { b"\n\n".as_slice() } else { b"\r\n" });
    }
    Input::new(&format!("host-{}", number % 3), &body)
        .header("content-type", b"text/plain")
        .parts(u32::try_from(LINES_COUNT).unwrap())
}

/// Outcomes per topic and delivery.
type Counts = BTreeMap<(Kind, String), usize>;

/// How many outcomes of each delivery a reader sees in each topic now. Where all parts of a
/// delivery come in one transaction, a partition shows all of them or none.
fn counts(seen: &[(Kind, Seen)]) -> Counts {
    let mut counts = Counts::new();
    for (kind, seen) in seen {
        let id = seen.header("sluice-record-id").unwrap();
        let (delivery, _part) = id.rsplit_once('/').unwrap();
        *counts.entry((*kind, delivery.to_owned())).or_default() += 1;
    }
    counts
}

#[test]
fn two_hundred_lines_are_two_hundred_outcomes_in_one_transaction_whatever_is_killed() {
    let flow = Flow::splitting(
        2,
        "delivery:\n  commit_interval_ms: 100\n  transaction_timeout_ms: 5000\n\
         limits:\n  in_flight_outcomes_max: 300\n",
    );
    let inputs: Vec<_> = (0..8).map(log).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let total = inputs.len() * LINES_COUNT;
    let (mut snapshots, mut unfinished_at_kill) = (Vec::new(), 0);
    for pause_ms in [0, 150, 700] {
        let mut worker = flow.worker("a", &[]);
        let before = flow.seen().len();
        let seen = flow.wait_for((before + 1).min(total), &mut worker, LONG);
        snapshots.push(counts(&seen));
        std::thread::sleep(Duration::from_millis(pause_ms));
        assert!(was_killed(worker.kill9()));
        let seen = flow.seen();
        unfinished_at_kill += usize::from(seen.len() < total);
        snapshots.push(counts(&seen));
    }
    assert!(unfinished_at_kill > 0, "no kill met a worker at work");
    let mut worker = flow.worker("a", &[]);
    let seen = flow.wait_for(total, &mut worker, LONG);
    flow.drain_and_check(&mut worker, &inputs, &positions);
    let whole = counts(&seen);
    for (place, count) in snapshots.iter().flatten() {
        assert_eq!(Some(count), whole.get(place), "a part of {place:?} was seen alone");
    }
    let rejects: Vec<_> = seen.iter().filter(|(kind, _)| *kind == Kind::Reject).collect();
    assert_eq!(rejects.len(), inputs.len());
    for (_, reject) in rejects {
        assert_eq!(reject.header("sluice-code").as_deref(), Some("ENCODING_INVALID"));
        assert_eq!(reject.header("sluice-part").as_deref(), Some("7"));
        let range = reject.header("sluice-range").unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        let bytes = reject.payload.as_deref().unwrap();
        assert_eq!(bytes, b"2026-01-01 10:00:07 broken \xFF byte");
        let bodies = inputs.iter().filter_map(|input| input.payload.as_deref());
        assert!(bodies.into_iter().any(|body| body.get(start..end) == Some(bytes)), "{range}");
    }
}

#[test]
fn documents_of_hospital_systems_end_part_by_part() {
    let flow = Flow::splitting(1, "");
    let text = "This Supply Agreement is made by Alpha Holdings, Inc. and Beta Trading LLC.";
    let attachment = |content| json!({"attachment": content});
    let bundle = json!({"resourceType": "Bundle", "entry": [{"resource": {
    "resourceType": "DocumentReference", "id": "note-1", "content": [
        attachment(json!({"contentType": "text/plain", "data": STANDARD.encode(text)})),
        attachment(json!({"contentType": "text/plain", "url": "https://example.org/1"})),
    ]}}]});
    let message = format!(
        "MSH|^~\\&|A|B|C|D|20260101||MDM^T02|C1|P|2.5\rTXA|1||||||||||N2\rOBX|1|TX|||{text}"
    );
    let inputs = [
        Input::new("fhir", bundle.to_string().as_bytes())
            .header("content-type", b"application/fhir+json")
            .parts(2),
        Input::new("hl7", message.as_bytes()).header("content-type", b"application/hl7-v2"),
        Input::new("many", "a\n".repeat(10_001).as_bytes()).header("content-type", b"text/plain"),
    ];
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = flow.worker("a", &[]);
    let seen = flow.wait_for(4, &mut worker, LONG);
    flow.drain_and_check(&mut worker, &inputs, &positions);
    let code = |key: &str| {
        let of = seen.iter().find(|(kind, seen)| {
            *kind == Kind::Reject && seen.key.as_deref() == Some(key.as_bytes())
        });
        of.and_then(|(_, seen)| seen.header("sluice-code"))
    };
    assert_eq!(code("fhir").as_deref(), Some("ATTACHMENT_REMOTE"));
    assert_eq!(code("many").as_deref(), Some("PARTS_TOO_MANY"));
    assert_eq!(code("hl7"), None);
}
