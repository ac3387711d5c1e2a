//! `MSH-18, content type -> character set`: HL7 table 0211, and what systems put there instead.
//!
//! Deliberately guesses nothing: a name that is not known is a reject.

use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8};

use super::er7::Separators;
use super::invalid;
use crate::types::Reject;

/// Limit: bytes at the start of a message in which MSH must end.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Names of table 0211 that are no labels of the WHATWG Encoding Standard, with such a label.
const NAMES: [(&str, &str); 12] = [
    ("UNICODE UTF-8", "utf-8"),
    ("UNICODE", "utf-8"),
    ("UTF8", "utf-8"),
    ("ISO IR6", "utf-8"),
    ("ISO IR14", "shift_jis"),
    ("ISO IR87", "iso-2022-jp"),
    ("ISO IR159", "iso-2022-jp"),
    ("GB 18030-2000", "gb18030"),
    ("KS X 1001", "euc-kr"),
    ("BIG-5", "big5"),
    ("CP1252", "windows-1252"),
    ("ANSI", "windows-1252"),
];

/// The character set of a message: of MSH-18, else the `declared` one, else UTF-8.
pub(super) fn of(
    message: &[u8],
    declared: Option<&'static Encoding>,
) -> Result<&'static Encoding, Reject> {
    let head = message.get(..HEADER_BYTES_MAX).unwrap_or(message);
    let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(head.len());
    let header = String::from_utf8_lossy(head.get(..end).unwrap_or_default());
    let Some(separators) = Separators::of(&header) else { return Ok(UTF_8) };
    // The first is the message's own, the others are those that it switches to.
    let names: Vec<&str> = separators.repetitions(separators.field(&header, 18)).collect();
    if names.iter().skip(1).any(|name| matches!(name.trim(), "ISO IR87" | "ISO IR159")) {
        return Ok(ISO_2022_JP);
    }
    match names.first().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        None => Ok(declared.unwrap_or(UTF_8)),
        Some(name) => {
            known(name).ok_or_else(|| invalid("MSH-18 names a character set that is not known"))
        }
    }
}

fn known(name: &str) -> Option<&'static Encoding> {
    // ASCII is read as UTF-8, which holds it: a letter beyond it is then an error or right.
    if name.eq_ignore_ascii_case("ASCII") {
        return Some(UTF_8);
    }
    if let Some(part) = name.strip_prefix("8859/") {
        return labelled(&format!("iso-8859-{part}"));
    }
    let label = NAMES.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    labelled(label.map_or(name, |(_, label)| label))
}

/// UTF-16 is none here: MSH was just read byte by byte.
fn labelled(label: &str) -> Option<&'static Encoding> {
    let found = Encoding::for_label(label.as_bytes())?;
    let is_fit = found != REPLACEMENT && (found.is_ascii_compatible() || found == ISO_2022_JP);
    is_fit.then_some(found)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{BIG5, ISO_2022_JP, ISO_8859_2, SHIFT_JIS, UTF_8, WINDOWS_1252};

    use super::of;

    #[test]
    fn msh_18_outranks_the_content_type_and_utf_8_is_the_default() {
        for (name, expected) in [
            ("", WINDOWS_1252),
            ("ASCII", UTF_8),
            ("UNICODE UTF-8", UTF_8),
            ("UTF-8", UTF_8),
            ("8859/1", WINDOWS_1252),
            ("8859/2", ISO_8859_2),
            ("ISO-8859-2", ISO_8859_2),
            ("ISO IR14", SHIFT_JIS),
            ("~ISO IR87", ISO_2022_JP),
            ("BIG-5", BIG5),
        ] {
            let message = format!(r"MSH|^~\&|||||||ORU^R01|||||||||{name}|x");
            let found = of(message.as_bytes(), Some(WINDOWS_1252)).ok();
            assert_eq!(found, Some(expected), "{name}");
        }
        assert_eq!(of(br"MSH|^~\&|", None).ok(), Some(UTF_8));
        for name in ["KLINGON", "8859/99", "UNICODE UTF-16", "utf-16le", "iso-2022-kr"] {
            let message = format!(r"MSH|^~\&|||||||ORU^R01|||||||||{name}");
            assert!(of(message.as_bytes(), None).is_err(), "{name}");
        }
    }
}
