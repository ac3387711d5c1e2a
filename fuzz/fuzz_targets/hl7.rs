//! The target `hl7`.
#![no_main]

sluice::target!(hl7);
