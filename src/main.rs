//! The program: dispatches the hidden text child.

use std::process::ExitCode;

fn main() -> ExitCode {
    let command = std::env::args_os().nth(1);
    if command.is_some_and(|command| command == sluice::text::CHILD_COMMAND) {
        return sluice::text::child_main();
    }
    ExitCode::FAILURE
}
