//! The admin port: who is let in, what it tells, the two releases, a drain.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{COUNT, LONG, SMALL_BUDGET, TOKEN, Worker, call, codes, contracts};
use crate::support::flow::Flow;
use crate::support::kafka::{self, Input};
use crate::support::{jvm, wait_for};

/// Documents of a type that no pipeline takes.
fn word_documents(count: usize) -> Vec<Input> {
    let of_word = |number| {
        Input::new(&format!("key-{number}"), b"PK\x03\x04")
            .header("content-type", b"application/msword")
    };
    (0..count).map(of_word).collect()
}

#[test]
fn nobody_is_let_in_without_the_token_and_errors_are_typed() {
    let flow = Flow::new(1, "");
    let mut worker = Worker::start(&flow, &[], "");
    let url = |path: &str| format!("http://{}{path}", worker.admin);
    wait_for("readiness", LONG, || (worker.get("/readyz").0 == 200).then_some(()));
    let wrong = "Bearer a-token-for-the-tests-of-the-admin-porT";
    for authorization in [None, Some(""), Some(TOKEN), Some(wrong), Some("Basic YTpi")] {
        for (method, path) in [("GET", "/flows"), ("POST", "/drain"), ("GET", "/nowhere")] {
            let (status, body) = call(method, &url(path), authorization);
            assert!(status == 401 && body.contains("Bearer TOKEN"), "{authorization:?} {body}");
            assert!(!body.contains(TOKEN), "{body}");
        }
    }
    for (method, path, expected) in [
        ("GET", "/flows", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/metrics", 404),
        ("POST", "/flows", 405),
        ("GET", "/drain", 405),
        ("DELETE", "/flows/contracts/release", 405),
        ("POST", "/flows/nobody/release", 404),
        ("POST", "/flows/contracts/release", 409),
        ("POST", "/flows/contracts/release?accept=yes", 400),
    ] {
        let (status, body) = worker.ask(method, path);
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert!(status == 200 || body["error"].is_string(), "{method} {path}: {body}");
    }
    let mut socket = TcpStream::connect(&worker.admin).unwrap();
    let head = format!(
        "POST /drain HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\
         content-length: 1100\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&[b'x'; 1_100]).unwrap();
    let mut answer = String::new();
    drop(socket.read_to_string(&mut answer));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    worker.lives();
    assert_eq!(worker.ask("POST", "/drain").0, 202);
    assert!(worker.process.wait(LONG).success(), "{}", worker.process.tail());
}

#[test]
fn the_port_is_closed_without_a_token_and_a_bad_one_is_an_error_at_start() {
    let flow = Flow::new(1, "");
    let port = || format!("127.0.0.1:{}", jvm::free_port());
    let (listen, admin) = (port(), port());
    let ports = ["--listen", &listen, "--admin-listen", &admin];
    let mut worker = flow.worker_with("a", &ports, &[]);
    wait_for("readiness", LONG, || {
        assert!(worker.exited().is_none(), "{}", worker.tail());
        (call("GET", &format!("http://{listen}/readyz"), None).0 == 200).then_some(())
    });
    assert_eq!(call("GET", &format!("http://{admin}/flows"), None).0, 0, "somebody listens");
    drop(worker);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "short\n").unwrap();
    let file = file.to_str().unwrap();
    for (env, told) in [
        (vec![("SLUICE_ADMIN_TOKEN", "short")], "SLUICE_ADMIN_TOKEN: is shorter than 16 bytes"),
        (vec![("SLUICE_ADMIN_TOKEN_FILE", file)], "SLUICE_ADMIN_TOKEN: is shorter"),
        (
            vec![("SLUICE_ADMIN_TOKEN_FILE", "/nowhere/token")],
            "SLUICE_ADMIN_TOKEN_FILE: the file `/nowhere/token` is not read",
        ),
        (
            vec![("SLUICE_ADMIN_TOKEN", TOKEN), ("SLUICE_ADMIN_TOKEN_FILE", file)],
            "is set and SLUICE_ADMIN_TOKEN_FILE too",
        ),
    ] {
        let mut worker = flow.worker_with("a", &ports, &env);
        assert_eq!(worker.wait(LONG).code(), Some(64), "{}", worker.tail());
        assert!(worker.stderr().contains(told), "{}", worker.tail());
    }
    std::fs::write(file, format!("{TOKEN}\n")).unwrap();
    let _worker = flow.worker_with("a", &ports, &[("SLUICE_ADMIN_TOKEN_FILE", file)]);
    let authorization = format!("Bearer {TOKEN}");
    wait_for("the admin port", LONG, || {
        let url = format!("http://{admin}/flows");
        (call("GET", &url, Some(&authorization)).0 == 200).then_some(())
    });
}

#[test]
fn rejects_that_a_person_accepts_are_published_and_the_budget_holds_again_later() {
    let flow = Flow::new(2, SMALL_BUDGET);
    let bad = word_documents(COUNT);
    let mut inputs = bad.clone();
    let mut positions = kafka::produce(&flow.input, &bad);
    let mut worker = Worker::start(&flow, &[], "");
    let stands = worker.wait_until("contracts", "held");
    assert!(stands["held_because"].as_str().unwrap().contains("share_max"), "{stands}");
    // Half of the window.
    assert!(flow.seen().len() <= 25);
    let (status, body) = worker.ask("POST", "/flows/contracts/release?accept=true");
    assert!(status == 200 && body["accepts_rejects"] == true, "{body}");
    let seen = flow.wait_for(COUNT, &mut worker.process, LONG);
    assert_eq!(codes(&seen), vec!["TYPE_UNSUPPORTED"; COUNT]);
    assert_eq!(worker.get("/readyz").0, 200);
    let good = contracts(100);
    positions.extend(kafka::produce(&flow.input, &good));
    inputs.extend(good);
    flow.wait_for(inputs.len(), &mut worker.process, LONG);
    assert_eq!(worker.stands("contracts")["accepts_rejects"], false);
    let more = word_documents(60);
    positions.extend(kafka::produce(&flow.input, &more));
    inputs.extend(more);
    worker.wait_until("contracts", "held");
    assert_eq!(worker.ask("POST", "/flows/contracts/release?accept=true").0, 200);
    flow.wait_for(inputs.len(), &mut worker.process, LONG);
    flow.drain_and_check(&mut worker.process, &inputs, &positions);
}
