//! One consumed Kafka message and where it came from.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Key, Sensitive};

/// Where a delivery stands in its topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: i32,
    /// Offset in the partition, from 0.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// One Kafka header. A header may carry an identifier, so the value is sensitive.
#[derive(Clone)]
pub struct Header {
    /// Name as sent.
    pub name: String,
    /// Value; `None` is Kafka's null, which differs from an empty value.
    pub value: Option<Sensitive<Vec<u8>>>,
}

/// One consumed Kafka message. A `body` of `None` is a tombstone.
#[derive(Clone)]
pub struct Delivery {
    /// Where it stands.
    pub position: Position,
    /// Message key, if any.
    pub key: Option<Sensitive<Vec<u8>>>,
    /// Message value; `None` is a tombstone.
    pub body: Option<Sensitive<Vec<u8>>>,
    /// Headers in the order of the message.
    pub headers: Vec<Header>,
    /// When it was sent, by the timestamp that the message carries; never this process's clock.
    pub sent: Option<Timestamp>,
}

impl Delivery {
    /// Size in bytes that this delivery holds in memory: key, body and headers.
    pub fn size_bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.as_ref().map_or(0, |v| v.len()))
            .sum();
        self.key.as_ref().map_or(0, |key| key.len())
            + self.body.as_ref().map_or(0, |body| body.len())
            + headers
    }

    /// The value of the last header named `name`, compared without regard to ASCII case; `None`
    /// where it is absent or null. Last wins, as in Kafka's `Headers.lastHeader`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .rev()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| header.value.as_ref())
            .map(|value| value.as_slice())
    }
}

/// What of a delivery may leave beside its outcomes, where identifiers must not.
#[derive(Clone)]
pub struct Cover {
    /// Stands for the message key: the same for the same key.
    pub key: Option<Sensitive<Vec<u8>>>,
    /// Headers that can identify nobody.
    pub headers: Vec<Header>,
    /// Seals digests.
    pub secret: Key,
    /// Whether a reject carries the message as it came all the same.
    pub shows_rejects: bool,
}
