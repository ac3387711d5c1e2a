//! The target `avro`.
#![no_main]

sluice::target!(avro);
