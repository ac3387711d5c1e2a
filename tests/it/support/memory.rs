//! What the kernel says of the memory of a process and of its children, from `/proc` (proc(5)).

use std::fs;

/// A number of bytes out of `/proc/PID/status`, such as `VmRSS` (resident now) and `VmHWM` (at most
/// so far); `None` where there is no such process, or it is a zombie.
pub(crate) fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("a Linux").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}

/// The fourth field of `/proc/PID/stat`, the second behind a name in parentheses that may hold any.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Resident bytes of a process now, and of its children together.
pub(crate) fn resident_bytes(pid: u32) -> Option<(u64, u64)> {
    let own = status_bytes(pid, "VmRSS")?;
    Some((own, children(pid).into_iter().filter_map(|child| status_bytes(child, "VmRSS")).sum()))
}
