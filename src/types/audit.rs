//! What became of one part, told without a word of it.

use super::{Digest, OutcomeKind, Position, Provenance, Redaction};

/// One entry of the audit.
#[derive(Clone)]
pub struct Audit<'a> {
    /// The provenance that all parts of the flow share: pipeline, model, key of redaction.
    pub base: &'a Provenance,
    /// `PIPELINE/TOPIC/PARTITION/OFFSET/PART`, as the outcome has it.
    pub record_id: String,
    /// How the part ended.
    pub outcome: OutcomeKind,
    /// Code of a reject, or of each reason for a review.
    pub codes: Vec<&'static str>,
    /// Who decided how it ended, such as `model:NAME@REVISION`, `rule:COLUMN` or `room:text`.
    pub deciders: Vec<String>,
    /// What was replaced in what was published.
    pub redactions: Vec<Redaction>,
    /// Digest of the part's bytes, sealed where the flow redacts; `None` where it has none of its
    /// own.
    pub document_digest: Option<Digest>,
    /// Where the delivery stands.
    pub position: Position,
    /// Number of the part in it, from 0.
    pub part: u32,
}
