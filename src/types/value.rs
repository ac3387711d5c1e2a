//! A typed value of a record.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::Sensitive;

/// A value as it is published. All come from document text, so text is sensitive.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Text, white space collapsed to single spaces.
    Text(Sensitive<String>),
    /// A calendar date of the proleptic Gregorian calendar (ISO 8601).
    Date(Date),
    /// An ISO 8601 duration such as `P2Y6M`.
    Duration(String),
    /// A moment, to the microsecond.
    Timestamp(Timestamp),
    /// A date with a time of day, to the microsecond, of no known zone.
    LocalTimestamp(DateTime),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// A yes or no.
    Boolean(bool),
}

impl Value {
    /// The value as evidence quotes it: text as it is, dates, times and durations in ISO 8601,
    /// numbers as the shortest decimal that reads back as the same.
    pub fn written(&self) -> Cow<'_, str> {
        match self {
            Self::Text(words) => Cow::Borrowed(words.as_str()),
            Self::Duration(iso) => Cow::Borrowed(iso.as_str()),
            Self::Date(date) => Cow::Owned(date.to_string()),
            Self::Timestamp(moment) => Cow::Owned(moment.to_string()),
            Self::LocalTimestamp(time) => Cow::Owned(time.to_string()),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Boolean(answer) => Cow::Owned(answer.to_string()),
        }
    }
}
