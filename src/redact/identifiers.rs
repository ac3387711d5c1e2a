//! `identifiers, text -> where they stand`, whatever their case, gaps and punctuation.
//!
//! Words are compared word by word and numbers digit by digit, so `Doe, JANE` is found as
//! `Jane Doe` and `555 123 4567` as `5551234567`. Linear in the text: at each word a walk through a
//! tree no deeper than [`WORDS_MAX`], at each digit a look for each length that a number has.
//! Deliberately finds no likeness: a misspelt name is the model's to find.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::rules::Hit;
use crate::config::redaction::IdentifierKind as Kind;
use crate::types::Span;

/// Limit: words of an identifier that must follow each other; of a longer one each such run is
/// looked for by itself.
const WORDS_MAX: usize = 16;
/// Limit: bytes between two words or digits of one identifier.
const GAP_BYTES_MAX: usize = 4;
/// Fewer digits are no number that identifies.
const DIGITS_MIN: usize = 5;
/// Limit: digits of a number that is looked for digit by digit.
const DIGITS_MAX: usize = 32;

/// Words of a name that are no name by themselves.
const PARTICLES: [&str; 39] = [
    "al", "and", "bin", "da", "de", "del", "den", "der", "di", "do", "doctor", "dos", "dr", "du",
    "el", "ii", "iii", "iv", "jr", "la", "le", "md", "miss", "mr", "mrs", "ms", "np", "nurse",
    "of", "pa", "phd", "prof", "resident", "rn", "sr", "the", "unit", "van", "von",
];

/// A word of a text, and where.
struct Word {
    lower: String,
    span: Span,
}

/// One word further into an identifier.
#[derive(Default)]
struct Node {
    next: BTreeMap<String, usize>,
    /// What ends here.
    end: Option<Kind>,
}

/// What is looked for.
pub(super) struct Wanted {
    nodes: Vec<Node>,
    numbers: BTreeMap<usize, BTreeMap<String, Kind>>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], numbers: BTreeMap::new() }
    }
}

impl Wanted {
    /// Looks for `value`, and, if it is a name, for each of its words as well.
    pub(super) fn add(&mut self, kind: Kind, value: &str) {
        let words = words(value);
        for run in words.chunks(WORDS_MAX) {
            self.add_words(kind, run.iter().map(|word| word.lower.clone()));
        }
        if kind == Kind::Name {
            let is_name = |word: &&Word| {
                word.lower.chars().nth(1).is_some() && !PARTICLES.contains(&word.lower.as_str())
            };
            for word in words.iter().filter(is_name) {
                self.add_words(kind, [word.lower.clone()]);
            }
            return;
        }
        if words.len() > 1 && words.len() <= WORDS_MAX && kind != Kind::Place {
            self.add_words(kind, [words.iter().map(|word| word.lower.as_str()).collect()]);
        }
        self.add_number(kind, value);
    }

    fn add_words(&mut self, kind: Kind, words: impl IntoIterator<Item = String>) {
        let mut at = 0;
        for word in words {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = *node.next.entry(word).or_insert(fresh);
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        if at != 0
            && let Some(node) = self.nodes.get_mut(at)
        {
            node.end.get_or_insert(kind);
        }
    }

    /// A number is compared by its digits, with and without zeros in front.
    fn add_number(&mut self, kind: Kind, value: &str) {
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        let letters = value.chars().filter(|letter| letter.is_alphabetic()).count();
        for number in [digits.as_str(), digits.trim_start_matches('0')] {
            if (DIGITS_MIN..=DIGITS_MAX).contains(&number.len()) && letters < DIGITS_MIN {
                let of_length = self.numbers.entry(number.len()).or_default();
                of_length.entry(number.to_owned()).or_insert(kind);
            }
        }
    }

    /// Every place in `text` where something wanted stands.
    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        if self.nodes.len() > 1 {
            let words = words(text);
            for start in 0..words.len() {
                hits.extend(self.longest(words.get(start..).unwrap_or_default()));
            }
        }
        if !self.numbers.is_empty() {
            self.find_numbers(text, &mut hits);
        }
        hits
    }

    /// The longest identifier with which `words` begin.
    fn longest(&self, words: &[Word]) -> Option<Hit> {
        let first = words.first()?.span;
        let (mut at, mut last, mut found) = (0, first.start, None);
        for word in words {
            if at != 0 && word.span.start - last > GAP_BYTES_MAX {
                break;
            }
            let Some(next) = self.nodes.get(at)?.next.get(&word.lower) else { break };
            (at, last) = (*next, word.span.end);
            if let Some(kind) = self.nodes.get(at)?.end {
                found = Some(Hit { kind, span: Span { start: first.start, end: last } });
            }
        }
        found
    }

    fn find_numbers(&self, text: &str, hits: &mut Vec<Hit>) {
        for run in digit_runs(text) {
            let digits: String = run.iter().map(|(digit, _)| *digit).collect();
            let touches = |one: usize, other: usize| {
                let place = |index: usize| run.get(index).map(|(_, place)| *place);
                place(one).zip(place(other)).is_some_and(|(one, other)| one + 1 == other)
            };
            for start in 0..run.len() {
                if start > 0 && touches(start - 1, start) {
                    continue;
                }
                for (length, numbers) in &self.numbers {
                    let Some(number) = digits.get(start..start + length) else { break };
                    let last = start + length - 1;
                    if let Some(kind) = numbers.get(number)
                        && !touches(last, last + 1)
                        && let (Some((_, from)), Some((_, to))) = (run.get(start), run.get(last))
                    {
                        hits.push(Hit { kind: *kind, span: Span { start: *from, end: to + 1 } });
                    }
                }
            }
        }
    }
}

/// Digits with their places, in runs that only separators of numbers interrupt.
fn digit_runs(text: &str) -> Vec<Vec<(char, usize)>> {
    let mut runs: Vec<Vec<(char, usize)>> = Vec::new();
    let mut gap = GAP_BYTES_MAX + 1;
    for (at, letter) in text.char_indices() {
        if letter.is_ascii_digit() {
            match runs.last_mut().filter(|_| gap <= GAP_BYTES_MAX) {
                Some(run) => run.push((letter, at)),
                None => runs.push(vec![(letter, at)]),
            }
            gap = 0;
        } else if matches!(letter, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '–') {
            gap += 1;
        } else {
            gap = GAP_BYTES_MAX + 1;
        }
    }
    runs
}

/// Runs of letters and digits, in lower case and with letters and their marks as one character:
/// what an envelope writes so may be parted in a document.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut is_inside = false;
    for (at, letter) in text.char_indices() {
        let is_part = letter.is_alphanumeric() || is_inside && is_combining_mark(letter);
        if is_part && !is_inside {
            let span = Span { start: at, end: at };
            words.push(Word { lower: String::new(), span });
        }
        if let (true, Some(word)) = (is_part, words.last_mut()) {
            word.lower.extend(letter.to_lowercase());
            word.span.end = at + letter.len_utf8();
        }
        is_inside = is_part;
    }
    for word in words.iter_mut().filter(|word| !word.lower.is_ascii()) {
        word.lower = word.lower.nfc().collect();
    }
    words
}

/// The words of a name that name a person when they stand alone.
pub(super) fn telling_words(name: &str) -> BTreeSet<&str> {
    let spans = words(name);
    let telling = spans.iter().filter(|word| {
        word.lower.chars().count() >= 4 && !PARTICLES.contains(&word.lower.as_str())
    });
    telling.filter_map(|word| name.get(word.span.range())).collect()
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from the same text")]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, Wanted};

    fn check(wanted: &[(Kind, &str)], text: &str, expected: &[&str]) {
        let mut all = Wanted::default();
        for (kind, value) in wanted {
            all.add(*kind, value);
        }
        let found: Vec<_> = all.find(text).iter().map(|hit| &text[hit.span.range()]).collect();
        assert_eq!(found, expected, "{wanted:?} in {text}");
    }

    #[test]
    fn names_are_found_whole_and_by_their_words_in_any_case() {
        let jane = [(Kind::Name, "Jane van O'Neill")];
        check(&jane, "MRS. O’NEILL", &["NEILL"]);
        check(&jane, "jane VAN o'neill", &["jane VAN o'neill", "neill"]);
        check(&jane, "in a van by the river", &[]);
        check(&[(Kind::Name, "Groß, Jürgen")], "JÜRGEN came", &["JÜRGEN"]);
        check(&[(Kind::Name, "Lee")], "sleeping well, Lee", &["Lee"]);
        check(&[(Kind::Name, "M\u{fc}ller")], "Mu\u{308}ller, Muller", &["Mu\u{308}ller"]);
        check(&[(Kind::Name, "Mu\u{308}ller")], "M\u{dc}LLER", &["M\u{dc}LLER"]);
    }

    #[test]
    fn numbers_are_found_whatever_stands_between_their_digits() {
        let phone = [(Kind::Phone, "5551234567")];
        check(&phone, "call (555) 123-4567.", &["555) 123-4567"]);
        check(&phone, "15551234567", &[]);
        let record = [(Kind::RecordNumber, "0012345")];
        check(&record, "MRN 12345", &["12345"]);
        check(&record, "MRN 00-12-345", &["00-12-345", "12-345"]);
        check(&[(Kind::RecordNumber, "12")], "12 tablets", &["12"]);
        check(
            &[(Kind::RecordNumber, "AB-98-7")],
            "ab98-7 and AB 98 7 and ab987",
            &["AB 98 7", "ab987"],
        );
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_is_found_in_any_text_that_holds_it(
            name in "[A-ZÄ][a-zé]{2,8}", before in "[ a-z.,]{0,20}", after in "[.,; ][a-z ]{0,20}",
        ) {
            let text = format!("{before} {}{after}", name.to_uppercase());
            let mut wanted = Wanted::default();
            wanted.add(Kind::Name, &name);
            let place = text.find(&name.to_uppercase()).unwrap();
            let found = wanted.find(&text);
            prop_assert!(found.iter().any(|hit| hit.span.start <= place));
        }
    }
}
