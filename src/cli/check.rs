//! `pipeline folders -> every mistake in them`: the command `sluice check`.
//!
//! Offline: speaks to no broker and no registry, and runs no model.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::assemble::Plan;
use crate::config::samples::check_samples;
use crate::config::{self, Flow, Problem};
use crate::validate::Rules;

/// Look for mistakes in pipeline folders; all at once.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// Pipeline folders; those that run together are checked together
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
}

/// The command.
pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let count = check(&args.dirs, &mut io::stdout().lock())?;
    if count == 0 { Ok(()) } else { Err(Failure::Problems(Vec::new())) }
}

/// Checks the pipelines in `dirs`, alone and together, and writes one line for each mistake and
/// for each pipeline that has none. Gives the count of mistakes.
///
/// # Errors
///
/// Where `out` cannot be written.
pub fn check(dirs: &[PathBuf], out: &mut impl Write) -> io::Result<usize> {
    let mut flows = Vec::new();
    let mut count = 0;
    for dir in dirs {
        let flow = match config::load(dir) {
            Ok(flow) => flow,
            Err(problems) => {
                count += tell(&problems, out)?;
                continue;
            }
        };
        let mut problems = of_rooms(&flow);
        problems.append(&mut check_samples(&flow));
        problems.sort();
        count += tell(&problems, out)?;
        if problems.is_empty() {
            writeln!(out, "{}", summary(&flow))?;
        }
        flows.push(flow);
    }
    count += tell(&config::check_together(&flows), out)?;
    Ok(count)
}

/// What the rooms say of a pipeline whose own checks found nothing.
pub fn of_rooms(flow: &Flow) -> Vec<Problem> {
    let pipeline = &flow.pipeline;
    let labels: Vec<_> = flow.bundle.labels.iter().map(|label| label.name.clone()).collect();
    let plan = Plan::new(&pipeline.fields, pipeline.flags.as_ref(), &labels).err();
    let rules = Rules::new(&pipeline.rules, &pipeline.fields).err();
    [plan, rules]
        .into_iter()
        .flatten()
        .flatten()
        .map(|(key, problem)| flow.problem(&key, problem, ""))
        .collect()
}

fn tell(problems: &[Problem], out: &mut impl Write) -> io::Result<usize> {
    for problem in problems {
        writeln!(out, "{problem}")?;
    }
    Ok(problems.len())
}

/// One line for a pipeline without mistakes.
fn summary(flow: &Flow) -> String {
    let pipeline = &flow.pipeline;
    let flags = pipeline.flags.as_ref().map_or(0, |flags| {
        if flags.labels.is_empty() { flow.bundle.labels.len() } else { flags.labels.len() }
    });
    let count = |count: usize, word: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {word}{plural}")
    };
    format!(
        "ok: {}: {}, {}, {}",
        pipeline.name,
        count(pipeline.fields.len(), "field"),
        count(flags, "flag"),
        count(pipeline.rules.len(), "rule"),
    )
}
