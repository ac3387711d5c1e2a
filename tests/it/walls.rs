//! The walls around a text child: what hostile code in it would try fails, documents are still read,
//! and without walls the same attempts succeed.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use sluice::config::settings::Sandbox;
use sluice::text::{Launch, Reader, walls};
use sluice::types::RejectCode;

use crate::pdf_maker::{Pdf, Stream};
use crate::text::{ENGINES, html, launch, limits, pdf, read};

fn launch_with(sandbox: Sandbox) -> Launch {
    Launch { sandbox, ..launch() }
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Done,
    /// The child was told that it may not.
    Refused,
    /// The child was ended.
    Ended,
}

/// What comes of `attempt` in a child of `launch`.
fn ending(launch: Launch, attempt: &str) -> Ending {
    let mut reader = Reader::new(launch);
    let document = html(&format!("<p>sluice-attempt:{attempt}</p>"));
    match read(&mut reader, &document, &limits(ENGINES[0])) {
        Ok(text) if text.as_str().trim() == "done" => Ending::Done,
        Ok(text) => {
            assert!(text.as_str().contains("denied"), "{attempt}: {}", text.as_str());
            Ending::Refused
        }
        Err(reject) => {
            assert_eq!(reject.code, RejectCode::TextCrashed, "{attempt}: {}", reject.detail);
            assert!(reject.detail.contains("system call"), "{attempt}: {}", reject.detail);
            Ending::Ended
        }
    }
}

#[test]
fn a_child_behind_its_walls_reaches_nothing_and_one_without_them_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("secret"), "x").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    let program = env!("CARGO_BIN_EXE_sluice");
    let attempts = [
        (format!("read-file {}", path("secret")), Ending::Refused),
        (format!("write-file {}", path("new")), Ending::Refused),
        ("read-file /proc/self/environ".to_owned(), Ending::Refused),
        (format!("list-folder {}", folder.path().display()), Ending::Refused),
        (format!("connect-port {}", port.local_addr().unwrap()), Ending::Ended),
        (format!("connect-socket {}", path("socket")), Ending::Ended),
        (format!("run-program {program}"), Ending::Ended),
        ("start-thread".to_owned(), Ending::Ended),
        ("signal-worker".to_owned(), Ending::Ended),
        (format!("remove-file {}", path("secret")), Ending::Ended),
    ];
    for (attempt, expected) in &attempts {
        assert_eq!(&ending(launch_with(Sandbox::Required), attempt), expected, "{attempt}");
    }
    assert!(std::fs::exists(path("secret")).unwrap());
    for (attempt, _) in &attempts {
        assert_eq!(ending(launch_with(Sandbox::Off), attempt), Ending::Done, "{attempt}");
    }
    assert!(!std::fs::exists(path("secret")).unwrap(), "the attempts are real");
}

#[test]
fn a_child_that_was_ended_costs_its_document_only_and_engines_work_behind_walls() {
    let hello = pdf(&Pdf::of_pages(&[Stream::line("Hello")]));
    for engine in ENGINES {
        let mut reader = Reader::new(launch_with(Sandbox::Required));
        for _ in 0..2 {
            let attempt = html("<p>sluice-attempt:start-thread</p>");
            assert!(read(&mut reader, &attempt, &limits(engine)).is_err());
            let text = read(&mut reader, &hello, &limits(engine)).map_err(|reject| reject.detail);
            assert_eq!(text.map(|text| text.as_str().trim().to_owned()), Ok("Hello".to_owned()));
        }
    }
}

#[test]
fn a_launch_tells_which_walls_stand() {
    assert!(walls(&launch_with(Sandbox::Required)).unwrap().is_whole());
    let none = walls(&launch_with(Sandbox::Off)).unwrap();
    assert_eq!(
        none.to_string(),
        "none; missing: files (landlock), ports (landlock), calls (seccomp)"
    );
}
