//! Disks that are full: a worker writes no file, and its log may go nowhere.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use super::{COUNT, LONG, codes, contracts};
use crate::support::flow::Flow;
use crate::support::kafka::{self, Input};

/// No file may grow, the log goes to a device that is always full, the home folder is the one named
/// behind, there is none for temporary files, and no variable tells a library to be quiet.
const FULL: &str = "unset ORT_DISABLE_TELEMETRY; ulimit -f 0; export TMPDIR=/nowhere; export HOME";

#[test]
fn a_worker_needs_no_disk_and_outlives_a_full_one_under_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let write =
        Command::new("sh").args(["-c", "ulimit -f 0 && echo x >\"$0\""]).arg(&file).status();
    let write = write.unwrap();
    assert!(write.signal().is_some() || !write.success(), "the limit bites");
    let log = Command::new("sh").args(["-c", "echo x >/dev/full"]).output().unwrap();
    assert!(!log.status.success(), "the device is full");

    let flow = Flow::new(1, "");
    let mut inputs = contracts(COUNT);
    // A text child, and a warning in the log.
    for (at, body) in [(20, "<p>A contract of one sentence.</p>"), (21, "<p>Another one.</p>")] {
        inputs[at] = Input::new("html", body.as_bytes()).header("content-type", b"text/html");
    }
    inputs[22] = Input::new("word", b"PK\x03\x04").header("content-type", b"application/msword");
    let positions = kafka::produce(&flow.input, &inputs);
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let script = format!(r#"{FULL}='{}'; exec "$0" "$@" >/dev/full 2>/dev/full"#, home.display());
    let mut worker = flow.worker_through(&["sh", "-c", &script], "a", &["--log", "debug"]);
    let seen = flow.wait_for(COUNT, &mut worker, LONG);
    assert_eq!(codes(&seen), ["TYPE_UNSUPPORTED"]);
    assert_eq!(worker.stderr() + &worker.stdout(), "", "it wrote to the full device only");
    flow.drain_and_check(&mut worker, &inputs, &positions);
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "a library keeps house there");
}
