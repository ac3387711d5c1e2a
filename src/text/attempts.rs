//! `sluice-attempt:NAME ARGUMENT in a text -> what came of it`: what hostile code in a child would
//! try, planted by the tests of the walls.
//!
//! Compiled in by the feature `failpoints` only. Deliberately harmless where no wall stands.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;

use rustix::process::{Signal, getppid, kill_process};

/// Before the name of an attempt.
const MARK: &str = "sluice-attempt:";

/// `text`, or the answer to the attempt that it asks for: `done`, or the error.
pub(super) fn attempted(text: String) -> String {
    let Some((_, attempt)) = text.split_once(MARK) else { return text };
    let mut words = attempt.split_whitespace();
    let (name, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match attempt_of(name, argument) {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}

fn attempt_of(name: &str, argument: &str) -> io::Result<()> {
    match name {
        "read-file" => fs::read(argument).map(drop),
        "write-file" => fs::write(argument, ""),
        "list-folder" => fs::read_dir(argument).map(drop),
        "remove-file" => fs::remove_file(argument),
        "connect-port" => TcpStream::connect(argument).map(drop),
        "connect-socket" => UnixStream::connect(argument).map(drop),
        "run-program" => Command::new(argument).spawn()?.wait().map(drop),
        "start-thread" => {
            thread::Builder::new().spawn(|| {})?.join().map_err(|_panic| io::Error::other(""))
        }
        // No more than a look whether it would be delivered.
        "signal-worker" => match getppid() {
            Some(worker) => Ok(kill_process(worker, Signal::CONT)?),
            None => Err(io::Error::other("there is no worker")),
        },
        _ => Err(io::Error::other("no attempt has this name")),
    }
}
