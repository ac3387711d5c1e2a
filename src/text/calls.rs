//! The calls of the kernel that reading a document needs, for x86-64 and aarch64.
//!
//! Made from what PDFium, `pdf-extract`, the HTML tokenizer, the standard library and glibc call once
//! they are loaded; whatever is missing here ends a child as soon as it is called. Deliberately
//! without sockets, processes, threads, files, executable memory and signals to others.

/// The answer to [`REFUSED`]: permission denied.
pub(super) const DENIED: u32 = libc::EACCES.unsigned_abs();

/// What a library may try and do without: fonts, settings, a clock's zone, how large a machine is.
pub(super) const REFUSED: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_ioctl,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// What is allowed with whatever arguments.
pub(super) const ALLOWED: &[i64] = &[
    // The wire to the worker, the last words, the status file; all are open already.
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Time, locks, chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    // Its own death, in order or not.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];

/// An argument by its index, the bits of it that are looked at, and what they must be.
type Condition = (u8, u64, u64);

/// What is allowed with some arguments only: all conditions of a call must hold.
pub(super) fn conditional() -> [(i64, Vec<Condition>); 5] {
    const WHOLE: u64 = 0xFFFF_FFFF;
    let execute = u64::from(libc::PROT_EXEC.unsigned_abs());
    let anonymous_name = u64::from(libc::PR_SET_VMA.unsigned_abs());
    [
        // Memory that is no code.
        (libc::SYS_mmap, vec![(2, execute, 0)]),
        (libc::SYS_mprotect, vec![(2, execute, 0)]),
        // A name for a piece of memory, which PDFium's allocator gives.
        (libc::SYS_prctl, vec![(0, WHOLE, anonymous_name)]),
        // Its own time on the processor, which each document sets anew below the hard limit.
        (libc::SYS_prlimit64, vec![(0, WHOLE, 0), (1, WHOLE, u64::from(libc::RLIMIT_CPU))]),
        // A signal to itself, which is how it aborts.
        (libc::SYS_tgkill, vec![(0, WHOLE, u64::from(std::process::id()))]),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ALLOWED, REFUSED, conditional};

    #[test]
    fn no_call_is_listed_twice() {
        let conditional = conditional();
        let all = REFUSED.iter().chain(ALLOWED).chain(conditional.iter().map(|(call, _)| call));
        let distinct: BTreeSet<_> = all.clone().collect();
        assert_eq!(distinct.len(), all.count());
    }
}
