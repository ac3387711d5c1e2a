//! HL7 v2 in ER7 (vertical bars and hats) `-> segments, fields, components`, without a tree.
//!
//! HL7 v2.9, chapter 2. A message is split where it is asked for and never as a whole: the crates
//! for this format build a tree whose nodes a body of bare separators multiplies by a hundred (4 MiB
//! of `^` take 0.5 GB and more). Separators are the message's own, from MSH-1 and MSH-2.
//!
//! Deliberately knows no segment's meaning; see [`super`].

use std::borrow::Cow;

use encoding_rs::Encoding;

/// Limit: what one layout escape (`\.sp99\`) may add, in characters.
const LAYOUT_CHARS_MAX: usize = 10;

/// The characters that structure a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Separators {
    pub(super) field: char,
    component: char,
    repetition: char,
    escape: Option<char>,
    subcomponent: Option<char>,
}

impl Separators {
    /// Those that a message declares; `None` where `message` starts with no MSH, or the characters
    /// are none that could separate anything: letters, digits, white space, or one twice.
    pub(super) fn of(message: &str) -> Option<Self> {
        let mut letters = message.strip_prefix("MSH")?.chars();
        let field = letters.next().filter(|letter| is_separator(*letter))?;
        let more: Vec<char> =
            letters.take_while(|letter| *letter != field && !letter.is_control()).take(6).collect();
        let all: Vec<char> = std::iter::once(field).chain(more.iter().copied()).collect();
        let is_double = |at: usize| all.iter().skip(at + 1).any(|other| all.get(at) == Some(other));
        if !more.iter().all(|letter| is_separator(*letter)) || (0..all.len()).any(is_double) {
            return None;
        }
        match *more.as_slice() {
            [component, repetition, ref rest @ ..] if rest.len() <= 3 => Some(Self {
                field,
                component,
                repetition,
                escape: rest.first().copied(),
                subcomponent: rest.get(1).copied(),
            }),
            _ => None,
        }
    }

    /// Field `number`, from 1, of a segment; of MSH, from 2, since its separator is its first.
    pub(super) fn field<'t>(&self, segment: &'t str, number: usize) -> &'t str {
        let index = if segment.starts_with("MSH") { number.saturating_sub(1) } else { number };
        segment.split(self.field).nth(index).unwrap_or_default()
    }

    /// The repetitions of a field, at least one.
    pub(super) fn repetitions<'t>(&self, field: &'t str) -> impl Iterator<Item = &'t str> {
        field.split(self.repetition)
    }

    /// Component `number`, from 1, as it stands.
    pub(super) fn component<'t>(&self, repetition: &'t str, number: usize) -> &'t str {
        repetition.split(self.component).nth(number.saturating_sub(1)).unwrap_or_default()
    }

    /// The subcomponents of a component, at least one.
    pub(super) fn subcomponents<'t>(&self, component: &'t str) -> impl Iterator<Item = &'t str> {
        let mark = self.subcomponent;
        component.split(move |letter| Some(letter) == mark)
    }

    /// `text` with its escape sequences read (chapter 2.7): separators, hexadecimal bytes in the
    /// message's character set, line ends and spacing. Highlighting and locally defined sequences
    /// are dropped; what is no sequence stays as it is.
    pub(super) fn unescape<'t>(&self, text: &'t str, charset: &'static Encoding) -> Cow<'t, str> {
        let Some(escape) = self.escape.filter(|escape| text.contains(*escape)) else {
            return Cow::Borrowed(text);
        };
        let mut read = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(escape) {
            read.push_str(before);
            let sequence = after.split_once(escape);
            let found =
                sequence.and_then(|(code, then)| Some((self.meaning(code, charset)?, then)));
            if let Some((meaning, then)) = found {
                read.push_str(&meaning);
                rest = then;
            } else {
                read.push(escape);
                rest = after;
            }
        }
        read.push_str(rest);
        Cow::Owned(read)
    }

    /// What a sequence stands for; `None` where it is none.
    fn meaning(&self, code: &str, charset: &'static Encoding) -> Option<Cow<'static, str>> {
        let one = |letter: char| Some(Cow::Owned(letter.to_string()));
        match code {
            "F" => return one(self.field),
            "S" => return one(self.component),
            "R" => return one(self.repetition),
            "E" => return one(self.escape?),
            "T" => return one(self.subcomponent?),
            "P" => return one('#'),
            "H" | "N" | ".fi" | ".nf" => return Some(Cow::Borrowed("")),
            ".br" | ".ce" => return Some(Cow::Borrowed("\n")),
            _ => {}
        }
        if let Some(count) = code.strip_prefix(".sp") {
            let count = count.trim_start_matches('+');
            let lines = if count.is_empty() { 1 } else { count.parse().ok()? };
            return Some(Cow::Owned("\n".repeat(lines.min(LAYOUT_CHARS_MAX))));
        }
        if let Some(count) = code.strip_prefix(".sk") {
            let count: usize = count.trim_start_matches('+').parse().ok()?;
            return Some(Cow::Owned(" ".repeat(count.min(LAYOUT_CHARS_MAX))));
        }
        let indent = code.strip_prefix(".in").or_else(|| code.strip_prefix(".ti"));
        if let Some(count) = indent {
            let _columns: i32 = count.parse().ok()?;
            return Some(Cow::Borrowed(""));
        }
        if let Some(digits) = code.strip_prefix('X') {
            let bytes = hex(digits.as_bytes())?;
            let text = charset.decode_without_bom_handling_and_without_replacement(&bytes)?;
            return Some(Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")));
        }
        let is_local = code.starts_with('Z') && code.bytes().all(|b| b.is_ascii_alphanumeric());
        is_local.then_some(Cow::Borrowed(""))
    }
}

/// Segments in order; CR ends one, and LF is taken for it, as are empty lines.
pub(super) fn segments(message: &str) -> impl Iterator<Item = &str> {
    message.split(['\r', '\n']).filter(|line| !line.trim().is_empty())
}

/// The bytes that hexadecimal digits write; `None` where they are none.
pub(super) fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

const fn is_separator(letter: char) -> bool {
    letter.is_ascii_punctuation()
}

#[cfg(test)]
mod tests {
    use encoding_rs::{UTF_8, WINDOWS_1252};
    use proptest::prelude::*;

    use super::{Separators, hex, segments};

    fn usual() -> Separators {
        Separators::of(r"MSH|^~\&|").unwrap()
    }

    #[test]
    fn separators_are_the_messages_own() {
        let own = Separators::of("MSH#*+!%#A").unwrap();
        assert_eq!(own.field("PID#1#a*b", 2), "a*b");
        assert_eq!(own.component("a*b", 2), "b");
        assert_eq!(own.unescape("x!S!y", UTF_8), "x*y");
        for message in [
            "",
            "MSH",
            "MS",
            "MSH|",
            "MSH|^",
            "MSHa^~",
            "MSH|||||",
            "MSH|^^~\\&|",
            "MSH|^~\\|",
            "MSH|^~\\&#%$|",
            "MSH|A~\\&|",
            "MSH ^~\\&|",
            "MSH\r^~\\&",
            "PID|^~\\&|",
            "MSH|é~\\&|",
        ] {
            let expected = message == "MSH|^~\\|";
            assert_eq!(Separators::of(message).is_some(), expected, "{message:?}");
        }
    }

    #[test]
    fn fields_count_from_one_and_those_of_msh_with_their_separator() {
        let of = usual();
        assert_eq!(of.field(r"MSH|^~\&|LAB|ACME", 3), "LAB");
        assert_eq!(of.field("PID|1||x", 3), "x");
        assert_eq!(of.field("PID|1", 9), "");
        assert_eq!(of.repetitions("a~b").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(of.component("a^b&c", 2), "b&c");
        assert_eq!(of.subcomponents("b&c").collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn escape_sequences_are_read() {
        let check = |text: &str, expected: &str| {
            assert_eq!(usual().unescape(text, UTF_8), expected, "{text}");
        };
        check(r"5\F\6\S\7\T\8\R\9\E\", r"5|6^7&8~9\");
        check(r"one\.br\two\.sp\three\.sp2\four", "one\ntwo\nthree\n\nfour");
        check(r"a\.sk3\b\.in+4\c\.ti-2\d\.fi\e\.nf\f\.ce\g", "a   bcdef\ng");
        check(r"\H\loud\N\ and \Zown1\quiet", "loud and quiet");
        check(r"\X436166C3A9\ \X0D0A\x\X0D\y", "Café \nx\ny");
        check(r"C:\temp\new", r"C:\temp\new");
        check(r"\X4\ \XFF\ \.sp99999\ \Q\ \", "\\X4\\ \\XFF\\ \n\n\n\n\n\n\n\n\n\n \\Q\\ \\");
        check("plain", "plain");
        assert_eq!(usual().unescape(r"caf\XE9\", WINDOWS_1252), "café");
    }

    #[test]
    fn carriage_return_or_line_feed_ends_a_segment() {
        let found: Vec<_> = segments("A|1\rB|2\r\nC|3\n\n\rD").collect();
        assert_eq!(found, ["A|1", "B|2", "C|3", "D"]);
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(hex(b"00fFA1"), Some(vec![0, 255, 0xA1]));
        assert_eq!([hex(b""), hex(b"0"), hex(b"0g")], [None, None, None]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\\\|^~&XTFS.bs0-9é\\PC]{0,80}", number in 0_usize..9) {
            let of = usual();
            let read = of.unescape(&text, UTF_8);
            prop_assert!(read.len() <= text.len() * 4);
            for repetition in of.repetitions(of.field(&text, number)) {
                prop_assert!(of.component(repetition, number).len() <= text.len());
            }
            let own = Separators::of(&format!("MSH{text}"));
            prop_assert!(own.is_none_or(|own| own.field.is_ascii_punctuation()));
        }

        #[test]
        fn what_is_escaped_comes_back(text in "[a-z|^~&\\\\]{0,40}") {
            let escaped: String = text
                .chars()
                .map(|letter| match letter {
                    '|' => r"\F\".to_owned(),
                    '^' => r"\S\".to_owned(),
                    '~' => r"\R\".to_owned(),
                    '&' => r"\T\".to_owned(),
                    '\\' => r"\E\".to_owned(),
                    other => other.to_string(),
                })
                .collect();
            prop_assert_eq!(usual().unescape(&escaped, UTF_8), text);
        }
    }
}
