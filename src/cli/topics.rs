//! `sluice topics create DIR`

use clap::{Args, Subcommand};
use serde_json::json;

use super::operator::Operator;
use super::{Failure, say};
use crate::inspect::creation::{State, Topic, Wanted, create};

/// Make the topics of a pipeline.
#[derive(Args)]
pub(super) struct TopicsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create the input and output topics that are missing, and tell in what the others differ from
    /// what was asked for; they are left as they are
    Create(CreateArgs),
}

#[derive(Args)]
struct CreateArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// Tell which topics are missing, and make none
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(args: &TopicsArgs) -> Result<(), Failure> {
    let Action::Create(args) = &args.action;
    let wanted = &args.wanted;
    if wanted.min_insync_replicas > wanted.replication_factor {
        return Err(Failure::Usage(format!(
            "--min-insync-replicas: {} is more than --replication-factor {}, and nothing could be \
             written; lower it",
            wanted.min_insync_replicas, wanted.replication_factor
        )));
    }
    let begun = args.operator.begin()?;
    create(&begun.flow, &begun.connection, (wanted, args.dry_run), |topic| {
        say(&if args.operator.json { json!(topic).to_string() } else { words(topic) })
    })
}

fn words(topic: &Topic) -> String {
    let name = &topic.topic;
    match topic.state {
        State::Created => format!("{name}: created"),
        State::Missing => format!("{name}: is missing"),
        State::Present if topic.differs.is_empty() => format!("{name}: is there, as wanted"),
        State::Present => {
            let mut words = format!("{name}: is there, and differs; it is left as it is");
            for one in &topic.differs {
                words.extend(["\n    ", one.of, " is ", &one.is, ", wanted ", &one.wanted]);
            }
            words
        }
    }
}
