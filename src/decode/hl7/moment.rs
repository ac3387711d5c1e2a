//! HL7 v2 dates and times `-> ISO 8601`, as far as they are given.
//!
//! Deliberately drops the offset from UTC and fractions of a second: a reader of the text wants the
//! day and the clock.

/// `YYYY[MM[DD[HHMM[SS]]]]` (DT, TS, DTM) as `2024-03-03 14:30`; anything else as it is.
pub(super) fn date(text: &str) -> String {
    let digits = leading_digits(text);
    let piece = |from: usize, to: usize| digits.get(from..to);
    let mut words = match (piece(0, 4), piece(4, 6), piece(6, 8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        (Some(year), Some(month), None) => format!("{year}-{month}"),
        (Some(_), None, None) | (None, _, _) | (_, _, Some(_)) => return text.to_owned(),
    };
    if let Some(clock) = digits.get(8..).filter(|clock| clock.len() >= 4) {
        words.push(' ');
        words.push_str(&time(clock));
    }
    words
}

/// `HHMM[SS]` (TM) as `14:30`; anything else as it is.
pub(super) fn time(text: &str) -> String {
    let digits = leading_digits(text);
    match (digits.get(..2), digits.get(2..4), digits.get(4..6)) {
        (Some(hours), Some(minutes), Some(seconds)) => format!("{hours}:{minutes}:{seconds}"),
        (Some(hours), Some(minutes), None) => format!("{hours}:{minutes}"),
        (Some(_), None, _) | (None, _, _) => text.to_owned(),
    }
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{date, time};

    #[test]
    fn what_is_given_is_written_and_what_is_none_stays() {
        for (text, expected) in [
            ("20240303", "2024-03-03"),
            ("19700321083000", "1970-03-21 08:30:00"),
            ("202403031430-0500", "2024-03-03 14:30"),
            ("202403", "2024-03"),
            ("2024", "2024"),
            ("03/03/2024", "03/03/2024"),
            ("", ""),
        ] {
            assert_eq!(date(text), expected);
        }
        assert_eq!([time("1430"), time("143005.12"), time("noon")], ["14:30", "14:30:05", "noon"]);
    }
}
