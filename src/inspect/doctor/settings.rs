//! `settings of topics and brokers -> what does not fit the pipeline`.

use anyhow::Result;

use super::{Diagnosis, Look};
use crate::config::pipeline::Split;
use crate::config::settings::GroupProtocol;
use crate::inspect::configs::{self, Configs};

/// Copies below which the loss of one machine can lose what was acknowledged.
const REPLICAS_MIN: usize = 3;

pub(super) fn check(look: &Look<'_>, found: &mut Vec<Diagnosis>) -> Result<()> {
    for topic in &look.topics {
        let configs = configs::of_topic(look.patient.connection, topic)?;
        let replicas = look.committed.replicas(topic)?;
        found.extend(durability(topic, &configs, replicas, look.brokers()));
        if topic != look.input() {
            found.extend(message_bytes(look, topic, &configs));
            found.extend(compaction(look, topic, &configs));
        }
    }
    found.extend(protocol(look)?);
    found.extend(idle(look)?);
    Ok(())
}

fn alter(look: &Look<'_>, topic: &str, config: &str) -> String {
    let brokers = look.brokers();
    format!(
        "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics \
         --entity-name {topic} --add-config {config}"
    )
}

fn message_bytes(look: &Look<'_>, topic: &str, configs: &Configs) -> Option<Diagnosis> {
    let wanted = look.patient.flow.pipeline.output.message_bytes_max;
    let limit = configs.number("max.message.bytes")?;
    let is_small = usize::try_from(limit).is_ok_and(|limit| limit < wanted);
    is_small.then(|| {
        Diagnosis::error("MESSAGE_BYTES", topic)
            .seen(format!(
                "max.message.bytes is {limit}, below `output.message_bytes_max` of {wanted}: the \
                 flow waits at an outcome between the two"
            ))
            .remedy(format!(
                "{}; or lower `output.message_bytes_max` in pipeline.yaml",
                alter(look, topic, &format!("max.message.bytes={wanted}"))
            ))
    })
}

fn compaction(look: &Look<'_>, topic: &str, configs: &Configs) -> Option<Diagnosis> {
    configs.is_compacted().then(|| {
        let has_many = look.patient.flow.pipeline.input.split == Split::Log;
        let of = if has_many { Diagnosis::error } else { Diagnosis::warning };
        of("COMPACTED", topic)
            .seen(
                "cleanup.policy has `compact`: one message a key is kept, and all parts of a \
                 message, and all messages of a key, share it",
            )
            .remedy(alter(look, topic, "cleanup.policy=delete"))
    })
}

fn durability(topic: &str, configs: &Configs, replicas: usize, brokers: &str) -> Option<Diagnosis> {
    let in_sync = configs.number("min.insync.replicas").unwrap_or(1);
    (replicas < REPLICAS_MIN || in_sync < 2).then(|| {
        Diagnosis::warning("DURABILITY", topic)
            .seen(format!(
                "{replicas} replicas, min.insync.replicas {in_sync}: the loss of a broker can lose \
                 what was acknowledged"
            ))
            .remedy(format!(
                "three replicas (kafka-reassign-partitions.sh --bootstrap-server {brokers}) and \
                 min.insync.replicas=2"
            ))
    })
}

/// Whether the brokers have the protocol of the group that workers are told to use.
fn protocol(look: &Look<'_>) -> Result<Option<Diagnosis>> {
    let wanted = match look.patient.kafka.group_protocol {
        GroupProtocol::Auto => return Ok(None),
        GroupProtocol::Consumer => "consumer",
        GroupProtocol::Classic => "classic",
    };
    let configs = configs::of_any_broker(look.patient.connection)?;
    let Some(protocols) = configs.get("group.coordinator.rebalance.protocols") else {
        return Ok(None);
    };
    let has_it = protocols.split(',').any(|one| one.trim() == wanted);
    Ok((!has_it).then(|| {
        Diagnosis::error("GROUP_PROTOCOL", look.patient.flow.group())
            .seen(format!("the brokers speak `{protocols}`, and not `{wanted}`"))
            .remedy(
                "leave `--group-protocol` out, so that each worker takes what the brokers have; \
                 the consumer protocol needs Apache Kafka 4.0",
            )
    }))
}

/// More workers than partitions: some of them have nothing to do.
fn idle(look: &Look<'_>) -> Result<Option<Diagnosis>> {
    let group = look.patient.flow.group();
    let workers = match look.patient.workers {
        Some(workers) => workers,
        None => look.committed.members(&group)?,
    };
    let partitions = look.committed.partitions(look.input())?.len();
    Ok((partitions > 0 && workers > partitions).then(|| {
        Diagnosis::warning("WORKERS_IDLE", group)
            .seen(format!(
                "{workers} workers for the {partitions} partitions of `{}`",
                look.input()
            ))
            .remedy("add partitions (keys then move between them), or run fewer workers")
    }))
}
