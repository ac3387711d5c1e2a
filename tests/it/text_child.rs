//! The text child as a process: its limits, its environment, its death and its worker's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sluice::config::pipeline::TextLimits;
use sluice::text::{Launch, Reader};
use sluice::types::{Document, RejectCode};

use crate::text::{html, launch, read};

/// Tells this test program to be a worker that holds a child: the path of the child's program.
const WORKER_ROLE: &str = "SLUICE_TEST_WORKER";

/// A launch whose children can be told from those of other tests by the path of their program.
fn launch_as(program: PathBuf) -> Launch {
    Launch { program, ..launch() }
}

fn program_in(folder: &Path) -> PathBuf {
    let program = folder.join("sluice");
    symlink(env!("CARGO_BIN_EXE_sluice"), &program).unwrap();
    program
}

/// Processes whose program was started under that path, zombies aside.
fn children_of(program: &Path) -> Vec<Pid> {
    let name = program.to_str().unwrap().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).next() == Some(name) && line.ends_with(b"text-child\0") {
            found.extend(number.and_then(Pid::from_raw));
        }
    }
    found
}

/// Waits until `claim` holds, at most 20 seconds.
fn wait_for(what: &str, claim: impl Fn() -> bool) {
    let start = Instant::now();
    while !claim() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A tag with so many attributes that looking for doubles among them takes minutes.
fn slow() -> Document {
    let names: Vec<_> = (0..1_000_000).map(|number| format!("a{number}")).collect();
    html(&format!("<p {}>text", names.join(" ")))
}

fn patient() -> TextLimits {
    TextLimits { progress_timeout_ms: 300_000, total_timeout_ms: 300_000, ..TextLimits::default() }
}

#[test]
fn a_child_killed_in_the_middle_costs_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let worker = thread::spawn({
        let program = program.clone();
        move || {
            let mut reader = Reader::new(launch_as(program));
            let first = read(&mut reader, &slow(), &patient()).err().map(|reject| reject.code);
            let second = read(&mut reader, &html("next"), &patient());
            (first, second.ok().map(|text| text.as_str().to_owned()))
        }
    });
    wait_for("a busy child", || children_of(&program).iter().any(|child| is_busy(*child)));
    kill_process(children_of(&program)[0], Signal::KILL).unwrap();
    let (first, second) = worker.join().unwrap();
    assert_eq!(first, Some(RejectCode::TextCrashed));
    assert_eq!(second.as_deref(), Some("next"));
}

/// Whether the process has spent time on the processor beyond its start: the fourteenth field of
/// its status is in hundredths of a second.
fn is_busy(child: Pid) -> bool {
    status_field(child, 14).is_some_and(|ticks| ticks > 10)
}

/// A number out of `/proc/PID/stat`, counted from 1 (proc(5)); the name before it has no space.
fn status_field(child: Pid, number: usize) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
    status.split_whitespace().nth(number - 1)?.parse().ok()
}

#[test]
fn an_interrupt_from_the_terminal_does_not_reach_a_child() {
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut reader = Reader::new(launch_as(program.clone()));
    assert!(read(&mut reader, &html("text"), &patient()).is_ok());
    let child = children_of(&program)[0];
    // A terminal interrupts the process group of its foreground, the fifth field.
    assert_eq!(status_field(child, 5), Some(child.as_raw_pid()));
}

#[test]
fn a_child_killed_while_idle_costs_no_document() {
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut reader = Reader::new(launch_as(program.clone()));
    assert!(read(&mut reader, &html("one"), &patient()).is_ok());
    let child = children_of(&program)[0];
    kill_process(child, Signal::KILL).unwrap();
    assert!(read(&mut reader, &html("two"), &patient()).is_ok());
    assert_ne!(children_of(&program), [child]);
}

#[test]
fn a_child_is_used_again_until_its_turn_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut reader = Reader::new(Launch { documents_max: 3, ..launch_as(program.clone()) });
    let mut seen = Vec::new();
    for _ in 0..7 {
        assert!(read(&mut reader, &html("text"), &patient()).is_ok());
        let [child] = children_of(&program)[..] else { panic!("not one child") };
        seen.push(child);
    }
    assert_eq!([seen[0], seen[0]], [seen[1], seen[2]]);
    assert_eq!([seen[3], seen[3]], [seen[4], seen[5]]);
    assert!(seen[2] != seen[3] && seen[5] != seen[6]);
    // Another limit needs another child, since a child's own limit never rises.
    let other = TextLimits { memory_bytes_max: 512 << 20, ..patient() };
    assert!(read(&mut reader, &html("text"), &other).is_ok());
    assert_ne!(children_of(&program), [seen[6]]);
}

#[test]
fn no_child_outlives_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut reader = Reader::new(launch_as(program.clone()));
    assert!(read(&mut reader, &html("text"), &patient()).is_ok());
    let child = children_of(&program)[0];
    drop(reader);
    // Reaped too: a zombie would still stand here.
    assert!(!Path::new(&format!("/proc/{child}")).exists());
}

#[test]
fn a_child_has_its_limits_and_no_environment() {
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut reader = Reader::new(launch_as(program.clone()));
    assert!(read(&mut reader, &html("text"), &patient()).is_ok());
    let child = children_of(&program)[0];
    let environment = fs::read(format!("/proc/{child}/environ")).unwrap();
    let allocator =
        b"MALLOC_CONF=narenas:1,background_thread:false,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0\0";
    assert_eq!(environment, allocator);
    let limits = fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let memory = patient().memory_bytes_max.to_string();
    assert_eq!(limit("Max address space"), [memory.as_str(), memory.as_str()]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max file size"), ["0", "0"]);
    assert_eq!(limit("Max open files"), ["32", "32"]);
    assert_ne!(limit("Max cpu time")[0], "unlimited");
    let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn no_child_outlives_a_killed_worker() {
    // As the worker: one reader that is at work when the end comes, and one that is idle.
    if let Some(program) = std::env::var_os(WORKER_ROLE) {
        let launch = launch_as(program.into());
        let mut idle = Reader::new(launch.clone());
        assert!(read(&mut idle, &html("text"), &patient()).is_ok());
        drop(read(&mut Reader::new(launch), &slow(), &patient()));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "text_child::no_child_outlives_a_killed_worker"])
        .env(WORKER_ROLE, &program)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("two children, one at work", || {
        let children = children_of(&program);
        children.len() == 2 && children.iter().any(|child| is_busy(*child))
    });
    worker.kill().unwrap();
    worker.wait().unwrap();
    wait_for("both children gone", || children_of(&program).is_empty());
}

#[test]
fn a_child_keeps_nothing_open_that_its_worker_left_open_to_it() {
    let files: Vec<_> = (0..64).map(|_| fs::File::open("/dev/null").unwrap()).collect();
    // As the pipes of librdkafka are: every program that this one starts inherits them.
    for file in &files {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let program = program_in(folder.path());
    let mut reader = Reader::new(launch_as(program.clone()));
    let text = read(&mut reader, &html("<p>what a child reads"), &patient()).ok().unwrap();
    assert_eq!(text.as_str(), "what a child reads");
    let child = *children_of(&program).first().unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", child.as_raw_nonzero())).unwrap().count();
    assert!(open < 10, "{open} files are open in the child");
    drop(files);
}
