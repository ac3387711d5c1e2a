//! `sluice rejects list DIR`, `sluice rejects show DIR ID`, `sluice rejects replay DIR`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use serde_json::json;

use super::operator::{Begun, Operator};
use super::{Failure, say};
use crate::error::{Fault, FaultClass};
use crate::inspect::rejects::replay::{Fate, Plan, replay};
use crate::inspect::rejects::{Filter, Rejects, Stored};
use crate::types::RejectCode;

/// Look at rejects, and send their messages in again.
#[derive(Args)]
pub(super) struct RejectsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// One line a reject, and how many there are of each code
    List {
        #[command(flatten)]
        operator: Operator,
        #[command(flatten)]
        filter: Filter,
    },
    /// One reject with its headers and what its code means
    Show {
        #[command(flatten)]
        operator: Operator,
        /// Record id of the reject, as `list` prints it
        #[arg(value_name = "ID")]
        record: String,
        /// Write the body to stdout, and nothing else: it is what was refused, or a reference to it
        #[arg(long)]
        show_body: bool,
    },
    /// Send messages to the input topic again; exit code 1 where some were left
    Replay(Box<ReplayArgs>),
}

#[derive(Args)]
struct ReplayArgs {
    /// Every reject on the topic
    #[arg(long)]
    all: bool,
    /// A message that has been sent in again so often is left
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    hops_max: u32,
    /// Send the whole message where the refused part cannot be sent alone; its other parts are then
    /// worked on again, under new record ids
    #[arg(long)]
    whole: bool,
    /// Tell what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    filter: Filter,
}

pub(super) fn run(args: &RejectsArgs) -> Result<(), Failure> {
    match &args.action {
        Action::List { operator, filter } => list(operator, filter),
        Action::Show { operator, record, show_body } => show(operator, record, *show_body),
        Action::Replay(args) => send(args),
    }
}

fn fault(failure: Failure) -> Fault {
    match failure {
        Failure::Fault(fault) => fault,
        Failure::Usage(words) => Fault::plain(FaultClass::Fatal, words),
        Failure::Problems(_) | Failure::Told => Fault::plain(FaultClass::Fatal, "telling rejects"),
    }
}

fn list(operator: &Operator, filter: &Filter) -> Result<(), Failure> {
    let Begun { flow, connection, .. } = operator.begin()?;
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    Rejects::of(&flow, &connection, filter)?.each(|one| {
        *codes.entry(one.header("sluice-code").to_owned()).or_default() += 1;
        let line = if operator.json { one.json().to_string() } else { one.line() };
        say(&line).map_err(fault)?;
        Ok(ControlFlow::Continue(()))
    })?;
    if operator.json {
        return say(&json!({ "codes": codes }).to_string());
    }
    let total: u64 = codes.values().sum();
    for (code, count) in &codes {
        say(&format!("{count:>8}  {code}"))?;
    }
    say(&format!("{total:>8}  in all"))
}

fn show(operator: &Operator, record: &str, show_body: bool) -> Result<(), Failure> {
    let Begun { flow, connection, .. } = operator.begin()?;
    let filter = Filter { record: Some(record.to_owned()), ..Filter::default() };
    let mut shown = 0;
    Rejects::of(&flow, &connection, &filter)?.each(|one| {
        shown += 1;
        if show_body {
            let body = one.body().map(|body| body.as_slice()).unwrap_or_default();
            let wrote = std::io::stdout().lock().write_all(body);
            wrote.map_err(|error| fault(error.into()))?;
        } else {
            say(&told(&one, operator.json)).map_err(fault)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if shown > 0 {
        return Ok(());
    }
    let topic = &flow.pipeline.output.reject_topic;
    let what = format!("no reject on `{topic}` has the record id `{record}`");
    Err(Fault::plain(FaultClass::Fatal, what).into())
}

fn told(one: &Stored, is_json: bool) -> String {
    if is_json {
        return one.json().to_string();
    }
    let page = RejectCode::from_name(one.header("sluice-code")).map_or("", RejectCode::page);
    let page: Vec<_> = page.lines().map(str::trim).collect();
    format!("{:#}\n\n{}", one.json(), page.join("\n").trim())
}

fn send(args: &ReplayArgs) -> Result<(), Failure> {
    if args.filter.is_given() == args.all {
        let words = "name which rejects (--code, --since, --until, --document, --record), or --all";
        return Err(Failure::Usage(words.to_owned()));
    }
    let Begun { flow, connection, registry } = args.operator.begin()?;
    let rejects = Rejects::of(&flow, &connection, &args.filter)?;
    let prefix = &args.operator.kafka.transactional_prefix;
    let plan = Plan {
        flow: &flow,
        connection: &connection,
        registry: registry.as_ref(),
        transactional_id: format!("{prefix}.{}.rejects-replay", flow.pipeline.name),
        hops_max: args.hops_max,
        whole: args.whole,
        is_dry: args.dry_run,
    };
    let (mut fates, mut is_left) = (BTreeMap::<&str, u64>::new(), false);
    replay(&plan, &rejects, |one, fate| {
        *fates.entry(fate.name()).or_default() += 1;
        is_left |= fate.is_finding();
        let object = fate.json(one, args.dry_run);
        let line = if args.operator.json { object.to_string() } else { words(one, fate) };
        say(&line).map_err(fault)
    })?;
    if args.operator.json {
        say(&json!({ "dry_run": args.dry_run, "fates": fates }).to_string())?;
    } else {
        let dry = if args.dry_run { " (dry run: nothing was sent)" } else { "" };
        let fates: Vec<_> = fates.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        say(&format!("{}{dry}", fates.join(", ")))?;
    }
    if is_left { Err(Failure::Told) } else { Ok(()) }
}

fn words(one: &Stored, fate: &Fate) -> String {
    let (id, code) = (one.header("sluice-record-id"), one.header("sluice-code"));
    let told = match fate {
        Fate::Sent(hops) => format!("hops {hops}"),
        Fate::SentBefore => "is on the input topic already".to_owned(),
        Fate::AtLimit(hops) => format!("hops {hops}; look at it, or raise --hops-max"),
        Fate::Unavailable(why) => (*why).to_owned(),
    };
    format!("{}  {id}  {code}  {told}", fate.name())
}
