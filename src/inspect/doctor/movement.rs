//! `two looks at offsets -> what does not move`: open transactions, lag without commits, messages that
//! expire before they are read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::Result;
use jiff::Timestamp;
use rdkafka::message::Message;

use super::{Diagnosis, Look};
use crate::error::Fault;
use crate::inspect::configs;
use crate::inspect::topics::Range;

/// Ends of a partition by topic and number: last stable offset and high watermark.
type Ends = BTreeMap<(String, i32), (i64, i64)>;

pub(super) fn check(look: &Look<'_>, found: &mut Vec<Diagnosis>) -> Result<()> {
    let group = look.patient.flow.group();
    let has_input = look.topics.iter().any(|topic| topic == look.input());
    let offsets = |look: &Look<'_>| {
        if has_input { look.committed.committed(&group, look.input()) } else { Ok(BTreeMap::new()) }
    };
    let ends = ends(look)?;
    let before = offsets(look)?;
    std::thread::sleep(look.patient.watch);
    let ends_now = self::ends(look)?;
    let now = offsets(look)?;
    for (place, (stable, high)) in &ends_now {
        let was = ends.get(place).map(|(stable, _)| *stable);
        if stable < high && was == Some(*stable) {
            found.push(open_transaction(look, place, *stable, *high));
        }
    }
    if has_input {
        for partition in look.committed.partitions(look.input())? {
            let at = (look.input().to_owned(), partition);
            let stable = ends.get(&at).map_or(0, |(stable, _)| *stable);
            let of = |offsets: &BTreeMap<i32, i64>| offsets.get(&partition).copied();
            found.extend(unread(look, (partition, stable), of(&before), of(&now))?);
        }
    }
    Ok(())
}

fn ends(look: &Look<'_>) -> Result<Ends, Fault> {
    let mut ends = Ends::new();
    for topic in &look.topics {
        for partition in look.committed.partitions(topic)? {
            // Order: the stable end first; it can only have moved on by the second answer.
            let stable = look.committed.bounds(topic, partition)?.end;
            let high = look.everything.bounds(topic, partition)?.end;
            ends.insert((topic.clone(), partition), (stable, high));
        }
    }
    Ok(ends)
}

fn open_transaction(
    look: &Look<'_>,
    (topic, partition): &(String, i32),
    stable: i64,
    high: i64,
) -> Diagnosis {
    let (brokers, watched) = (look.brokers(), look.patient.watch.as_millis());
    let tool = format!("kafka-transactions.sh --bootstrap-server {brokers}");
    let limit = look.patient.flow.pipeline.delivery.transaction_timeout_ms;
    Diagnosis::error("TRANSACTION_OPEN", format!("{topic}/{partition}"))
        .seen(format!(
            "the last stable offset has stood at {stable} for {watched} ms, {} offsets below the \
             high watermark of {high}: readers wait for a transaction that is open",
            high - stable
        ))
        .remedy(format!(
            "a worker that was killed in one is ended by the broker within \
             `delivery.transaction_timeout_ms` ({limit}), or when it comes back under its instance \
             name; look again. Whose it is: {tool} describe-producers --topic {topic} --partition \
             {partition} (CurrentTransactionStartOffset {stable}). To end it: {tool} abort --topic \
             {topic} --partition {partition} --start-offset {stable}"
        ))
}

/// What waits in a partition of the input, and whether it is being worked off.
fn unread(
    look: &Look<'_>,
    (partition, stable): (i32, i64),
    before: Option<i64>,
    now: Option<i64>,
) -> Result<Vec<Diagnosis>> {
    let (topic, group) = (look.input(), look.patient.flow.group());
    let subject = format!("{topic}/{partition}");
    let first = look.committed.bounds(topic, partition)?.first;
    let mut found = Vec::new();
    if let Some(lost) = now.map(|now| first - now).filter(|lost| *lost > 0) {
        found.push(
            Diagnosis::error("EXPIRED_UNREAD", subject.clone())
                .seen(format!(
                    "{lost} offsets after the group's were deleted by retention before they were \
                     read"
                ))
                .remedy(format!(
                    "send those documents again, and raise retention.ms of `{topic}` above the \
                     longest time that workers may be away"
                )),
        );
    }
    let from = now.unwrap_or(first).max(first);
    // Marks of transactions are no lag: only a message is.
    let Some(sent_ms) = first_message(look, partition, from, stable)? else { return Ok(found) };
    if before == now {
        let watched = look.patient.watch.as_millis();
        let members = look.committed.members(&group)?;
        let who = match members {
            0 => "start a worker, if none runs (`kafka-consumer-groups.sh --describe --members` \
                  lists them)"
                .to_owned(),
            members => format!("{members} members are in the group; look at their logs"),
        };
        found.push(
            Diagnosis::error("LAG_WITHOUT_COMMITS", subject.clone())
                .seen(format!(
                    "`{group}` has stood at {} for {watched} ms, below the last stable offset of \
                     {stable}",
                    now.map_or_else(|| "no offset".to_owned(), |now| now.to_string())
                ))
                .remedy(format!(
                    "{who}; one long document can hold a partition up: look again with a longer \
                     --watch-ms"
                )),
        );
    }
    let kept_ms = configs::of_topic(look.patient.connection, topic)?.number("retention.ms");
    let age_ms = Timestamp::now().as_millisecond() - sent_ms;
    if let Some(kept_ms) = kept_ms.filter(|kept_ms| *kept_ms > 0 && age_ms > kept_ms / 2) {
        found.push(
            Diagnosis::warning("RETENTION_SHORT", subject)
                .seen(format!(
                    "the oldest unread message is {age_ms} ms old, and retention.ms is {kept_ms}"
                ))
                .remedy(format!(
                    "raise retention.ms of `{topic}` now, then add workers or partitions"
                )),
        );
    }
    Ok(found)
}

/// When the first message from `from` on was sent, in milliseconds since 1970; none where there is
/// none below `to`.
fn first_message(
    look: &Look<'_>,
    partition: i32,
    from: i64,
    to: i64,
) -> Result<Option<i64>, Fault> {
    let mut sent_ms = None;
    look.committed.read(look.input(), &[Range { partition, from, to }], |message| {
        sent_ms = Some(message.timestamp().to_millis().unwrap_or_default());
        Ok(ControlFlow::Break(()))
    })?;
    Ok(sent_ms)
}
