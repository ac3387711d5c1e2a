//! `message -> template`: variables replaced by their kind, so that equal messages group.
//!
//! `Failed password for "root" from 10.1.2.3 port 22` becomes
//! `Failed password for <STR> from <IP> port <NUM>`. Read in one pass, from left to right, of one
//! entry alone: the same message gives the same template whatever else was seen. Deliberately
//! learns nothing: words that vary ("user alice", "user bob") stay.

use std::sync::LazyLock;

use regex::Regex;

use super::reading::{Reading, collapse, pattern, text_value};
use crate::types::Digest;

/// Fewest digits that make a word with letters an id.
const ID_DIGITS_MIN: usize = 3;

/// Fewest digits of a hexadecimal number without `0x`.
const HEX_DIGITS_MIN: usize = 8;

/// Most letters of a unit right behind a number: "15ms", "10KiB".
const UNIT_LETTERS_MAX: usize = 4;

/// The template of a message.
pub(super) fn read(raw: &str) -> Reading {
    let template = of(raw);
    if template.is_empty() { Reading::Unread } else { text_value(template) }
}

/// SHA-256 of the template, in hexadecimal digits.
pub(super) fn hash(raw: &str) -> Reading {
    let template = of(raw);
    if template.is_empty() {
        return Reading::Unread;
    }
    text_value(Digest::of(template.as_bytes()).to_string())
}

fn of(raw: &str) -> String {
    let message = collapse(raw);
    let mut template = String::with_capacity(message.len());
    let mut from = 0;
    for captures in PARTS.captures_iter(&message) {
        let Some(all) = captures.get(0) else { continue };
        template.push_str(message.get(from..all.start()).unwrap_or_default());
        from = all.end();
        match KINDS.iter().find(|(_, kind)| captures.name(kind).is_some()) {
            Some((placeholder, _)) => template.push_str(placeholder),
            None if captures.name("decimal").is_some() => number(&mut template),
            None => word(&mut template, all.as_str()),
        }
    }
    template.push_str(message.get(from..).unwrap_or_default());
    template
}

/// A number; a sign in front of it belongs to it.
fn number(template: &mut String) {
    let signed = template.strip_suffix(['-', '+']);
    let before = signed.map(|before| before.chars().next_back());
    let is_sign = before.is_some_and(|last| {
        last.is_none_or(|letter| !letter.is_alphanumeric() && !">)]".contains(letter))
    });
    if is_sign {
        template.pop();
    }
    template.push_str("<NUM>");
}

fn word(template: &mut String, word: &str) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    if digits == 0 {
        template.push_str(word);
    } else if letters.is_empty() {
        number(template);
    } else if word.len() >= HEX_DIGITS_MIN && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        template.push_str("<HEX>");
    } else if letters.len() < word.len()
        && letters.len() <= UNIT_LETTERS_MAX
        && letters.chars().all(char::is_alphabetic)
    {
        number(template);
        template.push_str(letters);
    } else if digits >= ID_DIGITS_MIN {
        template.push_str("<ID>");
    } else {
        template.push_str(word);
    }
}

/// Placeholders and the groups of [`PARTS`] that they stand for.
const KINDS: [(&str, &str); 9] = [
    ("<STR>", "quoted"),
    ("<UUID>", "uuid"),
    ("<EMAIL>", "email"),
    ("<URL>", "url"),
    ("<TIME>", "time"),
    ("<MAC>", "mac"),
    ("<IP>", "ip"),
    ("<PATH>", "path"),
    ("<HEX>", "hex"),
];

/// Order: at one place the first alternative that matches is taken, so that whole words stand
/// last and nothing matches inside one.
static PARTS: LazyLock<Regex> = LazyLock::new(|| {
    let hex = "[0-9a-fA-F]";
    pattern(&[
        r#"(?P<quoted>"[^"]{0,400}"|'[^']{0,400}'|`[^`]{0,400}`)"#.to_owned(),
        format!(r"(?P<uuid>\b{hex}{{8}}-{hex}{{4}}-{hex}{{4}}-{hex}{{4}}-{hex}{{12}}\b)"),
        r"(?P<email>\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\b)".to_owned(),
        r#"(?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s"'<>]+)"#.to_owned(),
        r"(?P<time>\b\d{4}[-/]\d{2}[-/]\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z\b|[+-]\d{2}:?\d{2}\b)?)?|\b\d{2}:\d{2}:\d{2}(?:[.,]\d+)?\b)".to_owned(),
        format!(r"(?P<mac>\b{hex}{{2}}(?::{hex}{{2}}){{5}}\b)"),
        format!(r"(?P<ip>\b\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d{{1,5}})?\b|\b{hex}{{1,4}}(?::{hex}{{1,4}}){{7}}\b|\b{hex}{{1,4}}(?::{hex}{{1,4}}){{0,5}}::(?:{hex}{{1,4}}(?::{hex}{{1,4}}){{0,5}})?\b)"),
        r"(?P<path>[A-Za-z]:\\[^\s:;,]+|(?:~|\.{1,2})?(?:/[\w.+@=%-]+){2,}/?)".to_owned(),
        format!(r"(?P<hex>\b0[xX]{hex}+\b)"),
        r"(?P<decimal>\b\d+(?:[.,]\d+)+)".to_owned(),
        r"[\p{L}\p{N}_]+(?:['’]\p{L}+)?".to_owned(),
    ]
    .join("|"))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::of;

    fn check(message: &str, expected: &str) {
        assert_eq!(of(message), expected, "{message}");
    }

    #[test]
    fn variables_become_their_kind() {
        check(
            "Failed password for \"root\" from 10.1.2.3 port 22",
            "Failed password for <STR> from <IP> port <NUM>",
        );
        check("Receiving block blk_-1608999687919862906", "Receiving block blk_<NUM>");
        check("session 0x1f3 closed in 15ms", "session <HEX> closed in <NUM>ms");
        check("user a.b@c.org of 550e8400-e29b-41d4-a716-446655440000", "user <EMAIL> of <UUID>");
        check("open /var/log/messages: -13", "open <PATH>: <NUM>");
        check("GET https://a.b/c?d=1 took 0.35 s", "GET <URL> took <NUM> s");
        check("at 2024-05-01 12:00:00,123 and 12:00:01", "at <TIME> and <TIME>");
        check("node cn-17 of rack R04-M1 is job17234", "node cn-<NUM> of rack R04-M1 is <ID>");
        check("commit 9fc77bad12 isn't signed", "commit <HEX> isn't signed");
        check("ipv4 and log4j stay", "ipv4 and log4j stay");
        check("C:\\Windows\\System32 fe80::1", "<PATH> <IP>");
        check("  two\n\tlines ", "two lines");
    }

    #[test]
    fn equal_messages_have_one_template() {
        let message = |n: u32| format!("worker {n} lost 192.168.0.{} after {n}.5 s", n % 256);
        assert_eq!(of(&message(7)), of(&message(4_711)));
        assert_ne!(of("worker 7 lost"), of("worker 7 found"));
    }

    proptest! {
        #[test]
        fn a_template_is_its_own_template(message in "[a-zA-Z0-9 _./:@'\"()=-]{0,60}") {
            let once = of(&message);
            prop_assert_eq!(of(&once), once);
        }

        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,80}") {
            of(&raw);
        }
    }
}
