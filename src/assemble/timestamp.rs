//! `raw words -> timestamp`: a date with a time of day, to the microsecond.
//!
//! Reads ISO 8601 and RFC 3339 (so RFC 5424 and log4j, with a comma before the fraction too), the
//! same with slashes, RFC 3164 and `ctime`, Apache's access log, RFC 5322, seconds to nanoseconds
//! since 1970, and else one date of [`super::date`] with one time of day ("July 13, 2017 at 2:30
//! PM PST"). Zones are those of [`super::zone`]; a timestamp whose zone cannot be told is no moment.
//! One without a year takes the last that does not put it after its message was sent.
//! Deliberately asks no clock.

use std::sync::LazyLock;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};

use super::date;
use super::reading::{Reading, only, pattern};
use super::zone::{self, offset_at, zone_pattern};
use crate::config::pipeline::DateOrder;
use crate::types::Value;

/// What stands beside a timestamp.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside<'a> {
    /// The offset of those that name none. With it a timestamp is a moment; without, the date and
    /// time as they are written.
    pub(super) zone: Option<Offset>,
    /// The order of dates in numbers.
    pub(super) date_order: DateOrder,
    /// The zone that the document names elsewhere; it goes before `zone`.
    pub(super) named_zone: Option<&'a str>,
    /// When the message with the document was sent.
    pub(super) sent: Option<Timestamp>,
}

/// A date with a time of day, and the offset that stands with it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stated {
    time: DateTime,
    offset: Option<Offset>,
}

/// Reads the timestamp of a span.
pub(super) fn read(raw: &str, beside: Beside<'_>) -> Reading {
    let value = find(raw, beside).and_then(|stated| match beside.zone {
        None => Some(Value::LocalTimestamp(stated.time)),
        Some(zone) => {
            let moment = stated.offset.unwrap_or(zone).to_timestamp(stated.time).ok()?;
            Some(Value::Timestamp(moment))
        }
    });
    value.map_or(Reading::Unread, Reading::Value)
}

/// The one timestamp that `raw` states.
fn find(raw: &str, beside: Beside<'_>) -> Option<Stated> {
    if let Some(since) = since_1970(raw.trim()) {
        return Some(since);
    }
    let mut found = Vec::new();
    for form in [&*YEAR_FIRST, &*MONTH_FIRST, &*DAY_FIRST] {
        found.extend(form.captures_iter(raw).map(|captures| stated(&captures, beside)));
    }
    if found.is_empty() { apart(raw, beside) } else { only(found) }
}

/// Seconds with or without a fraction, milliseconds, microseconds or nanoseconds since 1970, told
/// apart by their digits: 10, 13, 16 or 19, which are years 2001 to 2286.
fn since_1970(raw: &str) -> Option<Stated> {
    let (whole, fraction) = raw.split_once('.').unwrap_or((raw, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let micros = match (whole.len(), fraction.is_empty()) {
        (10, _) => number * 1_000_000 + i64::from(micros(fraction)?),
        (13, true) => number * 1_000,
        (16, true) => number,
        (19, true) => number / 1_000,
        (_, _) => return None,
    };
    let moment = Timestamp::from_microsecond(micros).ok()?;
    Some(Stated { time: Offset::UTC.to_datetime(moment), offset: Some(Offset::UTC) })
}

/// Microseconds of the digits behind the point; what is finer is dropped.
fn micros(fraction: &str) -> Option<i32> {
    let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
    six.parse().ok()
}

/// One match as a date with a time of day.
fn stated(captures: &Captures<'_>, beside: Beside<'_>) -> Option<Stated> {
    let part = |name| captures.name(name).map(|part| part.as_str());
    let number = |name| part(name).map(|digits: &str| digits.trim().parse::<i8>().ok());
    let month = match part("name") {
        Some(name) => month(name)?,
        None => number("month")??,
    };
    let day = number("day")??;
    let time = time(captures)?;
    let year = part("year").or_else(|| part("year_last"));
    let date = if let Some(year) = year {
        Date::new(year.parse().ok()?, month, day).ok()?
    } else {
        // A place has no offset before its date is known; a day's tolerance covers it.
        let offset = part("zone").and_then(zone::offset).or(beside.zone);
        last_before(month, day, time, offset.unwrap_or(Offset::UTC), beside.sent?)?
    };
    Stated::at(date.to_datetime(time), part("zone"), beside)
}

impl Stated {
    /// `time` in the zone that stands with it; `None` where a moment is wanted and the zone cannot
    /// be told.
    fn at(time: DateTime, named: Option<&str>, beside: Beside<'_>) -> Option<Self> {
        let offset = match (beside.zone, named.or(beside.named_zone)) {
            (Some(_), Some(named)) => Some(offset_at(named, time)?),
            (None, _) | (_, None) => None,
        };
        Some(Self { time, offset })
    }
}

/// How far a clock may run ahead of the one that dated the message.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Years to look back, so that a 29 February is found across a century without one.
const BACK_YEARS: i16 = 8;

/// The last such day that is not after `sent`, but for clocks that differ: what is reported has
/// happened.
fn last_before(month: i8, day: i8, time: Time, offset: Offset, sent: Timestamp) -> Option<Date> {
    let year = offset.to_datetime(sent).year();
    let years = (-1..=BACK_YEARS).filter_map(|back| year.checked_sub(back));
    let mut dates = years.filter_map(|year| Date::new(year, month, day).ok());
    dates.find(|date| {
        let moment = offset.to_timestamp(date.to_datetime(time)).ok();
        moment.is_some_and(|moment| moment.duration_since(sent) <= AHEAD_MAX)
    })
}

fn time(captures: &Captures<'_>) -> Option<Time> {
    let number = |name| captures.name(name).map_or(Some(0), |part| part.as_str().parse().ok());
    let hour: i8 = number("hour")?;
    let half = captures.name("half").map(|half| half.as_str().to_ascii_lowercase());
    let hour = match (half.as_deref().and_then(|half| half.chars().next()), hour) {
        (None, hour) => hour,
        (Some('a'), 12) => 0,
        (Some('a'), 1..=11) => hour,
        (Some(_), 12) => 12,
        (Some(_), 1..=11) => hour + 12,
        (Some(_), _) => return None,
    };
    let micros = captures.name("fraction").map_or(Some(0), |part| micros(part.as_str()))?;
    Time::new(hour, number("minute")?, number("second")?, micros * 1_000).ok()
}

/// A date in words or numbers and a time of day anywhere in the span, one of each.
fn apart(raw: &str, beside: Beside<'_>) -> Option<Stated> {
    let Reading::Value(Value::Date(date)) = date::read(raw, None, beside.date_order) else {
        return None;
    };
    let found = CLOCK.captures_iter(raw).map(|captures| {
        let time = date.to_datetime(time(&captures)?);
        Stated::at(time, captures.name("zone").map(|zone| zone.as_str()), beside)
    });
    only(found)
}

fn month(name: &str) -> Option<i8> {
    let months =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = name.to_ascii_lowercase();
    let index = months.iter().position(|month| name.starts_with(month))?;
    i8::try_from(index + 1).ok()
}

const TIME: &str = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?";
const MONTH: &str = r"(?P<name>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6})";

/// A form with the zone that may stand behind it.
fn zoned(form: &str) -> Regex {
    pattern(&form.replace("ZONE", &zone_pattern()))
}

/// ISO 8601 and its kin, basic form included.
static YEAR_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    zoned(
        r"\b(?P<year>[0-9]{4})[-/.]?(?P<month>[0-9]{2})[-/.]?(?P<day>[0-9]{2})(?:[T_]|,?\s+)(?P<hour>[0-9]{2}):?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?(?:\s?ZONE)?",
    )
});

/// RFC 3164 and `ctime`: the year, where there is one, stands behind the day or at the end.
static MONTH_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    zoned(&format!(
        r"\b{MONTH}\s+(?P<day>[0-9]{{1,2}})(?:,?\s+(?P<year>[0-9]{{4}}),?)?\s+(?:at\s+)?{TIME}(?:\sZONE)?(?:\s(?P<year_last>[12][0-9]{{3}})\b)?"
    ))
});

/// Apache's access log and RFC 5322.
static DAY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    zoned(&format!(
        r"\b(?P<day>[0-9]{{1,2}})[/\s-]{MONTH}[/\s-](?P<year>[0-9]{{4}})[:\s]{TIME}(?:\sZONE)?"
    ))
});

/// A time of day alone.
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    zoned(
        r"\b(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?(?:\s?(?P<half>[AaPp]\.?[Mm]\b\.?))?(?:\s?ZONE)?",
    )
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Beside, read};
    use crate::assemble::reading::Reading;
    use crate::assemble::zone::offset;
    use crate::config::pipeline::DateOrder;

    fn shown(raw: &str, zone: Option<&str>, sent: Option<&str>) -> String {
        let zone = zone.map(|zone| offset(zone).expect("an offset"));
        let sent = sent.map(|sent| sent.parse().expect("a moment"));
        match read(raw, Beside { zone, sent, ..Beside::default() }) {
            Reading::Value(value) => value.written().into_owned(),
            Reading::Blank | Reading::Unread => "unread".to_owned(),
        }
    }

    /// The moment, where those without offset are UTC.
    fn check(raw: &str, expected: &str) {
        assert_eq!(shown(raw, Some("Z"), None), expected, "{raw}");
    }

    #[test]
    fn every_form_of_a_log_is_read() {
        check("2003-10-11T22:14:15.003Z", "2003-10-11T22:14:15.003Z");
        check("2003-08-24T05:14:15.000003-07:00", "2003-08-24T12:14:15.000003Z");
        check("2024-05-01 12:00:00,123", "2024-05-01T12:00:00.123Z");
        check("2024/05/01 12:00:00", "2024-05-01T12:00:00Z");
        check("2005-06-03-15.42.50", "unread");
        check("20240501T120000Z", "2024-05-01T12:00:00Z");
        check("10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z");
        check("Sun Nov 22 21:44:26 2026", "2026-11-22T21:44:26Z");
        check("Sun Nov 22 21:44:26 UTC 2026", "2026-11-22T21:44:26Z");
        check("Wed, 22 Nov 2006 21:44:26 +0100", "2006-11-22T20:44:26Z");
        check("1117838570", "2005-06-03T22:42:50Z");
        check("1117838570.363779", "2005-06-03T22:42:50.363779Z");
        check("1714564800123", "2024-05-01T12:00:00.123Z");
        check("July 13, 2017 at 2:30 PM PST", "2017-07-13T22:30:00Z");
        check("2017-07-13 at 14:30", "2017-07-13T14:30:00Z");
        check("5/1/2024 9:07 PM", "2024-05-01T21:07:00Z");
        check("5/1/2024 9:07:08,5", "2024-05-01T09:07:08.5Z");
    }

    #[test]
    fn the_zone_that_stands_with_a_time_is_read() {
        check("2024-05-01 12:00:00 CEST", "2024-05-01T10:00:00Z");
        check("2024-05-01 12:00:00,123 PDT", "2024-05-01T19:00:00.123Z");
        check("Wed, 22 Nov 2006 21:44:26 EST", "2006-11-23T02:44:26Z");
        check("Sun Nov 22 21:44:26 CET 2026", "2026-11-22T20:44:26Z");
        check("2024-05-01T12:00:00 UTC+2", "2024-05-01T10:00:00Z");
        check("5/1/2024 9:07 PM AEST", "2024-05-01T11:07:00Z");
        check("2024-05-01T12:00:00+02:00[Europe/Paris]", "2024-05-01T10:00:00Z");
        check("2024-05-01T12:00:00[Europe/Berlin]", "2024-05-01T10:00:00Z");
        check("2024-01-01 12:00:00 America/New_York", "2024-01-01T17:00:00Z");
        check("2024-05-01 9:00 am pst", "2024-05-01T17:00:00Z");
    }

    #[test]
    fn a_zone_that_cannot_be_told_makes_no_moment() {
        for raw in [
            "2024-05-01 12:00:00 IST",
            "May 1, 2024 at 2:30 PM BST",
            "2024-05-01 12:00:00 Europe/Olympus",
            "2024-10-27 02:30:00 Europe/Berlin",
            "2024-05-01T12:00:00+19:00",
        ] {
            check(raw, "unread");
        }
        assert_eq!(shown("2024-05-01 12:00:00 IST", None, None), "2024-05-01T12:00:00");
    }

    #[test]
    fn the_zone_of_the_document_goes_before_that_of_the_column() {
        let zone = Some(jiff::tz::Offset::UTC);
        let check = |raw: &str, named: &str, expected: Option<&str>| {
            let read = read(raw, Beside { zone, named_zone: Some(named), ..Beside::default() });
            let value = match &read {
                Reading::Value(value) => Some(value.written()),
                Reading::Blank | Reading::Unread => None,
            };
            assert_eq!(value.as_deref(), expected, "{raw} in {named}");
        };
        check("2024-05-01 12:00:00", "Asia/Tokyo", Some("2024-05-01T03:00:00Z"));
        check("2024-05-01 12:00:00Z", "Asia/Tokyo", Some("2024-05-01T12:00:00Z"));
        check("1714564800123", "Asia/Tokyo", Some("2024-05-01T12:00:00.123Z"));
        check("2024-05-01 12:00:00", "IST", None);
    }

    #[test]
    fn the_order_of_numbers_is_a_setting() {
        let zone = Some(jiff::tz::Offset::UTC);
        let read = |raw: &str, date_order| match read(
            raw,
            Beside { zone, date_order, ..Beside::default() },
        ) {
            Reading::Value(value) => value.written().into_owned(),
            Reading::Blank | Reading::Unread => "unread".to_owned(),
        };
        let raw = "05.01.2024 10:00:00";
        assert_eq!(read(raw, DateOrder::MonthFirst), "2024-05-01T10:00:00Z");
        assert_eq!(read(raw, DateOrder::DayFirst), "2024-01-05T10:00:00Z");
        let raw = "5/31/2024 10:00";
        assert_eq!(read(raw, DateOrder::DayFirst), "2024-05-31T10:00:00Z");
    }

    #[test]
    fn what_states_no_one_timestamp_is_unread() {
        for raw in [
            "2024-05-01",
            "12:00:00",
            "2024-13-01T12:00:00Z",
            "2024-05-01T25:00:00Z",
            "12345",
            "2024-05-01T12:00:00Z to 2024-05-01T13:00:00Z",
            "Oct 11 22:14:15",
            "",
        ] {
            check(raw, "unread");
        }
    }

    #[test]
    fn without_a_zone_the_time_stays_as_it_is_written() {
        assert_eq!(shown("2024-05-01T12:00:00+02:00", None, None), "2024-05-01T12:00:00");
        assert_eq!(shown("2024-05-01 12:00", Some("+02:00"), None), "2024-05-01T10:00:00Z");
    }

    #[test]
    fn a_missing_year_is_the_last_before_the_message_was_sent() {
        let check = |raw, sent, expected| {
            assert_eq!(shown(raw, Some("Z"), Some(sent)), expected, "{raw}");
        };
        check("Oct 11 22:14:15", "2003-10-11T22:14:20Z", "2003-10-11T22:14:15Z");
        check("Dec 31 23:59:59", "2024-01-01T00:00:03Z", "2023-12-31T23:59:59Z");
        check("Jan  1 00:00:01", "2023-12-31T23:59:59Z", "2024-01-01T00:00:01Z");
        check("Oct 7 at 16:38", "2025-10-08T09:00:00Z", "2025-10-07T16:38:00Z");
        check("Mar 27 13:06:56", "2026-11-22T00:00:00Z", "2026-03-27T13:06:56Z");
        check("Feb 29 12:00:00", "2025-02-27T12:00:00Z", "2024-02-29T12:00:00Z");
    }

    proptest! {
        #[test]
        fn every_moment_is_read(micros in 0_i64..4_000_000_000_000_000) {
            let moment = jiff::Timestamp::from_microsecond(micros).expect("in range");
            prop_assert_eq!(shown(&moment.to_string(), Some("Z"), None), moment.to_string());
        }

        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,60}") {
            let sent = Some(jiff::Timestamp::UNIX_EPOCH);
            read(&raw, Beside { sent, ..Beside::default() });
        }
    }
}
