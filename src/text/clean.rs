//! Characters of one PDF page, as an engine gives them, to readable text.
//!
//! Lines end in `\n`, and so does the page. Control characters, non-characters and lone surrogates
//! are dropped. Deliberately changes no letter and drops no printed hyphen: in contracts a hyphen
//! at the end of a line nearly always belongs to the word (`non-exclusive`).

/// What PDFium puts for the hyphen of a word that goes on in the next line, in its list of
/// characters and in its text. The line break after it is already gone, so that the word is whole.
const BROKEN_WORD: [u32; 2] = [0x02, 0xFFFE];

/// A hyphen that shows only where a word is broken.
const SOFT_HYPHEN: char = '\u{AD}';

/// What some fonts put for a semicolon, to which it is canonically equivalent (Unicode, normal form
/// NFC), so that no text need tell them apart.
const GREEK_QUESTION_MARK: char = '\u{37E}';

/// The text of one page out of its UTF-16 or UTF-32 code units.
pub(super) fn page(units: impl Iterator<Item = u32>) -> String {
    let mut text = String::new();
    let mut high = None;
    for unit in units {
        let before = high.take();
        match unit {
            0xD800..0xDC00 => high = Some(unit),
            0xDC00..0xE000 => text.extend(before.and_then(|high| pair(high, unit))),
            _ if BROKEN_WORD.contains(&unit) => text.push('-'),
            _ => text.extend(char::from_u32(unit)),
        }
    }
    lines(&text)
}

/// The character of a surrogate pair (Unicode, section 3.9).
fn pair(high: u32, low: u32) -> Option<char> {
    char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

/// `text` with plain line ends, without characters that nobody sees.
fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len() + 1);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                end_line(&mut clean);
            }
            SOFT_HYPHEN => {
                // At the end of a line it joins the two halves of a word, elsewhere it is unseen.
                while characters.next_if(|next| matches!(next, '\r' | '\n')).is_some() {}
            }
            '\t' => clean.push('\t'),
            GREEK_QUESTION_MARK => clean.push(';'),
            _ if character.is_control() || is_noncharacter(character) => {}
            _ => clean.push(character),
        }
    }
    if !clean.ends_with('\n') || clean.is_empty() {
        end_line(&mut clean);
    }
    clean
}

fn end_line(text: &mut String) {
    text.truncate(text.trim_end_matches([' ', '\t']).len());
    text.push('\n');
}

/// Whether Unicode reserves `character` for no text at all (section 23.7).
fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    code & 0xFFFE == 0xFFFE || (0xFDD0..0xFDF0).contains(&code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::page;

    fn check(units: &str, expected: &str) {
        assert_eq!(page(units.chars().map(u32::from)), expected);
    }

    #[test]
    fn every_line_and_the_page_end_in_a_line_feed() {
        check("one\r\ntwo \rthree\u{C}four", "one\ntwo\nthree\nfour\n");
        check("one\r\n", "one\n");
        check("a\r\n\r\nb", "a\n\nb\n");
        check("", "\n");
    }

    #[test]
    fn a_word_that_pdfium_joins_keeps_its_hyphen() {
        check("non-\r\nexclusive", "non-\nexclusive\n");
        check("non\u{2}exclusive", "non-exclusive\n");
        check("non\u{FFFE}exclusive", "non-exclusive\n");
    }

    #[test]
    fn a_soft_hyphen_is_no_text() {
        check("agree\u{AD}\r\nment", "agreement\n");
        check("agree\u{AD}ment", "agreement\n");
    }

    #[test]
    fn a_semicolon_by_its_greek_name_is_a_semicolon() {
        check("one\u{37E} two", "one; two\n");
    }

    #[test]
    fn characters_that_nobody_sees_are_dropped() {
        check("a\0b\u{7}c\u{FFFF}d\u{FDD0}e\u{86}f", "abcdef\n");
        check("tab\tstays", "tab\tstays\n");
    }

    #[test]
    fn surrogates_count_in_pairs_only() {
        let units = [0xD83D, 0xDE00, 0x61, 0xDE00, 0xD83D, 0x62, 0xD83D, 0xD83D, 0xDE00];
        assert_eq!(page(units.into_iter()), "\u{1F600}ab\u{1F600}\n");
    }

    proptest! {
        #[test]
        fn a_clean_page_stays_as_it_is(units in proptest::collection::vec(0_u32..0x11_0000, 0..300)) {
            let once = page(units.into_iter());
            prop_assert_eq!(page(once.chars().map(u32::from)), once);
        }
    }
}
