//! `a flow, a range of its input -> the flow that works it off once more`: `sluice run --from --to
//! --output`.
//!
//! It has outputs, a group and a transactional id of its own, all derived from pipeline, range and
//! output, so that it can be started again after a crash, and the flow that is live does not notice.
//! Its group is given its first offsets here; from then on they move with the outcomes like any.

use std::collections::BTreeMap;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;

use crate::config::Flow;
use crate::error::Fault;
use crate::inspect::range::{Asked, RangeArgs};
use crate::inspect::topics::{Isolation, Topics};
use crate::kafka::{self, Connection, Quiet};

/// The flow that works `range` off with outputs called `name`, and its group at the first offsets.
///
/// A partition that has not reached the end that was asked for ends where it ends now; so does one of
/// which no end was asked.
pub fn again(flow: Flow, connection: &Connection, range: &RangeArgs, name: &str) -> Result<Flow> {
    let mut flow = flow.in_group_of(name, &range.to_string()).to_outputs(name);
    let topic = flow.pipeline.input.topic.clone();
    let topics = Topics::connect(connection, Isolation::Committed)?;
    let (mut starts, mut ends) = (Vec::new(), BTreeMap::new());
    for (partition, Asked { from, to }) in range.asked(&topics, &topic)? {
        let bounds = topics.bounds(&topic, partition)?;
        let from = from.unwrap_or(bounds.first);
        if from < bounds.first {
            let expired = bounds.first - from;
            tracing::warn!(topic, partition, expired, "the range begins before what is left");
        }
        starts.push((partition, from.max(bounds.first)));
        ends.insert(partition, to.unwrap_or(bounds.end).min(bounds.end));
    }
    let known = topics.committed(&flow.group(), &topic)?;
    starts.retain(|(partition, _)| !known.contains_key(partition));
    if !starts.is_empty() {
        begin(connection, &flow.group(), (&topic, &starts))?;
    }
    tracing::info!(topic, group = flow.group(), ?ends, "working a range off once more");
    flow.ends = Some(ends);
    Ok(flow)
}

/// Gives a group without members its first offsets. One that has members has been given them by
/// another worker of the same range.
fn begin(
    connection: &Connection,
    group: &str,
    (topic, starts): (&str, &[(i32, i64)]),
) -> Result<(), Fault> {
    let doing =
        |error| kafka::fault(format!("giving the group `{group}` its first offsets"), error);
    let mut config = connection.config();
    config.set("group.id", group).set("enable.auto.commit", "false");
    let client: BaseConsumer<Quiet> = config.create_with_context(Quiet).map_err(doing)?;
    let list = kafka::offset_list(topic, starts)?;
    match client.commit(&list, CommitMode::Sync) {
        Err(error) if has_members(error.rdkafka_error_code()) => Ok(()),
        other => other.map_err(doing),
    }
}

const fn has_members(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::StaleMemberEpoch
                | RDKafkaErrorCode::RebalanceInProgress
        )
    )
}
