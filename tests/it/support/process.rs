//! A child process with its output in files, which dies with its test, and with the test process too.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::reaper::Reaper;
use super::unique;

/// A running child. Dropping it kills it and all that it started.
pub(crate) struct Process {
    name: String,
    child: Child,
    folder: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` in its own process group, with `stdout` and `stderr` going to files.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub(crate) fn spawn(name: &str, mut command: Command) -> Self {
        let folder = Reaper::shared().folder().join(unique(name));
        std::fs::create_dir_all(&folder).expect("creating the folder of a child");
        let file = |name| File::create(folder.join(name)).expect("creating the log of a child");
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("starting {}: {error}", command.get_program().display())
            });
        Reaper::shared().watch(child.id());
        Self { name: name.to_owned(), child, folder, status: None }
    }

    /// Starts the `sluice` binary under test with `args` and `env` on top of the environment of the tests.
    pub(crate) fn sluice(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(args).envs(env.iter().copied());
        Self::spawn("sluice", command)
    }

    /// The process id of the child itself.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL to the child alone, as a lost node would look; waits until it is gone.
    pub(crate) fn kill9(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10))
    }

    /// SIGTERM, as Kubernetes asks; the child drains and ends by itself.
    pub(crate) fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// Whether SIGTERM would find a handler in it, and not end it as it stands.
    pub(crate) fn takes_sigterm(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("reading the state of a child");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let mask = u64::from_str_radix(caught.trim(), 16).unwrap();
        mask >> (Signal::TERM.as_raw() - 1) & 1 == 1
    }

    /// SIGSTOP: it lives and does nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: it goes on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for the end of the child.
    ///
    /// # Panics
    /// When it still runs after `timeout`; the message ends with its last output.
    pub(crate) fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(
                start.elapsed() < timeout,
                "{} still runs after {timeout:?}\n{}",
                self.name,
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How the child ended, if it did.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("asking for the state of a child");
        }
        self.status
    }

    /// What it wrote to `stdout` so far.
    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it wrote to `stderr` so far.
    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The whole lines of both streams that are JSON objects, in the order of each stream: the log of a worker.
    pub(crate) fn logs(&self) -> Vec<serde_json::Value> {
        let both = self.stderr() + "\n" + &self.stdout();
        let lines = both.lines().filter(|line| line.starts_with('{'));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last lines of both streams, for the message of a failed test.
    pub(crate) fn tail(&self) -> String {
        let last = |text: &str| {
            let lines: Vec<_> = text.lines().rev().take(15).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        format!("--- stdout\n{}\n--- stderr\n{}", last(&self.stdout()), last(&self.stderr()))
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(name)).expect("reading the log of a child");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        // Until it is waited for, the number cannot have gone to another process.
        if self.status.is_none() {
            kill_process(self.pid(), signal).expect("sending a signal to a child");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group, since a child of the child may have outlived it. No such group is as good.
        kill_process_group(self.pid(), Signal::KILL).ok();
        self.child.wait().ok();
        Reaper::shared().forget(self.id());
    }
}

/// Whether the end came by SIGKILL.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}
