//! `outcomes + offsets -> topics`: the only place where anything becomes visible.

mod audit;
pub mod avro;
pub mod codec;
mod context;
pub mod json;
mod kafka;
mod producer;
pub mod schemas;
#[cfg(test)]
mod schemas_tests;
mod topics;

pub use kafka::Kafka;
pub use producer::Setup;
