//! `one label's logits over a document -> its candidate spans and the flag's probability`
//! (`training/DECODER.md`, decoder version 1).
//!
//! All arithmetic is in double precision and sums run from left to right, as in the reference.
//! Deliberately applies no threshold: `scores` does.

use std::collections::BTreeSet;
use std::ops::Range;

use super::sentences;
use crate::config::bundle::{Calibration, Label, Unit};
use crate::types::{Span, Text, TokenSpan};

/// Probabilities are kept so far from 0 and 1 before a logarithm is taken.
const CLAMP: f64 = 1e-9;
/// Score that stands for "nothing at all" in the flag.
const FLOOR: f64 = -20.0;
/// Distance in tokens over which a span's place costs `position_weight * ln 2`.
const POSITION_SCALE_TOKENS: f64 = 256.0;

/// A document as the decoder sees it: the same for all labels.
pub(super) struct Page<'a> {
    text: &'a str,
    tokens: &'a [TokenSpan],
    /// Token ranges of the sentences that hold a token.
    sentences: Vec<Range<usize>>,
}

/// A span that might carry the label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index of the label in the bundle.
    pub label: usize,
    /// Where.
    pub span: Span,
    /// Calibrated probability.
    pub confidence: f64,
}

/// A span with its score before calibration.
struct Scored {
    span: Span,
    raw: f64,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a Text, tokens: &'a [TokenSpan]) -> Self {
        let text = text.as_str();
        let mut sentences = Vec::new();
        let mut starts = sentences::starts(text).into_iter().peekable();
        let mut first = 0;
        for (index, token) in tokens.iter().enumerate() {
            let mut is_new = false;
            while starts.next_if(|start| *start <= token.start).is_some() {
                is_new = true;
            }
            if is_new && index > first {
                sentences.push(first..index);
                first = index;
            }
        }
        if tokens.len() > first {
            sentences.push(first..tokens.len());
        }
        Self { text, tokens, sentences }
    }

    /// The candidates of `label`, number `index` in the bundle, and the probability of its flag.
    /// `column` holds the label's logit for each token.
    pub(super) fn decode(
        &self,
        index: usize,
        label: &Label,
        column: &[f32],
    ) -> (Vec<Candidate>, f64) {
        let logits: Vec<f64> = column.iter().copied().map(f64::from).collect();
        let probabilities: Vec<f64> = logits.iter().copied().map(sigmoid).collect();
        let scored = match label.unit {
            Unit::Sentence { tokens_min } => {
                self.sentence_spans(tokens_min, label.position_weight, &probabilities)
            }
            Unit::Phrase { .. } => self.phrase_spans(label, &probabilities),
        };
        let best_token = logits.iter().copied().fold(FLOOR, f64::max);
        let best_span = scored.iter().map(|scored| scored.raw).fold(FLOOR, f64::max);
        let flag = apply(label.flag_calibration, 0.5 * best_token + 0.5 * best_span);
        let candidate = |scored: Scored| Candidate {
            label: index,
            span: scored.span,
            confidence: apply(label.calibration, scored.raw),
        };
        (scored.into_iter().map(candidate).collect(), flag)
    }

    fn sentence_spans(&self, tokens_min: usize, weight: f64, probabilities: &[f64]) -> Vec<Scored> {
        self.sentences
            .iter()
            .filter(|range| range.len() >= tokens_min)
            .filter_map(|range| {
                let raw = raw_score(probabilities, range, weight);
                Some(Scored { span: self.span(range)?, raw })
            })
            .collect()
    }

    fn phrase_spans(&self, label: &Label, probabilities: &[f64]) -> Vec<Scored> {
        let Unit::Phrase { spans_max, .. } = label.unit else { return Vec::new() };
        let mut found: Vec<Scored> = self
            .sentences
            .iter()
            .flat_map(|sentence| runs(probabilities, sentence, label.unit))
            .filter_map(|run| {
                let raw = raw_score(probabilities, &run, label.position_weight);
                Some(Scored { span: self.span(&self.whole_words(run))?, raw })
            })
            .collect();
        found.sort_by(|one, other| {
            other.raw.total_cmp(&one.raw).then(one.span.start.cmp(&other.span.start))
        });
        // The same name again is no new answer: the best one stays, the first if equal.
        let mut seen = BTreeSet::new();
        found.retain(|scored| {
            let key = key(self.text.get(scored.span.range()).unwrap_or_default());
            !key.is_empty() && seen.insert(key)
        });
        found.truncate(spans_max);
        found
    }

    /// From the start of the first token to the end of the last.
    fn span(&self, range: &Range<usize>) -> Option<Span> {
        let tokens = self.tokens.get(range.clone())?;
        Some(Span { start: tokens.first()?.start, end: tokens.last()?.end })
    }

    /// Widens a token range over the tokens that continue a word.
    fn whole_words(&self, range: Range<usize>) -> Range<usize> {
        let Range { start: mut first, end: mut last } = range;
        while self.is_joined(first) {
            first -= 1;
        }
        while self.is_joined(last) {
            last += 1;
        }
        first..last
    }

    /// Whether token `index` and the one before it are parts of one word.
    fn is_joined(&self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1).and_then(|before| self.tokens.get(before)) else {
            return false;
        };
        let Some(token) = self.tokens.get(index).filter(|token| token.start == before.end) else {
            return false;
        };
        let (left, right) = self.text.split_at_checked(token.start).unwrap_or_default();
        left.chars().next_back().is_some_and(is_word) && right.chars().next().is_some_and(is_word)
    }
}

/// Token runs inside one sentence: tokens of at least `extend`, at most `gap_tokens_max` weaker
/// ones between them, the best of at least `seed`.
fn runs(probabilities: &[f64], sentence: &Range<usize>, unit: Unit) -> Vec<Range<usize>> {
    let Unit::Phrase { extend, seed, gap_tokens_max, .. } = unit else { return Vec::new() };
    let mut found = Vec::new();
    let mut open: Option<(Range<usize>, f64)> = None;
    let tokens = probabilities.get(sentence.clone()).unwrap_or_default();
    for (index, probability) in (sentence.start..).zip(tokens.iter().copied()) {
        if probability < extend {
            continue;
        }
        match &mut open {
            Some((run, best)) if index - run.end <= gap_tokens_max => {
                run.end = index + 1;
                *best = best.max(probability);
            }
            Some(_) | None => found.extend(open.replace((index..index + 1, probability))),
        }
    }
    found.extend(open);
    found.into_iter().filter(|(_, best)| *best >= seed).map(|(run, _)| run).collect()
}

/// Logit of the mean probability, less a penalty that grows with the place in the text.
fn raw_score(probabilities: &[f64], range: &Range<usize>, position_weight: f64) -> f64 {
    let tokens = probabilities.get(range.clone()).unwrap_or_default();
    let total: f64 = tokens.iter().fold(0.0, |total, probability| total + probability);
    let place = 1.0 + count(range.start) / POSITION_SCALE_TOKENS;
    logit(total / count(range.len())) - position_weight * place.ln()
}

/// What makes two phrases the same answer: their word characters, ASCII in lower case.
fn key(text: &str) -> String {
    text.chars().filter(|c| is_word(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

/// ASCII letters and digits, and the Latin letters beyond ASCII.
const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '\u{c0}'..='\u{24f}')
}

fn apply(calibration: Calibration, score: f64) -> f64 {
    sigmoid(calibration.a * score + calibration.b)
}

/// The logistic function, in the form that never overflows.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(CLAMP, 1.0 - CLAMP);
    (p / (1.0 - p)).ln()
}

/// A count as a number to reckon with.
fn count(tokens: usize) -> f64 {
    // Limit: a text has fewer than 2^32 tokens, since its bytes are fewer.
    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX))
}
