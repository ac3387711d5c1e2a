//! `sluice reconcile DIR`

use clap::Args;

use super::operator::Operator;
use super::{Failure, say};
use crate::inspect::range::RangeArgs;
use crate::inspect::reconcile::{PARTS_MAX, Question, reconcile};

/// Compare inputs with outcomes: nothing lost, nothing twice.
#[derive(Args)]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    operator: Operator,
    /// All that is committed by the group, unless given
    #[command(flatten)]
    range: RangeArgs,
}

pub(super) fn run(args: &ReconcileArgs) -> Result<(), Failure> {
    let begun = args.operator.begin()?;
    let flow = match &args.operator.output {
        Some(name) => begun.flow.in_group_of(name, &args.range.to_string()),
        None => begun.flow,
    };
    let report = reconcile(&Question {
        flow: &flow,
        connection: &begun.connection,
        registry: begun.registry.as_ref(),
        range: &args.range,
        parts_max: PARTS_MAX,
    })?;
    if args.operator.json {
        report.json_lines().iter().try_for_each(|line| say(line))?;
    } else {
        say(&report.table())?;
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::Told) }
}
