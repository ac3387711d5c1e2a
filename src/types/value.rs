//! A typed value of a record.

use jiff::civil::Date;

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
}
