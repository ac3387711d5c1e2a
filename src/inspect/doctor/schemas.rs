//! `schemas of a pipeline, schemas of a registry -> what does not fit`.

use anyhow::Result;

use super::{Diagnosis, Patient};
use crate::config::pipeline::Format;
use crate::error::Fault;
use crate::registry::{Client, subject};
use crate::sink::schemas::Resolved;
use crate::worker;

pub(super) fn check(patient: &Patient<'_>, found: &mut Vec<Diagnosis>) -> Result<()> {
    let flow = patient.flow;
    let output = &flow.pipeline.output;
    let (Some(client), Format::Avro) = (patient.registry, output.format) else { return Ok(()) };
    let plan = worker::plan(flow)?;
    let schemas = worker::output_schemas(flow, &plan)?;
    let audit = output.audit_topic.as_ref().map(|topic| (topic, &schemas.audit));
    let own = [(&output.record_topic, &schemas.record), (&output.review_topic, &schemas.review)];
    for (topic, resolved) in own.into_iter().chain(audit) {
        let subject = subject(topic);
        match one(client, &subject, resolved, &flow.dir.display().to_string()) {
            Ok(diagnosis) => found.extend(diagnosis),
            Err(fault) => {
                found.push(
                    Diagnosis::error("REGISTRY_SILENT", subject)
                        .seen(fault.chain())
                        .remedy("mend the registry or the way to it; `--registry` names it"),
                );
                break;
            }
        }
    }
    Ok(())
}

fn one(
    client: &Client,
    subject: &str,
    resolved: &Resolved,
    dir: &str,
) -> Result<Option<Diagnosis>, Fault> {
    let Some(id) = client.id_of(subject, &resolved.json)? else {
        return Ok(Some(
            Diagnosis::error("SCHEMA_UNREGISTERED", subject)
                .seen("the pipeline's schema is not registered there; a worker does not start")
                .remedy(format!("sluice schema register {dir}")),
        ));
    };
    if !client.is_compatible(subject, &resolved.json)? {
        return Ok(Some(
            Diagnosis::error("SCHEMA_INCOMPATIBLE", subject)
                .seen(format!("the pipeline's schema (id {id}) breaks the rules of the latest one"))
                .remedy(format!("sluice schema diff {dir}; run the folder of the newer schema")),
        ));
    }
    let latest = client.latest(subject)?;
    Ok(latest.filter(|latest| latest.id != id).map(|latest| {
        Diagnosis::warning("SCHEMA_OTHER_ID", subject)
            .seen(format!(
                "this folder writes under id {id}, and the latest is version {} with id {}",
                latest.version, latest.id
            ))
            .remedy("finish the upgrade: run all workers on the folder of the latest schema")
    }))
}
