//! The target `pipeline`.
#![no_main]

sluice::target!(pipeline);
