//! `sluice run --from --to --output`: a range once more, exactly once, whatever is killed, and the live
//! flow does not notice.

use std::collections::BTreeMap;

use super::{LONG, ask};
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka;
use crate::support::process::was_killed;

#[test]
#[cfg(feature = "failpoints")]
fn a_range_is_worked_off_once_through_a_kill_and_ends_by_itself() {
    let flow = Flow::new(2, "delivery:\n  commit_deliveries_max: 4\n  commit_interval_ms: 50\n");
    let inputs: Vec<_> = (0..80).map(short_contract).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut live = flow.worker("live", &[]);
    flow.wait_for(inputs.len(), &mut live, LONG);

    let topics = [&flow.record, &flow.review, &flow.reject, &flow.audit];
    for topic in topics {
        kafka::create_topic_at(kafka::brokers(), &format!("{topic}.v2"), (1, 1), &[]);
    }
    let range = ["--from", "0:5,1:7", "--to", "0:25,1:30", "--output", "v2"];
    let mut expected: Vec<_> = positions
        .iter()
        .filter(|(partition, offset)| match partition {
            0 => (5..25).contains(offset),
            _ => (7..30).contains(offset),
        })
        .map(|(partition, offset)| format!("contracts/{}/{partition}/{offset}/0", flow.input))
        .collect();
    expected.sort();
    assert!(expected.len() > 20, "{} in the range", expected.len());
    let again = || {
        let ids = topics[..3]
            .iter()
            .flat_map(|topic| kafka::read_committed_all(&format!("{topic}.v2")).into_iter());
        let mut ids: Vec<_> = ids.filter_map(|seen| seen.header("sluice-record-id")).collect();
        ids.sort();
        ids
    };
    // Its third commit of four deliveries at most is the last that it makes.
    let mut first = flow.planted("b", &range, "committed=kill@3");
    assert!(was_killed(first.wait(LONG)), "{}", first.tail());
    assert!((1..=12).contains(&again().len()), "{} outcomes at the kill", again().len());
    let mut second = flow.worker("b", &range);
    let status = second.wait(LONG);
    assert!(status.success(), "{}", second.tail());
    assert_eq!(again(), expected);
    // Done is done.
    let mut third = flow.worker("b", &range);
    assert!(third.wait(LONG).success(), "{}", third.tail());
    assert_eq!(again(), expected);

    let told = ask(&["reconcile"], flow.dir(), &range);
    assert_eq!(told.code, Some(0), "{}", told.tail);
    assert_eq!(told.last()["sums"]["parts"], expected.len(), "{}", told.tail);
    // The live flow has its outcomes once, its worker lives, and the same documents say the same.
    assert!(live.exited().is_none(), "{}", live.tail());
    let bodies = |topic: &str| -> BTreeMap<_, _> {
        let all = kafka::read_committed_all(topic).into_iter();
        all.filter_map(|seen| Some((seen.header("sluice-record-id")?, seen.payload))).collect()
    };
    let once = bodies(&flow.record);
    for (id, body) in bodies(&format!("{}.v2", flow.record)) {
        assert_eq!(once.get(&id), Some(&body), "{id}");
    }
    flow.drain_and_check(&mut live, &inputs, &positions);
}

#[test]
fn a_range_without_an_output_or_of_several_pipelines_is_refused() {
    let flow = Flow::new(1, "");
    let mut no_output = flow.worker("a", &["--from", "0:0"]);
    assert_eq!(no_output.wait(LONG).code(), Some(64), "{}", no_output.tail());
    let other = Flow::named("other");
    let mut two = flow.worker("a", &[other.dir(), "--output", "v2"]);
    assert_eq!(two.wait(LONG).code(), Some(64), "{}", two.tail());
}
