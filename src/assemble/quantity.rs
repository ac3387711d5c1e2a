//! `raw words -> number, comparator, unit` of one measurement: "<0.5", "12,500 /mm3", "38.5 °C".
//!
//! The number is the one number of the span; digits inside words ("A1c") and inside the unit
//! ("mm3", "× 10^9/L") are none. Deliberately converts nothing, and reads no range ("120/80",
//! "3-5"), no decimal comma and no grade ("3+"): they are unread.

use std::sync::LazyLock;

use regex::Regex;

use super::reading::{Reading, collapse, pattern, text_value};
use crate::types::Value;

/// One measurement; pieces as they are written.
struct Quantity<'a> {
    comparator: Option<&'static str>,
    number: f64,
    unit: Option<&'a str>,
}

/// The number of a measurement.
pub(super) fn number(raw: &str) -> Reading {
    find(raw).map_or(Reading::Unread, |found| Reading::Value(Value::Number(found.number)))
}

/// Its comparator; blank where it has none.
pub(super) fn comparator(raw: &str) -> Reading {
    let Some(found) = find(raw) else { return Reading::Unread };
    found.comparator.map_or(Reading::Blank, |sign| text_value(sign.to_owned()))
}

/// Its unit as it is written; blank where it has none.
pub(super) fn unit(raw: &str) -> Reading {
    let Some(found) = find(raw) else { return Reading::Unread };
    found.unit.map_or(Reading::Blank, |unit| text_value(collapse(unit)))
}

/// The one measurement in `raw`.
fn find(raw: &str) -> Option<Quantity<'_>> {
    let mut numbers = NUMBER.find_iter(raw).filter(|found| !is_in_word(raw, found.start()));
    let first = numbers.next()?;
    let behind = raw.get(first.end()..)?;
    let unit = UNIT.find(behind).filter(|unit| !splits_word(behind, unit.end()));
    let rest = behind.get(unit.map_or(0, |unit| unit.end())..)?;
    let is_joined = unit.is_none() && rest.starts_with(|c: char| c.is_alphanumeric() || c == '+');
    let has_more = NUMBER.find_iter(rest).any(|found| !is_in_word(rest, found.start()));
    if is_joined || has_more {
        return None;
    }
    let (before, digits) = sign(raw.get(..first.start())?, first.as_str());
    let digits: String = digits.chars().filter(|letter| *letter != ',').collect();
    let number = digits.parse::<f64>().ok().filter(|number| number.is_finite())?;
    let unit = unit
        .map(|unit| unit.as_str().trim().trim_start_matches('-'))
        .filter(|unit| !unit.is_empty());
    Some(Quantity { comparator: compared(before), number, unit })
}

/// The number with its sign, and what stands before.
fn sign<'a>(before: &'a str, digits: &str) -> (&'a str, String) {
    let Some(rest) = before.strip_suffix(['-', '−']) else { return (before, digits.to_owned()) };
    if rest.ends_with(char::is_alphanumeric) {
        return (before, digits.to_owned());
    }
    (rest, format!("-{digits}"))
}

/// What a number is compared with, by the words in front of it.
fn compared(before: &str) -> Option<&'static str> {
    let before = before.trim_end().to_lowercase();
    let signs = [
        ("<=", "<="),
        ("≤", "<="),
        (">=", ">="),
        ("≥", ">="),
        ("<", "<"),
        (">", ">"),
        ("less than or equal to", "<="),
        ("at most", "<="),
        ("up to", "<="),
        ("less than", "<"),
        ("below", "<"),
        ("under", "<"),
        ("at least", ">="),
        ("more than", ">"),
        ("greater than", ">"),
        ("above", ">"),
        ("over", ">"),
    ];
    signs.iter().find(|(words, _)| before.ends_with(words)).map(|(_, sign)| *sign)
}

/// Whether a letter stands right before byte `at`, as in "A1c"; a dot too, as in "1.2.3".
fn is_in_word(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '^'))
}

/// Whether a unit ends inside a word: "m" of "more".
fn splits_word(text: &str, end: usize) -> bool {
    let last = text.get(..end).and_then(|unit| unit.chars().next_back());
    let next = text.get(end..).and_then(|rest| rest.chars().next());
    last.is_some_and(char::is_alphabetic) && next.is_some_and(char::is_alphanumeric)
}

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"));

/// Units that may stand alone behind a number; with a stroke any word may follow.
const UNITS: &[&str] = &[
    "%",
    "‰",
    "°",
    "° ?[cf]",
    "degrees?(?: celsius| fahrenheit| [cf])?",
    "celsius",
    "fahrenheit",
    "percent",
    "per cent",
    "k?g",
    "mgs?",
    "mcg",
    "[uµμ]g",
    "ng",
    "pg",
    "grams?",
    "milligrams?",
    "micrograms?",
    "kilograms?",
    "kgs",
    "lbs?",
    "pounds?",
    "oz",
    "gm",
    "km",
    "m",
    "cm",
    "mm",
    "[µμ]m",
    "nm",
    "inch(?:es)?",
    "feet",
    "ft",
    "m2",
    "m²",
    "cm2",
    "mm2",
    "cm3",
    "mm3",
    "mm³",
    "l",
    "dl",
    "ml",
    "[uµμ]l",
    "fl",
    "cc",
    "lit(?:er|re)s?",
    "millilit(?:er|re)s?",
    "drops?",
    "mol",
    "mmol",
    "[uµμ]mol",
    "nmol",
    "pmol",
    "m?eq",
    "mosm(?:ol)?",
    "k?iu",
    "m?u",
    "units?",
    "mm ?hg",
    "cm ?h2o",
    "k?pa",
    "bpm",
    "beats",
    "breaths",
    "cells",
    "copies",
    "k?cal",
    "k?hz",
    "m?v",
    "w",
    "j",
    "gy",
    "cgy",
    "m?sv",
    "hu",
    "fr",
    "years?",
    "yrs?",
    "months?",
    "weeks?",
    "wks?",
    "days?",
    "hours?",
    "hrs?",
    "h",
    "minutes?",
    "mins?",
    "seconds?",
    "secs?",
    "s",
    "ms",
    "tablets?",
    "tabs?",
    "capsules?",
    "caps?",
    "puffs?",
    "[kmgt]i?b",
    "bytes?",
    "times",
    "packs?",
    "cycles?",
    "sessions?",
    "doses?",
];

static UNIT: LazyLock<Regex> = LazyLock::new(|| {
    let power = r"(?:[x×*·]\s?10\s?(?:\^|\*\*|e)?\s?[(\[]?[-−]?[0-9]{1,2}[)\]]?\s?)";
    // "/80" is a second number, "mg/100 ml" is not.
    let word = r"[\p{L}µμ]+[0-9²³]?";
    let first = format!(r"(?:\s?(?:/|\bper\b)\s?{word})");
    let below = format!(r"(?:\s?(?:/|\bper\b)\s?(?:[0-9.]{{1,5}}\s?)?{word})");
    // Order: the longest unit first is what the crate's leftmost-first rule needs.
    let mut units = UNITS.to_vec();
    units.sort_by_key(|unit| usize::MAX - unit.len());
    let known = format!("(?:{})", units.join("|"));
    pattern(&format!(
        r"(?i)^[\s-]?(?:{power}(?:{known}\b)?{first}*|{known}{below}+|{first}{below}*|{known})"
    ))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{comparator, number, unit};
    use crate::assemble::reading::Reading;

    fn shown(reading: Reading) -> String {
        match reading {
            Reading::Value(value) => value.written().into_owned(),
            Reading::Blank => "-".to_owned(),
            Reading::Unread => "unread".to_owned(),
        }
    }

    /// Comparator, number and unit of `raw`.
    fn check(raw: &str, expected: [&str; 3]) {
        let found = [comparator(raw), number(raw), unit(raw)].map(shown);
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn measurements_are_read() {
        check("12,500 /mm3", ["-", "12500", "/mm3"]);
        check("7.4 g/dL", ["-", "7.4", "g/dL"]);
        check("<0.5", ["<", "0.5", "-"]);
        check("≥ 1.5 mg/dl", [">=", "1.5", "mg/dl"]);
        check("38.5 °C", ["-", "38.5", "°C"]);
        check("38.5°C", ["-", "38.5", "°C"]);
        check("125/minute", ["-", "125", "/minute"]);
        check("15.8 × 10^9/L", ["-", "15.8", "× 10^9/L"]);
        check("585 × 109/L", ["-", "585", "× 109/L"]);
        check("98%", ["-", "98", "%"]);
        check("100 beats per minute", ["-", "100", "beats per minute"]);
        check("elevated at 250 mm Hg", ["-", "250", "mm Hg"]);
        check("more than 500 IU/mL", [">", "500", "IU/mL"]);
        check("HbA1c 7.2 %", ["-", "7.2", "%"]);
        check("-2.5", ["-", "-2.5", "-"]);
        check("60 mL/min/1.73 m2", ["-", "60", "mL/min/1.73 m2"]);
        check("5mg", ["-", "5", "mg"]);
        check("7.4 (low)", ["-", "7.4", "-"]);
        check("80-mg", ["-", "80", "mg"]);
    }

    #[test]
    fn what_is_no_single_number_is_unread() {
        for raw in ["120/80 mmHg", "3-5 mg", "1,5 mg", "normal", "3+", "2nd", "A1c", "10 000", ""] {
            check(raw, ["unread"; 3]);
        }
    }

    proptest! {
        #[test]
        fn every_decimal_is_read(whole in 0_u32..100_000_000, cents in 0_u32..100) {
            let raw = format!("{whole}.{cents:02} mg/dL");
            let expected: f64 = format!("{whole}.{cents:02}").parse().unwrap();
            prop_assert_eq!(shown(number(&raw)), expected.to_string());
            prop_assert_eq!(shown(unit(&raw)), "mg/dL");
        }

        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,60}") {
            let readings = [comparator(&raw), number(&raw), unit(&raw)];
            let unread = readings.iter().filter(|one| matches!(one, Reading::Unread)).count();
            prop_assert!(unread == 0 || unread == 3);
        }
    }
}
