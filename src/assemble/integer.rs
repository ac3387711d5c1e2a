//! `raw words -> whole number`: "36-year-old" -> 36, "sixty-two years" -> 62.
//!
//! With units of time the number is a count of years, as in an age; a span whose only unit of
//! time is another one ("six weeks") is unread. Deliberately reads no decimals and no ranges.

use std::sync::LazyLock;

use regex::Regex;

use super::duration::{words_number, words_pattern};
use super::reading::{Reading, only, pattern};
use crate::types::Value;

/// What stands behind a number.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    None,
    Years,
    OtherTime,
}

/// Reads the one whole number of a span.
pub(super) fn read(raw: &str) -> Reading {
    let mut found = Vec::new();
    for captures in NUMBER.captures_iter(raw) {
        let Some(all) = captures.get(0) else { continue };
        let Some(number) = captures.name("digits").or_else(|| captures.name("words")) else {
            continue;
        };
        let part = |name| captures.name(name).is_some();
        let unit = match (part("years"), part("other")) {
            (true, _) => Unit::Years,
            (false, true) => Unit::OtherTime,
            (false, false) => Unit::None,
        };
        let value = value(number.as_str()).filter(|_| stands_alone(raw, number.start(), all.end()));
        found.push((value, unit));
    }
    let of = |unit| found.iter().filter(move |(_, of)| *of == unit).map(|(value, _)| *value);
    let chosen = if of(Unit::Years).next().is_some() {
        only(of(Unit::Years))
    } else if of(Unit::OtherTime).next().is_some() {
        None
    } else {
        only(of(Unit::None))
    };
    chosen.map_or(Reading::Unread, |number| Reading::Value(Value::Integer(number)))
}

fn value(number: &str) -> Option<i64> {
    if number.starts_with(|letter: char| letter.is_ascii_digit()) {
        return number.replace(',', "").parse().ok();
    }
    words_number(number).map(i64::from)
}

/// Whether bytes `start..end` are no part of a longer word, decimal or date.
fn stands_alone(raw: &str, start: usize, end: usize) -> bool {
    let before = raw.get(..start).and_then(|before| before.chars().next_back());
    let mut after = raw.get(end..).unwrap_or_default().chars();
    let is_free_before =
        !before.is_some_and(|letter| letter.is_alphanumeric() || ".,/:".contains(letter));
    let is_free_after = match after.next() {
        Some(letter) if letter.is_alphanumeric() || letter == '%' => false,
        Some('.' | ',' | '/' | ':' | '-' | '–') => {
            !after.next().is_some_and(|letter| letter.is_ascii_digit())
        }
        Some(_) | None => true,
    };
    is_free_before && is_free_after
}

static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let words = words_pattern();
    pattern(&format!(
        r"(?i)(?:(?P<digits>[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)|\b(?P<words>{words})\b)(?:[\s\-–]*(?:(?P<years>(?:years?|yrs?|y\s?[/.]?\s?o|y)\b)|(?P<other>(?:months?|mos?|weeks?|wks?|days?|hours?|hrs?|minutes?|mins?|d|h|w)\b)|(?P<sex>[mf]\b)))?"
    ))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::read;
    use crate::assemble::reading::Reading;
    use crate::types::Value;

    fn check(raw: &str, expected: Option<i64>) {
        let found = match read(raw) {
            Reading::Value(Value::Integer(number)) => Some(number),
            Reading::Value(_) | Reading::Blank | Reading::Unread => None,
        };
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn ages_are_years() {
        check("36-year-old", Some(36));
        check("23 year old", Some(23));
        check("aged 47", Some(47));
        check("36yo", Some(36));
        check("36 y/o", Some(36));
        check("71 y.o.", Some(71));
        check("36M", Some(36));
        check("sixty-two-year-old", Some(62));
        check("62", Some(62));
        check("3 years and 6 months", Some(3));
        check("six weeks", None);
        check("8-month-old", None);
        check("30s", None);
        check("in her thirties", None);
    }

    #[test]
    fn other_whole_numbers_are_read() {
        check("1,200 parts", Some(1200));
        check("twelve", Some(12));
        check("3.5", None);
        check("3-5", None);
        check("3 or 5", None);
        check("50%", None);
        check("1/2", None);
        check("A4", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,60}") {
            read(&raw);
        }
    }
}
