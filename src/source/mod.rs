//! `topic -> deliveries`: Kafka for the worker, files for everything offline.

mod bound;
mod files;
mod group;
mod kafka;
mod message;
mod watch;

pub use files::{MAX_FILE_BYTES, delivery_of_bytes, delivery_of_file};
pub use group::Group;
pub use kafka::{Kafka, Setup};
pub use message::delivery_of;
