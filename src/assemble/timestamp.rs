//! `raw words -> timestamp`: a date with a time of day, to the microsecond.
//!
//! Reads ISO 8601 and RFC 3339 (so RFC 5424 and log4j, with a comma before the fraction too), the
//! same with slashes, RFC 3164 and `ctime`, Apache's access log, RFC 5322, seconds to nanoseconds
//! since 1970, and else one date of [`super::date`] with one time of day ("July 13, 2017 at 2:30
//! PM PST"). Zones are offsets, `Z`, `UTC`, `GMT` and the North American ones of RFC 5322,
//! section 4.3. A timestamp without a year takes the last one that does not put it after its message was
//! sent. Deliberately asks no clock and no zone database.

use std::sync::LazyLock;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};

use super::date;
use super::reading::{Reading, only, pattern};
use crate::types::Value;

/// A date with a time of day, and the offset that stands with it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stated {
    time: DateTime,
    offset: Option<Offset>,
}

/// Reads the timestamp of a span. With `zone`, the offset of those that name none, it is a moment;
/// without, the date and time as they are written.
pub(super) fn read(raw: &str, zone: Option<Offset>, sent: Option<Timestamp>) -> Reading {
    let value = find(raw, zone, sent).and_then(|stated| match zone {
        None => Some(Value::LocalTimestamp(stated.time)),
        Some(zone) => {
            let moment = stated.offset.unwrap_or(zone).to_timestamp(stated.time).ok()?;
            Some(Value::Timestamp(moment))
        }
    });
    value.map_or(Reading::Unread, Reading::Value)
}

/// The offset `zone`: `Z` or hours and minutes with a sign.
pub(super) fn offset(zone: &str) -> Option<Offset> {
    if matches!(zone, "Z" | "z" | "UTC" | "GMT" | "UT") {
        return Some(Offset::UTC);
    }
    if let Some((_, hours)) = ZONES.iter().find(|(name, _)| *name == zone) {
        return Offset::from_hours(*hours).ok();
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.strip_prefix(['+', '-'])?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { "0" } else { minutes };
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    let is_offset = hours <= 14 && minutes <= 59;
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok().filter(|_| is_offset)
}

/// Hours from UTC of the zones of RFC 5322, section 4.3.
const ZONES: [(&str, i8); 8] = [
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// The one timestamp that `raw` states.
fn find(raw: &str, zone: Option<Offset>, sent: Option<Timestamp>) -> Option<Stated> {
    if let Some(since) = since_1970(raw.trim()) {
        return Some(since);
    }
    let mut found = Vec::new();
    for form in [&*YEAR_FIRST, &*MONTH_FIRST, &*DAY_FIRST] {
        let of_form = form.captures_iter(raw).map(|captures| stated(&captures, zone, sent));
        found.extend(of_form);
    }
    if found.is_empty() { apart(raw) } else { only(found) }
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
fn stated(
    captures: &Captures<'_>,
    zone: Option<Offset>,
    sent: Option<Timestamp>,
) -> Option<Stated> {
    let part = |name| captures.name(name).map(|part| part.as_str());
    let number = |name| part(name).map(|digits: &str| digits.trim().parse::<i8>().ok());
    let month = match part("name") {
        Some(name) => month(name)?,
        None => number("month")??,
    };
    let day = number("day")??;
    let time = time(captures)?;
    let stated = match part("zone") {
        Some(name) => Some(offset(name)?),
        None => None,
    };
    let year = part("year").or_else(|| part("year_last"));
    let date = match year {
        Some(year) => Date::new(year.parse().ok()?, month, day).ok()?,
        None => last_before(month, day, time, stated.or(zone).unwrap_or(Offset::UTC), sent?)?,
    };
    Some(Stated { time: date.to_datetime(time), offset: stated })
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

/// A date in words and a time of day anywhere in the span, one of each.
fn apart(raw: &str) -> Option<Stated> {
    let Reading::Value(Value::Date(date)) = date::read(raw, None) else { return None };
    let found = CLOCK.captures_iter(raw).map(|captures| {
        let time = time(&captures)?;
        let offset = match captures.name("zone") {
            Some(zone) => Some(offset(zone.as_str())?),
            None => None,
        };
        Some(Stated { time: date.to_datetime(time), offset })
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
const ZONE: &str = r"(?P<zone>Z|UTC|GMT|UT|[ECMP][SD]T|[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2})\b";
const MONTH: &str = r"(?P<name>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6})";

/// ISO 8601 and its kin, basic form included.
static YEAR_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b(?P<year>[0-9]{{4}})[-/.]?(?P<month>[0-9]{{2}})[-/.]?(?P<day>[0-9]{{2}})(?:[T_]|,?\s+)(?P<hour>[0-9]{{2}}):?(?P<minute>[0-9]{{2}})(?::?(?P<second>[0-9]{{2}})(?:[.,](?P<fraction>[0-9]{{1,9}}))?)?(?:\s?{ZONE})?"
    ))
});

/// RFC 3164 and `ctime`: the year, where there is one, stands behind the day or at the end.
static MONTH_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b{MONTH}\s+(?P<day>[0-9]{{1,2}})(?:,?\s+(?P<year>[0-9]{{4}}),?)?\s+(?:at\s+)?{TIME}(?:\s{ZONE})?(?:\s(?P<year_last>[12][0-9]{{3}})\b)?"
    ))
});

/// Apache's access log and RFC 5322.
static DAY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b(?P<day>[0-9]{{1,2}})[/\s-]{MONTH}[/\s-](?P<year>[0-9]{{4}})[:\s]{TIME}(?:\s{ZONE})?"
    ))
});

/// A time of day alone.
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}})(?:[.,](?P<fraction>[0-9]{{1,9}}))?)?(?:\s?(?P<half>[AaPp]\.?[Mm]\b\.?))?(?:\s?{ZONE})?"
    ))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{offset, read};
    use crate::assemble::reading::Reading;

    fn shown(raw: &str, zone: Option<&str>, sent: Option<&str>) -> String {
        let zone = zone.map(|zone| offset(zone).expect("an offset"));
        match read(raw, zone, sent.map(|sent| sent.parse().expect("a moment"))) {
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
            read(&raw, None, Some(jiff::Timestamp::UNIX_EPOCH));
        }
    }
}
