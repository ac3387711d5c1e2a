//! `text -> dates`, and a date as it may leave: its year, or another day in the same form.
//!
//! Finds more than a typed column reads: days without a year and months without a day identify
//! too. A year alone is left: it identifies nobody under the safe harbor rule (45 CFR
//! 164.514(b)(2)(i)(C)). Deliberately corrects nothing: what no calendar has is masked.

use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use regex::{Captures, Regex};

use super::rules::compiled;
use crate::types::Span;

/// A date in a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Where.
    pub(super) span: Span,
    /// `None` where the numbers are on no calendar.
    day: Option<Day>,
    form: Form,
}

/// What is known of a day. Without a year it stands in 2001, without a day on the 15th.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Day {
    date: Date,
    names_year: bool,
    names_date: bool,
}

/// How a date is written.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// `March 3, 2024`, `Mar 2024`.
    MonthFirst { is_short: bool },
    /// `3 March 2024`.
    DayFirst { is_short: bool },
    /// `3/14/2024`, `03-14-24`, `3/14`.
    MonthDay { separator: char, is_padded: bool, year_digits: usize },
    /// `14.03.2024`, where the first number is above 12.
    DayMonth { separator: char, is_padded: bool, year_digits: usize },
    /// `3/2024`.
    MonthYear { separator: char, is_padded: bool },
    /// `2024-03-14`.
    YearFirst { separator: char },
    /// `20240314`.
    Compact,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Names and abbreviations; "may" is a month only where a capital says so.
const MONTH: &str = r"(?P<month>(?i:january|february|march|april|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)|May|MAY)\b\.?";
const DAY: &str = r"\b(?P<day>[0-2]?[0-9]|3[01])(?i:st|nd|rd|th)?\b";
/// A day in words goes with its month: a date is replaced as a whole, and never to the day.
const ORDINAL: &str = r"(?i:(?:(?:twenty|thirty)[\s\-])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|tenth|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)teenth|twentieth|thirtieth)\s+(?:day\s+)?(?i:of)\s+";
const YEAR: &str = r"(?P<year>\b(?:1[89]|2[01])[0-9]{2}\b|['’][0-9]{2}\b)";

static MONTH_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    compiled(&format!(
        r"\b(?:{ORDINAL})?{MONTH}[\s\-]{{0,3}}(?:(?:the\s+)?{DAY}(?:\s*,?\s*(?:of\s+)?{YEAR})?|,?\s*(?:of\s+)?(?P<only>\b(?:1[89]|2[01])[0-9]{{2}}\b))"
    ))
});
static DAY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    compiled(&format!(
        r"{DAY}[\s\-]{{0,3}}(?:day\s+)?(?:of\s+)?{MONTH}(?:[\s,\-]{{0,3}}(?P<year>\b(?:1[89]|2[01])?[0-9]{{2}}\b))?"
    ))
});
static NUMBERS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b(?P<first>[0-9]{1,2})\s?(?P<one>[/.\-–])\s?(?P<second>[0-9]{1,2})\s?(?P<two>[/.\-–])\s?(?P<year>(?:1[89]|2[01])[0-9]{2}|[0-9]{2})\b",
    )
});
static YEAR_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b(?P<year>(?:1[89]|2[01])[0-9]{2})(?:(?P<one>[/.\-])(?P<month>[0-9]{1,2})[/.\-](?P<day>[0-9]{1,2})|(?P<cmonth>0[1-9]|1[0-2])(?P<cday>0[1-9]|[12][0-9]|3[01]))(?:T[0-9:.]+(?:Z|[+\-][0-9:]+)?|\b|(?P<time>[0-9]{4}(?:[0-9]{2})?\b))",
    )
});
/// A month and a day in numbers look like a fraction or a blood pressure: only after words that
/// lead to a date.
static MONTH_DAY: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"(?i)\b(?:on|since|dated?|from|until|till|by|dob|born|labs?|imaging|x-?ray|ct|mri|ekg|ecg|echo|admitted|discharged|seen|visit|d/c|through|thru|before|after|starting|started|ending|due)\s*:?\s+(?P<id>(?P<first>0?[1-9]|1[0-2])(?P<one>[/\-])(?P<second>0?[1-9]|[12][0-9]|3[01]))(?:[^\w/%\-]|$)",
    )
});

static MONTH_YEAR: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"\b(?P<first>0?[1-9]|1[0-2])(?P<one>[/\-])(?P<year>(?:19|20)[0-9]{2})\b")
});

/// Every date of `text`, in order of place and without overlap.
pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    found.extend(YEAR_FIRST.captures_iter(text).filter_map(|captures| year_first(&captures)));
    found.extend(NUMBERS.captures_iter(text).filter_map(|captures| numbers(&captures)));
    found.extend(MONTH_FIRST.captures_iter(text).filter_map(|captures| named(&captures, false)));
    found.extend(DAY_FIRST.captures_iter(text).filter_map(|captures| named(&captures, true)));
    found.extend(MONTH_DAY.captures_iter(text).filter_map(|captures| month_day(&captures)));
    found.extend(MONTH_YEAR.captures_iter(text).filter_map(|captures| month_year(&captures)));
    // Order: at one place the longest; the sort is stable, so the surer form stands first.
    found.sort_by_key(|one| (one.span.start, usize::MAX - one.span.end));
    let mut end = 0;
    found.retain(|one| {
        let is_apart = one.span.start >= end;
        if is_apart {
            end = one.span.end;
        }
        is_apart
    });
    found
}

/// The one date in `words`; `None` where there is none, or more than one.
pub(super) fn only(words: &str) -> Option<Found> {
    let found = find(words);
    let [one] = found.as_slice() else { return None };
    Some(one.clone())
}

impl Found {
    /// Its year alone; `None` where it has none.
    pub(super) fn year(&self) -> Option<String> {
        let day = self.day.filter(|day| day.names_year)?;
        Some(day.date.year().to_string())
    }

    /// The day that it names in full.
    pub(super) fn date(&self) -> Option<Date> {
        self.day.filter(|day| day.names_year && day.names_date).map(|day| day.date)
    }

    /// The day `days` later, in the same form; `None` where no calendar has it.
    pub(super) fn shifted(&self, days: i32) -> Option<String> {
        let day = self.day?;
        let date = shift(day.date, days)?;
        let name = |is_short: bool| {
            let index = usize::try_from(date.month() - 1).ok()?;
            let name = MONTHS.get(index)?;
            if is_short { name.get(..3) } else { Some(*name) }
        };
        let number = |number: i8, is_padded: bool| {
            if is_padded { format!("{number:02}") } else { number.to_string() }
        };
        let year = |digits: usize| match digits {
            0 => String::new(),
            2 => format!("{:02}", date.year().rem_euclid(100)),
            _ => date.year().to_string(),
        };
        Some(match self.form {
            Form::MonthFirst { is_short } => match (day.names_date, day.names_year) {
                (true, true) => format!("{} {}, {}", name(is_short)?, date.day(), date.year()),
                (true, false) => format!("{} {}", name(is_short)?, date.day()),
                (false, _) => format!("{} {}", name(is_short)?, date.year()),
            },
            Form::DayFirst { is_short } if day.names_year => {
                format!("{} {} {}", date.day(), name(is_short)?, date.year())
            }
            Form::DayFirst { is_short } => format!("{} {}", date.day(), name(is_short)?),
            Form::MonthDay { separator, is_padded, year_digits }
            | Form::DayMonth { separator, is_padded, year_digits } => {
                let (month, day) = (number(date.month(), is_padded), number(date.day(), is_padded));
                let is_month_first = matches!(self.form, Form::MonthDay { .. });
                let (first, second) = if is_month_first { (month, day) } else { (day, month) };
                let mut words = format!("{first}{separator}{second}");
                if year_digits > 0 {
                    words.push(separator);
                    words.push_str(&year(year_digits));
                }
                words
            }
            Form::MonthYear { separator, is_padded } => {
                format!("{}{separator}{}", number(date.month(), is_padded), date.year())
            }
            Form::YearFirst { separator } => {
                let (month, day) = (date.month(), date.day());
                format!("{}{separator}{month:02}{separator}{day:02}", date.year())
            }
            Form::Compact => format!("{}{:02}{:02}", date.year(), date.month(), date.day()),
        })
    }
}

/// `days` later; `None` beyond the calendar.
pub(super) fn shift(date: Date, days: i32) -> Option<Date> {
    date.checked_add(i64::from(days).days()).ok()
}

/// The same time of day `days` later, in UTC; `None` beyond the calendar.
pub(super) fn shift_moment(moment: Timestamp, days: i32) -> Option<Timestamp> {
    moment.checked_add((i64::from(days) * 24).hours()).ok()
}

/// The first moment of its year, in UTC; `None` beyond the calendar.
pub(super) fn first_of_year(moment: Timestamp) -> Option<Timestamp> {
    let date = moment.to_zoned(TimeZone::UTC).date().first_of_year();
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// A year of two digits by the POSIX pivot: 69 to 99 are of the 20th century.
fn full_year(digits: &str) -> Option<i16> {
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let year: i16 = digits.parse().ok()?;
    Some(match (digits.len(), year) {
        (2, 69..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    })
}

fn day_of(year: Option<i16>, month: i8, day: Option<i8>) -> Option<Day> {
    let date = Date::new(year.unwrap_or(2001), month, day.unwrap_or(15)).ok()?;
    Some(Day { date, names_year: year.is_some(), names_date: day.is_some() })
}

fn text<'t>(captures: &Captures<'t>, name: &str) -> Option<&'t str> {
    captures.name(name).map(|part| part.as_str())
}

fn span(captures: &Captures<'_>) -> Option<Span> {
    let place = captures.name("id").or_else(|| captures.get(0))?;
    let trimmed = place.as_str().trim_end_matches(['.', ' ']).len();
    Some(Span { start: place.start(), end: place.start() + trimmed })
}

fn named(captures: &Captures<'_>, is_day_first: bool) -> Option<Found> {
    let name = text(captures, "month")?;
    let letters: String = name.chars().take(3).collect::<String>().to_ascii_lowercase();
    let is_of = |month: &str| month.to_ascii_lowercase().starts_with(&letters);
    let month = i8::try_from(MONTHS.iter().position(|month| is_of(month))? + 1).ok()?;
    let day = text(captures, "day").and_then(|digits| digits.parse().ok());
    let year = text(captures, "year").or_else(|| text(captures, "only")).and_then(full_year);
    let is_short = name.len() <= 4 && !matches!(letters.as_str(), "may" | "jun" | "jul")
        || name.len() == 3 && letters != "may";
    let form =
        if is_day_first { Form::DayFirst { is_short } } else { Form::MonthFirst { is_short } };
    Some(Found { span: span(captures)?, day: day_of(year, month, day), form })
}

fn numbers(captures: &Captures<'_>) -> Option<Found> {
    let (one, two) = (text(captures, "one")?, text(captures, "two")?);
    let (first, second) = (text(captures, "first")?, text(captures, "second")?);
    let year = text(captures, "year")?;
    // Numbers of a section, a version or a dose: "1.5.10".
    if one != two || (one == "." && year.len() == 2) {
        return None;
    }
    let separator = one.chars().next()?;
    let is_padded = first.starts_with('0') || second.starts_with('0');
    let year_digits = year.len();
    let (a, b): (i8, i8) = (first.parse().ok()?, second.parse().ok()?);
    let (month, day, form) = if a > 12 {
        (b, a, Form::DayMonth { separator, is_padded, year_digits })
    } else {
        (a, b, Form::MonthDay { separator, is_padded, year_digits })
    };
    let day = day_of(full_year(year), month, Some(day));
    // Short numbers that are on no calendar are no date.
    if day.is_none() && year.len() == 2 {
        return None;
    }
    Some(Found { span: span(captures)?, day, form })
}

fn year_first(captures: &Captures<'_>) -> Option<Found> {
    let year = full_year(text(captures, "year")?);
    let (month, day, form) = match text(captures, "one") {
        Some(one) => (
            text(captures, "month")?,
            text(captures, "day")?,
            Form::YearFirst { separator: one.chars().next()? },
        ),
        None => (text(captures, "cmonth")?, text(captures, "cday")?, Form::Compact),
    };
    let day = day_of(year, month.parse().ok()?, Some(day.parse().ok()?));
    Some(Found { span: span(captures)?, day, form })
}

fn month_day(captures: &Captures<'_>) -> Option<Found> {
    let (first, second) = (text(captures, "first")?, text(captures, "second")?);
    let separator = text(captures, "one")?.chars().next()?;
    let is_padded = first.starts_with('0') || second.starts_with('0');
    let day = day_of(None, first.parse().ok()?, Some(second.parse().ok()?));
    let form = Form::MonthDay { separator, is_padded, year_digits: 0 };
    Some(Found { span: span(captures)?, day, form })
}

fn month_year(captures: &Captures<'_>) -> Option<Found> {
    let first = text(captures, "first")?;
    let separator = text(captures, "one")?.chars().next()?;
    let day = day_of(full_year(text(captures, "year")?), first.parse().ok()?, None);
    let form = Form::MonthYear { separator, is_padded: first.starts_with('0') };
    Some(Found { span: span(captures)?, day, form })
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from the same text")]
mod tests {
    use proptest::prelude::*;

    use super::{find, only};

    fn check(text: &str, expected: &[(&str, Option<&str>, Option<&str>)]) {
        let found = find(text);
        let shown: Vec<_> = found
            .iter()
            .map(|one| (&text[one.span.range()], one.year(), one.shifted(10)))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(words, year, later)| (*words, year.map(str::to_owned), later.map(str::to_owned)))
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn each_form_gives_its_year_and_a_later_day_in_the_same_form() {
        for (text, year, later) in [
            ("March 3, 2024", Some("2024"), "March 13, 2024"),
            ("Mar 25 2024", Some("2024"), "Apr 4, 2024"),
            ("Feb 10th, 2023", Some("2023"), "Feb 20, 2023"),
            ("May 1", None, "May 11"),
            ("June 2019", Some("2019"), "June 2019"),
            ("3rd of March, 2024", Some("2024"), "13 March 2024"),
            ("17-Feb-2023", Some("2023"), "27 Feb 2023"),
            ("3/14/1959", Some("1959"), "3/24/1959"),
            ("03-04-24", Some("2024"), "03-14-24"),
            ("25.12.2019", Some("2019"), "4.1.2020"),
            ("12/2019", Some("2019"), "12/2019"),
            ("2024-02-25", Some("2024"), "2024-03-06"),
            ("2024-02-25T10:11:12Z", Some("2024"), "2024-03-06"),
            ("19560312", Some("1956"), "19560322"),
            ("195603121530", Some("1956"), "19560322"),
        ] {
            check(text, &[(text, year, Some(later))]);
        }
        check("on 3/14 she", &[("3/14", None, Some("3/24"))]);
        check("13/45/2023", &[("13/45/2023", None, None)]);
    }

    #[test]
    fn what_only_looks_like_a_date_is_none() {
        for text in [
            "she may 3 times",
            "in 2019",
            "120/80",
            "1/2 tablet",
            "version 1.5.10",
            "5/5 strength",
            "room 12",
            "3-4 mg",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn of_two_dates_none_is_the_only_one() {
        assert!(only("on March 3, 2024").is_some());
        assert!(only("May 1, 2020 May 2, 2020").is_none());
        assert!(only("today").is_none());
    }

    proptest! {
        #[test]
        fn spans_are_apart_and_on_characters(text in "[a-zMé0-9/.\\- ]{0,80}") {
            let mut end = 0;
            for one in find(&text) {
                prop_assert!(one.span.start >= end && one.span.start < one.span.end);
                prop_assert!(text.get(one.span.range()).is_some());
                end = one.span.end;
            }
        }
    }
}
