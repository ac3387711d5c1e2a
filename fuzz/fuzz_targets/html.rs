//! The target `html`.
#![no_main]

sluice::target!(html);
