//! `one label's logits over a document -> its candidate spans and the flag's probability`, for a
//! multilabel head (`training/DECODER.md`).
//!
//! Deliberately applies no threshold: `scores` does.

use std::collections::BTreeSet;
use std::ops::Range;

use super::numbers::{count, largest, logit, regression, sigmoid};
use super::scores::Candidate;
use crate::config::heads::{Label, SpanCalibration, Unit};
use crate::types::{Chunks, Span, Text, TokenSpan};

/// Weight of the best token in the flag of a sentence label.
const FLAG_TOKEN: f64 = 0.4;
/// Weights of the best sentences in it, best first.
const FLAG_SENTENCES: [f64; 3] = [0.3, 0.2, 0.1];
/// Distance in tokens after which a span's place counts as much as its first 256 tokens.
const PLACE_TOKENS: f64 = 256.0;

/// A document as the decoder sees it: the same for all labels.
pub(super) struct Page<'a> {
    text: &'a str,
    tokens: &'a [TokenSpan],
    /// Token ranges of the sentences.
    sentences: &'a [Range<usize>],
}

/// One label's scores, token by token.
struct Column {
    logits: Vec<f64>,
    probabilities: Vec<f64>,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a Text, chunks: &'a Chunks) -> Self {
        Self { text: text.as_str(), tokens: &chunks.tokens, sentences: &chunks.sentences }
    }

    /// The candidates of `label`, number `index` in the bundle, in text order or, for phrases,
    /// best first; and the probability of the label's flag. `logits` are the label's, token by
    /// token; spans with a base score below `floor` are no candidates.
    pub(super) fn decode(
        &self,
        index: usize,
        label: &Label,
        floor: f64,
        logits: &[f32],
    ) -> (Vec<Candidate>, f64) {
        let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        let probabilities = logits.iter().copied().map(sigmoid).collect();
        let column = Column { logits, probabilities };
        let ranges: Vec<(Range<usize>, f64)> = self
            .ranges(label.unit, &column.probabilities)
            .into_iter()
            .map(|range| (range.clone(), column.base(&range)))
            .filter(|(_, base)| *base >= floor)
            .collect();
        let best = ranges.iter().map(|(_, base)| *base).fold(f64::NEG_INFINITY, f64::max);
        let candidate = |(range, base): (Range<usize>, f64)| {
            let confidence = column.confidence(&range, base - best, label.calibration);
            let range = match label.unit {
                Unit::Sentence => range,
                Unit::Phrase { .. } => self.whole_words(range),
            };
            Some(Candidate { label: index, span: self.span(&range)?, confidence })
        };
        let mut candidates = ranges.into_iter().filter_map(candidate).collect();
        if let Unit::Phrase { spans_max, .. } = label.unit {
            self.keep_distinct(&mut candidates, spans_max);
        }
        let flag = label.flag_calibration;
        (candidates, sigmoid(flag.b + flag.a * self.flag_score(label.unit, &column)))
    }

    /// Token ranges that may be an answer: whole sentences, or runs inside them.
    fn ranges(&self, unit: Unit, probabilities: &[f64]) -> Vec<Range<usize>> {
        match unit {
            Unit::Sentence => self.sentences.to_vec(),
            Unit::Phrase { .. } => self
                .sentences
                .iter()
                .flat_map(|sentence| runs(probabilities, sentence, unit))
                .collect(),
        }
    }

    /// Puts phrases best first and keeps each answer once: the same words again are no new one.
    fn keep_distinct(&self, candidates: &mut Vec<Candidate>, spans_max: usize) {
        candidates.sort_by(|one, other| {
            other.confidence.total_cmp(&one.confidence).then(one.span.start.cmp(&other.span.start))
        });
        let mut seen = BTreeSet::new();
        candidates.retain(|candidate| {
            let key = key(self.text.get(candidate.span.range()).unwrap_or_default());
            !key.is_empty() && seen.insert(key)
        });
        candidates.truncate(spans_max);
    }

    /// The best token, for sentences mixed with the three best sentences; where there are fewer,
    /// the least one counts for the missing ones.
    fn flag_score(&self, unit: Unit, column: &Column) -> f64 {
        let token = largest(column.logits.iter().copied());
        match unit {
            Unit::Phrase { .. } => token,
            Unit::Sentence => {
                let mut ranked: Vec<_> =
                    self.sentences.iter().map(|range| column.mean_logit(range)).collect();
                ranked.sort_by(|one, other| other.total_cmp(one));
                let least = ranked.last().copied().unwrap_or(f64::NEG_INFINITY);
                let best = ranked.into_iter().chain(std::iter::repeat(least));
                let weighted = FLAG_SENTENCES.into_iter().zip(best);
                weighted.fold(FLAG_TOKEN * token, |sum, (weight, score)| sum + weight * score)
            }
        }
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

impl Column {
    /// Logit of the mean probability of a token range.
    fn mean_logit(&self, range: &Range<usize>) -> f64 {
        let tokens = self.probabilities.get(range.clone()).unwrap_or_default();
        let total: f64 = tokens.iter().fold(0.0, |total, probability| total + probability);
        logit(total / count(range.len()))
    }

    fn largest(&self, range: &Range<usize>) -> f64 {
        largest(self.logits.get(range.clone()).unwrap_or_default().iter().copied())
    }

    /// Half how strong the tokens are together, half how strong the best of them is.
    fn base(&self, range: &Range<usize>) -> f64 {
        0.5 * self.mean_logit(range) + 0.5 * self.largest(range)
    }

    /// `behind` is the distance of the base score to the best one of the document; not above 0.
    fn confidence(&self, range: &Range<usize>, behind: f64, calibration: SpanCalibration) -> f64 {
        let features = [
            self.mean_logit(range),
            self.largest(range),
            behind,
            count(range.len()).ln(),
            (1.0 + count(range.start) / PLACE_TOKENS).ln(),
        ];
        regression(calibration.bias, calibration.weights, features)
    }
}

/// What makes two phrases the same answer: their word characters, ASCII in lower case.
fn key(text: &str) -> String {
    text.chars().filter(|c| is_word(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

/// ASCII letters and digits, and the Latin letters beyond ASCII.
const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '\u{c0}'..='\u{24f}')
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::{Page, key, runs, sigmoid};
    use crate::config::heads::{FlagCalibration, Label, SpanCalibration, Unit};
    use crate::types::{Span, Text};

    fn phrase(spans_max: usize) -> Unit {
        Unit::Phrase { extend: 0.2, seed: 0.5, gap_tokens_max: 1, spans_max }
    }

    fn label(unit: Unit) -> Label {
        Label {
            name: "Parties".to_owned(),
            unit,
            threshold: 0.5,
            calibration: SpanCalibration { bias: 0.0, weights: [1.0, 0.0, 0.0, 0.0, 0.0] },
            flag_threshold: 0.5,
            flag_calibration: FlagCalibration { a: 1.0, b: 0.0 },
        }
    }

    /// Spans of the words of `text` at single spaces; `|` splits a word into two tokens.
    fn page(marked: &str) -> (Text, Vec<Span>) {
        let (mut body, mut tokens, mut start) = (String::new(), Vec::new(), 0);
        for c in marked.chars().chain([' ']) {
            if c == ' ' || c == '|' {
                tokens.push(Span { start, end: body.len() });
            }
            if c != '|' {
                body.push(c);
            }
            if c == ' ' || c == '|' {
                start = body.len();
            }
        }
        (Text::from_pages([body]), tokens)
    }

    /// Sentences that end with a token that ends with a full stop.
    fn sentences(text: &Text, tokens: &[Span]) -> Vec<Range<usize>> {
        let is_end = |token: &Span| text.slice(*token).unwrap().trim_end().ends_with('.');
        let mut start = 0;
        let mut ranges: Vec<_> = (0..tokens.len())
            .filter(|index| is_end(&tokens[*index]))
            .map(|index| std::mem::replace(&mut start, index + 1)..index + 1)
            .collect();
        ranges.extend(Some(start..tokens.len()).filter(|last| !last.is_empty()));
        ranges
    }

    /// The candidates and the flag of these logits over `marked`.
    fn decoded(marked: &str, unit: Unit, logits: &[f32]) -> (Vec<String>, f64) {
        let (text, tokens) = page(marked);
        let sentences = sentences(&text, &tokens);
        let page = Page { text: text.as_str(), tokens: &tokens, sentences: &sentences };
        let (candidates, flag) = page.decode(0, &label(unit), -4.0, logits);
        let words = |span| text.slice(span).unwrap().to_owned();
        (candidates.iter().map(|candidate| words(candidate.span)).collect(), flag)
    }

    /// What is found in `marked` with these logits, best first.
    fn found(marked: &str, unit: Unit, logits: &[f32]) -> Vec<String> {
        decoded(marked, unit, logits).0
    }

    #[test]
    fn runs_bridge_short_gaps_and_need_a_seed() {
        let check = |probabilities: &[f64], sentence: Range<usize>, expected: &[(usize, usize)]| {
            let runs = runs(probabilities, &sentence, phrase(9));
            let found: Vec<_> = runs.into_iter().map(|run| (run.start, run.end)).collect();
            assert_eq!(found, expected, "{probabilities:?}");
        };
        check(&[0.1, 0.3, 0.6, 0.1], 0..4, &[(1, 3)]);
        check(&[0.6, 0.1, 0.2, 0.1, 0.1, 0.9], 0..6, &[(0, 3), (5, 6)]);
        check(&[0.3, 0.4, 0.3], 0..3, &[]);
        check(&[0.6, 0.1, 0.1, 0.3], 0..4, &[(0, 1)]);
        check(&[], 0..0, &[]);
        // A run ends with its sentence.
        check(&[0.6, 0.6, 0.6, 0.6], 1..3, &[(1, 3)]);
    }

    #[test]
    fn phrases_are_whole_words_and_each_answer_counts_once() {
        let marked = "Ac|me Inc and ACME inc, to|gether";
        let logits = [-9.0, 3.0, -9.0, -9.0, 2.0, 2.0, 1.0, -9.0];
        assert_eq!(found(marked, phrase(9), &logits), ["Acme", "ACME inc, together"]);
        let logits = [3.0, 3.0, -9.0, -9.0, 2.0, -9.0, -9.0, -9.0];
        assert_eq!(found(marked, phrase(9), &logits), ["Acme"], "the better of the two stays");
        assert_eq!(found(marked, phrase(0), &logits), [""; 0]);
    }

    #[test]
    fn sentences_below_the_floor_are_no_candidates() {
        let marked = "One is strong. Two is weak. Three too.";
        let logits = [2.0, 2.0, 2.0, -1.0, -1.0, -1.0, -9.0, -9.0];
        assert_eq!(found(marked, Unit::Sentence, &logits), ["One is strong.", "Two is weak."]);
    }

    #[test]
    fn the_flag_of_a_phrase_is_its_best_token() {
        let (_, flag) = decoded("one two three", phrase(1), &[-5.0, 1.5, -2.0]);
        assert!((flag - sigmoid(1.5)).abs() < 1e-12);
        let (_, flag) = decoded("one two three", Unit::Sentence, &[1.5, 1.5, 1.5]);
        assert!((flag - sigmoid(1.5)).abs() < 1e-12, "mean and best agree");
    }

    #[test]
    fn the_flag_of_sentences_mixes_the_three_best() {
        // Sentences of equal tokens: their mean logit is that of each token.
        for (marked, logits, expected) in [
            ("One is. Two is. Three is.", &[1.0, 1.0, 2.0, 2.0, -3.0, -3.0][..], 1.4 + 0.2 - 0.3),
            ("One is. Two is. Three is.", &[-3.0, -3.0, 1.0, 1.0, 2.0, 2.0], 1.4 + 0.2 - 0.3),
            ("One is. Two is.", &[1.0, 1.0, 2.0, 2.0], 1.4 + 0.3),
            ("One is", &[2.0, 2.0], 2.0),
            ("A is. B is. C is. D is.", &[2.0, 2.0, -9.0, -9.0, 2.0, 2.0, 2.0, 2.0], 2.0),
        ] {
            let (_, flag) = decoded(marked, Unit::Sentence, logits);
            assert!((flag - sigmoid(expected)).abs() < 1e-12, "{logits:?}: {flag}");
        }
    }

    #[test]
    fn the_key_keeps_word_characters_only() {
        assert_eq!(key(" A-c.M\u{c9} 7\u{4e2d}\u{201d}"), "acm\u{c9}7");
    }
}
