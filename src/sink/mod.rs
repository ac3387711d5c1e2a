//! `outcomes + offsets -> topics`: the only place where anything becomes visible.

mod kafka;

pub use kafka::{Kafka, Offsets, Setup};
