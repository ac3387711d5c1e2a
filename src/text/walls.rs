//! `a child that is ready -> a child behind walls`: no file, no network, no new process, no new
//! privilege.
//!
//! Raised after the engine is loaded and before the first document, by the child itself: what it
//! gives up it cannot take back. Two kernels' means hold independently: Landlock refuses files,
//! ports and signals to others; seccomp refuses the calls themselves. Deliberately weakens nothing
//! where one is missing: the worker is told which hold, and decides.

use std::fmt;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetError, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::calls;

/// Which walls stand around a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walls {
    /// No file can be opened, made or removed (Landlock, from Linux 5.13 on).
    pub files: bool,
    /// No port can be bound or connected to (Landlock, from Linux 6.7 on).
    pub ports: bool,
    /// No call but those that reading a document needs, and no new privileges (seccomp).
    pub calls: bool,
}

impl Walls {
    /// One byte for the wire.
    pub(super) fn code(self) -> u8 {
        u8::from(self.files) | u8::from(self.ports) << 1 | u8::from(self.calls) << 2
    }

    pub(super) const fn from_code(code: u8) -> Self {
        Self { files: code & 1 != 0, ports: code & 2 != 0, calls: code & 4 != 0 }
    }

    /// Whether every wall stands without which a child could reach beyond itself. Ports need none
    /// of their own: no call makes a socket.
    pub const fn is_whole(self) -> bool {
        self.files && self.calls
    }
}

impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.files, "files (landlock)"),
            (self.ports, "ports (landlock)"),
            (self.calls, "calls (seccomp)"),
        ];
        let of = |stands| all.iter().filter(move |it| it.0 == stands).map(|it| it.1);
        let list = |names: Vec<&str>| {
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        write!(f, "{}; missing: {}", list(of(true).collect()), list(of(false).collect()))
    }
}

/// Takes files, ports and signals from this thread and those that it starts. True, true where the
/// kernel has both walls.
pub(super) fn take_files() -> (bool, bool) {
    let restricted = || -> Result<_, RulesetError> {
        // No rule follows: nothing of what is handled is allowed to anybody.
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V6))?
            .handle_access(AccessNet::from_all(ABI::V6))?
            .scope(Scope::from_all(ABI::V6))?;
        ruleset.create()?.restrict_self()
    };
    let Ok(status) = restricted() else { return (false, false) };
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return (false, false);
    };
    let is_enforced = status.ruleset != RulesetStatus::NotEnforced;
    (is_enforced, is_enforced && effective_abi >= ABI::V4)
}

/// Takes all calls but those of [`calls`] from every thread of the process. False where the kernel
/// does not have this wall, or this program no list for its processor.
pub(super) fn take_calls() -> bool {
    let raised = || -> Result<(), Box<dyn std::error::Error>> {
        let processor = TargetArch::try_from(std::env::consts::ARCH)?;
        let rules = |calls: &[i64]| calls.iter().map(|call| (*call, Vec::new())).collect();
        // Order: this one first, since it takes no call that the next needs. Of two answers to a
        // call the kernel takes the harder one, so these are refused although the next lets them
        // pass: a library that looks for a font or a setting is told that there is none.
        let refused = SeccompFilter::new(
            rules(calls::REFUSED),
            SeccompAction::Allow,
            SeccompAction::Errno(calls::DENIED),
            processor,
        )?;
        let mut allowed: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
            rules(&[calls::REFUSED, calls::ALLOWED].concat());
        for (call, conditions) in calls::conditional() {
            let conditions: Result<Vec<_>, _> = conditions
                .into_iter()
                .map(|(argument, mask, value)| {
                    let is = SeccompCmpOp::MaskedEq(mask);
                    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value)
                })
                .collect();
            allowed.insert(call, vec![SeccompRule::new(conditions?)?]);
        }
        let allowed = SeccompFilter::new(
            allowed,
            SeccompAction::KillProcess,
            SeccompAction::Allow,
            processor,
        )?;
        let (refused, allowed) = (BpfProgram::try_from(refused)?, BpfProgram::try_from(allowed)?);
        apply_filter_all_threads(&refused)?;
        apply_filter_all_threads(&allowed)?;
        Ok(())
    };
    raised().is_ok()
}

/// The largest address space of this process, read by a file that was opened before the walls.
pub(super) struct Status(std::fs::File);

impl Status {
    pub(super) fn open() -> io::Result<Self> {
        std::fs::File::open("/proc/self/status").map(Self)
    }

    /// The largest address space that this process has had so far, in bytes.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        use std::os::unix::fs::FileExt as _;
        // Limit: the kernel's text has 1.5 kB, more with hundreds of processors.
        let mut buffer = [0; 8192];
        let length = self.0.read_at(&mut buffer, 0).ok()?;
        let text = String::from_utf8_lossy(buffer.get(..length)?);
        let line = text.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, Walls};

    #[test]
    fn walls_come_through_the_wire_and_are_told_by_name() {
        for code in 0..8 {
            assert_eq!(Walls::from_code(code).code(), code);
        }
        let walls = Walls { files: true, ports: false, calls: true };
        assert!(walls.is_whole());
        assert_eq!(
            walls.to_string(),
            "files (landlock), calls (seccomp); missing: ports (landlock)"
        );
        assert!(!Walls { files: true, ports: true, calls: false }.is_whole());
        assert!(!Walls::default().is_whole());
    }

    #[test]
    fn the_peak_is_read_anew_from_an_open_file() {
        let status = Status::open().unwrap();
        let before = status.peak_bytes().unwrap();
        let large = vec![1_u8; 256 << 20];
        let large_bytes = u64::try_from(large.len()).unwrap();
        assert!(status.peak_bytes().unwrap() >= before.max(large_bytes));
    }
}
