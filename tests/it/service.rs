//! The worker as an operator meets it: health, metrics, start-up errors, registry, exit codes.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::checker::Kind;
use crate::support::flow::{Flow, contracts, drain, short_contract};
use crate::support::{kafka, registry, wait_for};

const LONG: Duration = Duration::from_mins(3);

fn sluice(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice")).args(args).output().unwrap()
}

pub(crate) fn get(url: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let Ok(mut answer) = agent.get(url).call() else { return (0, String::new()) };
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default())
}

#[test]
fn health_turns_ready_and_metrics_count_what_ended() {
    let flow = Flow::new(1, "");
    kafka::produce(&flow.input, &[short_contract(1), short_contract(2)]);
    let port = crate::support::jvm::free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut worker = flow.worker("a", &["--listen", &listen]);
    let url = |path: &str| format!("http://{listen}{path}");
    wait_for("an answer of /healthz", LONG, || (get(&url("/healthz")).0 == 200).then_some(()));
    wait_for("readiness", LONG, || (get(&url("/readyz")).0 == 200).then_some(()));
    flow.wait_for(2, &mut worker, LONG);
    let (_, page) = get(&url("/metrics"));
    assert!(page.contains("sluice_deliveries_total{pipeline=\"contracts\"} 2"), "{page}");
    let outcomes = page.lines().filter(|line| line.starts_with("sluice_outcomes_total{"));
    let counts = outcomes.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(counts.sum::<u64>(), 2, "{page}");
    assert!(!page.contains("Alpha"), "a metric holds document text");
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
}

#[test]
fn a_worker_asked_to_end_while_it_starts_ends_well() {
    let flow = Flow::new(1, "");
    wait_for("a signal that meets the start", LONG, || {
        let mut worker = flow.worker("a", &[]);
        drain(&worker);
        assert!(worker.wait(LONG).success(), "{}", worker.tail());
        let said = worker.stderr();
        assert!(said.contains("\"draining\"") && said.contains("\"drained\""), "{said}");
        (!said.contains("\"running\"")).then_some(())
    });
}

#[test]
fn an_idle_spare_worker_is_ready_without_a_partition() {
    let flow = Flow::new(1, "");
    let listens: Vec<_> =
        (0..2).map(|_| format!("127.0.0.1:{}", crate::support::jvm::free_port())).collect();
    let mut workers: Vec<_> = listens
        .iter()
        .enumerate()
        .map(|(number, listen)| flow.worker(&format!("w{number}"), &["--listen", listen]))
        .collect();
    for (listen, worker) in listens.iter().zip(&mut workers) {
        let url = format!("http://{listen}/readyz");
        wait_for("readiness of both", LONG, || {
            assert!(worker.exited().is_none(), "{}", worker.tail());
            (get(&url).0 == 200).then_some(())
        });
    }
}

#[test]
fn a_drain_finishes_what_is_in_work_and_the_next_worker_goes_on() {
    let flow = Flow::new(1, "");
    let inputs: Vec<_> = (0..60).map(short_contract).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = flow.worker("a", &[]);
    flow.wait_for(1, &mut worker, LONG);
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    let mut next = flow.worker("a", &[]);
    flow.wait_for(inputs.len(), &mut next, LONG);
    let report = flow.check(&inputs, &positions);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_worker_needs_registered_schemas_and_writes_the_confluent_format() {
    let flow = Flow::with(1, "avro", "");
    kafka::produce(&flow.input, &[short_contract(3)]);
    let with_registry = ["--registry", registry::url()];
    let mut early = flow.worker("a", &with_registry);
    assert_eq!(early.wait(LONG).code(), Some(1), "{}", early.tail());
    assert!(early.stderr().contains("sluice schema register"), "{}", early.tail());

    let registered = sluice(&["schema", "register", flow.dir(), "--registry", registry::url()]);
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    let same = sluice(&["schema", "diff", flow.dir(), "--registry", registry::url()]);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));

    let mut worker = flow.worker("a", &with_registry);
    let seen = flow.wait_for(1, &mut worker, LONG);
    let (kind, outcome) = seen.first().unwrap();
    assert_ne!(*kind, Kind::Reject, "{:?}", outcome.headers);
    let body = outcome.payload.as_deref().unwrap();
    let (magic, rest) = body.split_first().unwrap();
    let id = u32::from_be_bytes(*rest.first_chunk().unwrap());
    assert_eq!(*magic, 0);
    let schema: Value = serde_json::from_str(&registry::schema(u64::from(id))).unwrap();
    assert_eq!(schema["type"], "record");
}

#[test]
fn what_is_missing_at_the_start_is_named_with_its_remedy() {
    let flow = Flow::new(1, "");
    let run = |args: &[&str], instance: &str| {
        let fixed = ["run", flow.dir(), "--listen", "127.0.0.1:0"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let command = command.args(fixed).args(args).env_remove("SLUICE_INSTANCE");
        if !instance.is_empty() {
            command.env("SLUICE_INSTANCE", instance);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let brokers = ["--brokers", kafka::brokers()];
    let (code, told) = run(&brokers, "");
    assert!(code == Some(64) && told.contains("SLUICE_INSTANCE"), "{code:?} {told}");
    let (code, told) = run(&[&brokers[..], &["--onnxruntime", "/nowhere/lib.so"]].concat(), "a");
    assert!(code == Some(1) && told.contains("/nowhere/lib.so"), "{code:?} {told}");
    let (code, told) = run(&[&brokers[..], &["--device", "cuda"]].concat(), "a");
    assert!(code == Some(1) && told.contains("cuda"), "{code:?} {told}");
    let (code, told) = run(&[], "a");
    assert!(code == Some(64) && told.contains("--brokers"), "{code:?} {told}");
}

#[test]
fn a_flow_that_redacts_does_not_start_without_a_fit_key() {
    let flow = Flow::new(1, "redact:\n  rules: [email]\n");
    let run = |key: Option<&str>| {
        let args = ["run", flow.dir(), "--listen", "127.0.0.1:0", "--brokers", kafka::brokers()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(args).env("SLUICE_INSTANCE", "a").env_remove("SLUICE_REDACT_KEY");
        let output = command.envs(key.map(|key| ("SLUICE_REDACT_KEY", key))).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (key, expected) in [
        (None, "is missing, and the pipeline `contracts` redacts"),
        (Some("too short"), "is shorter than 16 bytes"),
        (Some("long enough, with a break\n"), "begins or ends with white space"),
    ] {
        let (code, told) = run(key);
        assert!(code == Some(64) && told.contains("SLUICE_REDACT_KEY: "), "{code:?} {told}");
        assert!(told.contains(expected), "{told}");
        assert!(key.is_none_or(|key| !told.contains(key.trim())), "{told}");
    }
}

#[test]
fn extract_gives_one_line_per_document_and_exit_code_zero() {
    let dir = contracts();
    let samples = dir.join("samples");
    let output = sluice(&["extract", dir.to_str().unwrap(), samples.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), std::fs::read_dir(samples).unwrap().count());
    for outcome in ["record", "review", "reject"] {
        assert!(lines.iter().any(|line| line["outcome"] == outcome), "no {outcome}");
    }
    for record in lines.iter().filter_map(|line| line.get("record")).filter(|it| !it.is_null()) {
        for place in record["evidence"].as_array().unwrap() {
            let length = |unit: &str| {
                place[format!("end_{unit}")].as_u64().unwrap()
                    - place[format!("start_{unit}")].as_u64().unwrap()
            };
            let raw = place["raw"].as_str().unwrap();
            assert_eq!(usize::try_from(length("byte")).unwrap(), raw.len());
            assert_eq!(usize::try_from(length("char")).unwrap(), raw.chars().count());
        }
    }
}

#[test]
fn explain_knows_every_code_and_no_other() {
    let known = sluice(&["explain", "PDF_ENCRYPTED"]);
    let page = String::from_utf8(known.stdout).unwrap();
    assert!(known.status.success() && page.contains("What to do"), "{page}");
    assert_eq!(sluice(&["explain", "NO_SUCH_CODE"]).status.code(), Some(64));
}
