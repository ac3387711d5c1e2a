//! `Extraction, column -> its values` as dates, numbers or words, for rules.
//!
//! Deliberately skips values of another type: a rule that names such a column is refused when it
//! is built.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::types::{Extraction, FieldValue, Value};

/// Values of the column `name`.
pub(super) fn values<'a>(extraction: &'a Extraction, name: &str) -> &'a [FieldValue] {
    let field = extraction.fields.iter().find(|field| field.name == name);
    field.map_or(&[], |field| field.values.as_slice())
}

/// Dates as their first moment, moments on the clock of UTC, local times as they are: values of
/// one column are of one kind, and [`Rules::new`] compares only columns alike.
pub(super) fn times(values: &[FieldValue]) -> impl Iterator<Item = DateTime> {
    values.iter().filter_map(|one| match &one.value {
        Value::Date(date) => Some(date.to_datetime(Time::midnight())),
        Value::Timestamp(moment) => Some(TimeZone::UTC.to_datetime(*moment)),
        Value::LocalTimestamp(time) => Some(*time),
        Value::Text(_)
        | Value::Duration(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Boolean(_) => None,
    })
}

pub(super) fn numbers(values: &[FieldValue]) -> impl Iterator<Item = f64> {
    values.iter().filter_map(|one| match &one.value {
        Value::Integer(number) => Some(nearest(*number)),
        Value::Number(number) => Some(*number),
        Value::Text(_)
        | Value::Date(_)
        | Value::Duration(_)
        | Value::Timestamp(_)
        | Value::LocalTimestamp(_)
        | Value::Boolean(_) => None,
    })
}

/// The double nearest to a whole number.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the standard library has no other way; above 2^53 the nearest is meant"
)]
const fn nearest(number: i64) -> f64 {
    number as f64
}

pub(super) fn words(values: &[FieldValue]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|one| match &one.value {
        Value::Text(words) => Some(words.as_str()),
        Value::Date(_)
        | Value::Duration(_)
        | Value::Timestamp(_)
        | Value::LocalTimestamp(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Boolean(_) => None,
    })
}
