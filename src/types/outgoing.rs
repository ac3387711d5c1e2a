//! One message on its way to a topic.

use super::{Header, OutcomeKind, Sensitive};

/// A message that the sink will produce; the sink adds and changes nothing.
#[derive(Clone)]
pub struct Outgoing {
    /// Output topic.
    pub topic: String,
    /// Message key; `None` spreads over partitions.
    pub key: Option<Sensitive<Vec<u8>>>,
    /// Headers in order.
    pub headers: Vec<Header>,
    /// Message value; `None` is a tombstone.
    pub payload: Option<Sensitive<Vec<u8>>>,
    /// What it publishes; `None` for a tombstone that is passed on.
    pub kind: Option<OutcomeKind>,
    /// Code of the reject or of the first reason for review; empty for a record.
    pub code: &'static str,
}

/// Bytes that Kafka adds to a message at most: a record batch of one (61 bytes before the record,
/// format version 2), and the record's own length, times, offsets and counts as varints.
const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// Bytes that Kafka adds to a header at most: two lengths as varints of 32 bits.
const HEADER_OVERHEAD_BYTES: usize = 10;

impl Outgoing {
    /// Largest size that this message can have in a batch of its own, uncompressed, in bytes.
    pub fn size_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| {
            let value = header.value.as_ref().map_or(0, |value| value.len());
            header.name.len() + value + HEADER_OVERHEAD_BYTES
        });
        let key = self.key.as_ref().map_or(0, |key| key.len());
        let payload = self.payload.as_ref().map_or(0, |payload| payload.len());
        MESSAGE_OVERHEAD_BYTES + key + payload + headers.sum::<usize>()
    }
}
