//! The program: the command line does all.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::cli::main()
}
