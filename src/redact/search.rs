//! `text -> what a pattern finds in it`, at the cost of a glance where there is nothing.
//!
//! The crate `regex` knows `\b` of letters beyond ASCII in its slow engines only: one typographic
//! apostrophe, and every search of that text takes many times as long. Without its `\b` a pattern
//! finds all that it finds with them and more, by the fast engine; where that is nothing, which is
//! the rule, the slow one has nothing to look for.

use regex::{Captures, Regex};

/// A pattern as it is written in this room.
#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles each")]
pub(super) fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

/// A pattern that is looked for in whole texts.
pub(super) struct Search {
    exact: Regex,
    /// The same without borders of words.
    wide: Regex,
}

impl Search {
    /// Of a pattern in which `\b` stands for nothing but the border of a word.
    pub(super) fn new(pattern: &str) -> Self {
        Self { exact: compiled(pattern), wide: compiled(&pattern.replace(r"\b", "")) }
    }

    /// What [`Regex::captures_iter`] gives of the pattern.
    pub(super) fn captures_iter<'t>(&self, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
        let may_be_there = text.is_ascii() || self.wide.is_match(text);
        may_be_there.then(|| self.exact.captures_iter(text)).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Search;
    use crate::redact::patterns::PATTERNS;

    fn check(search: &Search, text: &str) {
        let found: Vec<_> = search.captures_iter(text).map(|it| it[0].to_owned()).collect();
        let expected: Vec<_> = search.exact.find_iter(text).map(|it| it.as_str()).collect();
        assert_eq!(found, expected, "{} in {text:?}", search.exact);
    }

    #[test]
    fn a_border_is_one_of_words_of_all_letters() {
        let search = Search::new(r"\b[0-9]{3}\b");
        for (text, count) in [("123", 1), ("é 123 ’456’", 2), ("é123 123é", 0), ("é", 0)] {
            assert_eq!(search.captures_iter(text).count(), count, "{text}");
            check(&search, text);
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_the_pattern_finds(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "MRN", "patient", "Dr.", "Ann", "Groß", "is", "a", "92", "year", "old", "at",
                    "555-1234", "123-45-6789", "jane@example.org", "Old Mill Road", "’", "é", ":",
                    "mother’s", "ninety", "call", "case", "#", "JH-998877", "Springfield, IL 62704",
                ]),
                0..12,
            ),
            between in prop::sample::select(vec![" ", "", "\n", "é"]),
        ) {
            let text = words.join(between);
            for pattern in PATTERNS.iter() {
                check(&pattern.search, &text);
            }
        }
    }
}
