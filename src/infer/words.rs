//! `tokens, text -> words that an entities head labels` (`training/DECODER.md`, section 7).
//!
//! Deliberately knows no score.

use std::ops::Range;

use crate::types::{Chunks, Span, Text};

/// Signs that stand before what they open and are no part of it.
const OPENING: &str = "([{\"'";
/// Signs that stand behind what they close and are no part of it.
const CLOSING: &str = ",;:!?)]}\"'";

/// The tokenizer's words, as ranges of tokens.
pub(super) fn of_tokenizer(chunks: &Chunks) -> Vec<Range<usize>> {
    let starts = chunks.word_starts.iter().filter_map(|start| usize::try_from(*start).ok());
    let ends = starts.clone().skip(1).chain([chunks.tokens.len()]);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// Words that touch joined to one; signs that open before it or close behind it stay apart.
pub(super) fn of_white_space(chunks: &Chunks, text: &Text) -> Vec<Range<usize>> {
    let words = of_tokenizer(chunks);
    let token = |index: usize| chunks.tokens.get(index);
    let ends_at = |word: &Range<usize>| token(word.end.checked_sub(1)?).map(|last| last.end);
    let starts_at = |word: &Range<usize>| token(word.start).map(|first| first.start);
    let is_sign = |word: &Range<usize>, signs: &str| {
        let span = starts_at(word).zip(ends_at(word)).map(|(start, end)| Span { start, end });
        let sign = span.and_then(|span| text.as_str().get(span.range()));
        sign.is_some_and(|sign| sign.chars().count() == 1 && signs.contains(sign))
    };
    let touch = |one: &Range<usize>, next: &Range<usize>| ends_at(one) == starts_at(next);
    let mut joined = Vec::with_capacity(words.len());
    for run in words.chunk_by(touch) {
        let mut core = run;
        let mut behind: &[Range<usize>] = &[];
        while let [first, rest @ ..] = core
            && !rest.is_empty()
            && is_sign(first, OPENING)
        {
            joined.push(first.clone());
            core = rest;
        }
        while let [rest @ .., last] = core
            && !rest.is_empty()
            && is_sign(last, CLOSING)
        {
            core = rest;
            behind = run.get(run.len() - behind.len() - 1..).unwrap_or_default();
        }
        if let [first, .., last] | [first @ last] = core {
            joined.push(first.start..last.end);
        }
        joined.extend_from_slice(behind);
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{of_tokenizer, of_white_space};
    use crate::types::{Chunks, Span, Text};

    /// A token for each run of letters and digits and for each sign, each a word.
    fn chunks(text: &str) -> Chunks {
        let mut tokens: Vec<Span> = Vec::new();
        let mut is_open = false;
        for (start, letter) in text.char_indices() {
            let end = start + letter.len_utf8();
            if letter.is_alphanumeric() && is_open {
                tokens.last_mut().unwrap().end = end;
            } else if !letter.is_whitespace() {
                tokens.push(Span { start, end });
            }
            is_open = letter.is_alphanumeric();
        }
        let count = u32::try_from(tokens.len()).unwrap();
        Chunks {
            tokens,
            word_starts: (0..count).collect(),
            sentences: Vec::new(),
            windows: Arc::default(),
            spared_tokens: 0,
        }
    }

    fn shown(text: &str) -> Vec<String> {
        let (chunks, whole) = (chunks(text), Text::from_pages([text.to_owned()]));
        let words = of_white_space(&chunks, &whole);
        let span = |word: &std::ops::Range<usize>| {
            chunks.tokens[word.start].start..chunks.tokens[word.end - 1].end
        };
        words.iter().map(|word| text.get(span(word)).unwrap().to_owned()).collect()
    }

    #[test]
    fn words_go_from_white_space_to_white_space() {
        assert_eq!(shown("c/o l/h hyd. hose"), ["c/o", "l/h", "hyd.", "hose"]);
        assert_eq!(shown("won't def.air-feed"), ["won't", "def.air-feed"]);
        assert_eq!(shown(""), [""; 0]);
    }

    #[test]
    fn signs_that_open_and_close_stay_apart() {
        assert_eq!(shown("hose (worn), u/s;"), ["hose", "(", "worn", ")", ",", "u/s", ";"]);
        assert_eq!(shown("\"n/w\": (a"), ["\"", "n/w", "\"", ":", "(", "a"]);
        assert_eq!(shown(": ,, ()"), [":", ",", ",", "(", ")"]);
    }

    proptest! {
        #[test]
        fn every_token_is_in_one_word_and_words_stand_in_order(text in "[a-c,.()\" ]{0,30}") {
            let (chunks, whole) = (chunks(&text), Text::from_pages([text.clone()]));
            let tokens = |words: Vec<std::ops::Range<usize>>| words.into_iter().flatten().collect::<Vec<_>>();
            let expected: Vec<_> = (0..chunks.tokens.len()).collect();
            prop_assert_eq!(tokens(of_white_space(&chunks, &whole)), expected.clone());
            prop_assert_eq!(tokens(of_tokenizer(&chunks)), expected);
        }
    }
}
