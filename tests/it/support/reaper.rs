//! Pids and folders -> gone, when this process ends, however it ends.
//!
//! Statics are not dropped in Rust and SIGKILL runs no destructor, so a small shell outside of this process holds the reading
//! end of a pipe. When the test process is gone the pipe ends, and the shell kills every process group it was told of and
//! removes the folder of this run. `SLUICE_TEST_KEEP=1` keeps the folder, for its logs.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

const SCRIPT: &str = r#"
pids=
while read -r verb pid; do
    case $verb in
    watch) pids="$pids $pid" ;;
    forget)
        rest=
        for each in $pids; do [ "$each" = "$pid" ] || rest="$rest $each"; done
        pids=$rest
        ;;
    esac
done
# The long form: the `kill` of dash does not take `-9 --`.
for each in $pids; do kill -s KILL -- "-$each"; done 2>/dev/null
[ -n "$SLUICE_TEST_KEEP" ] && exit 0
# A process that is being killed can still create a file.
for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && exit 0; sleep 0.2; done
"#;

/// The shell that outlives this process, and the folder that it removes.
pub(crate) struct Reaper {
    shell: Child,
    orders: Mutex<Option<ChildStdin>>,
    folder: PathBuf,
}

impl Reaper {
    /// Starts a reaper with a folder of its own.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-it-").tempdir();
        let folder = folder.expect("creating a folder for the test run").keep();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Out of the group of the terminal: an interrupt of the tests must not end it before it has done its work.
            .process_group(0)
            .spawn()
            .expect("starting `sh`");
        let orders = Mutex::new(shell.stdin.take());
        Self { shell, orders, folder }
    }

    /// The one of this test process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Reaper> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Removed when this process ends. Logs and data of all children lie in it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills the process group `pid` when this process ends.
    pub(crate) fn watch(&self, pid: u32) {
        self.order(&format!("watch {pid}\n"));
    }

    /// The group is gone; its number may be given to another.
    pub(crate) fn forget(&self, pid: u32) {
        self.order(&format!("forget {pid}\n"));
    }

    fn order(&self, line: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = orders.as_mut().expect("the reaper listens until it is dropped");
        pipe.write_all(line.as_bytes()).expect("telling the reaper");
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Its exit status says nothing: there may have been nothing left to kill.
        self.shell.wait().ok();
    }
}
