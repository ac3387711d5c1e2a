//! The target `decode`.
#![no_main]

sluice::target!(decode);
