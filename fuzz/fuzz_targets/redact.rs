//! The target `redact`.
#![no_main]

sluice::target!(redact);
