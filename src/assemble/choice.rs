//! `raw words -> one of the choices of pipeline.yaml`, by the words that stand for it.
//!
//! Words are matched whole and without case, the longest first, so that "not severe" does not
//! read as "severe" where it has a choice of its own. Deliberately guesses nothing: words of two
//! choices leave the span unread.

use std::collections::BTreeMap;

use super::reading::{Reading, collapse, text_value};

/// The words of each choice, the longest first.
pub(super) struct Choices {
    words: Vec<(String, String)>,
}

impl Choices {
    pub(super) fn new(choices: &BTreeMap<String, Vec<String>>) -> Self {
        let pairs = choices.iter().flat_map(|(choice, words)| {
            words.iter().map(|word| (collapse(word).to_lowercase(), choice.clone()))
        });
        let mut words: Vec<_> = pairs.filter(|(word, _)| !word.is_empty()).collect();
        words.sort_by_key(|(word, _)| usize::MAX - word.len());
        Self { words }
    }

    pub(super) fn read(&self, raw: &str) -> Reading {
        let mut rest = collapse(raw).to_lowercase();
        let mut found: Option<&str> = None;
        for (word, choice) in &self.words {
            let Some(without) = take_out(&rest, word) else { continue };
            if found.is_some_and(|found| found != choice) {
                return Reading::Unread;
            }
            found = Some(choice);
            rest = without;
        }
        found.map_or(Reading::Unread, |choice| text_value(choice.to_owned()))
    }
}

/// `text` with a bar for each whole `word`; `None` where it has none.
fn take_out(text: &str, word: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_alphanumeric();
    let mut kept = String::new();
    let mut from = 0;
    for (at, _) in text.match_indices(word) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        if before.is_some_and(is_part) || after.is_some_and(is_part) {
            continue;
        }
        kept.push_str(text.get(from..at).unwrap_or_default());
        kept.push('|');
        from = at + word.len();
    }
    if from == 0 && kept.is_empty() {
        return None;
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    Some(kept)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Choices;
    use crate::assemble::reading::Reading;
    use crate::types::Value;

    fn check(raw: &str, expected: Option<&str>) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let choices = Choices::new(&BTreeMap::from([
            ("female".to_owned(), owned(&["female", "Woman", "F"])),
            ("male".to_owned(), owned(&["male", "man", "M"])),
            ("other".to_owned(), owned(&["not male"])),
        ]));
        let found = match choices.read(raw) {
            Reading::Value(Value::Text(words)) => Some(words.into_inner()),
            Reading::Value(_) | Reading::Blank | Reading::Unread => None,
        };
        assert_eq!(found.as_deref(), expected, "{raw}");
    }

    #[test]
    fn a_choice_is_told_by_its_whole_words() {
        check("a 36-year-old woman", Some("female"));
        check("FEMALE", Some("female"));
        check("white  male", Some("male"));
        check("M", Some("male"));
        check("human", None);
        check("not  male", Some("other"));
        check("man and woman", None);
        check("", None);
    }
}
