//! (in the making)

pub mod avro;
pub mod codec;
pub mod json;
pub mod schemas;
