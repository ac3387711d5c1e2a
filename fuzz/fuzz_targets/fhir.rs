//! The target `fhir`.
#![no_main]

sluice::target!(fhir);
