//! Segment `-> identifiers`: the fields of HL7 v2 that say who a message is about.
//!
//! Deliberately a table: HL7 v2.9, chapters 3, 4, 6, 7 and 9.

use encoding_rs::Encoding;

use super::er7::Separators;
use crate::decode::identifiers::{Collector, Kind};

/// How a field holds an identifier.
#[derive(Clone, Copy)]
enum Form {
    /// A number in its first component (CX, ST).
    Number(Kind),
    /// A name: family, given, further names (XPN).
    Name,
    /// A name behind a number (XCN).
    NumberedName,
    /// A name inside the first component (NDL).
    NestedName,
    /// A date, as `YYYYMMDD` and more.
    Date,
    /// Street, second line, city, postal code (XAD).
    Address,
    /// A phone number in several forms, or an e-mail address (XTN).
    Phone,
}

/// Segment, field, form.
const FIELDS: &[(&str, usize, Form)] = &[
    ("PID", 2, Form::Number(Kind::RecordNumber)),
    ("PID", 3, Form::Number(Kind::RecordNumber)),
    ("PID", 4, Form::Number(Kind::RecordNumber)),
    ("PID", 5, Form::Name),
    ("PID", 6, Form::Name),
    ("PID", 7, Form::Date),
    ("PID", 9, Form::Name),
    ("PID", 11, Form::Address),
    ("PID", 13, Form::Phone),
    ("PID", 14, Form::Phone),
    ("PID", 18, Form::Number(Kind::RecordNumber)),
    ("PID", 19, Form::Number(Kind::Id)),
    ("PID", 20, Form::Number(Kind::Id)),
    ("NK1", 2, Form::Name),
    ("NK1", 4, Form::Address),
    ("NK1", 5, Form::Phone),
    ("NK1", 6, Form::Phone),
    ("GT1", 3, Form::Name),
    ("GT1", 5, Form::Address),
    ("GT1", 6, Form::Phone),
    ("GT1", 12, Form::Number(Kind::Id)),
    ("IN1", 16, Form::Name),
    ("IN1", 19, Form::Address),
    ("IN1", 36, Form::Number(Kind::Id)),
    ("PV1", 7, Form::NumberedName),
    ("PV1", 8, Form::NumberedName),
    ("PV1", 9, Form::NumberedName),
    ("PV1", 17, Form::NumberedName),
    ("PV1", 19, Form::Number(Kind::RecordNumber)),
    ("ORC", 12, Form::NumberedName),
    ("OBR", 16, Form::NumberedName),
    ("OBR", 32, Form::NestedName),
    ("OBX", 16, Form::NumberedName),
    ("TXA", 5, Form::NumberedName),
    ("TXA", 9, Form::NumberedName),
    ("TXA", 10, Form::NumberedName),
    ("TXA", 11, Form::NumberedName),
];

/// Adds who a segment names.
pub(super) fn of_segment(
    segment: &str,
    name: &str,
    of: &Separators,
    charset: &'static Encoding,
    found: &mut Collector,
) {
    for (_, number, form) in FIELDS.iter().filter(|(named, ..)| *named == name) {
        let field = of.field(segment, *number);
        for repetition in of.repetitions(field).filter(|one| !one.is_empty()) {
            let part = |number| {
                let first = of.first(of.component(repetition, number));
                let text = of.unescape(first, charset).trim().to_owned();
                Some(text).filter(|text| !text.is_empty() && text != "\"\"")
            };
            add(*form, part, found);
            if matches!(form, Form::NestedName) {
                let mut parts = of.subcomponents(of.component(repetition, 1)).skip(1);
                let family = parts.next().map(|one| of.unescape(one, charset).into_owned());
                let given = parts.next().map(|one| of.unescape(one, charset).into_owned());
                found.name(given.as_deref().into_iter(), family.as_deref());
            }
        }
    }
}

fn add(form: Form, part: impl Fn(usize) -> Option<String>, found: &mut Collector) {
    let mut name = |family: usize| {
        let given = [part(family + 1), part(family + 2)];
        found.name(given.iter().flatten().map(String::as_str), part(family).as_deref());
    };
    match form {
        Form::Name => name(1),
        Form::NumberedName => name(2),
        Form::NestedName => {}
        Form::Number(kind) => found.add(kind, part(1).as_deref()),
        Form::Date => found.add(Kind::Date, part(1).map(|date| iso(&date)).as_deref()),
        Form::Address => {
            for number in [1, 2, 3, 5] {
                found.add(Kind::Address, part(number).as_deref());
            }
        }
        Form::Phone => {
            found.add(Kind::Phone, part(1).as_deref());
            found.add(Kind::Email, part(4).as_deref());
            let pieces = [part(6), part(7)];
            let pieces: Vec<&str> = pieces.iter().flatten().map(String::as_str).collect();
            found.add(Kind::Phone, Some(&pieces.join(" ")));
            found.add(Kind::Phone, part(12).as_deref());
        }
    }
}

/// `YYYYMMDD...` as `YYYY-MM-DD`; anything else as it is.
fn iso(date: &str) -> String {
    let digits = date.get(..8).filter(|head| head.bytes().all(|byte| byte.is_ascii_digit()));
    let pieces = digits.and_then(|it| Some((it.get(..4)?, it.get(4..6)?, it.get(6..8)?)));
    pieces.map_or_else(|| date.to_owned(), |(year, month, day)| format!("{year}-{month}-{day}"))
}
