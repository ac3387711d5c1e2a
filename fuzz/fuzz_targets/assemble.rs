//! The target `assemble`.
#![no_main]

sluice::target!(assemble);
