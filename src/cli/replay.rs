//! `sluice replay DIR --record ID`

use clap::Args;
use serde_json::{Value, json};

use super::offline::{KeyFrom, Means, Offline};
use super::operator::{Begun, Operator};
use super::{Failure, say};
use crate::config::settings::Compute;
use crate::config::stores::Stores;
use crate::inspect::replay::{Case, Difference, codec, differences, find, mismatches, view_of};
use crate::route::{Origin, Router};
use crate::types::{Delivery, OutcomeKind, Outgoing};
use crate::worker::Bytes;

/// Run the input of a published outcome again, and compare.
#[derive(Args)]
pub(super) struct ReplayArgs {
    /// Record id, as the header `sluice-record-id` and the column `record_id` have it
    #[arg(long, value_name = "ID")]
    record: String,
    /// Compare also where model, configuration, schema, CPU class or libraries are others
    #[arg(long)]
    anyway: bool,
    /// Print the values that differ: they are document text
    #[arg(long)]
    show_values: bool,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    stores: Stores,
}

/// What the command says.
struct Answer {
    verdict: &'static str,
    /// Why it cannot be run, or which provenance is another one.
    why: Vec<String>,
    differences: Vec<Difference>,
}

impl Answer {
    fn unable(why: Vec<String>) -> Self {
        Self { verdict: "cannot_be_run", why, differences: Vec::new() }
    }
}

pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let Begun { flow, connection, registry } = args.operator.begin()?;
    let case = find(&flow, &connection, registry.as_ref(), &args.record)?;
    let answer = answer(args, &case)?;
    if args.operator.json {
        say(&as_json(args, &answer).to_string())?;
    } else {
        say(&words(args, &answer))?;
    }
    if answer.verdict == "same" { Ok(()) } else { Err(Failure::Told) }
}

fn answer(args: &ReplayArgs, case: &Case) -> Result<Answer, Failure> {
    let Some(published) = &case.published else {
        return Ok(Answer::unable(vec!["it passes an erasure on, and has no body".to_owned()]));
    };
    let Some(input) = &case.input else {
        return Ok(Answer::unable(vec!["the input has expired".to_owned()]));
    };
    let means = Means {
        compute: args.compute.clone(),
        registry: args.operator.registry.clone(),
        stores: args.stores.clone(),
        logs: args.operator.logs.clone(),
    };
    let offline = Offline::load(&args.operator.dir, &means, KeyFrom::Environment)?;
    let mismatches = mismatches(case, offline.engine.provenance());
    let why = mismatches
        .iter()
        .map(|one| format!("{} was `{}` and is `{}` here", one.name, one.published, one.here));
    let why: Vec<_> = why.collect();
    if !why.is_empty() && !args.anyway {
        return Ok(Answer::unable(why));
    }
    let Some(fresh) = again(&offline, case, input)? else {
        let why = vec![format!("the message has no part {} any more", case.part)];
        return Ok(Answer { verdict: "differs", why, differences: Vec::new() });
    };
    let kind = fresh.kind.unwrap_or(OutcomeKind::Reject);
    if kind != case.kind {
        let values = (json!(case.kind.name()), json!(kind.name()));
        let differences = vec![Difference { path: "/outcome".to_owned(), values }];
        return Ok(Answer { verdict: "differs", why, differences });
    }
    let codec = codec(&offline.engine.flow)?;
    let mut differences = differences(published, &view_of(&fresh, input, &codec)?);
    // What is known to be another one is told already.
    let is_known = |path: &str| {
        let name = path.rsplit("provenance/").next().unwrap_or_default();
        path.contains("provenance/") && mismatches.iter().any(|one| one.name == name)
    };
    differences.retain(|one| !is_known(&one.path));
    let verdict = if differences.is_empty() { "same" } else { "differs" };
    Ok(Answer { verdict, why, differences })
}

/// The message that a worker would publish for the part now.
fn again(offline: &Offline, case: &Case, input: &Delivery) -> Result<Option<Outgoing>, Failure> {
    let engine = &offline.engine;
    let output = engine.flow.pipeline.output.clone();
    let router = Router::new(engine.provenance().clone(), output, Bytes(codec(&engine.flow)?));
    let cover = engine.cover(input);
    let mut found = None;
    offline.each([Ok((String::new(), input.clone()))].into_iter(), |ended| {
        if ended.part.number == case.part {
            let (cover, part) = (cover.as_ref(), ended.part);
            let origin = Origin { delivery: input, cover, part, digest: None };
            found = router.route(&ended.outcome, &origin).into_iter().next();
        }
        Ok(())
    })?;
    Ok(found)
}

fn as_json(args: &ReplayArgs, answer: &Answer) -> Value {
    let places = answer.differences.iter().map(|one| {
        if args.show_values {
            json!({ "path": one.path, "published": one.values.0, "now": one.values.1 })
        } else {
            json!({ "path": one.path })
        }
    });
    json!({
        "record_id": args.record,
        "answer": answer.verdict,
        "why": answer.why,
        "differences": places.collect::<Vec<_>>(),
    })
}

fn words(args: &ReplayArgs, answer: &Answer) -> String {
    let mut lines = vec![format!("{}: {}", answer.verdict.replace('_', " "), args.record)];
    lines.extend(answer.why.iter().map(|why| format!("  {why}")));
    for Difference { path, values } in &answer.differences {
        lines.push(if args.show_values {
            format!("  {path}: was {}, is {}", values.0, values.1)
        } else {
            format!("  {path}")
        });
    }
    if answer.verdict == "cannot_be_run" && !answer.why.is_empty() && !args.anyway {
        lines.push("  (--anyway runs it all the same where the input is there)".to_owned());
    }
    lines.join("\n")
}
