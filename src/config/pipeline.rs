//! The shape of `pipeline.yaml` as it is written: what a pipeline does.
//!
//! Deliberately checks nothing beyond shape; [`super::check`] turns this into what rooms see.
//! Defaults stand here and nowhere else; `sluice schema print --config` prints them as JSON
//! Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claims::Claims;
pub use super::fields::{
    AttributeSpec, DateOrder, FieldKind, FieldSpec, FlagSpec, VALUE_GROUP, VALUE_PLACE, ValueType,
};
use super::redaction::Redact;

/// One industry pipeline: what to read, what to extract, how to judge it, where it goes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Version of this file's format. Only 1 exists.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Name: lower-case letters, digits and hyphens. Part of every record id.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,62}$"))]
    pub name: String,
    /// Revision of this folder, as its owner counts; stands in every record's provenance.
    #[schemars(length(min = 1))]
    pub revision: String,
    /// Folder of the model bundle, relative to this file.
    pub model: String,
    /// Whether the gate of the bundle, where it has one, keeps sentences from the model in which it
    /// expects nothing. Without it the model reads all of a text, for more time.
    #[serde(default = "default_gate")]
    pub gate: bool,
    /// What is read.
    pub input: Input,
    /// How documents become text.
    #[serde(default)]
    pub text: TextLimits,
    /// The typed columns of the record.
    #[schemars(length(min = 1))]
    pub fields: Vec<FieldSpec>,
    /// The parts of a document that headings open, for columns of type `section`: each code with
    /// the headings that open it, such as `PLAN: [plan, plan of care]`. A heading stands at the
    /// start of a line, with a colon behind it or alone on its line; case is ignored.
    #[serde(default)]
    pub sections: BTreeMap<String, Vec<String>>,
    /// The yes-or-no columns of the record.
    #[serde(default)]
    pub flags: Option<FlagSpec>,
    /// What must hold before a record is published.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What identifies a person, and what stands in its place; nothing is redacted without it.
    #[serde(default)]
    pub redact: Option<Redact>,
    /// Where outcomes go.
    pub output: Output,
    /// How outcomes are made visible.
    #[serde(default)]
    pub delivery: Delivery,
    /// How much may be in work at once.
    #[serde(default)]
    pub limits: Limits,
}

const fn default_gate() -> bool {
    true
}

/// What is read.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Input topic: at most 249 letters, digits, dots, underscores and hyphens (Kafka's rule).
    #[schemars(regex(pattern = r"^[a-zA-Z0-9._-]{1,249}$"))]
    pub topic: String,
    /// Consumer group; `sluice.` and the pipeline's name unless set.
    #[serde(default)]
    #[schemars(length(min = 1, max = 249))]
    pub group: Option<String>,
    /// How the body is wrapped.
    #[serde(default)]
    pub envelope: Envelope,
    /// Whether one document may hold many parts.
    #[serde(default)]
    pub split: Split,
    /// What a null body means for this pipeline.
    #[serde(default)]
    pub tombstone: Tombstone,
    /// Largest document, in bytes after the envelope is taken off.
    #[serde(default = "default_document_bytes_max")]
    #[schemars(range(min = 1))]
    pub document_bytes_max: usize,
    /// Longest entry of a split document, in bytes.
    #[serde(default = "default_entry_bytes_max")]
    #[schemars(range(min = 1))]
    pub entry_bytes_max: usize,
    /// Most parts that one delivery may give.
    #[serde(default = "default_parts_max")]
    #[schemars(range(min = 1))]
    pub parts_max: u32,
    /// From where documents may be fetched that a message names instead of holding them.
    #[serde(default)]
    pub claims: Option<Claims>,
}

const fn default_document_bytes_max() -> usize {
    32 << 20
}

const fn default_entry_bytes_max() -> usize {
    64 << 10
}

const fn default_parts_max() -> u32 {
    10_000
}

/// How the body of a message is wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// By the header `content-type`: `application/vnd.sluice.document+json` is the JSON envelope,
    /// `application/vnd.sluice.document+avro` the Avro one, anything else the document itself.
    #[default]
    Auto,
    /// The body is the document; its type stands in the header `content-type`.
    None,
    /// The body is a JSON envelope.
    Json,
    /// The body is an Avro envelope in Confluent wire format (`schemas/document.avsc`).
    Avro,
}

/// How a document is cut into parts, each with an outcome of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Not at all: a document is one part.
    #[default]
    None,
    /// Plain text and JSON lines (`application/x-ndjson`, `application/jsonl`) become entries:
    /// a line each, with the lines of a stack trace that follow it. Blank lines are passed over.
    /// Other types are one part.
    Log,
}

/// What a null body means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tombstone {
    /// Pass it on, under the same key, to the record and the review topic: an erasure downstream.
    #[default]
    Forward,
    /// Commit its offset and publish nothing.
    Ignore,
}

/// How documents become text, and what that may cost.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextLimits {
    /// Library that reads PDF.
    pub pdf_engine: PdfEngine,
    /// Most pages of one PDF.
    #[schemars(range(min = 1))]
    pub pages_max: u32,
    /// Longest text, in UTF-8 bytes.
    #[schemars(range(min = 1))]
    pub text_bytes_max: usize,
    /// Longest text, in tokens of the model; with the two limits above it bounds the memory of one
    /// document.
    #[schemars(range(min = 1))]
    pub tokens_max: usize,
    /// A PDF with fewer characters that are not white space, per document, has no text layer.
    pub text_chars_min: usize,
    /// Address space of one text child, in bytes.
    #[schemars(range(min = 134_217_728_u64))]
    pub memory_bytes_max: u64,
    /// A text child that finishes no page for so long, in milliseconds, is killed. Time in which it
    /// waits for a core does not count, here and below.
    #[schemars(range(min = 1))]
    pub progress_timeout_ms: u64,
    /// A text child that is not done after so long, in milliseconds, is killed.
    #[schemars(range(min = 1))]
    pub total_timeout_ms: u64,
    /// Languages (two letters, ISO 639-1) that are extracted; a document that is reliably in
    /// another goes to review. Empty: those that the model bundle names.
    #[schemars(inner(regex(pattern = r"^[a-z]{2}$")))]
    pub languages: Vec<String>,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            pdf_engine: PdfEngine::Pdfium,
            pages_max: 2_000,
            text_bytes_max: 10 << 20,
            // 500 a page on as many pages as a PDF may have.
            tokens_max: 1_000_000,
            text_chars_min: 16,
            memory_bytes_max: 1 << 30,
            progress_timeout_ms: 10_000,
            total_timeout_ms: 60_000,
            languages: Vec::new(),
        }
    }
}

/// Library that reads PDF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PdfEngine {
    /// The library `PDFium`.
    Pdfium,
    /// The crate `pdf-extract`.
    PdfExtract,
}

/// What to do with a document for which a rule does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// People look at it.
    #[default]
    Review,
    /// It cannot be right.
    Reject,
}

/// Something that must hold before a record is published. A rule about a field without value
/// holds, except `required`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// The field has at least one value, or one of the fields `or` has.
    Required {
        /// Column.
        field: String,
        /// Columns that do instead: a report of a laboratory has no problem, but results.
        #[serde(default)]
        or: Vec<String>,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// The date of `field` is not before the date of `other`; likewise two timestamps.
    NotBefore {
        /// Column of type `date` or `timestamp`.
        field: String,
        /// Column of the same type.
        other: String,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// Every date of the field lies between the two, both inclusive (ISO 8601). The day of a
    /// timestamp is that of UTC where the column has a `zone`, and else the day as written.
    DateBetween {
        /// Column of type `date` or `timestamp`.
        field: String,
        /// First allowed day.
        from: String,
        /// Last allowed day.
        to: String,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// Every number of the field lies between the two, both inclusive.
    NumberBetween {
        /// Column of type `integer` or `number`.
        field: String,
        /// Least allowed number.
        from: f64,
        /// Greatest allowed number.
        to: f64,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// Every value of the field is one of these.
    OneOf {
        /// Column whose values are words: any type but dates, times, durations and numbers.
        field: String,
        /// Allowed values, at least one.
        #[schemars(length(min = 1))]
        values: Vec<String>,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// No value of the field is one of these.
    NoneOf {
        /// Column whose values are words: any type but dates, times, durations and numbers.
        field: String,
        /// Values that are not allowed, at least one.
        #[schemars(length(min = 1))]
        values: Vec<String>,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// Every value of the field matches this regular expression as a whole.
    Pattern {
        /// Column whose values are words: any type but dates, times, durations and numbers.
        field: String,
        /// Regular expression of the crate `regex`: linear time, no look-around.
        pattern: String,
        /// What to do if not.
        #[serde(default)]
        otherwise: Otherwise,
    },
    /// Every value of the field is at least so sure; always a matter for review.
    ConfidenceAtLeast {
        /// Column.
        field: String,
        /// Floor in `[0, 1]`.
        #[schemars(range(min = 0.0, max = 1.0))]
        confidence: f32,
    },
    /// Every span that the model marked for the field could be read as its type; always a matter
    /// for review.
    Readable {
        /// Column.
        field: String,
    },
}

/// Where outcomes go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Topic of records: letters, digits, dots, underscores and hyphens.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9._-]{1,249}$"))]
    pub record_topic: String,
    /// Topic of reviews: letters, digits, dots, underscores and hyphens.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9._-]{1,249}$"))]
    pub review_topic: String,
    /// Topic of rejects: letters, digits, dots, underscores and hyphens.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9._-]{1,249}$"))]
    pub reject_topic: String,
    /// Topic of the audit: one message a part, in the same transaction, without document text.
    /// Without it no audit is written.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[a-zA-Z0-9._-]{1,249}$"))]
    pub audit_topic: Option<String>,
    /// Form of records, reviews and audit.
    #[serde(default)]
    pub format: Format,
    /// Avro schema of the record, relative to this file. Types named `sluice.*` come with sluice.
    #[serde(default = "default_schema")]
    pub schema: String,
    /// Largest message to any output topic, in bytes; not above the topics' own limit.
    #[serde(default = "default_message_bytes_max")]
    #[schemars(range(min = 65_536, max = 1_000_000_000))]
    pub message_bytes_max: usize,
}

impl Output {
    /// All output topics.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        [&self.record_topic, &self.review_topic, &self.reject_topic]
            .into_iter()
            .chain(&self.audit_topic)
            .map(String::as_str)
    }
}

fn default_schema() -> String {
    "record.avsc".to_owned()
}

const fn default_message_bytes_max() -> usize {
    1_000_000
}

/// Form of records, reviews and audit on their topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Avro: Confluent wire format with a registry, single-object encoding without.
    #[default]
    Avro,
    /// JSON, one object a message.
    Json,
}

/// How outcomes are made visible.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// What a crash may do.
    pub guarantee: Guarantee,
    /// Longest time between two commits while outcomes wait, in milliseconds; a fifth of it where
    /// all that was consumed has ended.
    #[schemars(range(min = 1, max = 60_000))]
    pub commit_interval_ms: u64,
    /// Most deliveries in one commit.
    #[schemars(range(min = 1))]
    pub commit_deliveries_max: usize,
    /// Longest transaction, in milliseconds: a worker that dies in one blocks readers so long.
    #[schemars(range(min = 1_000, max = 900_000))]
    pub transaction_timeout_ms: u32,
    /// How many rejects are too many: above it the flow is held until a person releases it.
    pub reject_budget: RejectBudget,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::ExactlyOnce,
            commit_interval_ms: 500,
            commit_deliveries_max: 1_000,
            transaction_timeout_ms: 15_000,
            reject_budget: RejectBudget::default(),
        }
    }
}

/// How many of the recent deliveries may be refused. Above it the flow is held: nothing more of it
/// is committed, and what was not is worked on again once a person has released it. A delivery of
/// many parts counts by the share of them that were refused.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RejectBudget {
    /// Largest share of the recent deliveries that may be refused; 1 switches the budget off.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share_max: f64,
    /// How many deliveries are the recent ones.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub window_deliveries: usize,
    /// Fewer refused deliveries than these hold nothing up. So many in a row hold the flow
    /// whatever the share, where their codes are in doubt, as `INFER_FAILED` and `TEXT_CRASHED` are.
    #[schemars(range(min = 1))]
    pub rejects_min: u64,
}

impl Default for RejectBudget {
    fn default() -> Self {
        Self { share_max: 0.5, window_deliveries: 200, rejects_min: 20 }
    }
}

/// What a crash may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// A `read_committed` reader sees every outcome once.
    ExactlyOnce,
    /// A crash may repeat outcomes; repeats carry the same record id.
    AtLeastOnce,
}

/// How much may be in work at once, for one flow.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes consumed and not yet committed, and of documents that were fetched for claims and are
    /// not yet prepared; partitions pause above it, less a largest document where claims are taken.
    #[schemars(range(min = 1))]
    pub in_flight_bytes_max: usize,
    /// Deliveries consumed and not yet committed; partitions pause above it.
    #[schemars(range(min = 1))]
    pub in_flight_deliveries_max: usize,
    /// Tokens that wait for the model or are in it, 16 bytes of text counting for one at least; no
    /// further part is prepared above it.
    #[schemars(range(min = 1))]
    pub in_flight_tokens_max: usize,
    /// Outcomes that wait for a commit, and parts of deliveries in preparation; no further delivery
    /// is prepared above it.
    #[schemars(range(min = 1))]
    pub in_flight_outcomes_max: usize,
    /// Documents of claims that are fetched at once.
    #[schemars(range(min = 1, max = 256))]
    pub claims_concurrent_max: usize,
    /// Bytes of outcomes that wait for the other parts of their delivery or for a commit; no further
    /// delivery is prepared above it, and a delivery whose parts' outcomes are larger together is
    /// refused.
    #[schemars(range(min = 1))]
    pub in_flight_outcome_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_bytes_max: 64 << 20,
            in_flight_deliveries_max: 2_000,
            in_flight_tokens_max: 200_000,
            in_flight_outcomes_max: 20_000,
            claims_concurrent_max: 8,
            in_flight_outcome_bytes_max: 128 << 20,
        }
    }
}
