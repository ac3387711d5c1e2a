//! The shape of columns in `pipeline.yaml`: where values come from, how they are read, and what
//! hangs on them.
//!
//! Deliberately checks nothing beyond shape, as [`super::pipeline`], which gives these types out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The only name of a group that is read of a pattern's match.
pub const VALUE_GROUP: &str = "value";

/// What stands for the value in the words that `unless_around` is searched in.
pub const VALUE_PLACE: &str = "<>";

/// One typed column. Its values come from exactly one source: `label`, `labels`, `head`, or `keys`
/// and `patterns`; a column of type `section` has none, since the headings themselves are its source.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// Column name: lower-case letters, digits and underscores.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,62}$"))]
    pub name: String,
    /// Label in the model bundle whose spans give the values.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub label: Option<String>,
    /// Several labels in the model bundle whose spans give the values together; an attribute of
    /// type `label` tells them apart.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Head of the model bundle that sorts whole documents into classes; for type `class`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub head: Option<String>,
    /// Keys of a text that is one JSON object, such as a line of a log: `level`, or `log.level` for
    /// a key of that name or else `level` in the object `log`. The value is the string's content
    /// as it is written, a number or a boolean; its confidence is 1. Unlike a pattern, a key does
    /// not take what lies deeper under the same name. A single column takes the first key that
    /// gives a value, and `patterns` only where none does.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub keys: Vec<String>,
    /// Regular expressions of the crate `regex` (linear time, no look-around) that are searched
    /// in the text. The value is the group named `value`, or the whole match where the pattern has
    /// none; no other group has a name. Its confidence is 1.
    /// A single column takes the first match of the first pattern that has one, a list all
    /// matches of all patterns.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Regular expression of the crate `regex`: a text in which it matches gives the column no
    /// value. So a model of work orders is not asked about the lines of a machine.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub unless: Option<String>,
    /// Regular expression of the crate `regex` that is searched in the sentence of each value, at
    /// most 100 bytes to either side, in which the value itself is written `<>`, as it must be
    /// here: a value around which it matches is left out, as if it had not been found. So the age
    /// of a patient's brother is not the patient's: `\bbrother\b[^.,]*<>`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub unless_around: Option<String>,
    /// Least confidence of a value; one below it is left out, as if it had not been found. The
    /// rule `confidence_at_least` sends the document to review instead.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence_min: Option<f32>,
    /// How a span becomes a value.
    #[serde(rename = "type")]
    pub kind: FieldKind,
    /// Whether the column is a list of all distinct values instead of the most confident one.
    #[serde(default)]
    pub many: bool,
    /// For dates and durations: whole words that lead to the value in a span that says more than
    /// it, such as `until|expires? on` (regular expression of the crate `regex`, case ignored).
    /// The value nearest to such words is taken, and one without them within 40 bytes is not
    /// read; they stand in front of a date, on either side of a duration. Without this key a span
    /// must hold one value only.
    #[serde(default)]
    pub near: Option<String>,
    /// For timestamps: the offset from UTC of those that name none, such as `Z` or `+02:00`. With
    /// it the column holds moments (`timestamp-micros`), and one that names a zone which cannot be
    /// told (`IST` is India, Ireland or Israel) gives no value; without it, dates with times of day as
    /// they are written (`local-timestamp-micros`), offsets left out.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])$"))]
    pub zone: Option<String>,
    /// For timestamps with `zone`: keys, as in `keys`, under which a JSON object names the zone of
    /// its timestamps ("Europe/Berlin"); it goes before `zone`.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub zone_keys: Vec<String>,
    /// For dates and timestamps in numbers ("5/1/2024"): `month_first`, the US order and the
    /// default, or `day_first`. A date that only the other order gives is read by it.
    #[serde(default)]
    pub date_order: Option<DateOrder>,
    /// For type `choice`: each value of the column with the words that stand for it, such as
    /// `female: [female, woman, girl]`. Words are matched whole, case ignored.
    #[serde(default)]
    pub choices: BTreeMap<String, Vec<String>>,
    /// For lists: columns of each value's own. The column becomes an array of records with
    /// `value`, these, and `evidence`.
    #[serde(default)]
    pub attributes: Vec<AttributeSpec>,
}

impl FieldSpec {
    /// A column for one value that the spans of `label` give.
    pub fn new(name: impl Into<String>, label: impl Into<String>, kind: FieldKind) -> Self {
        Self {
            name: name.into(),
            label: Some(label.into()),
            labels: Vec::new(),
            head: None,
            keys: Vec::new(),
            patterns: Vec::new(),
            unless: None,
            unless_around: None,
            confidence_min: None,
            kind,
            many: false,
            near: None,
            zone: None,
            zone_keys: Vec::new(),
            date_order: None,
            choices: BTreeMap::new(),
            attributes: Vec::new(),
        }
    }

    /// Every label that the column takes spans of: `label`, or `labels`.
    pub fn all_labels(&self) -> impl Iterator<Item = &str> {
        self.label.iter().chain(&self.labels).map(String::as_str)
    }
}

/// A column of each value's own in a list: a dosage of a medication, the section of a problem.
///
/// With `label` or `labels` its value is that of a finding that belongs to the value: in the same
/// sentence, at most 200 bytes away, and nearer to this value than to any other of the list, where
/// each comma or semicolon between counts as 20 bytes. Each finding belongs to one value only.
/// Without these keys the attribute is read from the value's own words.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeSpec {
    /// Column name: lower-case letters, digits and underscores; not `value` and not `evidence`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,62}$"))]
    pub name: String,
    /// Label in the model bundle whose spans are attached.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub label: Option<String>,
    /// Several labels in the model bundle whose spans are attached.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether the column is a list of all that belongs to the value, nearest first, instead of
    /// the nearest; for attributes with `label` or `labels`.
    #[serde(default)]
    pub many: bool,
    /// Whether values without this attribute are left out of the list, as a test without a result
    /// is no lab value.
    #[serde(default)]
    pub required: bool,
    /// How the words become a value.
    #[serde(rename = "type")]
    pub kind: FieldKind,
    /// As `zone` of a field.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])$"))]
    pub zone: Option<String>,
    /// As `date_order` of a field.
    #[serde(default)]
    pub date_order: Option<DateOrder>,
    /// As `choices` of a field.
    #[serde(default)]
    pub choices: BTreeMap<String, Vec<String>>,
}

impl AttributeSpec {
    /// A column of a value's own words; `label` and the rest are set by struct update.
    pub fn new(name: impl Into<String>, kind: FieldKind) -> Self {
        Self {
            name: name.into(),
            label: None,
            labels: Vec::new(),
            many: false,
            required: false,
            kind,
            zone: None,
            date_order: None,
            choices: BTreeMap::new(),
        }
    }

    /// Every label whose spans are attached: `label`, or `labels`.
    pub fn all_labels(&self) -> impl Iterator<Item = &str> {
        self.label.iter().chain(&self.labels).map(String::as_str)
    }
}

/// The order of day and month in dates in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// Month, day, year: the US order.
    #[default]
    MonthFirst,
    /// Day, month, year.
    DayFirst,
}

/// How words become a value.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// The words themselves, white space collapsed.
    Text,
    /// A party to a contract: as text, but roles and pronouns ("the Licensor", "we") give no
    /// value, and defined terms ("Acme") only where the text gives no name.
    Party,
    /// A calendar date; `date_order` says how digits are read that are ambiguous.
    Date,
    /// An ISO 8601 duration.
    Duration,
    /// A state or country, by its usual name.
    Jurisdiction,
    /// The name of the class that a head of the model sorts the document into.
    Class,
    /// A date with a time of day: ISO 8601, RFC 3339, RFC 5424, RFC 3164 and log4j forms, Apache's
    /// access log, seconds or milliseconds since 1970, "5/1/2024 9:07 PM". Zones are offsets,
    /// abbreviations that mean one offset (`CET`), and IANA names (`Europe/Berlin`). One without a year (RFC 3164) takes the
    /// last year that does not put it after the timestamp of its Kafka message, and is unread
    /// without one.
    Timestamp,
    /// A whole number in digits or words. With a unit of time it is a count of years
    /// ("36-year-old"); any other unit of time ("six weeks") is unread.
    Integer,
    /// The number of a measurement: "12,500 /mm3" gives 12500. What it is compared with is the
    /// type `comparator`; a range ("120/80") is unread.
    Number,
    /// The sign in front of a number that is no measured value itself but a bound, as in FHIR's
    /// `Quantity.comparator`: `<`, `<=`, `>=` or `>`.
    Comparator,
    /// The unit behind a number, as it is written: "12,500 /mm3" gives `/mm3`.
    Unit,
    /// One of `choices`, by the words that stand for it; unread where words of two choices stand.
    Choice,
    /// A level of urgency in the words of RFC 5424 (`emergency`, `alert`, `critical`, `error`,
    /// `warning`, `notice`, `info`, `debug`): from a syslog priority (`<34>`), a word (`WARN`), a
    /// letter (`E`) or a number.
    Severity,
    /// A message with its variables (numbers, addresses, ids, paths, quoted words) replaced by
    /// their kind, so that equal messages can be grouped.
    Template,
    /// SHA-256 of the template, as 64 hexadecimal digits.
    TemplateHash,
    /// For attributes: whether a word of negation governs the value in its sentence (English,
    /// the method of `NegEx`).
    Negated,
    /// The code of the entry of `sections` under whose heading the value stands; as a field, the
    /// sections that the document has.
    Section,
    /// For attributes: which of `labels` the value is.
    Label,
}

/// What values of a kind are, for rules and schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// Words.
    Words,
    /// A calendar date.
    Date,
    /// An ISO 8601 duration.
    Duration,
    /// A moment or a local time.
    Timestamp,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A yes or no.
    Boolean,
}

impl FieldKind {
    /// What values of this kind are.
    pub const fn value_type(self) -> ValueType {
        match self {
            Self::Text
            | Self::Party
            | Self::Jurisdiction
            | Self::Class
            | Self::Comparator
            | Self::Unit
            | Self::Choice
            | Self::Severity
            | Self::Template
            | Self::TemplateHash
            | Self::Section
            | Self::Label => ValueType::Words,
            Self::Date => ValueType::Date,
            Self::Duration => ValueType::Duration,
            Self::Timestamp => ValueType::Timestamp,
            Self::Integer => ValueType::Integer,
            Self::Number => ValueType::Number,
            Self::Negated => ValueType::Boolean,
        }
    }

    /// Name in `pipeline.yaml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Party => "party",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Jurisdiction => "jurisdiction",
            Self::Class => "class",
            Self::Timestamp => "timestamp",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Comparator => "comparator",
            Self::Unit => "unit",
            Self::Choice => "choice",
            Self::Severity => "severity",
            Self::Template => "template",
            Self::TemplateHash => "template_hash",
            Self::Negated => "negated",
            Self::Section => "section",
            Self::Label => "label",
        }
    }
}

/// The yes-or-no columns.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagSpec {
    /// Name of the record column that holds them.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,62}$"))]
    pub column: String,
    /// Labels of the model bundle; empty for all that have a flag. A flag's name is its label in
    /// lower case, runs of anything but letters and digits turned into one underscore.
    #[serde(default)]
    pub labels: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::FieldKind;

    #[test]
    fn a_kind_has_the_name_that_is_read() {
        let read = |name: &str| serde_json::from_value::<FieldKind>(name.into()).unwrap();
        for name in ["text", "template_hash", "comparator", "negated"] {
            assert_eq!(read(name).name(), name);
        }
    }
}
