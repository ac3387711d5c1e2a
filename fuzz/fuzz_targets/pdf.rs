//! The target `pdf`.
#![no_main]

sluice::target!(pdf);
