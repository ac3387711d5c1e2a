//! The target `chunk`.
#![no_main]

sluice::target!(chunk);
