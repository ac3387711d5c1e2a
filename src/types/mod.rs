//! What travels between the rooms: passive data with its invariants in the constructors.
//!
//! Deliberately holds no behaviour of a stage: a room reads these types and makes new ones.

mod audit;
mod chunk;
mod claim;
mod delivery;
mod digest;
mod document;
mod finding;
mod keyed;
mod outcome;
mod outgoing;
mod provenance;
mod redaction;
mod reject_code;
mod sensitive;
mod uri;
mod usage;
mod value;

pub use audit::Audit;
pub use chunk::{Chunk, Chunks, WindowScores, window_tokens};
pub use claim::Claim;
pub use delivery::{Cover, Delivery, Header, Position};
pub use digest::Digest;
pub use document::{Document, Extent, Identifier, MediaType, Page, Part, Span, Text, TokenSpan};
pub use finding::{
    Attribute, Evidence, Extraction, Field, FieldValue, Finding, Flag, FlagScore, Place,
};
pub use keyed::Key;
pub use outcome::{
    Outcome, OutcomeKind, Reason, Record, Reject, Review, ReviewCode, Room, record_id,
};
pub use outgoing::Outgoing;
pub use provenance::Provenance;
pub use redaction::{Decider, Redaction};
pub use reject_code::{Blame, RejectCode};
pub use sensitive::{Sensitive, Shown, is_guard_lifted, lift_guard};
pub use uri::{Prefix, Scheme, Uri};
pub use usage::{ModelUsage, Usage};
pub use value::Value;
