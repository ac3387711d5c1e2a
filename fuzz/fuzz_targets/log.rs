//! The target `log`.
#![no_main]

sluice::target!(log);
