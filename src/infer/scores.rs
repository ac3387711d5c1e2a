//! `scores of all windows -> findings and flags`: merge, decode head by head, apply thresholds.
//!
//! Pure, and independent of the order in which windows were scored. Deliberately makes no value
//! of a span: that is `assemble`.

use std::ops::Range;

use super::classes::Votes;
use super::entities::Words;
use super::multilabel::Page;
use super::words;
use crate::config::bundle::Bundle;
use crate::config::heads::{Head, Multilabel, Placed, WordUnit};
use crate::types::{Chunks, Finding, FlagScore, Span, Text, WindowScores};

/// A span that might carry the label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index of the label in the bundle, counted through its heads.
    pub label: usize,
    /// Where.
    pub span: Span,
    /// Calibrated probability.
    pub confidence: f64,
}

/// Everything the model says of a document, before any threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Candidate spans, head by head, label by label where a head tells labels apart, then as the
    /// decoder found them.
    pub candidates: Vec<Candidate>,
    /// Labels that have a flag, with its probability, in the order of the bundle.
    pub flags: Vec<(usize, f64)>,
}

/// The scores of a document, in the order of its windows.
struct Rows<'a> {
    windows: Vec<&'a WindowScores>,
    chunks: &'a Chunks,
    token_columns: usize,
    /// Logit of a token that the gate kept from the model.
    unread_logit: f32,
}

impl<'a> Rows<'a> {
    /// The logits of one column, token by token.
    fn column(&self, column: usize) -> Vec<f32> {
        let mut logits = vec![self.unread_logit; self.chunks.tokens.len()];
        for (window, scores) in self.chunks.windows.iter().zip(&self.windows) {
            let owned = logits.get_mut(window.owned.clone()).unwrap_or_default();
            let read = scores.logits.iter().skip(column).step_by(self.token_columns.max(1));
            for (logit, read) in owned.iter_mut().zip(read) {
                *logit = *read;
            }
        }
        logits
    }

    /// The logits of these classes, window by window.
    fn classes(&self, columns: &Range<usize>) -> Vec<&'a [f32]> {
        self.windows.iter().filter_map(|scores| scores.classes.get(columns.clone())).collect()
    }

    /// The logits of a token, all columns, from the window that owns it; none where there is no
    /// such token.
    fn token(&self, token: usize) -> &'a [f32] {
        let next = self.chunks.windows.partition_point(|window| window.owned.start <= token);
        let at = next.saturating_sub(1);
        let (Some(window), Some(scores)) = (self.chunks.windows.get(at), self.windows.get(at))
        else {
            return &[];
        };
        let start = (token - window.owned.start.min(token)) * self.token_columns;
        scores.logits.get(start..start + self.token_columns).unwrap_or_default()
    }
}

/// Reads the scores of a document: `scores` are those of all windows of `chunks`, in any order.
///
/// Invariant (kept by `chunk`): no token is owned by two windows, and one by none only where the
/// bundle has a gate, and no head but multilabel ones.
pub fn decode(scores: &[WindowScores], chunks: &Chunks, text: &Text, bundle: &Bundle) -> Decoded {
    let mut windows: Vec<&WindowScores> = scores.iter().collect();
    windows.sort_by_key(|scores| scores.window);
    let token_columns = bundle.heads.token_columns();
    let unread_logit = bundle.gate.as_ref().map_or(0.0, |gate| gate.unread_logit);
    let rows = Rows { windows, chunks, token_columns, unread_logit };
    let mut decoded = Decoded::default();
    for placed in bundle.heads.iter() {
        let first_label = placed.labels.start;
        match placed.head {
            Head::Multilabel(head) => {
                decode_multilabel(&mut decoded, &rows, (head, &placed), text);
            }
            Head::Entities(head) => {
                let ranges = match head.words {
                    WordUnit::Tokenizer => words::of_tokenizer(chunks),
                    WordUnit::WhiteSpace => words::of_white_space(chunks, text),
                };
                let columns = &placed.token_columns;
                let words = Words::new(&chunks.tokens, ranges, columns, |token| rows.token(token));
                decoded.candidates.extend(words.candidates(first_label, head.calibration));
            }
            Head::Classes(head) => {
                let columns = &placed.class_columns;
                let votes = Votes(rows.classes(columns));
                decoded.candidates.extend(votes.candidate(first_label, head.temperature, chunks));
            }
        }
    }
    decoded
}

/// Label by label.
fn decode_multilabel(
    decoded: &mut Decoded,
    rows: &Rows<'_>,
    (head, placed): (&Multilabel, &Placed<'_>),
    text: &Text,
) {
    let page = Page::new(text, rows.chunks);
    let columns = placed.labels.clone().zip(placed.token_columns.clone());
    for ((index, column), label) in columns.zip(&head.labels) {
        let column = rows.column(column);
        let (candidates, flag) = page.decode(index, label, head.floor, &column);
        decoded.candidates.extend(candidates);
        decoded.flags.push((index, flag));
    }
}

/// What reaches the thresholds of the bundle: the findings, in text order, and every flag, in the
/// order of the bundle.
pub fn findings(
    scores: &[WindowScores],
    chunks: &Chunks,
    text: &Text,
    bundle: &Bundle,
) -> (Vec<Finding>, Vec<FlagScore>) {
    let Decoded { mut candidates, flags } = decode(scores, chunks, text, bundle);
    candidates.sort_by_key(|candidate| (candidate.span, candidate.label));
    let findings = candidates
        .iter()
        .filter(|candidate| candidate.confidence >= bundle.heads.threshold(candidate.label))
        .map(|candidate| Finding {
            label: candidate.label,
            span: candidate.span,
            confidence: single(candidate.confidence),
        })
        .collect();
    let flags = flags
        .into_iter()
        .map(|(label, confidence)| FlagScore {
            label,
            confidence: single(confidence),
            is_present: confidence >= bundle.heads.flag_threshold(label),
        })
        .collect();
    (findings, flags)
}

/// A probability in the precision in which it is published.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounding is meant")]
const fn single(probability: f64) -> f32 {
    probability as f32
}
