//! The target `plain`.
#![no_main]

sluice::target!(plain);
