//! The sink's codec, as the room `route` takes it.

use crate::route::Payload;
use crate::sink::codec::{Codec, Unfit};
use crate::types::{Audit, Record, Reject, RejectCode, Review, Room};

/// The sink's codec, as the router takes it.
pub struct Bytes(pub Codec);

impl Payload for Bytes {
    fn record(&self, record: &Record) -> Result<Vec<u8>, Reject> {
        self.0.record(record).map_err(|error| unfit(&error))
    }

    fn review(&self, review: &Review) -> Result<Vec<u8>, Reject> {
        self.0.review(review).map_err(|error| unfit(&error))
    }

    #[expect(clippy::expect_used, reason = "the shipped schema takes every entry, as a test shows")]
    fn audit(&self, audit: &Audit<'_>) -> Vec<u8> {
        self.0.audit(audit).expect("an audit entry fits its schema")
    }

    fn content_type(&self) -> &'static str {
        self.0.content_type()
    }
}

/// A bug or a value out of its column's range is one document's, and must not stop the worker at
/// that document again and again.
fn unfit(error: &Unfit) -> Reject {
    Reject::new(RejectCode::RecordUnfit, Room::Sink, error.to_string())
}
