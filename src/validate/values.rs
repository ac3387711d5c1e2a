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

#[cfg(test)]
mod tests {
    use crate::config::pipeline::{FieldKind, FieldSpec, Otherwise, Rule};
    use crate::types::{Evidence, Extraction, Field, FieldValue, Sensitive, Span, Value};
    use crate::validate::Rules;

    /// A column with these values.
    fn column(name: &str, values: Vec<Value>) -> Field {
        let span = Span { start: 0, end: 1 };
        let raw = Sensitive::new("x".to_owned());
        let evidence =
            Evidence { raw, span, scalars: span, page: 1, confidence: 1.0, original: None };
        let value =
            |value| FieldValue { value, evidence: evidence.clone(), attributes: Vec::new() };
        let values = values.into_iter().map(value).collect();
        Field { name: name.to_owned(), values, unread: Vec::new() }
    }

    /// Whether the rule holds for two columns of one kind.
    fn holds(rule: Rule, kind: FieldKind, columns: [(&str, Option<Value>); 2]) -> bool {
        let zone = (kind == FieldKind::Timestamp).then(|| "Z".to_owned());
        let spec = |(name, _): &(&str, _)| FieldSpec {
            zone: zone.clone(),
            ..FieldSpec::new(*name, *name, kind)
        };
        let specs = columns.iter().map(spec).collect::<Vec<_>>();
        let rules = Rules::new(&[rule], &specs).unwrap_or_else(|told| panic!("{told:?}"));
        let fields = columns.map(|(name, value)| column(name, value.into_iter().collect()));
        let extraction = Extraction { fields: fields.to_vec(), flags: Vec::new() };
        rules.judge(&extraction).expect("no rule rejects").is_empty()
    }

    #[test]
    fn numbers_lie_between_two_both_included() {
        let check = |value: Value, kind, expected: bool| {
            let (field, otherwise) = ("age".to_owned(), Otherwise::Review);
            let rule = Rule::NumberBetween { field, from: 0.0, to: 125.0, otherwise };
            assert_eq!(holds(rule, kind, [("age", Some(value)), ("other", None)]), expected);
        };
        check(Value::Integer(0), FieldKind::Integer, true);
        check(Value::Integer(125), FieldKind::Integer, true);
        check(Value::Integer(126), FieldKind::Integer, false);
        check(Value::Integer(i64::MAX), FieldKind::Integer, false);
        check(Value::Number(-0.5), FieldKind::Number, false);
    }

    #[test]
    fn timestamps_are_put_in_order_and_lie_between_days() {
        let moment = |text: &str| Some(Value::Timestamp(text.parse().expect("a moment")));
        let check = |end, start, expected: bool| {
            let (field, other) = ("end".to_owned(), "start".to_owned());
            let rule = Rule::NotBefore { field, other, otherwise: Otherwise::Review };
            let columns = [("end", moment(end)), ("start", moment(start))];
            assert_eq!(holds(rule, FieldKind::Timestamp, columns), expected, "{end} {start}");
        };
        check("2024-05-01T12:00:00.000001Z", "2024-05-01T12:00:00Z", true);
        check("2024-05-01T12:00:00Z", "2024-05-01T12:00:00.000001Z", false);
        check("2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00Z", true);

        let check = |time, expected: bool| {
            let (from, to) = ("2024-05-01".to_owned(), "2024-05-01".to_owned());
            let (field, otherwise) = ("end".to_owned(), Otherwise::Review);
            let rule = Rule::DateBetween { field, from, to, otherwise };
            let columns = [("end", moment(time)), ("start", None)];
            assert_eq!(holds(rule, FieldKind::Timestamp, columns), expected, "{time}");
        };
        check("2024-05-01T23:59:59.999999Z", true);
        check("2024-05-02T00:00:00Z", false);
    }
}
