//! One binary for all integration tests.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod bundles;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod data;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod equal_rows;
#[cfg(test)]
mod eval;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod gate;
#[cfg(test)]
#[cfg(feature = "failpoints")]
mod guard;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod leaks;
#[cfg(test)]
mod onnx;
#[cfg(test)]
mod otlp;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod pdf_maker;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod secure;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod service;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod support;
#[cfg(test)]
#[cfg(feature = "failpoints")]
mod telemetry;
#[cfg(test)]
mod text;
#[cfg(test)]
mod text_child;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tidy_code;
#[cfg(test)]
mod tiny_model;
#[cfg(test)]
#[cfg(feature = "failpoints")]
mod walls;
