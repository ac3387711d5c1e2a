//! `raw words -> date`: the calendar date that a span states.
//!
//! Reads month names in any order with day and year ("May 1, 2015", "the 1st day of May, 2015",
//! "24 OCT 2011"), numbers ("5/1/15", "5-1-2015", "1.5.2015"), and ISO 8601, through the gaps that
//! text recognition leaves ("15t h day of Octo ber"). Deliberately does no arithmetic ("five years
//! from the Effective Date") and fills in no missing day, month or year.
//!
//! Numbers are in the order that the column sets: month/day/year, the US order, or day/month/year; the
//! other one where no calendar has the first. Two-digit years are 1969 to 2068, as POSIX `strptime` reads `%y`.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::{Captures, Regex};

use super::reading::{Candidate, Reading, Side, apart, choose, has_blank, pattern};
use crate::config::pipeline::DateOrder;
use crate::types::Value;

/// Limit: years outside are misread numbers, not dates of documents.
const YEARS: std::ops::RangeInclusive<i16> = 1800..=2199;

/// Reads the date of a span. Blank: a date with parts left out and nothing else ("July __, 2000",
/// "July 2013"), or words with a redaction mark and no date.
pub(super) fn read(raw: &str, near: Option<&Regex>, order: DateOrder) -> Reading {
    let found = find(raw, order);
    if found.is_empty() {
        return if has_blank(raw) || is_partial(raw) { Reading::Blank } else { Reading::Unread };
    }
    match choose(&found, raw, near, Side::Before) {
        Some(date) => Reading::Value(Value::Date(date)),
        None => Reading::Unread,
    }
}

/// Every date in order, without overlap; one that no calendar has is without value.
fn find(raw: &str, order: DateOrder) -> Vec<Candidate<Date>> {
    let mut found: Vec<Candidate<Date>> = Vec::new();
    for captures in MONTH_FIRST.captures_iter(raw).chain(DAY_FIRST.captures_iter(raw)) {
        push(&mut found, &captures, named(&captures));
    }
    for captures in NUMBERS.captures_iter(raw) {
        let numbers = numbers(&captures, order).filter(|_| stands_alone(raw, &captures));
        if let Some((year, month, day)) = numbers {
            push(&mut found, &captures, date(year, month, day));
        }
    }
    apart(found)
}

fn push(found: &mut Vec<Candidate<Date>>, captures: &Captures<'_>, value: Option<Date>) {
    if let Some(all) = captures.get(0) {
        found.push(Candidate { start: all.start(), end: all.end(), value });
    }
}

/// A date with a month name.
fn named(captures: &Captures<'_>) -> Option<Date> {
    let month = month(captures.name("month")?.as_str())?;
    let day = match (captures.name("day"), captures.name("word")) {
        (Some(digits), _) => digits.as_str().parse().ok()?,
        (None, Some(word)) => ordinal(word.as_str())?,
        (None, None) => return None,
    };
    date(year(captures.name("year")?.as_str())?, month, day)
}

/// Year, month and day of a date in numbers; `None` where they are none, such as those of a section.
fn numbers(captures: &Captures<'_>, order: DateOrder) -> Option<(i16, i8, i8)> {
    let part = |name| captures.name(name).map(|part| part.as_str());
    let (first, second, third) = (part("first")?, part("second")?, part("third")?);
    let separator = part("one")?;
    if separator != part("two")? {
        return None;
    }
    let number = |digits: &str| digits.parse::<i8>().ok();
    match (first.len(), third.len()) {
        (4, 1 | 2) => Some((year(first)?, number(second)?, number(third)?)),
        // A dotted number with a short last part is the number of a section.
        (1 | 2, 2) if separator == "." => None,
        (1 | 2, 2 | 4) => {
            let (first, second) = (number(first)?, number(second)?);
            let is_day_first = match order {
                DateOrder::MonthFirst => first > 12,
                DateOrder::DayFirst => second <= 12,
            };
            let (month, day) = if is_day_first { (second, first) } else { (first, second) };
            Some((year(third)?, month, day))
        }
        _ => None,
    }
}

/// Whether no digit or separator hangs on the numbers, as in a telephone number.
fn stands_alone(raw: &str, captures: &Captures<'_>) -> bool {
    let Some(all) = captures.get(0) else { return false };
    let before = raw.get(..all.start()).and_then(|words| words.chars().next_back());
    let mut after = raw.get(all.end()..).unwrap_or_default().chars();
    let is_joint = |letter: char| letter.is_alphanumeric() || "/-–.".contains(letter);
    let is_free_before = !before.is_some_and(is_joint);
    let is_free_after = match after.next() {
        Some('.') => !after.next().is_some_and(|letter| letter.is_ascii_digit()),
        Some(letter) => !is_joint(letter),
        None => true,
    };
    is_free_before && is_free_after
}

fn date(year: i16, month: i8, day: i8) -> Option<Date> {
    Date::new(year, month, day).ok().filter(|date| YEARS.contains(&date.year()))
}

/// Two digits by the POSIX pivot: 69 to 99 are of the 20th century, 00 to 68 of the 21st.
fn year(digits: &str) -> Option<i16> {
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let year: i16 = digits.parse().ok()?;
    Some(match (digits.len(), year) {
        (2, 69..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    })
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The number of a month by the first three of its letters.
fn month(name: &str) -> Option<i8> {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).take(3).collect();
    let letters = letters.to_ascii_lowercase();
    let index = MONTHS.iter().position(|month| month.starts_with(&letters))?;
    i8::try_from(index + 1).ok()
}

const ORDINALS: [&str; 31] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
    "twenty-second",
    "twenty-third",
    "twenty-fourth",
    "twenty-fifth",
    "twenty-sixth",
    "twenty-seventh",
    "twenty-eighth",
    "twenty-ninth",
    "thirtieth",
    "thirty-first",
];

fn ordinal(word: &str) -> Option<i8> {
    let word = word.to_ascii_lowercase();
    let parts: Vec<_> = word.split(|letter: char| !letter.is_ascii_alphabetic()).collect();
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let word = parts.join("-");
    let index = ORDINALS.iter().position(|ordinal| *ordinal == word)?;
    i8::try_from(index + 1).ok()
}

/// A month name or its abbreviation; text recognition may have put gaps between the letters.
fn month_pattern() -> String {
    let spaced = |name: &str| {
        let letters: Vec<_> = name.chars().map(String::from).collect();
        letters.join(r"\s?")
    };
    let names: Vec<_> = MONTHS.into_iter().map(spaced).collect();
    let short = "jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec";
    format!(r"\b(?P<month>{}|{short})\b", names.join("|"))
}

/// A day of the month: "1", "1st", "1s t", "(1st)", "first", "first (1st)".
fn day_pattern() -> String {
    let mut words = ORDINALS.map(|word| word.replace('-', r"[\s\-]?"));
    // Order: longer words first, or "twenty-first" would be read as "first".
    words.sort_by_key(|word| usize::MAX - word.len());
    let digits = r"(?:s\s?t|n\s?d|r\s?d|t\s?h)\b";
    format!(
        r"(?:\(?\b(?P<day>[0-9]{{1,2}})(?:\s?{digits}|\b)|\b(?P<word>{})\b(?:\s*\(\s*[0-9]{{1,2}}(?:\s?{digits})?\s*\))?)",
        words.join("|")
    )
}

const YEAR: &str = r"(?P<year>(?:1[89]|2[01])[0-9]{2}|['’][0-9]{2})\b";

static MONTH_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    let (month, day) = (month_pattern(), day_pattern());
    pattern(&format!(
        r"(?i){month}[\s.,\-–]*(?:the\s+)?{day}[\s.,)\-–]*(?:(?:of|in\s+the\s+year)\s+)?{YEAR}"
    ))
});

static DAY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    let (month, day) = (month_pattern(), day_pattern());
    let weekday = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day[\s,]*)?";
    pattern(&format!(
        r"(?i){day}[\s.,)\-–]*(?:(?:calendar\s+)?day\b)?[\s,]*(?:of\b)?[\s,]*{weekday}(?:the\s+month\s+of\s+)?{month}[\s.,\-–]*(?:(?:of|in\s+the\s+year)\s+)?{YEAR}"
    ))
});

static NUMBERS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?P<first>[0-9]{1,4})\s?(?P<one>[/.\-–])\s?(?P<second>[0-9]{1,2})\s?(?P<two>[/.\-–])\s?(?P<third>[0-9]{1,4})",
    )
});

/// Words of a date and of the phrases around one.
static PARTS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i){}|\b(?:(?:1[89]|2[01])[0-9]{{2}}|[0-9]{{1,2}}\s?(?:s\s?t|n\s?d|r\s?d|t\s?h)?|{}|this|the|day|of|dated?|as|on|in|year|month)\b",
        month_pattern(),
        ORDINALS.join("|")
    ))
});

/// Whether a span is a date of which some part is left out, and nothing else. Two numbers without
/// month, "day" or mark ("1, 2015") are a date cut in two by the model, not one left blank.
fn is_partial(raw: &str) -> bool {
    if PARTS.replace_all(raw, "").contains(char::is_alphanumeric) {
        return false;
    }
    let has_word = PARTS.captures_iter(raw).any(|captures| {
        let is_day = captures.get(0).is_some_and(|part| part.as_str().eq_ignore_ascii_case("day"));
        is_day || captures.name("month").is_some()
    });
    let runs = raw.split(|letter: char| !letter.is_ascii_digit());
    has_word || runs.filter(|run| !run.is_empty()).count() == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::read;
    use crate::assemble::reading::Reading;
    use crate::config::pipeline::DateOrder;
    use crate::types::Value;

    fn shown(raw: &str, near: Option<&str>) -> String {
        let near = near.map(|near| Regex::new(&format!("(?i){near}")).expect("a sound pattern"));
        match read(raw, near.as_ref(), DateOrder::MonthFirst) {
            Reading::Value(Value::Date(date)) => date.to_string(),
            Reading::Value(_) => "another type".to_owned(),
            Reading::Blank => "blank".to_owned(),
            Reading::Unread => "unread".to_owned(),
        }
    }

    fn check(raw: &str, expected: &str) {
        assert_eq!(shown(raw, None), expected, "of {raw:?}");
    }

    fn check_near(raw: &str, near: &str, expected: &str) {
        assert_eq!(shown(raw, Some(near)), expected, "of {raw:?} near {near}");
    }

    #[test]
    fn dates_with_month_names_are_read() {
        check("May 1, 2015", "2015-05-01");
        check("1 May 2015", "2015-05-01");
        check("the 1st day of May, 2015", "2015-05-01");
        check("this first (1st) day of October, 1999", "1999-10-01");
        check("Sept. 3, 2003", "2003-09-03");
        check("Sept 29, 2004", "2004-09-29");
        check("24 OCT 2011", "2011-10-24");
        check("24-Oct-2011", "2011-10-24");
        check("April. 1st 2019", "2019-04-01");
        check("October 1,1996", "1996-10-01");
        check("July 11 , 2006", "2006-07-11");
        check("20th day of Friday, March 2020", "2020-03-20");
        check("(1st) day of January, 1996", "1996-01-01");
        check("first day of July, 2017", "2017-07-01");
        check("the twenty-first day of June 2001", "2001-06-21");
        check("1st of March, 2003", "2003-03-01");
        check("May 1st, '15", "2015-05-01");
    }

    #[test]
    fn gaps_of_text_recognition_do_not_hide_a_date() {
        check("15t h day of January 2018", "2018-01-15");
        check("1s t day of June, 2004.", "2004-06-01");
        check("Octo ber 3, 2007", "2007-10-03");
        check("May\n 1,\t2015", "2015-05-01");
    }

    #[test]
    fn numbers_are_in_us_order_unless_they_cannot_be() {
        check("1/14/02", "2002-01-14");
        check("3-31-16", "2016-03-31");
        check("9/24/2018", "2018-09-24");
        check("29/3/18", "2018-03-29");
        check("13/07/05", "2005-07-13");
        check("Dated 05/05/98", "1998-05-05");
        check("10.11.2019", "2019-10-11");
        check("2019-10-11", "2019-10-11");
        check("2019-13-11", "unread");
        check("Section 2.2.10", "unread");
        check("555-12-1234", "unread");
        check("1/1/69", "1969-01-01");
        check("1/1/68", "2068-01-01");
    }

    #[test]
    fn numbers_are_in_the_order_that_the_column_sets() {
        let check = |raw: &str, expected: &str| match read(raw, None, DateOrder::DayFirst) {
            Reading::Value(value) => assert_eq!(value.written(), expected, "of {raw:?}"),
            Reading::Blank | Reading::Unread => panic!("{raw:?} is unread"),
        };
        check("5/1/2024", "2024-01-05");
        check("10.11.2019", "2019-11-10");
        check("1/14/02", "2002-01-14");
        check("2019-10-11", "2019-10-11");
        check("May 1, 2015", "2015-05-01");
    }

    #[test]
    fn a_date_with_parts_left_out_is_blank() {
        check("[]/[]/2020", "blank");
        check("____ day of ___, 2019", "blank");
        check("[●], 2018", "blank");
        check("[*]", "blank");
        check("[Date]", "blank");
        check("2009", "blank");
        check("this day of , 19", "blank");
        check("June , 2010", "blank");
        check("July 2013", "blank");
        check("1st day of December", "blank");
        check("day of , 2009", "blank");
        check("ends on [***] unless renewed", "blank");
    }

    #[test]
    fn what_is_no_date_is_unread() {
        check("the date of the Closing", "unread");
        check("February 30, 2015", "unread");
        check("the fifth anniversary of the Effective Date", "unread");
        check("five (5) years", "unread");
        check("1, 2015", "unread");
        check("this", "unread");
        check("", "unread");
        check("May", "blank");
    }

    #[test]
    fn one_date_in_a_clause_is_its_date_and_two_are_unclear() {
        check("shall expire on December 31, 2021.", "2021-12-31");
        check("from May 1, 2015 until April 30, 2016", "unread");
        check("May 1, 2015 (the 1st day of May, 2015)", "2015-05-01");
    }

    #[test]
    fn leading_words_pick_one_of_two_dates_and_refuse_a_lone_stranger() {
        let end = r"until|through|expires? on|terminat\w+ on|end\w* on";
        let start = r"effective|commenc\w+|begin\w*|from|start\w*";
        let both =
            "This Agreement shall commence on March 15, 2018 and will expire on March 14, 2020.";
        check_near(both, end, "2020-03-14");
        check_near(both, start, "2018-03-15");
        check_near(
            "shall commence on January 1, 2000 and continue for five (5) years",
            end,
            "unread",
        );
        check_near("commencing January 1, 2000 for five years", end, "unread");
        check_near("December 31, 2021", end, "2021-12-31");
        check_near("TERM: November 01, 2014 to October 31, 2017", end, "unread");
        check_near("TERM: November 01, 2014 to October 31, 2017", "to", "2017-10-31");
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,80}") {
            read(&raw, None, DateOrder::MonthFirst);
            read(&raw, None, DateOrder::DayFirst);
        }

        #[test]
        fn every_day_is_read_in_every_form(year in 1969_i16..=2068, ordinal in 1_i16..=365) {
            let day = jiff::civil::date(year, 1, 1)
                .checked_add(jiff::Span::new().days(ordinal - 1))
                .expect("the day is in range");
            for form in ["%B %-d, %Y", "%d %b %Y", "%m/%d/%y", "%-m-%-d-%Y", "%F"] {
                prop_assert_eq!(shown(&day.strftime(form).to_string(), None), day.to_string());
            }
        }
    }
}
