//! The operator's commands on a real broker and registry: each finds what is wrong, and nothing where
//! nothing is.

mod again;
mod doctor;
mod reconcile;
mod rejects;
mod replay;
mod topics;
mod upgrade;

use std::time::Duration;

use serde_json::Value;

use crate::support::flow::{Flow, REDACT_KEY};
use crate::support::kafka::{self, Input, Seen};
use crate::support::process::Process;

/// Long enough for a model to load and a group to settle on a busy machine.
const LONG: Duration = Duration::from_mins(3);

/// What a command said.
struct Told {
    code: Option<i32>,
    /// The lines of stdout, each a JSON object.
    lines: Vec<Value>,
    /// Both streams, for the message of a failed test.
    tail: String,
}

impl Told {
    /// The last line: the sums.
    fn last(&self) -> &Value {
        self.lines.last().unwrap_or_else(|| panic!("nothing was said\n{}", self.tail))
    }

    /// The values of `name` in all lines that have it.
    fn all(&self, name: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.get(name)?.as_str()).collect()
    }
}

/// Runs `sluice VERB.. DIR ARGS.. --json` on the shared broker.
fn ask(verb: &[&str], dir: &str, args: &[&str]) -> Told {
    let fixed = [dir, "--json", "--log", "warn", "--brokers", kafka::brokers()];
    let all = [verb, &fixed, args].concat();
    let mut process = Process::sluice(&all, &[("SLUICE_REDACT_KEY", REDACT_KEY)]);
    let code = process.wait(LONG).code();
    let stdout = process.stdout();
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    Told { code, lines: lines.collect(), tail: process.tail() }
}

/// Works `inputs` off with one worker that drains then; gives where they stand.
fn worked_off(flow: &Flow, inputs: &[Input], outcomes: usize) -> Vec<(i32, i64)> {
    let positions = kafka::produce(&flow.input, inputs);
    let mut worker = flow.worker("a", &[]);
    flow.wait_for(outcomes, &mut worker, LONG);
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    positions
}

/// A topic like `of`, with the messages that `edit` makes of its own, and a folder of `flow` that
/// has it in the place of `of`.
fn copied(flow: &Flow, of: &str, edit: impl FnOnce(&mut Vec<Seen>)) -> String {
    let mut messages = kafka::read_committed_all(of);
    edit(&mut messages);
    let copy = kafka::create_topic("copy", 4, &[]);
    let messages: Vec<_> = messages.iter().map(Seen::input).collect();
    kafka::produce(&copy, &messages);
    flow.edited(|yaml| yaml.replace(of, &copy))
}
