//! The program: the command line does all.

use std::process::ExitCode;

/// For the C and C++ libraries too. It gives back what is free within seconds, where that of glibc
/// keeps them, in arenas of several threads: a worker grew by 60 MB in an hour.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    sluice::cli::main()
}
