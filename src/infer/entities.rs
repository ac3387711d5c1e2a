//! `an entities head's logits over a document -> labelled spans of words`
//! (`training/DECODER.md`).
//!
//! The best path of a text is the one of the highest probability among those that the tags allow
//! (Viterbi, 1967): inside a label only after its begin or inside. Deliberately applies no
//! threshold: `scores` does.

use std::ops::Range;

use super::numbers::{argmax, count, log_softmax, logit, regression};
use super::scores::Candidate;
use crate::config::heads::EntityCalibration;
use crate::types::Span;

/// What an entities head says of the words of a document.
pub(super) struct Words<'a> {
    tokens: &'a [Span],
    /// Tokens of each word.
    ranges: Vec<Range<usize>>,
    /// Log-probabilities, one row a word, one column a tag: `O, B-1, I-1, B-2, I-2, ..`.
    scores: Vec<f64>,
    columns: usize,
}

impl<'a> Words<'a> {
    /// A word is told by its first token. `row` gives all logits of a token, `columns` says which
    /// are the head's.
    pub(super) fn new<'b>(
        tokens: &'a [Span],
        ranges: Vec<Range<usize>>,
        columns: &Range<usize>,
        row: impl Fn(usize) -> &'b [f32],
    ) -> Self {
        let mut scores = Vec::with_capacity(ranges.len() * columns.len());
        for word in &ranges {
            let start = scores.len();
            let logits = row(word.start);
            let logits = logits.get(columns.clone()).unwrap_or_default();
            scores.extend(logits.iter().copied().map(f64::from));
            log_softmax(scores.get_mut(start..).unwrap_or_default());
        }
        Self { tokens, ranges, scores, columns: columns.len() }
    }

    /// The spans in text order; their labels count from `first_label`.
    pub(super) fn candidates(
        &self,
        first_label: usize,
        calibration: EntityCalibration,
    ) -> Vec<Candidate> {
        spans(&self.path())
            .into_iter()
            .filter_map(|(label, words)| {
                let features = self.features(label, &words);
                let confidence = regression(calibration.bias, calibration.weights, features);
                Some(Candidate { label: first_label + label, span: self.span(&words)?, confidence })
            })
            .collect()
    }

    /// Tags of the words.
    fn path(&self) -> Vec<usize> {
        let mut rows = self.scores.chunks_exact(self.columns.max(1));
        let Some(first) = rows.next() else { return Vec::new() };
        let start = |(tag, score): (usize, &f64)| {
            if is_inside(tag) { f64::NEG_INFINITY } else { *score }
        };
        let mut scores: Vec<f64> = first.iter().enumerate().map(start).collect();
        // For each further word the best tag before it, and by label whether its inside goes on
        // from an inside.
        let mut steps: Vec<(usize, Vec<bool>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let best = argmax(scores.iter().copied());
            let mut goes_on = Vec::with_capacity(self.columns / 2);
            let mut before = f64::NEG_INFINITY;
            let mut next = Vec::with_capacity(self.columns);
            for (tag, (score, emitted)) in scores.iter().zip(row).enumerate() {
                let from = if is_inside(tag) {
                    goes_on.push(*score > before);
                    before.max(*score)
                } else {
                    scores.get(best).copied().unwrap_or(f64::NEG_INFINITY)
                };
                before = *score;
                next.push(from + emitted);
            }
            steps.push((best, goes_on));
            scores = next;
        }
        let mut tag = argmax(scores.into_iter());
        let mut path = vec![tag];
        for (best, goes_on) in steps.iter().rev() {
            tag = match (is_inside(tag), goes_on.get((tag / 2).saturating_sub(1))) {
                (true, Some(true)) => tag,
                (true, Some(false) | None) => tag - 1,
                (false, _) => *best,
            };
            path.push(tag);
        }
        path.reverse();
        path
    }

    /// Logit of the mean and of the smallest probability of the label's two tags over the words,
    /// and the logarithm of their number.
    fn features(&self, label: usize, words: &Range<usize>) -> [f64; 3] {
        let tags = 1 + 2 * label..3 + 2 * label;
        let (mut total, mut smallest) = (0.0, f64::INFINITY);
        for word in words.clone() {
            let row = self.scores.get(word * self.columns..).unwrap_or_default();
            let of_label = row.get(tags.clone()).unwrap_or_default();
            let share = of_label.iter().fold(0.0, |share, score| share + score.exp());
            total += share;
            smallest = smallest.min(share);
        }
        let length = count(words.len());
        [logit(total / length), logit(smallest), length.ln()]
    }

    /// From the start of the first word to the end of the last.
    fn span(&self, words: &Range<usize>) -> Option<Span> {
        let mine = self.ranges.get(words.clone())?;
        let tokens = self.tokens.get(mine.first()?.start..mine.last()?.end)?;
        Some(Span { start: tokens.first()?.start, end: tokens.last()?.end })
    }
}

/// Whether a column is the inside of a label.
const fn is_inside(tag: usize) -> bool {
    tag > 0 && tag.is_multiple_of(2)
}

/// Labels and word ranges of a path: a begin and the insides after it.
fn spans(path: &[usize]) -> Vec<(usize, Range<usize>)> {
    let mut found: Vec<(usize, Range<usize>)> = Vec::new();
    for (word, tag) in path.iter().copied().enumerate() {
        if is_inside(tag) {
            if let Some((_, words)) = found.last_mut() {
                words.end = word + 1;
            }
        } else if tag > 0 {
            found.push(((tag - 1) / 2, word..word + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Words;
    use crate::config::heads::EntityCalibration;
    use crate::types::Span;

    const CALIBRATION: EntityCalibration =
        EntityCalibration { bias: 0.5, weights: [1.0, 0.25, -0.5] };

    /// Tokens ten bytes apart and nine long.
    fn tokens(count: usize) -> Vec<Span> {
        (0..count).map(|index| Span { start: 10 * index, end: 10 * index + 9 }).collect()
    }

    /// Words of one token each, the logits of which are `rows`.
    fn words<'a>(tokens: &'a [Span], rows: &[&[f32]]) -> Words<'a> {
        let ranges = (0..rows.len()).map(|index| index..index + 1).collect();
        let columns = rows.first().map_or(0, |row| row.len());
        Words::new(tokens, ranges, &(0..columns), |token| rows[token])
    }

    fn path(rows: &[&[f32]]) -> Vec<usize> {
        words(&tokens(rows.len()), rows).path()
    }

    #[test]
    fn an_inside_needs_its_own_begin() {
        // Columns: O, B-1, I-1, B-2, I-2.
        for (rows, expected) in [
            (vec![[0.0, 0.0, 9.0, 0.0, 0.0]], vec![0]),
            (vec![[0.0, 1.0, 9.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0, 0.0]], vec![1, 2]),
            // The first inside is likelier after a weak begin than no label at all.
            (vec![[2.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0, 0.0]], vec![1, 2]),
            (vec![[9.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0, 0.0]], vec![0, 0]),
            // An inside of another label does not go on.
            (vec![[0.0, 9.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 3.0]], vec![1, 0]),
            // Equal ones: the lower column.
            (vec![[1.0; 5], [1.0; 5]], vec![0, 0]),
        ] {
            let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
            assert_eq!(path(&rows), expected, "{rows:?}");
        }
    }

    #[test]
    fn a_span_takes_its_words_from_first_token_to_last() {
        let tokens = tokens(5);
        let rows = [[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [9.0; 3], [0.0, 0.0, 9.0], [9.0; 3]];
        let words = Words::new(&tokens, vec![0..1, 1..3, 3..5], &(0..3), |token| &rows[token]);
        let found = words.candidates(7, CALIBRATION);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].span), (7, Span { start: 10, end: 49 }));
        // Both words: p(B) + p(I) = (1 + e^-9) / (1 + 2 e^-9), so that mean and smallest agree.
        let share = (1.0 + (-9.0_f64).exp()) / (1.0 + 2.0 * (-9.0_f64).exp());
        let logit = (share / (1.0 - share)).ln();
        let expected = 1.0 / (1.0 + (-(0.5 + 1.25 * logit - 0.5 * 2.0_f64.ln())).exp());
        assert!((found[0].confidence - expected).abs() < 1e-12);
    }

    #[test]
    fn a_text_without_words_has_no_spans() {
        assert!(words(&[], &[]).candidates(0, CALIBRATION).is_empty());
    }

    proptest! {
        /// Against every allowed path, by its total.
        #[test]
        fn no_allowed_path_is_likelier(
            rows in prop::collection::vec(prop::array::uniform5(-3_i8..4), 1..6),
        ) {
            let rows: Vec<[f32; 5]> = rows.iter().map(|row| row.map(f32::from)).collect();
            let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
            let tokens = tokens(rows.len());
            let words = words(&tokens, &rows);
            let total = |path: &[usize]| -> f64 {
                path.iter().enumerate().map(|(word, tag)| words.scores[word * 5 + tag]).sum()
            };
            let allowed = |path: &[usize]| {
                let before = [0].iter().chain(path);
                before.zip(path).all(|(from, to)| ![2, 4].contains(to) || from == to || from + 1 == *to)
            };
            let found = words.path();
            prop_assert!(allowed(&found), "{found:?}");
            let paths = u32::try_from(rows.len()).unwrap();
            for number in 0..5_usize.pow(paths) {
                let path: Vec<_> = (0..paths).map(|word| number / 5_usize.pow(word) % 5).collect();
                if allowed(&path) {
                    prop_assert!(total(&found) >= total(&path) - 1e-9, "{found:?}, {path:?}");
                }
            }
        }
    }
}
