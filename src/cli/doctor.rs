//! `sluice doctor DIR`

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::operator::Operator;
use super::{Failure, say};
use crate::inspect::doctor::{Patient, Severity, doctor};

/// Find what holds a flow up, and what to do about it.
#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Time between the two looks at what should move, in milliseconds
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(100..=600_000)
    )]
    watch_ms: u64,
    /// How many workers run; asked of the brokers unless given, which tell it of classic groups only
    #[arg(long, value_name = "COUNT")]
    workers: Option<usize>,
    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let begun = args.operator.begin()?;
    let found = doctor(&Patient {
        flow: &begun.flow,
        kafka: &args.operator.kafka,
        connection: &begun.connection,
        registry: begun.registry.as_ref(),
        watch: Duration::from_millis(args.watch_ms),
        workers: args.workers,
    })?;
    for one in &found {
        let line = if args.operator.json { json!(one).to_string() } else { one.words() };
        say(&line)?;
    }
    let errors = found.iter().filter(|one| one.severity == Severity::Error).count();
    let warnings = found.len() - errors;
    if args.operator.json {
        say(&json!({ "errors": errors, "warnings": warnings }).to_string())?;
    } else {
        say(&format!("{errors} errors, {warnings} warnings"))?;
    }
    if errors == 0 { Ok(()) } else { Err(Failure::Told) }
}
