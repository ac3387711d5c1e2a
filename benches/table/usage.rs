//! `process -> processor time and memory`, of it and its children, from `/proc` (proc(5)).

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::memory::{children, resident_bytes};

/// Clock ticks a second in `/proc`; 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// Time between two samples of memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// What a process and its children have used.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// The same of all that ran on this machine meanwhile: the broker and this bench, too.
    pub machine_cpu_seconds: f64,
    /// Most resident bytes at once.
    pub peak_bytes: u64,
    /// Those of the children alone, at most.
    pub children_peak_bytes: u64,
}

/// Looks at a process now and then.
pub struct Watch {
    pid: u32,
    cpu_before: f64,
    machine_cpu_before: f64,
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<(u64, u64)>,
}

impl Watch {
    /// Watches from now on.
    pub fn start(pid: u32) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let thread = thread::spawn(move || {
            let (mut peak, mut children_peak) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                if let Some((own, children)) = resident_bytes(pid) {
                    peak = peak.max(own + children);
                    children_peak = children_peak.max(children);
                }
                thread::sleep(SAMPLE_INTERVAL);
            }
            (peak, children_peak)
        });
        let (cpu_before, machine_cpu_before) = (cpu_seconds(pid), machine_cpu_seconds());
        Self { pid, cpu_before, machine_cpu_before, is_done, thread }
    }

    /// What it used since; the process must still live.
    pub fn end(self) -> Usage {
        let cpu_seconds = cpu_seconds(self.pid) - self.cpu_before;
        let machine_cpu_seconds = machine_cpu_seconds() - self.machine_cpu_before;
        self.is_done.store(true, Ordering::Relaxed);
        let (peak_bytes, children_peak_bytes) = self.thread.join().unwrap();
        Usage { cpu_seconds, machine_cpu_seconds, peak_bytes, children_peak_bytes }
    }
}

/// Of all cores, since the machine started; neither idle nor taken by other machines.
fn machine_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<f64> =
        stat.lines().next().unwrap().split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system; idle and iowait are none; irq, softirq.
    (fields[..3].iter().sum::<f64>() + fields[5..7].iter().sum::<f64>()) / TICKS
}

/// Of the process, of the children that it has, and of those that it has waited for.
fn cpu_seconds(pid: u32) -> f64 {
    let of_children = children(pid).into_iter().map(cpu_seconds).sum::<f64>();
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime, stime, cutime, cstime: 14 to 17, where the state behind the name is the third.
    let ticks = fields[11..15].iter().map(|field| field.parse::<f64>().unwrap()).sum::<f64>();
    ticks / TICKS + of_children
}
