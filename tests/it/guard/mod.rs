//! What the dependencies of a worker do to it, and what holds a flow: each fault once, with 200
//! documents on a real broker, and proven to have been met.

mod admin;
mod disk;
mod hang;
mod inference;
mod registry;
mod text_children;
mod topics;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::checker::Kind;
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{Input, Seen};
use crate::support::process::Process;
use crate::support::{jvm, wait_for};

/// Long enough for a model to load and a group to settle on a busy machine.
const LONG: Duration = Duration::from_mins(3);
/// Documents of one fault.
const COUNT: usize = 200;
/// The token of the admin port.
const TOKEN: &str = "a-token-for-the-tests-of-the-admin-port";
/// What a worker writes where a planted fault is met.
const PLANTED: &str = "a planted fault";

/// A worker with its two ports.
struct Worker {
    process: Process,
    listen: String,
    admin: String,
}

impl Worker {
    /// A worker on `flow`, and on further flows by `args`, with faults as `SLUICE_FAILPOINTS` says.
    fn start(flow: &Flow, args: &[&str], faults: &str) -> Self {
        let port = || format!("127.0.0.1:{}", jvm::free_port());
        let (listen, admin) = (port(), port());
        let ports = ["--listen", &listen, "--admin-listen", &admin];
        let args: Vec<_> = args.iter().copied().chain(ports).collect();
        let env = [("SLUICE_FAILPOINTS", faults), ("SLUICE_ADMIN_TOKEN", TOKEN)];
        let process = flow.worker_with("a", &args, &env);
        Self { process, listen, admin }
    }

    fn get(&self, path: &str) -> (u16, String) {
        call("GET", &format!("http://{}{path}", self.listen), None)
    }

    /// Status and body of a request to the admin port, with its token.
    fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.admin);
        let (status, body) = call(method, &url, Some(&format!("Bearer {TOKEN}")));
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// How the flow of that pipeline stands.
    fn stands(&self, pipeline: &str) -> Value {
        let (_, body) = self.ask("GET", "/flows");
        let flows = body["flows"].as_array().cloned().unwrap_or_default();
        flows.into_iter().find(|flow| flow["name"] == pipeline).unwrap_or_default()
    }

    /// Waits until the flow is in that state.
    fn wait_until(&mut self, pipeline: &str, state: &str) -> Value {
        wait_for(&format!("`{pipeline}` to be {state}"), LONG, || {
            self.lives();
            let stands = self.stands(pipeline);
            (stands["state"] == state).then_some(stands)
        })
    }

    /// Waits until the worker has written that.
    fn wait_to_say(&mut self, words: &str) {
        wait_for(&format!("the words `{words}`"), LONG, || {
            self.lives();
            self.process.stderr().contains(words).then_some(())
        });
    }

    fn lives(&mut self) {
        assert!(self.process.exited().is_none(), "the worker ended\n{}", self.process.tail());
    }

    /// Releases the flow as often as it is held, until everything is out.
    fn release_until_out(&mut self, flow: &Flow, pipeline: &str, count: usize) {
        wait_for(&format!("{count} outcomes"), LONG, || {
            self.lives();
            if self.stands(pipeline)["state"] == "held" {
                let (status, body) = self.ask("POST", &format!("/flows/{pipeline}/release"));
                assert_eq!(status, 200, "{body}");
            }
            (flow.seen().len() >= count).then_some(())
        });
    }

    /// How often the planted fault at that point was met.
    fn planted_count(&self, point: &str) -> usize {
        let lines = self.process.logs().into_iter();
        lines.filter(|line| line["message"] == PLANTED && line["point"] == point).count()
    }
}

/// Prints how long after the end of a fault, at `since`, everything was out.
#[expect(clippy::print_stdout, reason = "a run of the tests shows it with --nocapture")]
fn recovered(fault: &str, since: Instant) {
    println!("recovery: {fault}: all out after {:.1} s", since.elapsed().as_secs_f64());
}

/// Status and body; status 0 where nobody answers.
fn call(method: &str, url: &str, authorization: Option<&str>) -> (u16, String) {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let config = config.timeout_global(Some(Duration::from_secs(20)));
    let agent: ureq::Agent = config.build().into();
    let Ok(mut answer) = agent.run(request.body("").unwrap()) else { return (0, String::new()) };
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default())
}

fn contracts(count: usize) -> Vec<Input> {
    (0..count).map(short_contract).collect()
}

/// Codes of all rejects.
fn codes(seen: &[(Kind, Seen)]) -> Vec<String> {
    let rejects = seen.iter().filter(|(kind, _)| *kind == Kind::Reject);
    rejects.filter_map(|(_, reject)| reject.header("sluice-code")).collect()
}

/// A budget that few documents exceed.
const SMALL_BUDGET: &str = "delivery:\n  commit_interval_ms: 200\n  \
     transaction_timeout_ms: 6000\n  reject_budget: {share_max: 0.5, window_deliveries: 50, rejects_min: 10}\n";
