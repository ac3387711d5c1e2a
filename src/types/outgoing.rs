//! One message on its way to a topic.

use std::sync::Arc;

use super::{Header, OutcomeKind, Sensitive};

/// A message that the sink will produce; the sink adds and changes nothing.
#[derive(Clone)]
pub struct Outgoing {
    /// Output topic.
    pub topic: Arc<str>,
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
