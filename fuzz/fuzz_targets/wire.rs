//! The target `wire`.
#![no_main]

sluice::target!(wire);
