//! `findings -> marks`: spans of one label, trimmed, merged, in text order.
//!
//! Deliberately makes no value; a mark only says where the model points.

use std::collections::BTreeMap;

use super::{check_label, check_probability, ungrounded};
use crate::types::{Evidence, Finding, Reject, Sensitive, Span, Text};

/// One place that the model marks with one label.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Mark {
    pub(super) span: Span,
    pub(super) confidence: f32,
}

/// Marks per label, in text order without overlap. Overlapping findings become one mark over both,
/// as sure as the surer; then each is trimmed, and what is empty by then is dropped.
pub(super) fn marks_by_label(
    findings: &[Finding],
    text: &Text,
    label_count: usize,
) -> Result<BTreeMap<usize, Vec<Mark>>, Reject> {
    let mut by_label: BTreeMap<usize, Vec<Mark>> = BTreeMap::new();
    for finding in findings {
        check_label(finding.label, label_count)?;
        check_probability(finding.confidence)?;
        if text.slice(finding.span).is_none() {
            let Span { start, end } = finding.span;
            return Err(ungrounded(format!(
                "a finding at bytes {start}..{end} is not in the text"
            )));
        }
        let mark = Mark { span: finding.span, confidence: finding.confidence };
        by_label.entry(finding.label).or_default().push(mark);
    }
    for marks in by_label.values_mut() {
        marks.sort_by_key(|mark| mark.span);
        let mut merged: Vec<Mark> = Vec::with_capacity(marks.len());
        for mark in marks.drain(..) {
            match merged.last_mut() {
                Some(last) if mark.span.start < last.span.end || mark.span == last.span => {
                    last.span.end = last.span.end.max(mark.span.end);
                    last.confidence = last.confidence.max(mark.confidence);
                }
                Some(_) | None => merged.push(mark),
            }
        }
        *marks = merged
            .into_iter()
            .map(|mark| Mark { span: trim(mark.span, text), ..mark })
            .filter(|mark| !mark.span.is_empty())
            .collect();
    }
    Ok(by_label)
}

/// The mark with its words and places.
pub(super) fn evidence(mark: Mark, text: &Text) -> Result<Evidence, Reject> {
    let Span { start, end } = mark.span;
    let Some(raw) = text.slice(mark.span) else {
        return Err(ungrounded(format!("bytes {start}..{end} are not in the text")));
    };
    Ok(Evidence {
        raw: Sensitive::new(raw.to_owned()),
        span: mark.span,
        scalars: Span { start: text.scalars_before(start), end: text.scalars_before(end) },
        page: text.page_of(start),
        confidence: mark.confidence,
        original: None,
    })
}

/// Quotation marks, straight and typographic.
const QUOTES: &[char] = &['"', '\'', '“', '”', '‘', '’', '„', '«', '»', '`', '´'];

/// Pairs whose lone half at an end of a span is dropped, as is a pair around the whole span.
const PARENTHESES: (char, char) = ('(', ')');
const BRACKETS: (char, char) = ('[', ']');

/// `span` without white space, quotation marks, separators and half brackets at its ends. A final
/// full stop stays: it may belong to the word ("Inc."); square brackets around the whole stay too,
/// since they mark what was left blank.
fn trim(span: Span, text: &Text) -> Span {
    let mut span = span;
    loop {
        let Some(words) = text.slice(span) else { return span };
        let (first, last) = (words.chars().next(), words.chars().next_back());
        let (Some(first), Some(last)) = (first, last) else { return span };
        if is_dropped_first(first, words) {
            span.start += first.len_utf8();
        } else if is_dropped_last(last, words) {
            span.end -= last.len_utf8();
        } else {
            return span;
        }
    }
}

fn is_edge(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || QUOTES.contains(&letter)
        || ",;:".contains(letter)
}

fn is_dropped_first(first: char, words: &str) -> bool {
    is_edge(first)
        || (first == '.' && !words.starts_with(".."))
        || matches!(first, ')' | ']')
        || (first == '(' && (words.ends_with(')') || !closes(words, PARENTHESES)))
        || (first == '[' && !closes(words, BRACKETS))
}

fn is_dropped_last(last: char, words: &str) -> bool {
    is_edge(last)
        || matches!(last, '(' | '[')
        || (last == ')' && !opens(words, PARENTHESES))
        || (last == ']' && !opens(words, BRACKETS))
}

/// Limit: in words longer than this, in bytes, brackets are not paired but left: pairing at every
/// step takes the square of the length, and a clause so long is no value with stray brackets.
const PAIRED_BYTES_MAX: usize = 1 << 10;

/// Whether the opening half with which `words` begin is closed in them.
fn closes(words: &str, (open, close): (char, char)) -> bool {
    let mut depth = 0_usize;
    if words.len() > PAIRED_BYTES_MAX {
        return true;
    }
    for letter in words.chars() {
        if letter == open {
            depth += 1;
        } else if letter == close {
            depth -= 1;
            if depth == 0 {
                return true;
            }
        }
    }
    false
}

/// Whether the closing half with which `words` end was opened in them.
fn opens(words: &str, (open, close): (char, char)) -> bool {
    let mut depth = 0_usize;
    if words.len() > PAIRED_BYTES_MAX {
        return true;
    }
    for letter in words.chars().rev() {
        if letter == close {
            depth += 1;
        } else if letter == open {
            depth -= 1;
            if depth == 0 {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Mark, marks_by_label, trim};
    use crate::types::{Finding, RejectCode, Span, Text};

    fn check(words: &str, expected: &str) {
        let text = Text::from_pages([words.to_owned()]);
        let span = trim(Span { start: 0, end: words.len() }, &text);
        assert_eq!(text.slice(span), Some(expected), "of {words:?}");
    }

    #[test]
    fn trimming_drops_what_no_value_begins_or_ends_with() {
        check("  Acme, Inc.,\n", "Acme, Inc.");
        check("“Acme”", "Acme");
        check("(the \"Agent\")", "the \"Agent");
        check("(the \"Parties", "the \"Parties");
        check("Acme (USA)", "Acme (USA)");
        check("1st day of April, 2018 (", "1st day of April, 2018");
        check("(1st) day of January, 1996", "(1st) day of January, 1996");
        check("[●]", "[●]");
        check("[___], 2020", "[___], 2020");
        check(", 2009", "2009");
        check(" , ", "");
        check("", "");
    }

    fn merged(findings: &[(usize, usize, f32)]) -> Vec<(usize, usize, f32)> {
        let text = Text::from_pages(["abcdefghij".to_owned()]);
        let findings: Vec<_> = findings
            .iter()
            .map(|(start, end, confidence)| Finding {
                label: 0,
                span: Span { start: *start, end: *end },
                confidence: *confidence,
            })
            .collect();
        let marks = marks_by_label(&findings, &text, 1).expect("findings are sound");
        marks
            .into_values()
            .flatten()
            .map(|Mark { span, confidence }| (span.start, span.end, confidence))
            .collect()
    }

    #[test]
    fn overlapping_findings_are_one_mark_and_touching_ones_two() {
        assert_eq!(merged(&[(4, 6, 0.5), (0, 2, 0.1), (1, 5, 0.9)]), [(0, 6, 0.9)]);
        assert_eq!(merged(&[(2, 4, 0.5), (0, 2, 0.1)]), [(0, 2, 0.1), (2, 4, 0.5)]);
        assert_eq!(merged(&[(3, 3, 0.5)]), []);
    }

    #[test]
    fn a_finding_outside_the_text_is_ungrounded() {
        let text = Text::from_pages(["é".to_owned()]);
        for (start, end) in [(0, 1), (0, 3), (2, 1)] {
            let finding = Finding { label: 0, span: Span { start, end }, confidence: 0.5 };
            let reject = marks_by_label(&[finding], &text, 1).err().expect("the span is unsound");
            assert_eq!(reject.code, RejectCode::Ungrounded);
        }
    }

    proptest! {
        #[test]
        fn trimming_stays_inside_and_ends_at_a_fixed_point(words in "\\PC{0,40}") {
            let text = Text::from_pages([words.clone()]);
            let once = trim(Span { start: 0, end: words.len() }, &text);
            prop_assert!(text.slice(once).is_some());
            prop_assert_eq!(trim(once, &text), once);
        }
    }
}
