//! What the model says of a text, and what the document is taken to say.

use super::{Sensitive, Span, Value};

/// One span that the model marks with one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Index of the label in the model bundle.
    pub label: usize,
    /// Where.
    pub span: Span,
    /// Calibrated probability in `[0, 1]` that the span carries the label.
    pub confidence: f32,
}

/// The model's answer for one label over the whole document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlagScore {
    /// Index of the label in the model bundle.
    pub label: usize,
    /// Calibrated probability in `[0, 1]` that the document holds the label at all.
    pub confidence: f32,
    /// Whether the confidence reaches the label's threshold in the bundle.
    pub is_present: bool,
}

/// Where a value stands in the text, with its words.
///
/// Invariant (the grounding gate, [`crate::assemble`]): `raw` is `text[span]`.
#[derive(Clone, PartialEq)]
pub struct Evidence {
    /// The words as they stand in the text.
    pub raw: Sensitive<String>,
    /// UTF-8 byte range in the text.
    pub span: Span,
    /// The same range in Unicode scalars.
    pub scalars: Span,
    /// Page that holds the first byte, from 1.
    pub page: u32,
    /// Calibrated probability in `[0, 1]`; 1 where a rule and no model marks the place.
    pub confidence: f32,
    /// The place in the text as it was read, where redaction has changed the text that `span`
    /// and `scalars` refer to.
    pub original: Option<Place>,
}

/// A place in a text, in both units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// UTF-8 byte range.
    pub span: Span,
    /// The same range in Unicode scalars.
    pub scalars: Span,
}

/// A typed value, the place that it stands on, and what belongs to it.
#[derive(Clone, PartialEq)]
pub struct FieldValue {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub evidence: Evidence,
    /// Values that belong to this one, such as the dosage of a medication, in the order of
    /// `pipeline.yaml`; empty for a plain column.
    pub attributes: Vec<Attribute>,
}

/// One column of a value's own: a dosage, a unit, a section.
#[derive(Clone, PartialEq)]
pub struct Attribute {
    /// Column name inside the value's record.
    pub name: String,
    /// The value, where the text gives one.
    pub value: Option<Value>,
    /// Where it stands; `None` where it has no value, or one that follows from the main value's
    /// own place.
    pub evidence: Option<Evidence>,
}

/// One column of the record.
#[derive(Clone, PartialEq)]
pub struct Field {
    /// Column name.
    pub name: String,
    /// Typed values, best first for a single column, in text order for a list. A value that the
    /// text leaves blank (a redacted date) is absent.
    pub values: Vec<FieldValue>,
    /// Spans that the model marked but that gave no value, such as an unreadable date.
    pub unread: Vec<Evidence>,
}

/// One yes-or-no column: does the document hold such a clause?
#[derive(Clone, PartialEq)]
pub struct Flag {
    /// Column name.
    pub name: String,
    /// Label in the model bundle.
    pub label: String,
    /// The answer.
    pub is_present: bool,
    /// Calibrated probability in `[0, 1]` that it does.
    pub confidence: f32,
    /// The clauses themselves, in text order.
    pub evidence: Vec<Evidence>,
}

/// All that one document is taken to say, not yet judged.
#[derive(Clone, PartialEq, Default)]
pub struct Extraction {
    /// Columns in the order of `pipeline.yaml`.
    pub fields: Vec<Field>,
    /// Flags in the order of the model bundle.
    pub flags: Vec<Flag>,
}
