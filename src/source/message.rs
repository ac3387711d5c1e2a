//! `Kafka message -> Delivery`: what a message says, as it came.

use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::types::{Delivery, Header, Position, Sensitive};

/// The delivery that `message` of `topic` is.
pub fn delivery_of(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Delivery {
    let sensitive = |bytes: &[u8]| Sensitive::new(bytes.to_vec());
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let own = |header: rdkafka::message::Header<'_, &[u8]>| Header {
            name: header.key.to_owned(),
            value: header.value.map(sensitive),
        };
        headers.iter().map(own).collect()
    });
    Delivery {
        position: Position {
            topic: Arc::clone(topic),
            partition: message.partition(),
            offset: message.offset(),
        },
        key: message.key().map(sensitive),
        body: message.payload().map(sensitive),
        headers,
        sent: message.timestamp().to_millis().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    }
}
