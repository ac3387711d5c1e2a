//! `text -> dates`: the patterns by which dates are told from other words and numbers.
//!
//! Deliberately wide where a month is named, and narrow where only numbers stand: a fraction, a
//! blood pressure and a grade of strength look like a month and a day.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::civil::Date;
use regex::{Captures, Regex};

use super::super::search::{Search, compiled};
use super::{Day, Form, Found, MONTHS};
use crate::types::Span;

/// Names and abbreviations; "may" is a month only where a capital says so.
const MONTH: &str = r"(?P<month>(?i:january|february|march|april|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)|May|MAY)\b\.?";
const DAY: &str = r"\b(?P<day>[0-2]?[0-9]|3[01])(?i:st|nd|rd|th)?\b";
/// A day in words.
const ORDINAL: &str = r"\b(?P<ordinal>(?i:(?:twenty|thirty)[\s\-](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)teenth|twentieth|thirtieth))\b";
const ORDINALS: [&str; 19] = [
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
];
/// In digits, or in words.
const YEAR: &str = r"(?:(?P<year>\b(?:1[89]|2[01])[0-9]{2}\b|['’][0-9]{2}\b)|\b(?i:(?:two[\s\-]thousand(?:[\s\-](?:and[\s\-])?(?:twenty|thirty|[a-z]+teen|ten|eleven|twelve|one|two|three|four|five|six|seven|eight|nine))?|(?:nineteen|twenty)[\s\-](?:oh[\s\-][a-z]+|[a-z]+teen|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety))(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?)\b)";
/// What may stand between a day and its year.
const TO_YEAR: &str = r"\s*,?\s*(?i:(?:of|in)\s+)?(?i:the\s+year\s+)?";
/// The names of days of the week; short ones only with a capital ("she sat").
const WEEKDAY: &str = r"(?:(?i:monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b|(?:Mon|Tues?|Wed|Thurs?|Thu|Fri|Sat|Sun)\b\.?)";
/// A month and a day in numbers.
const MONTH_AND_DAY: &str =
    r"(?P<id>(?P<first>0?[1-9]|1[0-2])(?P<one>[/\-])(?P<second>0?[1-9]|[12][0-9]|3[01]))";
/// What may stand behind them: no third number, no unit.
const END: &str = r"(?:[^\w/%\-]|-[0-9]+/|$)";
/// A day without its month.
const THE_DAY: &str = r"(?i:the)\s+(?:(?:[0-2]?[0-9]|3[01])(?i:st|nd|rd|th)\b|";

static MONTH_FIRST: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(
        r"\b{MONTH}[\s\-]{{0,3}}(?:(?:(?i:the)\s+)?(?:{DAY}|{ORDINAL})(?:{TO_YEAR}{YEAR})?|,?\s*(?:of\s+)?(?P<only>\b(?:1[89]|2[01])[0-9]{{2}}\b|['’][0-9]{{2}}\b))"
    ))
});
static DAY_FIRST: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(
        r"{DAY}[\s\-]{{0,3}}(?:day\s+)?(?:of\s+)?{MONTH}(?:[\s,\-]{{0,3}}(?P<year>\b(?:1[89]|2[01])?[0-9]{{2}}\b))?"
    ))
});
static WORDS_FIRST: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(r"{ORDINAL}\s+(?i:day\s+)?(?i:of\s+)?{MONTH}(?:{TO_YEAR}{YEAR})?"))
});
/// `03MAR2024`, as some systems print it.
static PACKED: LazyLock<Search> = LazyLock::new(|| {
    Search::new(
        r"(?i)\b(?P<day>0?[1-9]|[12][0-9]|3[01])(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?P<year>(?:1[89]|2[01])?[0-9]{2})\b",
    )
});
static NUMBERS: LazyLock<Search> = LazyLock::new(|| {
    Search::new(
        r"\b(?P<first>[0-9]{1,2})\s?(?P<one>[/.\-–])\s?(?P<second>[0-9]{1,2})\s?(?P<two>[/.\-–])\s?(?P<year>(?:1[89]|2[01])[0-9]{2}|[0-9]{2})\b",
    )
});
static YEAR_FIRST: LazyLock<Search> = LazyLock::new(|| {
    Search::new(
        r"\b(?P<year>(?:1[89]|2[01])[0-9]{2})(?:(?P<one>[/.\-])(?P<month>[0-9]{1,2})[/.\-](?P<day>[0-9]{1,2})|(?P<cmonth>0[1-9]|1[0-2])(?P<cday>0[1-9]|[12][0-9]|3[01]))(?:T[0-9:.]+(?:Z|[+\-][0-9:]+)?|\b|(?P<time>[0-9]{4}(?:[0-9]{2})?\b))",
    )
});
/// After words that lead to a date.
static MONTH_DAY: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(
        r"\b(?i:on|since|dated?|from|until|till|by|dob|born|labs?|imaging|x-?ray|ct|mri|ekg|ecg|echo|admitted|discharged|seen|visit|d/c|through|thru|before|after|starting|started|ending|due)\b\s*:?\s+{MONTH_AND_DAY}{END}"
    ))
});
/// After words that lead to a length of time as well ("surgery 5-6 years ago"), with a slash only.
static MONTH_DAY_SLASH: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(
        r"(?:\b(?i:f/u|follow[\s\-]?up|scheduled|appointment|appt|return(?:ed|s)?|surgery|biopsy|cultures?|scan|colonoscopy|lmp|edd|dos|transferred|extubated|intubated|placed|removed)\b\s*:?\s+|\b{WEEKDAY},?\s+\(?)(?P<id>(?P<first>0?[1-9]|1[0-2])(?P<one>/)(?P<second>0?[1-9]|[12][0-9]|3[01])){END}"
    ))
});
/// At the start of a line with a colon or a dash behind.
static MONTH_DAY_ALONE: LazyLock<Search> =
    LazyLock::new(|| Search::new(&format!(r"(?m)^[\s\-•*]*{MONTH_AND_DAY}\s*(?::|[\-–]\s)")));
/// Between parentheses, where it is no grade of strength and no score out of ten.
static MONTH_DAY_INSIDE: LazyLock<Search> = LazyLock::new(|| {
    Search::new(r"\((?P<id>(?P<first>0?[1-9]|1[0-2])(?P<one>/)(?P<second>1[3-9]|2[0-9]|3[01]))\)")
});
/// Another one behind a month and a day.
static MONTH_DAY_NEXT: LazyLock<Regex> = LazyLock::new(|| {
    compiled(&format!(
        r"\A\s*(?:[,&\-–]|(?i:and|to|through|thru|or)\b)(?:\s*(?i:and)\b)?\s*{MONTH_AND_DAY}{END}"
    ))
});
static MONTH_YEAR: LazyLock<Search> = LazyLock::new(|| {
    Search::new(r"\b(?P<first>0?[1-9]|1[0-2])(?P<one>[/\-])(?P<year>(?:19|20)[0-9]{2})\b")
});
/// A month alone, where the word before leads to a time.
static MONTH_ALONE: LazyLock<Search> = LazyLock::new(|| {
    Search::new(
        r"\b(?i:in|since|until|till|last|next|this|early|late|mid|during|by|before|after|from)[\s\-]+(?P<id>(?P<month>January|February|March|April|May|June|July|August|September|October|November|December))\b",
    )
});
static DAY_OF_A_MONTH: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(
        r"\b(?P<id>{THE_DAY}{ORDINAL})\s+(?i:(?:day\s+)?of\s+(?:this|that|last|next|the|the\s+same|the\s+following|the\s+previous)\s+month))\b"
    ))
});
static DAY_ALONE: LazyLock<Search> = LazyLock::new(|| {
    Search::new(&format!(
        r"\b(?i:on|since|until|till|by|before|after|from)\s+(?P<id>{THE_DAY}{ORDINAL}))(?:\s*[,.;:)]|\s*$|\s+(?i:she|he|they|we|i|it|patient|pt|at|with|when|because|for|by|in\s+the\s+(?:morning|afternoon|evening))\b)"
    ))
});
static HOLIDAY: LazyLock<Search> = LazyLock::new(|| {
    Search::new(
        r"\b(?i:christmas(?:\s+(?:eve|day))?|thanksgiving(?:\s+day)?|new\s+year['’]?s(?:\s+(?:eve|day))?|labor\s+day|memorial\s+day|independence\s+day|veterans\s+day|presidents['’]?\s+day|columbus\s+day|halloween|valentine['’]?s\s+day|(?:mother|father)['’]s\s+day|good\s+friday|easter(?:\s+(?:sunday|monday))?|hanukkah|yom\s+kippur|rosh\s+hashanah|passover|ramadan|diwali)(?:,?\s+(?:of\s+)?(?:1[89]|2[01])[0-9]{2})?\b",
    )
});
static WEEKDAY_BEFORE: LazyLock<Regex> =
    LazyLock::new(|| compiled(&format!(r"\b(?P<name>{WEEKDAY}),?\s+(?i:the\s+)?\(?$")));

/// Bytes before a date in which the day of the week may stand.
const WEEKDAY_BYTES_MAX: usize = 20;

/// Every date of `text`, in order of place and without overlap.
pub(in crate::redact) fn find(text: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    found.extend(YEAR_FIRST.captures_iter(text).filter_map(|captures| year_first(&captures)));
    found.extend(NUMBERS.captures_iter(text).filter_map(|captures| numbers(&captures)));
    found.extend(MONTH_FIRST.captures_iter(text).filter_map(|captures| named(&captures, false)));
    for pattern in [&DAY_FIRST, &WORDS_FIRST, &PACKED] {
        found.extend(pattern.captures_iter(text).filter_map(|captures| named(&captures, true)));
    }
    let mut walked = BTreeSet::new();
    for pattern in [&MONTH_DAY, &MONTH_DAY_SLASH, &MONTH_DAY_ALONE, &MONTH_DAY_INSIDE] {
        for first in pattern.captures_iter(text).filter_map(|captures| month_day(&captures)) {
            chain(text, first, &mut walked, &mut found);
        }
    }
    found.extend(MONTH_YEAR.captures_iter(text).filter_map(|captures| month_year(&captures)));
    found.extend(MONTH_ALONE.captures_iter(text).filter_map(|captures| named(&captures, false)));
    for pattern in [&DAY_OF_A_MONTH, &DAY_ALONE, &HOLIDAY] {
        let spans = pattern.captures_iter(text).filter_map(|captures| span(&captures));
        found.extend(spans.map(|span| Found::new(span, None, Form::DayFirst { is_short: false })));
    }
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
    add_weekdays(text, &mut found);
    found
}

/// The day of the week in front of a date goes with it: beside a moved date it would tell the
/// shift.
fn add_weekdays(text: &str, found: &mut [Found]) {
    let mut end = 0;
    for one in found {
        let mut start = end.max(one.span.start.saturating_sub(WEEKDAY_BYTES_MAX));
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let before = text.get(start..one.span.start).unwrap_or_default();
        if let Some(name) = WEEKDAY_BEFORE.captures(before).and_then(|it| it.name("name")) {
            one.weekday = Some(name.as_str().trim_end_matches('.').len() <= "Thurs".len());
            one.span.start = start + name.start();
        }
        end = one.span.end;
    }
}

/// Adds `first` and those that follow it: `3/1, 3/8 and 3/15`. What follows is told by where one
/// ends alone, so no place is walked from twice: `walked` holds these ends.
fn chain(text: &str, first: Found, walked: &mut BTreeSet<usize>, found: &mut Vec<Found>) {
    let mut end = first.span.end;
    found.push(first);
    while walked.insert(end)
        && let Some(mut next) = text
            .get(end..)
            .and_then(|rest| MONTH_DAY_NEXT.captures(rest))
            .and_then(|captures| month_day(&captures))
    {
        next.span = Span { start: end + next.span.start, end: end + next.span.end };
        end = next.span.end;
        found.push(next);
    }
}

impl Found {
    const fn new(span: Span, day: Option<Day>, form: Form) -> Self {
        Self { span, day, form, weekday: None }
    }
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
    let day = day.or_else(|| text(captures, "ordinal").and_then(ordinal));
    let year = text(captures, "year").or_else(|| text(captures, "only")).and_then(full_year);
    let is_short = name.len() <= 4 && !matches!(letters.as_str(), "may" | "jun" | "jul")
        || name.len() == 3 && letters != "may";
    let form =
        if is_day_first { Form::DayFirst { is_short } } else { Form::MonthFirst { is_short } };
    Some(Found::new(span(captures)?, day_of(year, month, day), form))
}

/// The number of a day in words.
fn ordinal(words: &str) -> Option<i8> {
    let lower = words.to_ascii_lowercase();
    let of = |word: &str| ORDINALS.iter().position(|known| *known == word).map(|at| at + 1);
    let day = match lower.split_once([' ', '-', '\n', '\t']) {
        Some(("twenty", rest)) => of(rest.trim()).map(|day| 20 + day),
        Some(("thirty", rest)) => of(rest.trim()).map(|day| 30 + day),
        Some(_) => None,
        None => match lower.as_str() {
            "twentieth" => Some(20),
            "thirtieth" => Some(30),
            word => of(word),
        },
    };
    day.and_then(|day| i8::try_from(day).ok())
}

fn numbers(captures: &Captures<'_>) -> Option<Found> {
    let (one, two) = (text(captures, "one")?, text(captures, "two")?);
    let (first, second) = (text(captures, "first")?, text(captures, "second")?);
    let year = text(captures, "year")?;
    // Numbers of a section, a version or a dose: "1.5.10".
    let is_short = first.len() + second.len() < 4;
    if one != two || (one == "." && year.len() == 2 && is_short) {
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
    Some(Found::new(span(captures)?, day, form))
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
    Some(Found::new(span(captures)?, day, form))
}

fn month_day(captures: &Captures<'_>) -> Option<Found> {
    let (first, second) = (text(captures, "first")?, text(captures, "second")?);
    let separator = text(captures, "one")?.chars().next()?;
    let is_padded = first.starts_with('0') || second.starts_with('0');
    let day = day_of(None, first.parse().ok()?, Some(second.parse().ok()?));
    let form = Form::MonthDay { separator, is_padded, year_digits: 0 };
    Some(Found::new(span(captures)?, day, form))
}

fn month_year(captures: &Captures<'_>) -> Option<Found> {
    let first = text(captures, "first")?;
    let separator = text(captures, "one")?.chars().next()?;
    let day = day_of(full_year(text(captures, "year")?), first.parse().ok()?, None);
    let form = Form::MonthYear { separator, is_padded: first.starts_with('0') };
    Some(Found::new(span(captures)?, day, form))
}
