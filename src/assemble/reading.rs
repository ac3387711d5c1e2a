//! `raw words -> Reading`: what a span says once it is read as a column's type.
//!
//! A reading is a function of the raw words and of the column's settings alone: this is what makes
//! grounding checkable. Deliberately knows no place in the text and no confidence.

use std::sync::LazyLock;

use regex::Regex;

use super::{date, duration, jurisdiction};
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

/// How spans of a column are read.
pub(super) enum Reader {
    /// Words, white space collapsed.
    Text,
    /// Words, white space collapsed; only names are read.
    Party,
    /// A calendar date.
    Date(Option<Regex>),
    /// An ISO 8601 duration.
    Duration(Option<Regex>),
    /// A state or country by its usual name.
    Jurisdiction,
}

impl Reader {
    /// Reads the words of one span.
    pub(super) fn read(&self, raw: &str) -> Reading {
        match self {
            Self::Text | Self::Party => {
                let words = collapse(raw);
                if words.is_empty() { Reading::Unread } else { text_value(words) }
            }
            Self::Date(near) => date::read(raw, near.as_ref()),
            Self::Duration(near) => duration::read(raw, near.as_ref()),
            Self::Jurisdiction => jurisdiction::read(raw),
        }
    }

    /// Whether only names of parties are wanted.
    pub(super) const fn wants_names(&self) -> bool {
        match self {
            Self::Party => true,
            Self::Text | Self::Date(_) | Self::Duration(_) | Self::Jurisdiction => false,
        }
    }
}

/// Whether a list that holds `one` needs no `other`. Words are compared by letters and digits
/// alone, without case: "ACME, INC." is "Acme Inc".
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => key(one) == key(other),
        (Value::Text(_) | Value::Date(_) | Value::Duration(_), _) => one == other,
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

/// Limit: a leading word farther than this from a value, in bytes, does not lead to it; about
/// twelve English words.
const NEAR_BYTES_MAX: usize = 80;

/// Limit: with at most so many words beside the value, a span is the value itself, and no leading
/// word is asked for: "Dated as of", "(the Effective Date)".
const BARE_WORDS_MAX: usize = 3;

/// The one value that a span stands for; `None` where it is not clear which. `candidates` stand
/// in order and do not overlap.
pub(super) fn choose<T: Copy + PartialEq>(
    candidates: &[Candidate<T>],
    raw: &str,
    near: Option<&Regex>,
) -> Option<T> {
    let is_bare = words_beside(candidates, raw) <= BARE_WORDS_MAX;
    match near {
        Some(near) if !is_bare => nearest(candidates, raw, near),
        Some(_) | None => only(candidates.iter().map(|candidate| candidate.value)),
    }
}

/// The value, if all are equal.
fn only<T: Copy + PartialEq>(values: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    let mut values = values.into_iter();
    let first = values.next()?;
    if values.all(|value| value == first) { first } else { None }
}

/// The value with the smallest gap to a leading word.
fn nearest<T: Copy + PartialEq>(candidates: &[Candidate<T>], raw: &str, near: &Regex) -> Option<T> {
    let leads: Vec<_> = near.find_iter(raw).map(|lead| lead.range()).collect();
    let gap = |candidate: &Candidate<T>| {
        let gaps = leads.iter().map(|lead| {
            let before = candidate.start.saturating_sub(lead.end);
            let after = lead.start.saturating_sub(candidate.end);
            before.max(after)
        });
        gaps.min().unwrap_or(usize::MAX)
    };
    let best = candidates.iter().map(gap).min()?;
    if best > NEAR_BYTES_MAX {
        return None;
    }
    only(candidates.iter().filter(|one| gap(one) == best).map(|candidate| candidate.value))
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
