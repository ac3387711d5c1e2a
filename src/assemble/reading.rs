//! `raw words -> Reading`: what a span says once it is read as a column's type.
//!
//! A reading is a function of the raw words and of the column's settings alone, save for a timestamp,
//! which may take its year from its message and its zone from a key of its document: this is what
//! makes grounding checkable. Deliberately knows no place in the text and no confidence.

use std::sync::LazyLock;

use jiff::tz::Offset;
use regex::Regex;

use super::choice::Choices;
use super::frame::Frame;
use super::timestamp::Beside;
use super::{date, duration, integer, jurisdiction, quantity, severity, template, timestamp};
use crate::config::pipeline::DateOrder;
use crate::types::{Sensitive, Value};

/// What a span says.
#[derive(Clone, PartialEq)]
pub(super) enum Reading {
    /// It gives this value.
    Value(Value),
    /// It leaves the value blank, as in `[●], 2018`.
    Blank,
    /// It could not be read as the type.
    Unread,
}

/// Limit: a span longer than this, in bytes, is not searched for a value; it is ten pages, of which
/// no single value can be said, and the search may take the square of its length.
const READ_BYTES_MAX: usize = 16 << 10;

/// How spans of a column are read.
pub(super) enum Reader {
    /// Words, white space collapsed.
    Text,
    /// Words, white space collapsed; only names are read.
    Party,
    /// A calendar date, the words that lead to it, and the order of its numbers.
    Date(Option<Regex>, DateOrder),
    /// An ISO 8601 duration.
    Duration(Option<Regex>),
    /// A state or country by its usual name.
    Jurisdiction,
    /// A date with a time of day; the offset of those that name none makes them moments.
    Timestamp { zone: Option<Offset>, zone_keys: Vec<String>, date_order: DateOrder },
    /// A whole number, or a count of years.
    Integer,
    /// The number of a measurement.
    Number,
    /// What it is compared with.
    Comparator,
    /// Its unit.
    Unit,
    /// One of a list.
    Choice(Choices),
    /// A level of urgency.
    Severity,
    /// A message with its variables lifted out.
    Template,
    /// The digest of that.
    TemplateHash,
}

impl Reader {
    /// Reads the words of one span of the text of `frame`.
    pub(super) fn read(&self, raw: &str, frame: &Frame<'_>) -> Reading {
        if raw.len() > READ_BYTES_MAX && !self.takes_words() {
            return Reading::Unread;
        }
        match self {
            Self::Text | Self::Party if raw.contains(char::is_alphanumeric) => {
                text_value(collapse(raw))
            }
            Self::Text | Self::Party => {
                if has_blank(raw) {
                    Reading::Blank
                } else {
                    Reading::Unread
                }
            }
            Self::Date(near, order) => date::read(raw, near.as_ref(), *order),
            Self::Duration(near) => duration::read(raw, near.as_ref()),
            Self::Jurisdiction => jurisdiction::read(raw),
            Self::Timestamp { zone, zone_keys, date_order } => {
                let named = zone_keys.iter().find_map(|key| frame.member(key));
                let named_zone = named.and_then(|place| frame.text.as_str().get(place.range()));
                let (zone, date_order) = (*zone, *date_order);
                timestamp::read(raw, Beside { zone, date_order, named_zone, sent: frame.sent })
            }
            Self::Integer => integer::read(raw),
            Self::Number => quantity::number(raw),
            Self::Comparator => quantity::comparator(raw),
            Self::Unit => quantity::unit(raw),
            Self::Choice(choices) => choices.read(raw),
            Self::Severity => severity::read(raw),
            Self::Template => template::read(raw),
            Self::TemplateHash => template::hash(raw),
        }
    }

    /// Whether a span is taken by its words instead of searched for a value.
    const fn takes_words(&self) -> bool {
        match self {
            Self::Text | Self::Party | Self::Template | Self::TemplateHash => true,
            Self::Date(..)
            | Self::Duration(_)
            | Self::Jurisdiction
            | Self::Timestamp { .. }
            | Self::Integer
            | Self::Number
            | Self::Comparator
            | Self::Unit
            | Self::Choice(_)
            | Self::Severity => false,
        }
    }

    /// Whether only names of parties are wanted.
    pub(super) const fn wants_names(&self) -> bool {
        match self {
            Self::Party => true,
            Self::Text
            | Self::Date(..)
            | Self::Duration(_)
            | Self::Jurisdiction
            | Self::Timestamp { .. }
            | Self::Integer
            | Self::Number
            | Self::Comparator
            | Self::Unit
            | Self::Choice(_)
            | Self::Severity
            | Self::Template
            | Self::TemplateHash => false,
        }
    }
}

/// What makes a value the same as another in a list. Words are compared by letters and digits
/// alone, without case: "ACME, INC." is "Acme Inc".
pub(super) fn identity(value: &Value) -> String {
    match value {
        Value::Text(words) => key(words),
        Value::Date(_)
        | Value::Duration(_)
        | Value::Timestamp(_)
        | Value::LocalTimestamp(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Boolean(_) => value.written().into_owned(),
    }
}

/// The value of some words.
pub(super) fn text_value(words: String) -> Reading {
    Reading::Value(Value::Text(Sensitive::new(words)))
}

/// White space, control characters too, as single spaces; none at the ends.
pub(super) fn collapse(raw: &str) -> String {
    let is_gap = |letter: char| letter.is_whitespace() || letter.is_control();
    raw.split(is_gap).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Letters and digits in lower case; all of it where there are none.
pub(super) fn key(words: &str) -> String {
    let key: String = words
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    if key.is_empty() { words.to_owned() } else { key }
}

/// A value at bytes `start..end` of a span; `None` where it stands there but cannot be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate<T> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) value: Option<T>,
}

/// `found` in order and without overlap: of two at one place the longer stays, then the one that
/// can be told.
pub(super) fn apart<T>(mut found: Vec<Candidate<T>>) -> Vec<Candidate<T>> {
    found.sort_by_key(|one| (one.start, usize::MAX - one.end, one.value.is_none()));
    let mut end = 0;
    found.retain(|one| {
        let is_free = one.start >= end;
        end = if is_free { one.end } else { end };
        is_free
    });
    found
}

/// On which side of a value its leading words may stand.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// In front: "until April 30, 2016".
    Before,
    /// In front or behind: "sixty (60) days notice".
    Either,
}

/// Limit: leading words farther than this from a value, in bytes, do not lead to it; about six
/// English words.
const NEAR_BYTES_MAX: usize = 40;

/// Limit: with at most so many words beside the value, a span is the value itself, and no leading
/// word is asked for: "Dated as of", "(the Effective Date)".
const BARE_WORDS_MAX: usize = 3;

/// The one value that a span stands for; `None` where it is not clear which. `candidates` stand
/// in order and do not overlap.
pub(super) fn choose<T: Copy + PartialEq>(
    candidates: &[Candidate<T>],
    raw: &str,
    near: Option<&Regex>,
    side: Side,
) -> Option<T> {
    let single = || only(candidates.iter().map(|candidate| candidate.value));
    let Some(near) = near else { return single() };
    let bare = if words_beside(candidates, raw) <= BARE_WORDS_MAX { single() } else { None };
    bare.or_else(|| nearest(candidates, raw, near, side))
}

/// The value, if all are equal.
pub(super) fn only<T: Copy + PartialEq>(values: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    let mut values = values.into_iter();
    let first = values.next()?;
    if values.all(|value| value == first) { first } else { None }
}

/// The value with the smallest gap to its leading words.
fn nearest<T: Copy + PartialEq>(
    candidates: &[Candidate<T>],
    raw: &str,
    near: &Regex,
    side: Side,
) -> Option<T> {
    let leads: Vec<_> = near.find_iter(raw).map(|lead| lead.range()).collect();
    let gap = |candidate: &Candidate<T>| {
        let gaps = leads.iter().filter_map(|lead| {
            if lead.end <= candidate.start {
                return Some(candidate.start - lead.end);
            }
            let gap = lead.start.saturating_sub(candidate.end);
            (side == Side::Either).then_some(gap)
        });
        gaps.min().filter(|gap| *gap <= NEAR_BYTES_MAX)
    };
    let best = candidates.iter().filter_map(gap).min()?;
    only(candidates.iter().filter(|one| gap(one) == Some(best)).map(|candidate| candidate.value))
}

/// Words of the span outside its candidates.
fn words_beside<T>(candidates: &[Candidate<T>], raw: &str) -> usize {
    let mut from = 0;
    let mut count = 0;
    let ends = candidates.iter().map(|candidate| (candidate.start, candidate.end));
    for (start, end) in ends.chain([(raw.len(), raw.len())]) {
        let beside = raw.get(from..start).unwrap_or_default();
        count +=
            beside.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
        from = end;
    }
    count
}

/// Whether the words hold a mark of something left out or blacked out: `____`, `[●]`, `[***]`.
pub(super) fn has_blank(raw: &str) -> bool {
    BLANK.is_match(raw)
}

static BLANK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)_{2,}|\*{2,}|\[[\s*●•·∙⚫_.…x\-–—]*\]|\[[^\]]{0,20}date\]|[●⚫]|…|\.{4,}")
});

/// A regular expression of this room.
#[expect(clippy::expect_used, reason = "the patterns are constants, and tests build each of them")]
pub(super) fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern is sound")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Candidate, Reader, Reading, apart, collapse, has_blank, identity, key};
    use crate::assemble::frame::Frame;
    use crate::assemble::sections::Headings;
    use crate::config::pipeline::DateOrder;
    use crate::types::{Sensitive, Text, Value};

    /// What `reader` makes of `raw` in the document `text`.
    fn read(reader: &Reader, raw: &str, text: &str) -> Reading {
        let (text, headings) =
            (Text::from_pages([text.to_owned()]), Headings::new(&BTreeMap::new()));
        reader.read(raw, &Frame::new(&text, None, &headings))
    }

    #[test]
    fn white_space_of_any_kind_is_one_space() {
        assert_eq!(collapse("  Acme\u{a0}\n\u{c}Inc. "), "Acme Inc.");
        assert_eq!(collapse(" \t"), "");
    }

    #[test]
    fn words_of_a_text_column_are_its_value_unless_they_are_left_out() {
        let shown = |raw| match read(&Reader::Text, raw, raw) {
            Reading::Value(Value::Text(words)) => words.into_inner(),
            Reading::Value(_) => "another type".to_owned(),
            Reading::Blank => "blank".to_owned(),
            Reading::Unread => "unread".to_owned(),
        };
        assert_eq!(shown("JOINT  VENTURE\nAGREEMENT"), "JOINT VENTURE AGREEMENT");
        assert_eq!(shown("[●]"), "blank");
        assert_eq!(shown("________"), "blank");
        assert_eq!(shown("-"), "unread");
    }

    #[test]
    fn a_timestamp_takes_its_zone_from_a_key_of_its_document() {
        let reader = Reader::Timestamp {
            zone: Some(jiff::tz::Offset::UTC),
            zone_keys: vec!["tz".to_owned(), "event.timezone".to_owned()],
            date_order: DateOrder::MonthFirst,
        };
        let check = |text: &str, expected: &str| match read(&reader, "2024-05-01 12:00:00", text) {
            Reading::Value(value) => assert_eq!(value.written(), expected, "{text}"),
            Reading::Blank | Reading::Unread => assert_eq!(expected, "unread", "{text}"),
        };
        check(r#"{"tz": "Europe/Berlin"}"#, "2024-05-01T10:00:00Z");
        check(r#"{"event": {"timezone": "+01:00"}}"#, "2024-05-01T11:00:00Z");
        check(r#"{"data": {"tz": "Europe/Berlin"}}"#, "2024-05-01T12:00:00Z");
        check(r#"{"tz": "IST"}"#, "unread");
        check("tz: Europe/Berlin", "2024-05-01T12:00:00Z");
    }

    #[test]
    fn marks_of_what_was_left_out_are_known() {
        for raw in ["____", "[ ]", "[]", "[***]", "[•]", "[Insert date]", "****", "…"] {
            assert!(has_blank(raw), "{raw}");
        }
        for raw in ["[sic]", "a_b", "2 * 3", "Inc.", "..."] {
            assert!(!has_blank(raw), "{raw}");
        }
    }

    #[test]
    fn a_span_too_long_for_one_value_is_unread() {
        let long = format!("May 1, 2015{}", " ".repeat(super::READ_BYTES_MAX));
        let reader = Reader::Date(None, DateOrder::MonthFirst);
        assert!(matches!(read(&reader, "May 1, 2015", ""), Reading::Value(_)));
        assert!(matches!(read(&reader, &long, ""), Reading::Unread));
    }

    #[test]
    fn names_are_the_same_by_letters_and_digits() {
        let text = |words: &str| Value::Text(Sensitive::new(words.to_owned()));
        assert_eq!(identity(&text("ACME, INC.")), identity(&text("Acme Inc")));
        assert_ne!(key("[●]"), key("[*]"));
    }

    #[test]
    fn of_overlapping_candidates_the_first_and_longest_stays() {
        let candidate = |start, end, value| Candidate { start, end, value };
        let found = vec![
            candidate(4, 6, Some(3)),
            candidate(0, 2, Some(1)),
            candidate(0, 3, None),
            candidate(0, 3, Some(2)),
            candidate(2, 5, Some(4)),
        ];
        assert_eq!(apart(found), [candidate(0, 3, Some(2)), candidate(4, 6, Some(3))]);
    }
}
