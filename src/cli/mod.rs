//! `command line -> work, exit code`.

pub mod check;
