//! Claims on a real S3 server: documents that a message names instead of holding them.

use std::time::Duration;

use serde_json::{Value, json};
use sluice::types::Digest;

use crate::faults::holds_up_its_own_flow_only;
use crate::support::checker::Kind;
use crate::support::flow::{Flow, contracts, short_contract};
use crate::support::gate::Gate;
use crate::support::kafka::{self, Input, Seen};
use crate::support::keys::Keys;
use crate::support::process::Process;
use crate::support::s3::{self, S3, SECRET};
use crate::support::tls::{self, passed_on};
use crate::support::wait_for;

/// Long enough for a model to load and a group to settle on a busy machine.
const LONG: Duration = Duration::from_mins(3);
/// Lines of `input` that take claims from one folder of the test's bucket.
const CLAIMS: &str = "  claims:\n    allow: ['s3://documents/in']\n    settle_timeout_ms: 300\n";

/// An envelope of these keys.
fn envelope(number: usize, body: &Value) -> Input {
    Input::new(&format!("key-{}", number % 10), body.to_string().as_bytes())
        .header("content-type", b"application/vnd.sluice.document+json")
}

/// A claim of `bytes` as `key`.
fn claim(number: usize, key: &str, content_type: &str, bytes: &[u8]) -> Input {
    let body = json!({
        "document_id": format!("contract-{number}"), "content_type": content_type,
        "uri": format!("s3://documents/{key}"), "size_bytes": bytes.len(),
        "sha256": Digest::of(bytes).to_string(),
    });
    envelope(number, &body)
}

/// Puts short contracts into the store, and gives the claims of them.
fn claimed_contracts(server: &S3, numbers: std::ops::Range<usize>) -> Vec<Input> {
    let put = |number: usize| {
        let words = short_contract(number).payload.unwrap();
        let key = format!("in/contract {number}.txt");
        server.put(&key, &words);
        claim(number, &key.replace(' ', "%20"), "text/plain", &words)
    };
    numbers.map(put).collect()
}

fn worker(flow: &Flow, server: &S3, args: &[&str]) -> Process {
    let endpoint = format!("http://{}", server.address());
    flow.worker_with("a", args, &s3::env(&endpoint, SECRET))
}

fn no_reject(seen: &[(Kind, Seen)]) {
    for (kind, seen) in seen {
        assert_ne!(*kind, Kind::Reject, "{:?}", seen.header("sluice-detail"));
    }
}

/// What a record or review says, without what differs between two inputs.
fn said(kind: Kind, seen: &Seen) -> Value {
    let mut body = crate::support::flow::json(seen);
    let record = if kind == Kind::Review { body["record"].take() } else { body };
    let mut record = record;
    for column in ["record_id", "document_id", "provenance"] {
        record.as_object_mut().unwrap().remove(column);
    }
    record
}

#[test]
fn a_claimed_document_gives_the_record_of_the_same_document_in_the_message() {
    let server = S3::start();
    let flow = Flow::claiming(1, CLAIMS, "");
    let pdf = std::fs::read(contracts().join("samples/002-non-competition.pdf")).unwrap();
    server.put("in/a.pdf", &pdf);
    let inputs = [
        Input::new("key-0", &pdf).header("content-type", b"application/pdf"),
        claim(0, "in/a.pdf", "application/pdf", &pdf),
    ];
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = worker(&flow, &server, &[]);
    let mut seen = flow.wait_for(2, &mut worker, LONG);
    no_reject(&seen);
    seen.sort_by_key(|(_, seen)| seen.header("sluice-record-id"));
    assert_eq!(said(seen[0].0, &seen[0].1), said(seen[1].0, &seen[1].1));
    let provenance = |(kind, seen): &(Kind, Seen)| {
        let body = crate::support::flow::json(seen);
        if *kind == Kind::Review {
            body["record"]["provenance"].clone()
        } else {
            body["provenance"].clone()
        }
    };
    let (held, fetched) = (provenance(&seen[0]), provenance(&seen[1]));
    assert_eq!(held["document_uri"], Value::Null);
    assert_eq!(fetched["document_uri"], "s3://documents/in/a.pdf");
    assert_eq!(fetched["document_digest"], Digest::of(&pdf).to_string());
    assert_eq!(held["document_digest"], fetched["document_digest"]);
    assert_eq!(server.asked("in/a.pdf"), 1);
    flow.drain_and_check(&mut worker, &inputs, &positions);
}

#[test]
fn each_claim_that_cannot_be_right_ends_as_its_own_reject() {
    let server = S3::start();
    let flow = Flow::claiming(1, CLAIMS, "");
    let words = short_contract(1).payload.unwrap();
    for key in ["in/good", "in/refused", "elsewhere/a", "in/shorter", "in/longer"] {
        server.put(key, &words);
    }
    server.put("in/shorter", &words[..words.len() / 2]);
    server.put("in/longer", &[words.as_slice(), b"and more"].concat());
    server.put("in/changed", &vec![b'x'; words.len()]);
    server.deny("in/refused");
    let text = |number, key: &str| claim(number, key, "text/plain", &words);
    let without = |key: &str| {
        let mut body: Value = serde_json::from_slice(&text(0, "in/good").payload.unwrap()).unwrap();
        body.as_object_mut().unwrap().remove(key);
        envelope(0, &body)
    };
    let with = |key: &str, value: Value| {
        let mut body: Value = serde_json::from_slice(&text(0, "in/good").payload.unwrap()).unwrap();
        body[key] = value;
        envelope(0, &body)
    };
    let cases = [
        (text(1, "in/good"), ""),
        (text(2, "in/refused"), "CLAIM_DENIED"),
        (text(3, "in/gone"), "CLAIM_NOT_FOUND"),
        (text(4, "in/shorter"), "CLAIM_MISMATCH"),
        (text(5, "in/longer"), "CLAIM_MISMATCH"),
        (text(6, "in/changed"), "CLAIM_MISMATCH"),
        (text(7, "elsewhere/a"), "CLAIM_FORBIDDEN"),
        (text(8, "in/../elsewhere/a"), "CLAIM_FORBIDDEN"),
        (text(9, "in/%2e%2e/elsewhere/a"), "CLAIM_FORBIDDEN"),
        (with("uri", json!("file:///etc/hostname")), "CLAIM_FORBIDDEN"),
        (with("uri", json!("http://169.254.169.254/latest/meta-data")), "CLAIM_FORBIDDEN"),
        (with("uri", json!("s3://documents@169.254.169.254/in/a")), "CLAIM_FORBIDDEN"),
        (with("size_bytes", json!(1_u64 << 40)), "DOCUMENT_TOO_LARGE"),
        (with("size_bytes", json!(0)), "DOCUMENT_EMPTY"),
        (with("sha256", json!("abc")), "ENVELOPE_INVALID"),
        (with("size_bytes", json!(-1)), "ENVELOPE_INVALID"),
        (without("sha256"), "ENVELOPE_INVALID"),
        (without("size_bytes"), "ENVELOPE_INVALID"),
        (without("content_type"), "ENVELOPE_INVALID"),
        (with("text", json!("both")), "ENVELOPE_INVALID"),
        // The store serves this place, so the refusal above is the document's own.
        (text(10, "in/good"), ""),
    ];
    let inputs: Vec<_> = cases.iter().map(|(input, _)| input.clone()).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = worker(&flow, &server, &[]);
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    for ((input, code), (_, offset)) in cases.iter().zip(&positions) {
        let end = format!("/{offset}/0");
        let (_, found) = seen
            .iter()
            .find(|(_, seen)| seen.header("sluice-record-id").unwrap().ends_with(&end))
            .unwrap();
        assert_eq!(found.header("sluice-code").unwrap_or_default(), *code, "{offset}");
        if !code.is_empty() {
            assert_eq!(found.payload, input.payload, "a reject brings its envelope");
            let detail = found.header("sluice-detail").unwrap();
            assert!(!detail.contains("in/") && !detail.contains("elsewhere"), "{detail}");
        }
    }
    assert_eq!((server.asked("elsewhere/a"), server.asked("a")), (0, 0), "no request was made");
    flow.drain_and_check(&mut worker, &inputs, &positions);
}

#[test]
fn a_store_that_hangs_holds_up_its_own_flow_only() {
    let server = S3::start();
    let gate = Gate::before(&server.address());
    let waits = Flow::claiming_named("waits", CLAIMS);
    let claims = claimed_contracts(&server, 0..20);
    let endpoint = format!("http://{}", gate.address());
    holds_up_its_own_flow_only((&waits, &claims), &gate, "claims are tried again", |args| {
        waits.worker_with("a", args, &s3::env(&endpoint, SECRET))
    });
}

#[test]
fn a_store_that_goes_away_and_comes_back_loses_and_rejects_nothing() {
    let mut server = S3::start();
    let flow = Flow::claiming(2, CLAIMS, "");
    let mut inputs = claimed_contracts(&server, 0..20);
    let mut positions = kafka::produce(&flow.input, &inputs);
    let mut worker = worker(&flow, &server, &[]);
    flow.wait_for(inputs.len(), &mut worker, LONG);
    server.go_away();
    let more = claimed_contracts(&server, 20..60);
    positions.extend(kafka::produce(&flow.input, &more));
    inputs.extend(more);
    wait_for("the outage to be told", LONG, || {
        worker.stderr().contains("it cannot be reached").then_some(())
    });
    assert_eq!(flow.seen().len(), 20);
    server.come_back();
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    no_reject(&seen);
    flow.drain_and_check(&mut worker, &inputs, &positions);
    assert!(!worker.stderr().contains("contract%20") && !worker.stderr().contains("contract 2"));
}

#[test]
fn wrong_credentials_reject_nothing_and_are_never_printed() {
    let server = S3::start();
    let flow = Flow::claiming(1, CLAIMS, "");
    let inputs = claimed_contracts(&server, 0..5);
    let positions = kafka::produce(&flow.input, &inputs);
    let endpoint = format!("http://{}", server.address());
    let secret = "not the one that is known";
    let args = ["--log", "debug", "--drain-deadline-ms", "2000"];
    let mut wrong = flow.worker_with("a", &args, &s3::env(&endpoint, secret));
    wait_for("the refusal to be told", LONG, || {
        wrong.stderr().contains("does not take the worker's credentials").then_some(())
    });
    wrong.sigterm();
    assert!(wrong.wait(LONG).success(), "{}", wrong.tail());
    assert!(flow.seen().is_empty(), "nothing was rejected");
    assert!(!(wrong.stderr() + &wrong.stdout()).contains(secret));
    let mut right = worker(&flow, &server, &[]);
    no_reject(&flow.wait_for(inputs.len(), &mut right, LONG));
    flow.drain_and_check(&mut right, &inputs, &positions);
}

#[test]
fn a_thousand_claims_stay_within_the_bytes_in_flight() {
    const DOCUMENT_BYTES: usize = 256 << 10;
    const IN_FLIGHT_MAX: usize = 6 * DOCUMENT_BYTES;
    let server = S3::start();
    // Sixteen threads could hold sixteen documents at once; there is room for six.
    let input = format!("{CLAIMS}  document_bytes_max: {}\n", 2 * DOCUMENT_BYTES);
    let limits =
        format!("limits:\n  in_flight_bytes_max: {IN_FLIGHT_MAX}\n  claims_concurrent_max: 16\n");
    // All of them are refused, and that is no outage.
    let limits = limits + "delivery:\n  reject_budget:\n    share_max: 1\n";
    let flow = Flow::claiming(4, &input, &limits);
    // White space is read and refused quickly: what is measured here is fetching.
    let blank = vec![b' '; DOCUMENT_BYTES];
    server.put("in/blank", &blank);
    let inputs: Vec<_> =
        (0..1000).map(|number| claim(number, "in/blank", "text/plain", &blank)).collect();
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = worker(&flow, &server, &["--text-children", "1"]);
    let seen = flow.wait_for(inputs.len(), &mut worker, Duration::from_mins(5));
    assert!(
        seen.iter().all(|(_, seen)| seen.header("sluice-code").as_deref() == Some("TEXT_EMPTY"))
    );
    let most = server.open_count_max();
    assert!((2..=IN_FLIGHT_MAX / DOCUMENT_BYTES).contains(&most), "{most} requests at once");
    flow.drain_and_check(&mut worker, &inputs, &positions);
}

#[test]
fn a_flow_that_redacts_tells_no_name_of_a_file() {
    let server = S3::start();
    let flow = Flow::claiming(1, CLAIMS, "redact:\n  rules: [email]\n");
    let words = short_contract(1).payload.unwrap();
    server.put("in/jane-roe.txt", &words);
    let named = |key: &str| {
        let mut body: Value =
            serde_json::from_slice(&claim(1, key, "text/plain", &words).payload.unwrap()).unwrap();
        body.as_object_mut().unwrap().remove("document_id");
        Input { key: None, ..envelope(1, &body) }
    };
    let inputs = [named("in/jane-roe.txt"), named("in/jane-roe-2.txt"), named("out/jane-roe.txt")];
    kafka::produce(&flow.input, &inputs);
    let mut worker = worker(&flow, &server, &["--log", "debug"]);
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    assert_eq!(seen.iter().filter(|(kind, _)| *kind == Kind::Reject).count(), 2);
    let audits = kafka::read_committed_all(&flow.audit);
    for seen in seen.iter().map(|(_, seen)| seen).chain(&audits) {
        let body = String::from_utf8_lossy(seen.payload.as_deref().unwrap()).into_owned();
        assert!(!format!("{body} {:?} {:?}", seen.key, seen.headers).contains("jane"), "{body}");
        for (_, value) in &seen.headers {
            assert!(!String::from_utf8_lossy(value).contains("jane"));
        }
    }
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    assert!(!(worker.stderr() + &worker.stdout()).contains("jane"));
}

#[test]
fn a_bucket_of_metadata_or_a_store_on_this_machine_is_refused_at_the_start() {
    let server = S3::start();
    let flow = Flow::claiming(1, CLAIMS, "");
    let local = format!("http://{}", server.address());
    for (endpoint, word) in
        [(local.as_str(), "--claim-loopback"), ("http://169.254.169.254", "metadata")]
    {
        let env = [("AWS_ENDPOINT_URL", endpoint), ("AWS_ALLOW_HTTP", "true")];
        let mut worker = flow.worker_with("a", &[], &env);
        assert_eq!(worker.wait(LONG).code(), Some(1), "{}", worker.tail());
        assert!(worker.stderr().contains(word), "{}", worker.tail());
    }
}

#[test]
fn a_store_behind_tls_is_asked_where_its_certificate_is_trusted() {
    let server = S3::start();
    let (keys, behind) = (Keys::new(), format!("http://{}", server.address()));
    let address = tls::serve(&keys, false, move |request| passed_on(request, &behind));
    let flow = Flow::claiming(1, CLAIMS, "");
    let inputs = claimed_contracts(&server, 0..5);
    let positions = kafka::produce(&flow.input, &inputs);
    let url = format!("https://{address}");
    let mut env = s3::env(&url, SECRET);
    env.retain(|(name, _)| *name != "AWS_ALLOW_HTTP");
    let mut doubts = flow.worker_with("a", &["--drain-deadline-ms", "2000"], &env);
    wait_for("the certificate to be told", LONG, || {
        doubts.stderr().contains("certificate").then_some(())
    });
    doubts.sigterm();
    assert!(doubts.wait(LONG).success(), "{}", doubts.tail());
    assert!(flow.seen().is_empty());
    let authority = keys.text("ca.pem");
    env.push(("SSL_CERT_FILE", &authority));
    let mut trusts = flow.worker_with("a", &[], &env);
    no_reject(&flow.wait_for(inputs.len(), &mut trusts, LONG));
    flow.drain_and_check(&mut trusts, &inputs, &positions);
}
