//! `text -> sentences`: how far a word of negation or a dosage can reach.
//!
//! A sentence ends at an empty line, at a full stop, question or exclamation mark before a word
//! that is not in lower case, and at the end of a line that is not merely wrapped: notes are lists
//! of short lines as often as they are prose. Deliberately not the sentences of the model
//! (`training/DECODER.md`): those are part of what it was trained on.

use crate::types::Span;

/// Words after which a full stop does not end a sentence, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "ca", "cf", "dr", "eg", "etc", "fig", "figs", "hr", "hrs", "ie", "inc", "jr",
    "max", "min", "mr", "mrs", "ms", "no", "nos", "pt", "prof", "resp", "sr", "st", "vs", "wt",
];

/// Length in bytes from which on a line may have been wrapped at its end.
const WRAPPED_BYTES_MIN: usize = 60;

/// Sentences of one text, which they cover without gap.
pub(super) struct Sentences {
    /// Where they start, ascending; the first at 0.
    starts: Vec<usize>,
    end: usize,
}

impl Sentences {
    pub(super) fn of(text: &str) -> Self {
        let mut starts = vec![0];
        let mut gap: Option<usize> = None;
        for (at, letter) in text.char_indices() {
            if letter.is_whitespace() {
                gap.get_or_insert(at);
            } else if let Some(from) = gap.take() {
                let before = text.get(..from).unwrap_or_default();
                let between = text.get(from..at).unwrap_or_default();
                let after = text.get(at..).unwrap_or_default();
                if !before.is_empty() && ends(before, between, after) {
                    starts.push(at);
                }
            }
        }
        Self { starts, end: text.len() }
    }

    /// The sentence that holds byte `offset`.
    pub(super) fn around(&self, offset: usize) -> Span {
        let after = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(after.saturating_sub(1)).copied().unwrap_or_default();
        Span { start, end: self.starts.get(after).copied().unwrap_or(self.end) }
    }
}

/// Whether a sentence ends in the white space `between`.
fn ends(before: &str, between: &str, after: &str) -> bool {
    let lines = between.matches('\n').count();
    if lines >= 2 || between.contains('\u{c}') {
        return true;
    }
    let is_lower = after.starts_with(char::is_lowercase);
    let is_stop = is_stop(before) && !is_lower;
    is_stop || (lines == 1 && !is_wrapped(before, after))
}

fn is_stop(before: &str) -> bool {
    let words = before.trim_end_matches(['"', '\'', ')', ']', '”', '’']);
    let Some(words) = words.strip_suffix('.') else { return words.ends_with(['?', '!']) };
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '.';
    let word = words.rsplit(|letter: char| !is_part(letter)).next().unwrap_or_default();
    // "p.o." and the "J." of a name are no ends; neither is the "2." that numbers a line.
    let tail = word.rsplit('.').next().unwrap_or_default();
    let is_initial = tail.chars().count() == 1 && tail.chars().all(char::is_alphabetic);
    let is_number = !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_digit())
        && words
            .get(..words.len() - word.len())
            .is_none_or(|line| line.ends_with('\n') || line.is_empty());
    let is_short = ABBREVIATIONS.iter().any(|known| known.eq_ignore_ascii_case(tail));
    !is_initial && !is_number && !is_short
}

/// Whether a line goes on in the next one.
fn is_wrapped(before: &str, after: &str) -> bool {
    if before.ends_with(['.', ':', ';', '?', '!']) {
        return false;
    }
    let is_item = after.starts_with(['-', '*', '•', '#', '–', '·']);
    let line = before.rsplit('\n').next().unwrap_or_default();
    !is_item && (after.starts_with(char::is_lowercase) || line.len() >= WRAPPED_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sentences;

    /// The text with a bar where a sentence starts.
    fn check(text: &str, expected: &str) {
        let sentences = Sentences::of(text);
        let mut shown = text.to_owned();
        for start in sentences.starts.iter().skip(1).rev() {
            shown.insert(*start, '|');
        }
        assert_eq!(shown, expected);
    }

    #[test]
    fn sentences_end_at_stops_lists_and_empty_lines() {
        check("No fever. Cough for 2 days.", "No fever. |Cough for 2 days.");
        check("Seen by Dr. Ward. No pain.", "Seen by Dr. Ward. |No pain.");
        check("Aspirin 81 mg p.o. daily", "Aspirin 81 mg p.o. daily");
        check("Aspirin 81 mg\nMetoprolol 25 mg", "Aspirin 81 mg\n|Metoprolol 25 mg");
        check("1. Fever\n2. Cough", "1. Fever\n|2. Cough");
        check("no fever\nor cough", "no fever\nor cough");
        check("a\n\nb", "a\n\n|b");
        check("WBC 12.5. Glucose high?! Yes", "WBC 12.5. |Glucose high?! |Yes");
    }

    #[test]
    fn a_long_line_may_be_wrapped() {
        let line = "The patient was then started on a course of antibiotics, of which";
        check(&format!("{line}\nAugmentin 1 g"), &format!("{line}\nAugmentin 1 g"));
        check(&format!("{line}\n- Augmentin"), &format!("{line}\n|- Augmentin"));
    }

    proptest! {
        #[test]
        fn sentences_cover_the_text(text in "[a-zA-Z0-9 .\\n\\-é]{0,80}") {
            let sentences = Sentences::of(&text);
            let mut at = 0;
            while at < text.len() {
                let sentence = sentences.around(at);
                prop_assert!(sentence.start == at && sentence.end > at);
                at = sentence.end;
            }
        }
    }
}
