//! `sluice topics create`: makes what is missing and leaves what is there, telling how it differs.

use serde_json::{Value, json};

use super::{Told, ask};
use crate::support::flow::Flow;
use crate::support::{kafka, unique};

fn create(dir: &str, args: &[&str]) -> Told {
    let fixed = ["--partitions", "3", "--replication-factor", "1", "--min-insync-replicas", "1"];
    ask(&["topics", "create"], dir, &[&fixed, args].concat())
}

/// What was told of the topic.
fn line<'t>(told: &'t Told, topic: &str) -> &'t Value {
    let found = told.lines.iter().find(|line| line["topic"] == topic);
    found.unwrap_or_else(|| panic!("no word of {topic}\n{}", told.tail))
}

fn states(told: &Told) -> Vec<&str> {
    assert_eq!(told.code, Some(0), "{}", told.tail);
    told.all("state")
}

#[test]
fn missing_topics_are_made_once_as_wanted_and_the_others_are_left_and_compared() {
    let flow = Flow::new(2, "");
    let stem = unique("made");
    let topics = [&flow.review, &flow.reject].map(|topic| (topic, format!("{stem}.{topic}")));
    let dir = flow.edited(|yaml| {
        let named = topics.iter().fold(yaml, |yaml, (old, new)| yaml.replace(*old, new));
        named.replace("\noutput:\n", "\noutput:\n  message_bytes_max: 2000000\n")
    });
    let [(_, review), (_, reject)] = &topics;
    let kept = ["--retention-ms", "3600000"];

    let dry = create(&dir, &["--dry-run"]);
    assert_eq!(states(&dry).iter().filter(|state| **state == "missing").count(), 2, "{}", dry.tail);
    assert!(![review, reject].iter().any(|topic| kafka::topic_exists(topic)));

    let made = create(&dir, &kept);
    for topic in [review, reject] {
        assert_eq!(*line(&made, topic), json!({"topic": topic, "state": "created", "differs": []}));
    }
    // The flow's own topics have two partitions and the broker's settings.
    let present = line(&made, &flow.record);
    assert_eq!(present["state"], "present", "{}", made.tail);
    let differs: Vec<_> = present["differs"].as_array().unwrap().iter().collect();
    let of: Vec<_> = differs.iter().map(|one| one["of"].as_str().unwrap()).collect();
    assert_eq!(of, ["partitions", "retention.ms", "max.message.bytes"], "{}", made.tail);
    assert_eq!(*differs[0], json!({"of": "partitions", "is": "2", "wanted": "3"}));
    let input = line(&made, &flow.input)["differs"].to_string();
    assert!(!input.contains("max.message.bytes"), "{input}");

    // Again: what was made is as wanted, and nothing is made twice.
    let again = create(&dir, &kept);
    assert!(states(&again).iter().all(|state| *state == "present"), "{}", again.tail);
    for topic in [review, reject] {
        assert_eq!(line(&again, topic)["differs"], json!([]), "{}", again.tail);
    }
    assert_eq!(line(&again, &flow.record)["differs"][0]["is"], "2", "{}", again.tail);
}

#[test]
fn what_the_cluster_cannot_have_is_refused_with_the_setting_to_change() {
    let flow = Flow::new(1, "");
    let missing = unique("never");
    let dir = flow.edited(|yaml| yaml.replace(&flow.review, &missing));
    let told = create(&dir, &["--replication-factor", "3"]);
    assert_eq!(told.code, Some(64), "a flag that is given twice: {}", told.tail);
    let with = |copies: [&str; 2]| {
        let flags = ["--partitions", "1", "--replication-factor", copies[0]];
        let flags = [&flags[..], &["--min-insync-replicas", copies[1]]].concat();
        ask(&["topics", "create"], &dir, &flags)
    };
    let told = with(["3", "2"]);
    assert_eq!(told.code, Some(1), "{}", told.tail);
    assert!(told.tail.contains(&format!("creating the topic `{missing}`")), "{}", told.tail);
    assert!(told.tail.contains("lower `--replication-factor`"), "{}", told.tail);
    let told = with(["1", "2"]);
    assert_eq!(told.code, Some(64), "{}", told.tail);
    assert!(told.tail.contains("--min-insync-replicas: 2 is more"), "{}", told.tail);
}
