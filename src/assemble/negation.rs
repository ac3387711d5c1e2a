//! `a value and its sentence -> the words that negate it`, in the manner of `NegEx` (Chapman et al.,
//! A Simple Algorithm for Identifying Negated Findings and Diseases, 2001): cues before and after,
//! pseudo-cues that look like them, and terms that end a cue's reach.
//!
//! Deliberately English only, and blind to uncertainty and to time: what "resolved" was there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::frame::Frame;
use crate::types::Span;

/// Limit: cues farther from a value than this, in bytes, are not looked for; it is more than
/// [`BEFORE_WORDS_MAX`] words, and bounds the work on a text without sentences.
const WINDOW_BYTES: usize = 400;

/// Most words between a cue and a value behind it, unless what stands between is a list.
const BEFORE_WORDS_MAX: usize = 12;

/// Most words of one item of a list.
const ITEM_WORDS_MAX: usize = 5;

/// Most words between a value and a cue behind it.
const AFTER_WORDS_MAX: usize = 5;

/// What a phrase does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// Looks like a cue and is none; what it covers is no cue either.
    Pseudo,
    /// Negates what follows.
    Before,
    /// Negates what precedes.
    After,
    /// Ends the reach of a cue.
    End,
}

const BEFORE: &[&str] = &[
    "no",
    "not",
    "non",
    "without",
    "denies",
    "denied",
    "denying",
    "deny",
    "negative for",
    "no evidence of",
    "no signs of",
    "no sign of",
    "no history of",
    "no complaints of",
    "no findings of",
    "no indication of",
    "no suggestion of",
    "absence of",
    "absent",
    "free of",
    "never",
    "neither",
    "nor",
    "none of",
    "rules out",
    "ruled out",
    "rule out",
    "fails to reveal",
    "failed to reveal",
    "declines",
    "lack of",
    "lacked",
    "unremarkable for",
];

const AFTER: &[&str] = &[
    "was ruled out",
    "were ruled out",
    "is ruled out",
    "has been ruled out",
    "are ruled out",
    "ruled out",
    "negative",
    "was absent",
    "were absent",
    "is absent",
    "are absent",
    "absent",
    "not present",
    "not seen",
    "not detected",
    "not identified",
    "not found",
    "not noted",
    "not observed",
    "unlikely",
    "was excluded",
    "were excluded",
    "denied",
];

const PSEUDO: &[&str] = &[
    "no increase",
    "no decrease",
    "no change",
    "no significant change",
    "no interval change",
    "not only",
    "not necessarily",
    "without difficulty",
    "not certain whether",
    "not certain if",
    "not sure",
    "not able",
    "no doubt",
    "not rule out",
    "not ruled out",
    "cannot be ruled out",
    "could not be ruled out",
    "to rule out",
    "gram negative",
    "not further",
    "no further treatment",
    "not cause",
    "not drain",
    "no response",
    "no improvement",
    "not improve",
    "without further",
    "not responding",
    "not respond",
    "negative pressure",
    "rh negative",
    "no longer",
];

const END: &[&str] = &[
    "but",
    "however",
    "although",
    "though",
    "except",
    "aside from",
    "apart from",
    "which",
    "who",
    "because",
    "since",
    "yet",
    "still",
    "then",
    "nevertheless",
    "presents with",
    "presented with",
    "reports",
    "reported",
    "endorses",
    "admits",
    "complains of",
    "with the exception of",
    "secondary to",
    "due to",
    "as there is",
    "cause of",
    "causes of",
    "positive for",
];

/// Phrases by their first word: the words behind it, and what the phrase does.
type Phrases = BTreeMap<&'static str, Vec<(Vec<&'static str>, Role)>>;

/// Every phrase; of one first word the longest of each role first.
static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
    let lists =
        [(PSEUDO, Role::Pseudo), (BEFORE, Role::Before), (AFTER, Role::After), (END, Role::End)];
    let mut phrases = Phrases::new();
    for (phrase, role) in lists.iter().flat_map(|(list, role)| list.iter().map(|one| (*one, *role)))
    {
        let mut words = phrase.split(' ');
        if let Some(first) = words.next() {
            phrases.entry(first).or_default().push((words.collect(), role));
        }
    }
    for of_word in phrases.values_mut() {
        of_word.sort_by_key(|(rest, role)| (*role, usize::MAX - rest.len()));
    }
    phrases
});

/// The cue that negates the value at `item`: where it stands.
pub(super) fn cue(item: Span, frame: &Frame<'_>) -> Option<Span> {
    let sentence = frame.sentence_of(item.start);
    let text = frame.text.as_str();
    let start = boundary(text, sentence.start.max(item.start.saturating_sub(WINDOW_BYTES)));
    let end = boundary(text, sentence.end.max(item.end).min(item.end.saturating_add(WINDOW_BYTES)));
    let (before, is_parted) = words(text.get(start..item.start)?, start);
    let (after, _) = words(text.get(item.end..end)?, item.end);
    let in_front = if is_parted { None } else { cue_before(&before) };
    in_front.or_else(|| cue_after(&after))
}

/// The nearest character boundary at or below `at`.
fn boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

/// A word in lower case, where it stands, and whether a comma and whether a semicolon stands
/// between it and the word in front.
struct Word {
    text: String,
    span: Span,
    after_comma: bool,
    after_stop: bool,
}

/// The words of `text`, which starts at byte `start`, and whether a semicolon stands behind the
/// last of them.
fn words(text: &str, start: usize) -> (Vec<Word>, bool) {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '\'' | '’');
    let mut words: Vec<Word> = Vec::new();
    let (mut after_comma, mut after_stop) = (false, false);
    let mut from = start;
    for run in text.split_inclusive(|letter: char| !is_part(letter)) {
        let word = run.trim_end_matches(|letter: char| !is_part(letter));
        if !word.is_empty() {
            let span = Span { start: from, end: from + word.len() };
            words.push(Word { text: word.to_lowercase(), span, after_comma, after_stop });
            (after_comma, after_stop) = (false, false);
        }
        after_comma |= run.ends_with(',');
        after_stop |= run.ends_with(';');
        from += run.len();
    }
    (words, after_stop)
}

/// A phrase at words `start..end`.
struct Match {
    start: usize,
    end: usize,
    role: Role,
}

/// Every phrase, in order; none inside a pseudo-cue, and of one role at one place the longest.
fn matches(words: &[Word]) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    let mut covered = 0;
    for (start, word) in words.iter().enumerate() {
        let Some(phrases) = PHRASES.get(word.text.as_str()).filter(|_| start >= covered) else {
            continue;
        };
        let mut roles = Vec::new();
        for (rest, role) in phrases {
            let is_there = words.get(start + 1..=start + rest.len()).is_some_and(|behind| {
                behind.iter().zip(rest).all(|(word, wanted)| word.text == *wanted)
            });
            if !is_there || roles.contains(role) {
                continue;
            }
            let end = start + 1 + rest.len();
            if *role == Role::Pseudo {
                covered = end;
                // What began earlier and reaches into a pseudo-cue is none.
                found.retain(|one| one.end <= start);
                break;
            }
            roles.push(*role);
            found.push(Match { start, end, role: *role });
        }
    }
    found
}

/// The cue among the words in front of a value.
fn cue_before(words: &[Word]) -> Option<Span> {
    let found = matches(words);
    let ends = found.iter().filter(|one| one.role == Role::End).map(|one| one.end);
    let stops = words.iter().enumerate().filter(|(_, word)| word.after_stop).map(|(at, _)| at);
    let from = ends.chain(stops).max().unwrap_or_default();
    let mut cues = found.iter().rev().filter(|one| one.role == Role::Before && one.start >= from);
    let cue = cues.find(|cue| {
        let between = words.get(cue.end..).unwrap_or_default();
        // "non-tender" is not tender, but a "non-healing ulcer" is an ulcer.
        let is_joined = words.get(cue.start).is_none_or(|word| word.text != "non");
        between.is_empty() || (is_joined && reaches(between))
    })?;
    place(words, cue)
}

/// Whether a cue reaches over `between` to the value behind: few words, or a list.
fn reaches(between: &[Word]) -> bool {
    if between.len() <= BEFORE_WORDS_MAX {
        return true;
    }
    let is_joint = |word: &Word| matches!(word.text.as_str(), "and" | "or" | "nor");
    let mut run = 0;
    for word in between {
        run = if word.after_comma || is_joint(word) { 0 } else { run + 1 };
        if run >= ITEM_WORDS_MAX {
            return false;
        }
    }
    true
}

/// The cue among the words behind a value.
fn cue_after(words: &[Word]) -> Option<Span> {
    let found = matches(words);
    let end = found.iter().find(|one| one.role == Role::End).map_or(words.len(), |one| one.start);
    let stop = words.iter().position(|word| word.after_stop).unwrap_or(words.len());
    let reach = end.min(stop).min(AFTER_WORDS_MAX + 1);
    // "CT was negative for stones" says nothing of the CT's own reason.
    let is_open = |one: &Match| words.get(one.end).is_none_or(|word| word.text != "for");
    // A cue that negates what follows, as in "fever, no cough", begins another statement.
    let next = found.iter().find(|one| one.role == Role::Before && !is_after(&found, one));
    let next = next.map_or(words.len(), |one| one.start);
    let mut cues = found.iter().filter(|one| one.role == Role::After && is_open(one));
    let cue = cues.find(|one| one.start < reach && one.start <= next)?;
    place(words, cue)
}

/// Whether a cue that looks forward begins one that looks back: "not seen".
fn is_after(found: &[Match], one: &Match) -> bool {
    found.iter().any(|other| other.role == Role::After && other.start == one.start)
}

fn place(words: &[Word], cue: &Match) -> Option<Span> {
    let first = words.get(cue.start)?;
    let last = words.get(cue.end.checked_sub(1)?)?;
    Some(Span { start: first.span.start, end: last.span.end })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::cue;
    use crate::assemble::frame::Frame;
    use crate::assemble::sections::Headings;
    use crate::types::{Span, Text};

    /// The cue of the words in square brackets.
    fn shown(marked: &str) -> Option<String> {
        let start = marked.find('[').expect("an opening bracket");
        let end = marked.find(']').expect("a closing bracket") - 1;
        let body = marked.replace(['[', ']'], "");
        let text = Text::from_pages([body.clone()]);
        let headings = Headings::new(&BTreeMap::new());
        let found = cue(Span { start, end }, &Frame::new(&text, None, &headings));
        found.map(|span| body.get(span.range()).unwrap_or_default().to_owned())
    }

    fn check(marked: &str, expected: Option<&str>) {
        assert_eq!(shown(marked).as_deref(), expected, "{marked}");
    }

    #[test]
    fn cues_in_front_reach_over_lists() {
        check("He denies [chest pain].", Some("denies"));
        check("No fever, chills, or [night sweats].", Some("No"));
        check("There was no evidence of [pneumonia]", Some("no evidence of"));
        check("Negative for [fever]", Some("Negative for"));
        check("without guarding or rebound [tenderness]", Some("without"));
        check("abdomen non-[tender]", Some("non"));
        check(
            "Denies fever, chills, weight loss, cough, shortness of breath, chest pain, nausea, vomiting or [diarrhea]",
            Some("Denies"),
        );
    }

    #[test]
    fn cues_behind_reach_back() {
        check("[Pneumonia] was ruled out.", Some("was ruled out"));
        check("[Rheumatoid factor] and ANA were negative", Some("negative"));
        check("[Fever]: negative", Some("negative"));
        check("no [fever]", Some("no"));
    }

    #[test]
    fn reach_ends_at_terms_sentences_and_semicolons() {
        check("No fever but [cough]", None);
        check("No fever. [Cough] for two days", None);
        check("Denies fever; reports [cough]", None);
        check("negative for fever; [cough] present", None);
        check("[cough], no fever", None);
        check("[CT] was negative for stones", None);
        check("[headache] which was not seen before", None);
    }

    #[test]
    fn what_looks_like_a_cue_may_be_none() {
        check("no change in [cough]", None);
        check("gram-negative [sepsis]", None);
        check("[pulmonary embolism] could not be ruled out", None);
        check("presents with [cough]", None);
        check("non-healing [ulcer]", None);
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(before in "\\PC{0,60}", after in "\\PC{0,60}") {
            let body = format!("{before}no é{after}");
            let start = before.len() + 3;
            let text = Text::from_pages([body]);
            let headings = Headings::new(&BTreeMap::new());
            cue(Span { start, end: start + 2 }, &Frame::new(&text, None, &headings));
        }
    }
}
