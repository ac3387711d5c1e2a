//! `sluice schema DIR`, `sluice schema register DIR`, `sluice schema diff DIR`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Failure, load, run, say};
use crate::config::{self, settings};
use crate::error::{Fault, FaultClass};
use crate::inspect::range::output_name;
use crate::registry::{Client, subject};
use crate::sink::schemas::{Resolved, Schemas};
use crate::worker;

/// Print, register or compare the schemas of a pipeline.
#[derive(Args)]
pub(super) struct SchemaArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the resolved record schema, or the JSON Schema of pipeline.yaml
    Print {
        /// Pipeline folder
        #[arg(value_name = "DIR", required_unless_present = "config")]
        dir: Option<PathBuf>,
        /// The schema of the review topic instead
        #[arg(long)]
        review: bool,
        /// The schema of the audit topic instead
        #[arg(long, conflicts_with = "review")]
        audit: bool,
        /// The JSON Schema of pipeline.yaml instead, for editors
        #[arg(long, conflicts_with_all = ["review", "audit"])]
        config: bool,
    },
    /// Register the schemas of the record, the review and the audit topic
    Register {
        /// Pipeline folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Of the topics of `sluice run --output NAME`
        #[arg(long, value_name = "NAME", value_parser = output_name)]
        output: Option<String>,
        #[command(flatten)]
        registry: settings::Registry,
    },
    /// Compare the schemas with the latest registered ones; exit code 1 where they differ
    Diff {
        /// Pipeline folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Of the topics of `sluice run --output NAME`
        #[arg(long, value_name = "NAME", value_parser = output_name)]
        output: Option<String>,
        #[command(flatten)]
        registry: settings::Registry,
    },
}

pub(super) fn schema(args: &SchemaArgs) -> Result<(), Failure> {
    match &args.action {
        Action::Print { config: true, .. } => say(&format!("{:#}", config::schema())),
        Action::Print { dir, review, audit, .. } => {
            let dir = dir.as_deref().unwrap_or_else(|| Path::new("."));
            let (_, schemas) = schemas(dir, None)?;
            say(match (review, audit) {
                (true, _) => &schemas.review.json,
                (_, true) => &schemas.audit.json,
                (false, false) => &schemas.record.json,
            })
        }
        Action::Register { dir, output, registry } => {
            let client = client(registry)?;
            each((dir, output.as_deref()), |subject, resolved| {
                let id = client.register(subject, &resolved.json)?;
                say(&format!("{subject}: id {id}"))
            })
        }
        Action::Diff { dir, output, registry } => {
            let client = client(registry)?;
            diff((dir, output.as_deref()), &client)
        }
    }
}

fn diff(of: (&Path, Option<&str>), client: &Client) -> Result<(), Failure> {
    let mut differs = false;
    each(of, |subject, resolved| {
        let Some(latest) = client.latest(subject)? else {
            differs = true;
            return say(&format!("{subject}: nothing is registered"));
        };
        let is_same = parsed(&latest.schema) == parsed(&resolved.json);
        let is_compatible = client.is_compatible(subject, &resolved.json)?;
        differs |= !is_same;
        let verdict = match (is_same, is_compatible) {
            (true, _) => "the same as",
            (false, true) => "differs from, and is compatible with,",
            (false, false) => "is NOT compatible with",
        };
        say(&format!("{subject}: {verdict} version {} (id {})", latest.version, latest.id))
    })?;
    if differs { Err(Failure::Told) } else { Ok(()) }
}

fn parsed(schema: &str) -> Option<Value> {
    serde_json::from_str(schema).ok()
}

/// Calls `act` for the subject and schema of the record, the review and, where there is one, the
/// audit topic; of the outputs of that name, where there is one.
fn each(
    (dir, name): (&Path, Option<&str>),
    mut act: impl FnMut(&str, &Resolved) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (output, schemas) = schemas(dir, name)?;
    act(&subject(&output.record_topic), &schemas.record)?;
    act(&subject(&output.review_topic), &schemas.review)?;
    match &output.audit_topic {
        Some(topic) => act(&subject(topic), &schemas.audit),
        None => Ok(()),
    }
}

fn schemas(dir: &Path, name: Option<&str>) -> Result<(config::pipeline::Output, Schemas), Failure> {
    let flow = load(dir)?;
    let flow = match name {
        Some(name) => flow.to_outputs(name),
        None => flow,
    };
    let plan = worker::plan(&flow)?;
    let schemas = worker::output_schemas(&flow, &plan)?;
    Ok((flow.pipeline.output, schemas))
}

fn client(registry: &settings::Registry) -> Result<Arc<Client>, Failure> {
    run::client(registry)?.ok_or_else(|| {
        let fault = "no registry is set; give `--registry URL` or SLUICE_REGISTRY";
        Fault::plain(FaultClass::Fatal, fault).into()
    })
}
