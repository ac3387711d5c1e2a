//! `raw words -> ISO 8601 duration`: "two (2) years" -> `P2Y`, "24 hours" -> `PT24H`.
//!
//! The unit of the words is kept: twelve months are `P12M`, not `P1Y`. A quarter is three months,
//! half a year six. Words and figures must agree ("twelve (6) months" is unread), and business days
//! are unread, since ISO 8601 has no such unit. Deliberately does not read what has no length
//! ("perpetual", "until terminated").

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::reading::{Candidate, Reading, Side, apart, choose, has_blank, pattern};
use crate::types::Value;

/// A length of time in the units of ISO 8601; one of them at least is above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Length {
    years: u32,
    months: u32,
    weeks: u32,
    days: u32,
    hours: u32,
    minutes: u32,
    seconds: u32,
}

/// Limit: a number above is a misread one: no contract runs for ten thousand of any unit.
const NUMBER_MAX: u32 = 9_999;

/// Reads the duration of a span. Blank: words with a redaction mark and no duration.
pub(super) fn read(raw: &str, near: Option<&Regex>) -> Reading {
    let found = join(&find(raw), raw);
    if found.is_empty() {
        return if has_blank(raw) { Reading::Blank } else { Reading::Unread };
    }
    match choose(&found, raw, near, Side::Either) {
        Some(length) => Reading::Value(Value::Duration(length.iso())),
        None => Reading::Unread,
    }
}

/// Every duration in order; one that ISO 8601 cannot say, or that the text says in two ways, is
/// without value.
fn find(raw: &str) -> Vec<Candidate<Length>> {
    let numbers = NUMBER.captures_iter(raw).filter_map(|captures| {
        let all = captures.get(0)?;
        let first = captures.name("words").or_else(|| captures.name("digits")).unwrap_or(all);
        let before = raw.get(..first.start()).unwrap_or_default();
        // Of "two to three weeks" neither end is the length.
        let value = if RANGE.is_match(before) { None } else { number(&captures) };
        // A unit without a number in front ("these days") is no duration.
        let has_number =
            ["words", "digits", "half", "a"].iter().any(|name| captures.name(name).is_some());
        has_number.then_some(Candidate { start: all.start(), end: all.end(), value })
    });
    let idioms = IDIOM.captures_iter(raw).filter_map(|captures| {
        let all = captures.get(0)?;
        let value = if captures.name("year").is_some() {
            Length { years: 1, ..Length::default() }
        } else {
            Length { months: 1, ..Length::default() }
        };
        Some(Candidate { start: all.start(), end: all.end(), value: Some(value) })
    });
    let short = SHORT.captures_iter(raw).filter_map(|captures| {
        let all = captures.get(0)?;
        let number = captures.name("digits")?.as_str().parse().ok();
        let unit = captures.name("unit")?.as_str();
        let value = number.filter(|number| (1..=NUMBER_MAX).contains(number));
        let value = value.and_then(|number| Length::of(number, unit));
        Some(Candidate { start: all.start(), end: all.end(), value })
    });
    apart(numbers.chain(idioms).chain(short).collect())
}

fn number(captures: &Captures<'_>) -> Option<Length> {
    let part = |name| captures.name(name).map(|part| part.as_str());
    if part("business").is_some() {
        return None;
    }
    let unit = part("unit")?.to_ascii_lowercase();
    if part("half").is_some() {
        return (unit == "year").then_some(Length { months: 6, ..Length::default() });
    }
    if part("a").is_some() {
        return Length::of(1, &unit);
    }
    let told = [part("digits"), part("again")];
    let told = told.into_iter().flatten().map(|digits| digits.parse::<u32>().ok());
    let mut numbers: Vec<_> = part("words").map(words_number).into_iter().chain(told).collect();
    numbers.dedup();
    match numbers.as_slice() {
        [Some(number @ 1..=NUMBER_MAX)] => Length::of(*number, &unit),
        _ => None,
    }
}

/// "two years and six months" as one duration: neighbours with falling units.
fn join(found: &[Candidate<Length>], raw: &str) -> Vec<Candidate<Length>> {
    let mut joined: Vec<Candidate<Length>> = Vec::with_capacity(found.len());
    for candidate in found {
        let sum = joined.last().and_then(|last| {
            let between = raw.get(last.end..candidate.start)?.trim_matches([' ', ',', '\n']);
            let is_joint = between.is_empty() || between.eq_ignore_ascii_case("and");
            if is_joint { last.value?.plus(candidate.value?) } else { None }
        });
        match (sum, joined.last_mut()) {
            (Some(sum), Some(last)) => {
                last.end = candidate.end;
                last.value = Some(sum);
            }
            (_, _) => joined.push(*candidate),
        }
    }
    joined
}

impl Length {
    /// So many of one unit, in the singular.
    fn of(number: u32, unit: &str) -> Option<Self> {
        let zero = Self::default();
        Some(match unit {
            "year" | "yr" => Self { years: number, ..zero },
            "quarter" => Self { months: number * 3, ..zero },
            "month" => Self { months: number, ..zero },
            "week" | "wk" => Self { weeks: number, ..zero },
            "day" | "d" => Self { days: number, ..zero },
            "hour" | "hr" | "h" => Self { hours: number, ..zero },
            "minute" | "min" | "m" => Self { minutes: number, ..zero },
            "second" | "sec" | "s" => Self { seconds: number, ..zero },
            _ => return None,
        })
    }

    /// Both together, where every unit of `other` is smaller than those of `self`. Weeks stand
    /// alone in ISO 8601.
    fn plus(self, other: Self) -> Option<Self> {
        let units =
            |one: Self| [one.years, one.months, one.days, one.hours, one.minutes, one.seconds];
        let smallest = units(self).iter().rposition(|count| *count > 0)?;
        let largest = units(other).iter().position(|count| *count > 0)?;
        let is_falling = smallest < largest && self.weeks == 0 && other.weeks == 0;
        is_falling.then_some(Self {
            years: self.years + other.years,
            months: self.months + other.months,
            weeks: 0,
            days: self.days + other.days,
            hours: self.hours + other.hours,
            minutes: self.minutes + other.minutes,
            seconds: self.seconds + other.seconds,
        })
    }

    /// As ISO 8601 writes it.
    fn iso(self) -> String {
        let date = [(self.years, 'Y'), (self.months, 'M'), (self.weeks, 'W'), (self.days, 'D')];
        let time = [(self.hours, 'H'), (self.minutes, 'M'), (self.seconds, 'S')];
        let mut iso = String::from("P");
        let put = |iso: &mut String, counts: &[(u32, char)]| {
            for (count, unit) in counts.iter().filter(|(count, _)| *count > 0) {
                iso.push_str(&count.to_string());
                iso.push(*unit);
            }
        };
        put(&mut iso, &date);
        if time.iter().any(|(count, _)| *count > 0) {
            iso.push('T');
            put(&mut iso, &time);
        }
        iso
    }
}

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: [&str; 10] =
    ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// The number that English words give: "one hundred and eighty" -> 180.
pub(super) fn words_number(words: &str) -> Option<u32> {
    let words = words.to_ascii_lowercase();
    let mut number: u32 = 0;
    for word in words.split(|letter: char| !letter.is_ascii_alphabetic()) {
        if matches!(word, "" | "and") {
            continue;
        }
        let small = SMALL.iter().position(|small| *small == word);
        let tens = TENS.iter().position(|tens| *tens == word).map(|tens| tens * 10);
        number = match (small.or(tens), word) {
            (Some(value), _) => number.checked_add(u32::try_from(value).ok()?)?,
            (None, "fourty") => number.checked_add(40)?,
            (None, "hundred") => number.max(1).checked_mul(100)?,
            (None, _) => return None,
        };
        if number > NUMBER_MAX {
            return None;
        }
    }
    Some(number)
}

/// A number in words, as [`words_number`] reads it.
pub(super) fn words_pattern() -> String {
    let mut words = [&SMALL[1..], &TENS[2..], &["fourty", "hundred"]].concat();
    // Order: longer words first, or "sixty" would be read as "six".
    words.sort_by_key(|word| usize::MAX - word.len());
    let word = format!("(?:{})", words.join("|"));
    format!(r"{word}(?:(?:[\s\-]+|\s+and\s+){word})*")
}

/// The lower end of a range, in front of its upper one.
static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    let words = words_pattern();
    pattern(&format!(r"(?i)\b(?:[0-9]{{1,4}}|{words})\s*(?:[-–—]|\bto\b|\bor\b)\s*\z"))
});

static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let words = words_pattern();
    let number =
        format!(r"(?P<words>{words})?[\s\-]*(?:\(?\s*(?P<digits>[0-9]{{1,4}})\s*\)?|\([Iil]\))?");
    let kind = r"(?:(?:additional|successive|consecutive|calendar|full|further|more|renewal|contract|subsequent|(?P<business>business|working|banking|trading))[\s\-]+){0,2}";
    let unit = r"(?P<unit>year|yr|quarter|month|week|wk|day|hour|hr|minute|min|second)s?\b";
    pattern(&format!(
        r"(?i)\b(?:(?P<half>half(?:\s+of)?(?:\s+an?)?)\s+|(?P<a>(?:(?:for|of)\s+an?|an?\s+(?:additional|further|successive|new|second))\s+)|{number}[\s\-]*){kind}{unit}(?:\s*\(\s*(?P<again>[0-9]{{1,4}})\s*\))?"
    ))
});

/// Units of one letter, right behind their number: "1h 14m", "90s".
static SHORT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?P<digits>[0-9]{1,4})(?P<unit>[dhms])\b"));

static IDIOM: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:(?P<year>year[\s\-]+(?:to|by)[\s\-]+year|annual\s+(?:period|term|renewal|basis|extension)s?|(?:renew\w*|extend\w*|continue\w*)\s+(?:automatically\s+)?(?:annually|yearly|(?:on|for)?\s*(?:each|every)\s+year)|annually\s+(?:renew|extend)\w*)|month[\s\-]+(?:to|by)[\s\-]+month|monthly\s+(?:period|term|renewal|basis|extension)s?)\b",
    )
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::{read, words_number};
    use crate::assemble::reading::Reading;
    use crate::types::Value;

    fn shown(raw: &str, near: Option<&str>) -> String {
        let near = near.map(|near| Regex::new(&format!("(?i){near}")).expect("a sound pattern"));
        match read(raw, near.as_ref()) {
            Reading::Value(Value::Duration(iso)) => iso,
            Reading::Value(_) => "another type".to_owned(),
            Reading::Blank => "blank".to_owned(),
            Reading::Unread => "unread".to_owned(),
        }
    }

    fn check(raw: &str, expected: &str) {
        assert_eq!(shown(raw, None), expected, "of {raw:?}");
    }

    #[test]
    fn words_and_figures_give_a_duration() {
        check("two (2) years", "P2Y");
        check("a period of thirty (30) days", "P30D");
        check("eighteen (18) months", "P18M");
        check("5-year", "P5Y");
        check("one year", "P1Y");
        check("24 hours", "PT24H");
        check("two years (2)", "P2Y");
        check("six (6) weeks", "P6W");
        check("one hundred eighty (180) days", "P180D");
        check("one hundred and twenty days", "P120D");
        check("thirty (30) calendar days", "P30D");
        check("two (2) additional years", "P2Y");
        check("a thirty-day notice", "P30D");
        check("two years and six months", "P2Y6M");
        check("one year, two months and three days", "P1Y2M3D");
        check("half a year", "P6M");
        check("for a year", "P1Y");
        check("two quarters", "P6M");
        check("twelve\n(12)-month", "P12M");
        check("sixty days'", "P60D");
        check("one (I) year terms", "P1Y");
    }

    #[test]
    fn units_of_one_letter_stand_right_behind_their_number() {
        check("1h 14m", "PT1H14M");
        check("24m 23s", "PT24M23S");
        check("2d", "P2D");
        check("20m", "PT20M");
        check("20 m", "unread");
        check("PT20M", "unread");
    }

    #[test]
    fn going_on_from_unit_to_unit_is_one_of_it() {
        check("from year to year", "P1Y");
        check("on a month-to-month basis", "P1M");
        check("for successive annual periods", "P1Y");
    }

    #[test]
    fn what_iso_cannot_say_is_unread() {
        check("twelve (6) months", "unread");
        check("sixty 90 days", "unread");
        check("ten (10) business days", "unread");
        check("perpetual", "unread");
        check("an unlimited period of time", "unread");
        check("0 days", "unread");
        check("99999 days", "unread");
        check("these days", "unread");
        check("six days or seven days", "unread");
        check("two to three weeks", "unread");
        check("2-3 weeks", "unread");
        check("5 or 6 days", "unread");
        check("", "unread");
    }

    #[test]
    fn a_length_left_out_is_blank() {
        check("[***] prior written notice", "blank");
        check("periods of ____", "blank");
    }

    #[test]
    fn leading_words_pick_one_of_two_durations() {
        let clause = "shall automatically renew for additional one (1) year terms unless either \
                      party gives notice at least sixty (60) days prior to the end";
        assert_eq!(shown(clause, Some("renew|additional|extend")), "P1Y");
        assert_eq!(shown(clause, Some("notice|prior")), "P60D");
        assert_eq!(shown(clause, None), "unread");
    }

    #[test]
    fn english_numbers_are_read() {
        assert_eq!(words_number("one hundred and eighty"), Some(180));
        assert_eq!(words_number("Forty-Five"), Some(45));
        assert_eq!(words_number("three hundred sixty-five"), Some(365));
        assert_eq!(words_number("umpteen"), None);
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,80}") {
            read(&raw, None);
        }

        #[test]
        fn number_words_never_overflow(raw in "((one|ninety|hundred) ){0,40}year") {
            read(&raw, None);
        }
    }
}
