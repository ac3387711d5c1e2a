//! `text -> dates`, and a date as it may leave: its year, or another day in the same form.
//!
//! Finds more than a typed column reads: days without a year and months without a day identify
//! too. A year alone is left: it identifies nobody under the safe harbor rule (45 CFR
//! 164.514(b)(2)(i)(C)). Deliberately corrects nothing: what no calendar has is masked.

mod find;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

pub(super) use find::find;

use crate::types::Span;

/// A date in a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Where.
    pub(super) span: Span,
    /// `None` where the numbers are on no calendar, or no day is named: a holiday, "the 3rd".
    day: Option<Day>,
    form: Form,
    /// Whether the name of the day of the week stands in front, and in short.
    weekday: Option<bool>,
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
    /// `March 3, 2024`, `Mar 2024`, `March the third`.
    MonthFirst { is_short: bool },
    /// `3 March 2024`, `03MAR24`, `third of March`.
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

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

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
        let written = self.written(day, date)?;
        let weekday = self.weekday.filter(|_| day.names_date && day.names_year);
        let Some(is_short) = weekday else { return Some(written) };
        let index = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
        let name = WEEKDAYS.get(index)?;
        Some(format!("{}, {written}", if is_short { name.get(..3)? } else { name }))
    }

    /// `date` in the form of this one, which names as much of it as `day` says.
    fn written(&self, day: Day, date: Date) -> Option<String> {
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
                (false, true) => format!("{} {}", name(is_short)?, date.year()),
                (false, false) => name(is_short)?.to_owned(),
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
            ("03-Mar-24", Some("2024"), "13 Mar 2024"),
            ("03MAR2024", Some("2024"), "13 Mar 2024"),
            ("3mar24", Some("2024"), "13 Mar 2024"),
            ("third of March 2024", Some("2024"), "13 March 2024"),
            ("twenty-second day of May, 2020", Some("2020"), "1 June 2020"),
            ("third of March in the year 2024", Some("2024"), "13 March 2024"),
            ("third of March, two thousand twenty-four", None, "13 March"),
            ("March third, twenty twenty-four", None, "March 13"),
            ("March the 3rd", None, "March 13"),
            ("March the third, 2024", Some("2024"), "March 13, 2024"),
            ("Mar '24", Some("2024"), "Mar 2024"),
            ("Monday, March 4, 2024", Some("2024"), "Thursday, March 14, 2024"),
            ("Mon 3/4/2024", Some("2024"), "Thu, 3/14/2024"),
            ("Tuesday, March 3", None, "March 13"),
            ("03.04.24", Some("2024"), "03.14.24"),
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
        for text in ["Mon 3/27 she", "(3/27)", "3/27: better", "f/u 3/27", "labs 3/27/24 3/2"] {
            assert_eq!(find(text).len(), 1, "{text}");
        }
        let days = [("3/1", None, Some("3/11")), ("3/5", None, Some("3/15"))];
        check("from 3/1 to 3/5 she", &days);
        check("labs 3/1-3/5", &days);
        check("seen on the 3rd, again", &[("the 3rd", None, None)]);
        check("since the twelfth she", &[("the twelfth", None, None)]);
        check("the 3rd of this month", &[("the 3rd of this month", None, None)]);
        check("at Christmas 2023", &[("Christmas 2023", None, None)]);
        check("since Labor Day", &[("Labor Day", None, None)]);
        check("since last October", &[("October", None, Some("October"))]);
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
            "surgery 5-6 years ago",
            "on the 3rd finger",
            "on the second floor",
            "exam 5/5",
            "strength (4/5)",
            "murmur 2/6",
            "the patient sat on the bed",
            "second of three",
            "a may fly",
            "since the second week",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn of_many_days_in_a_row_each_is_found_once() {
        // Were each walked from to the last one, their number would be its own square.
        for one in ["3/1 -\n", "thru 3/1 "] {
            assert_eq!(find(&one.repeat(30_000)).len(), 30_000, "{one}");
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
