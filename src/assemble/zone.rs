//! `words of a zone -> offset`: what a timestamp says of its zone.
//!
//! Reads `Z`, offsets (`+02:00`, `UTC+2`), the abbreviations that mean one offset, and the names of
//! the IANA time zone database ("Europe/Berlin"), whose rules are compiled in, so that no file of
//! the machine decides. Deliberately guesses nothing: an abbreviation that stands for several zones
//! (`IST`: India, Ireland, Israel) and a local time that its zone has twice or never give no offset.
//! The North American ones are those of RFC 5322, section 4.3, although others use them too. `CAT` is
//! left out: in maintenance it is a maker of machines.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

/// Abbreviations and their minutes from UTC.
const NAMES: [(&str, i32); 47] = [
    ("Z", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("NST", -210),
    ("NDT", -150),
    ("BRT", -180),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("MEZ", 60),
    ("MESZ", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("TRT", 180),
    ("IDT", 180),
    ("WAT", 60),
    ("SAST", 120),
    ("EAT", 180),
    ("PKT", 300),
    ("NPT", 345),
    ("ICT", 420),
    ("WIB", 420),
    ("HKT", 480),
    ("SGT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("ACDT", 630),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
];

/// Abbreviations that stand for several zones.
const AMBIGUOUS: [&str; 10] =
    ["IST", "BST", "AST", "ADT", "SST", "GST", "ECT", "AMT", "WST", "PYT"];

/// First parts of the names of the IANA database.
const AREAS: &str =
    "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Etc|Europe|Indian|Pacific";

/// A pattern of zones behind a time of day, as the group `zone`. Abbreviations are in capitals, but
/// for those of North America and UTC, which prose writes small, too.
pub(super) fn zone_pattern() -> String {
    // Order: longer names first, or "CEST" would be read as "CE".
    let mut names: Vec<_> = NAMES.iter().map(|(name, _)| *name).chain(AMBIGUOUS).collect();
    names.sort_by_key(|name| usize::MAX - name.len());
    format!(
        r"(?P<zone>(?i:UTC|GMT|UT)?[+-][0-9]{{2}}:?[0-9]{{2}}\b|(?i:UTC|GMT|UT)?[+-][0-9]{{2}}\b|(?i:UTC|GMT|UT)[+-][0-9]\b|(?:(?i:UTC|GMT|[ECMP][SD]T)|{})\b|\[?(?:{AREAS})(?:/[A-Z][A-Za-z0-9_+-]+){{1,2}}\]?)",
        names.join("|")
    )
}

/// The offset of the words of a zone at a local time; `None` where it cannot be told.
pub(super) fn offset_at(zone: &str, time: DateTime) -> Option<Offset> {
    if zone.contains('/') {
        let name = zone.trim_matches(['[', ']']);
        let place = TimeZone::get(name).ok()?;
        return match place.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => Some(offset),
            AmbiguousOffset::Gap { .. } | AmbiguousOffset::Fold { .. } => None,
        };
    }
    offset(zone)
}

/// The offset of an abbreviation, or of hours and minutes with a sign.
pub(super) fn offset(zone: &str) -> Option<Offset> {
    let zone = zone.to_ascii_uppercase();
    if let Some((_, minutes)) = NAMES.iter().find(|(name, _)| *name == zone) {
        return Offset::from_seconds(minutes * 60).ok();
    }
    let signed = zone.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    let sign = if signed.starts_with('-') { -1 } else { 1 };
    let digits: String = signed.strip_prefix(['+', '-'])?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2).unwrap_or((&digits, ""));
    let minutes = if minutes.is_empty() { "0" } else { minutes };
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    let is_offset = hours <= 14 && minutes <= 59;
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok().filter(|_| is_offset)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::Offset;

    use super::{AMBIGUOUS, NAMES, offset, offset_at};

    fn hours(zone: &str, month: i8, day: i8, hour: i8) -> Option<f32> {
        let time = date(2024, month, day).at(hour, 30, 0, 0);
        let since_utc = offset_at(zone, time).map(|offset| offset.duration_since(Offset::UTC));
        since_utc.map(|ahead| ahead.as_secs_f32() / 3_600.0)
    }

    #[test]
    fn abbreviations_and_offsets_are_read() {
        for (zone, expected) in [
            ("Z", 0.0),
            ("GMT", 0.0),
            ("EST", -5.0),
            ("pdt", -7.0),
            ("CET", 1.0),
            ("CEST", 2.0),
            ("ACST", 9.5),
            ("+02:00", 2.0),
            ("-0330", -3.5),
            ("+05", 5.0),
            ("UTC+2", 2.0),
            ("GMT-03:00", -3.0),
        ] {
            assert_eq!(hours(zone, 7, 1, 12), Some(expected), "{zone}");
        }
    }

    #[test]
    fn a_place_has_the_offset_of_its_day() {
        assert_eq!(hours("Europe/Berlin", 7, 1, 12), Some(2.0));
        assert_eq!(hours("[Europe/Berlin]", 1, 1, 12), Some(1.0));
        assert_eq!(hours("America/Argentina/Salta", 1, 1, 12), Some(-3.0));
        // The zone's own sign: Etc/GMT+5 is five hours behind UTC.
        assert_eq!(hours("Etc/GMT+5", 1, 1, 12), Some(-5.0));
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        for zone in AMBIGUOUS.into_iter().chain(["Nowhere/City", "+15:00", "XYZ", ""]) {
            assert_eq!(hours(zone, 7, 1, 12), None, "{zone}");
        }
        // Clocks went from 2:00 to 3:00 on 31 March, and from 3:00 back to 2:00 on 27 October.
        assert_eq!(hours("Europe/Berlin", 3, 31, 2), None);
        assert_eq!(hours("Europe/Berlin", 10, 27, 2), None);
    }

    #[test]
    fn no_abbreviation_stands_in_both_lists_or_twice() {
        for (index, (name, _)) in NAMES.iter().enumerate() {
            assert!(!AMBIGUOUS.contains(name), "{name}");
            assert!(NAMES.iter().skip(index + 1).all(|(other, _)| other != name), "{name}");
            assert!(offset(name).is_some(), "{name}");
        }
    }
}
