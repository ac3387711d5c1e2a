//! How a part ends: as a record, a review or a reject, and never as two of them.

use std::fmt;

use serde::Serialize;

use super::{Extraction, Position, Provenance, Redaction, RejectCode, Sensitive};

/// A stage of the way of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// Kafka message to document.
    Decode,
    /// Claim to document.
    Claim,
    /// Document to text.
    Text,
    /// Text to token windows.
    Chunk,
    /// Token windows to findings.
    Infer,
    /// Findings to typed values.
    Assemble,
    /// Values to a judged record.
    Validate,
    /// Identifiers out of what leaves.
    Redact,
    /// Outcome to topic, key and headers.
    Route,
    /// Outcome to bytes on a topic.
    Sink,
}

impl Room {
    /// Name as it stands in headers, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Claim => "claim",
            Self::Text => "text",
            Self::Chunk => "chunk",
            Self::Infer => "infer",
            Self::Assemble => "assemble",
            Self::Validate => "validate",
            Self::Redact => "redact",
            Self::Route => "route",
            Self::Sink => "sink",
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Valid output of one part.
#[derive(Clone)]
pub struct Record {
    /// `PIPELINE/TOPIC/PARTITION/OFFSET/PART`: the same input has the same id on every attempt.
    pub id: String,
    /// Identifier of the document, as its sender gave it.
    pub document_id: String,
    /// What the document says.
    pub extraction: Extraction,
    /// What was replaced in it, for the audit; the record itself does not tell.
    pub redactions: Vec<Redaction>,
    /// Why the record says so.
    pub provenance: Provenance,
}

/// The id of a record: the same for every attempt at the same part.
pub fn record_id(pipeline: &str, position: &Position, part: u32) -> String {
    format!("{pipeline}/{position}/{part}")
}

/// Why a record goes to people instead of straight on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReviewCode {
    /// The document's language is not one that the model was trained on; nothing was extracted.
    LanguageUnsupported,
    /// A required field has no value.
    RequiredMissing,
    /// A value's confidence is below the field's floor.
    ConfidenceLow,
    /// A marked span could not be read as the field's type.
    ValueUnreadable,
    /// A rule of `pipeline.yaml` does not hold.
    RuleBroken,
}

impl ReviewCode {
    /// Every code.
    pub const ALL: [Self; 5] = [
        Self::LanguageUnsupported,
        Self::RequiredMissing,
        Self::ConfidenceLow,
        Self::ValueUnreadable,
        Self::RuleBroken,
    ];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LanguageUnsupported => "LANGUAGE_UNSUPPORTED",
            Self::RequiredMissing => "REQUIRED_MISSING",
            Self::ConfidenceLow => "CONFIDENCE_LOW",
            Self::ValueUnreadable => "VALUE_UNREADABLE",
            Self::RuleBroken => "RULE_BROKEN",
        }
    }

    /// The code of that wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The reviewer's page.
    pub const fn page(self) -> &'static str {
        match self {
            Self::LanguageUnsupported => {
                "The text is reliably in a language that the model was not trained on; nothing was \
                 extracted.\nLikely cause: a translation, or a document for another pipeline.\n\
                 What to do: read it, or send such documents to a pipeline whose model knows the \
                 language."
            }
            Self::RequiredMissing => {
                "The rule `required` found no value for its field.\nLikely cause: the document \
                 does not say it, or says it in unusual words.\nWhat to do: fill the field in by \
                 hand; if it is often rightly absent, drop the rule."
            }
            Self::ConfidenceLow => {
                "A value is less sure than the rule `confidence_at_least` asks.\nLikely cause: \
                 unusual wording, or a poor scan.\nWhat to do: compare the value with its \
                 evidence; move the floor if most reviews confirm it."
            }
            Self::ValueUnreadable => {
                "The model marked words for a field, but they could not be read as its type, and \
                 the rule `readable` sends that to people.\nLikely cause: a date or duration in \
                 an unusual form.\nWhat to do: read the words in `evidence` and fill the field in."
            }
            Self::RuleBroken => {
                "A rule of `pipeline.yaml` with `otherwise: review` does not hold.\nLikely cause: \
                 a misread value, or an unusual document.\nWhat to do: the reason names rule and \
                 field; compare the values with their evidence."
            }
        }
    }
}

/// One reason for a review. Names rule and field, never words of the document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reason {
    /// Kind of reason.
    pub code: ReviewCode,
    /// Column that it is about, if one.
    pub field: Option<String>,
    /// One sentence for the reviewer, without document text.
    pub detail: String,
}

/// A document that is fine but unsure: for people to look at.
#[derive(Clone)]
pub struct Review {
    /// The record as it would have been published; without fields and flags where nothing was
    /// extracted.
    pub record: Record,
    /// Why, at least one.
    pub reasons: Vec<Reason>,
    /// The text that the spans refer to.
    pub text: Sensitive<String>,
}

/// A refusal of one part: data, not an error that climbs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// What was wrong.
    pub code: RejectCode,
    /// Stage that refused.
    pub room: Room,
    /// One sentence without document text: kinds, counts, limits and offsets only.
    pub detail: String,
}

impl Reject {
    /// A refusal by `room`. `detail` must hold no word of the document.
    pub fn new(code: RejectCode, room: Room, detail: impl Into<String>) -> Self {
        Self { code, room, detail: detail.into() }
    }
}

/// How one part ends.
pub enum Outcome {
    /// Valid output.
    Record(Box<Record>),
    /// Fine but unsure.
    Review(Box<Review>),
    /// Refused.
    Reject(Reject),
}

/// The kind of an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// Valid output.
    Record,
    /// Fine but unsure.
    Review,
    /// Refused.
    Reject,
}

impl OutcomeKind {
    /// Name as it stands in headers, metrics and JSON lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Review => "review",
            Self::Reject => "reject",
        }
    }
}

impl Outcome {
    /// What the document is taken to say; `None` of a reject.
    pub const fn extraction(&self) -> Option<&Extraction> {
        match self {
            Self::Record(record) => Some(&record.extraction),
            Self::Review(review) => Some(&review.record.extraction),
            Self::Reject(_) => None,
        }
    }

    /// Which of the three.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Record(_) => OutcomeKind::Record,
            Self::Review(_) => OutcomeKind::Review,
            Self::Reject(_) => OutcomeKind::Reject,
        }
    }
}
