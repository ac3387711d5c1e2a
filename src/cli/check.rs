//! `pipeline folders -> every mistake in them`: the command `sluice check`.
//!
//! Offline: speaks to no broker and no registry, and runs no model.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::assemble::Plan;
use crate::config::samples::check_samples;
use crate::config::{self, Flow, Labels, Problem};
use crate::sink::schemas::{self, Schemas};
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
    let labels = Labels::from(&flow.bundle);
    let keyed = |found: Vec<(String, String)>| -> Vec<_> {
        found.iter().map(|(key, problem)| flow.problem(key, problem, "")).collect()
    };
    let mut problems =
        Rules::new(&pipeline.rules, &pipeline.fields).err().map_or_else(Vec::new, keyed);
    match Plan::new(&pipeline.fields, &pipeline.sections, pipeline.flags.as_ref(), &labels) {
        Err(found) => problems.extend(keyed(found)),
        Ok(plan) => problems.extend(of_schema(flow, &plan)),
    }
    problems
}

/// What the record schema lacks to hold what `plan` gives.
fn of_schema(flow: &Flow, plan: &Plan) -> Vec<Problem> {
    let pipeline = &flow.pipeline;
    let names: Vec<_> = plan.flag_names().map(str::to_owned).collect();
    let built =
        Schemas::build(&flow.record_schema, &pipeline.fields, pipeline.flags.as_ref(), &names);
    let found = built.err().unwrap_or_default();
    let told = |one: &schemas::Problem| flow.schema_problem(&one.key, &one.message, &one.hint);
    found.iter().map(told).collect()
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
    let labels = Labels::from(&flow.bundle);
    let all = (0..labels.names().len()).filter(|label| labels.has_flag(*label)).count();
    let flags = pipeline
        .flags
        .as_ref()
        .map_or(0, |flags| if flags.labels.is_empty() { all } else { flags.labels.len() });
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::check;
    use crate::config::fixture;

    fn said(dir: &Path) -> (usize, String) {
        let mut out = Vec::new();
        let count = check(&[dir.to_path_buf()], &mut out).unwrap();
        let place = format!("{}/", dir.parent().unwrap().display());
        (count, String::from_utf8(out).unwrap().replace(&place, ""))
    }

    #[test]
    fn a_sound_folder_is_told_in_one_line() {
        let root = fixture::folder(fixture::GOOD);
        let dir = root.path().join("leases");
        assert_eq!(said(&dir), (0, "ok: leases: 4 fields, 4 flags, 4 rules\n".to_owned()));
    }

    #[test]
    fn samples_and_schema_are_checked_with_the_rest() {
        let root = fixture::folder(fixture::GOOD);
        let dir = root.path().join("leases");
        fs::write(dir.join("samples/002-b.txt"), "x").unwrap();
        fs::write(dir.join("expected/003-c.txt.json"), "{}").unwrap();
        let schema = dir.join("record.avsc");
        let text = fs::read_to_string(&schema).unwrap();
        fs::write(&schema, text.replace("\"starts\"", "\"begins\"")).unwrap();
        let (count, said) = said(&dir);
        let files: Vec<_> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(count, files.len());
        assert_eq!(
            files,
            [
                "leases/expected/002-b.txt.json",
                "leases/expected/003-c.txt.json",
                "leases/record.avsc",
                "leases/record.avsc:7",
            ],
            "{said}"
        );
    }
}
