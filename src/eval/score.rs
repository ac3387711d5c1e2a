//! `predictions, answers -> figures`: matching of texts and average precision
//! (`training/DECODER.md`, section 6).
//!
//! Pure. Compares words and not positions, so that a text read from a PDF is judged by the same
//! answers. Deliberately knows no thresholds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Least share of words that two texts have in common to be the same answer (CUAD, Hendrycks et
/// al., 2021).
const JACCARD_MIN: f64 = 0.5;

/// One predicted span.
#[derive(Clone, Debug)]
pub(super) struct Predicted {
    pub(super) document: usize,
    pub(super) label: usize,
    pub(super) text: String,
    pub(super) confidence: f64,
}

/// One annotated answer.
struct Answer {
    text: String,
    words: BTreeSet<String>,
}

/// What became of one prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) confidence: f64,
    pub(super) label: usize,
    /// Answers that nothing before it had found.
    pub(super) found_count: usize,
    /// Whether it matches no answer (that is free).
    pub(super) is_wrong: bool,
}

/// How predictions and answers pair up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairing {
    /// A prediction takes the best free answer; the next one cannot have it.
    OneToOne,
    /// As the data set's own scoring: several predictions may match an answer and the other way
    /// round, and an answer of this label also counts where the prediction contains it.
    Authors {
        /// Index of `Parties`, where the model has it.
        contained_label: Option<usize>,
    },
}

/// A point of a precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) precision: f64,
    pub(super) recall: f64,
}

/// Annotated answers, by document and label.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<(usize, usize), Vec<Answer>>);

impl Answers {
    pub(super) fn add(&mut self, document: usize, label: usize, text: &str) {
        let answer = Answer { text: text.to_owned(), words: words(text) };
        self.0.entry((document, label)).or_default().push(answer);
    }

    /// Whether `document` has an answer of `label`.
    pub(super) fn has(&self, document: usize, label: usize) -> bool {
        self.0.contains_key(&(document, label))
    }

    /// Answers of `label`, or all of them.
    pub(super) fn count(&self, label: Option<usize>) -> usize {
        let is_meant = |at: usize| label.is_none_or(|label| label == at);
        self.0.iter().filter(|((_, at), _)| is_meant(*at)).map(|(_, answers)| answers.len()).sum()
    }

    /// What becomes of `predictions`, the most confident first and equal ones in their order.
    pub(super) fn rows(&self, predictions: &[Predicted], pairing: Pairing) -> Vec<Row> {
        let mut ranked: Vec<&Predicted> = predictions.iter().collect();
        ranked.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
        let mut taken: BTreeMap<(usize, usize), BTreeSet<usize>> = BTreeMap::new();
        let judge = |predicted: &Predicted| {
            let key = (predicted.document, predicted.label);
            let answers = self.0.get(&key).map(Vec::as_slice).unwrap_or_default();
            let matches = matches(predicted, answers, pairing);
            let taken = taken.entry(key).or_default();
            let (found_count, is_wrong) = match pairing {
                Pairing::OneToOne => {
                    let best = matches
                        .iter()
                        .filter(|(_, index)| !taken.contains(index))
                        .max_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
                    taken.extend(best.map(|(_, index)| *index));
                    (usize::from(best.is_some()), best.is_none())
                }
                Pairing::Authors { .. } => {
                    let before = taken.len();
                    taken.extend(matches.iter().map(|(_, index)| *index));
                    (taken.len() - before, matches.is_empty())
                }
            };
            let Predicted { confidence, label, .. } = *predicted;
            Row { confidence, label, found_count, is_wrong }
        };
        ranked.into_iter().map(judge).collect()
    }
}

/// Similarity and index of the answers that `predicted` matches.
fn matches(predicted: &Predicted, answers: &[Answer], pairing: Pairing) -> Vec<(f64, usize)> {
    if answers.is_empty() {
        return Vec::new();
    }
    let words = words(&predicted.text);
    let may_contain = match pairing {
        Pairing::OneToOne => false,
        Pairing::Authors { contained_label } => contained_label == Some(predicted.label),
    };
    answers
        .iter()
        .enumerate()
        .map(|(index, answer)| (jaccard(&words, &answer.words), index, answer))
        .filter(|(similarity, _, answer)| {
            *similarity >= JACCARD_MIN || (may_contain && predicted.text.contains(&answer.text))
        })
        .map(|(similarity, index, _)| (similarity, index))
        .collect()
}

/// Lower-case words as the data set's scoring takes them: `. , ; :` dropped, `/` a space. Curved
/// quotes and dashes count as the plain ones, which is all that CUAD's texts have; those of its
/// PDFs have the others.
fn words(text: &str) -> BTreeSet<String> {
    let plain = |c: char| match c {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2010}'..='\u{2014}' => '-',
        other => other,
    };
    let lower: String = text.to_lowercase().chars().map(plain).collect();
    // White space as Python's `str.split` has it: four information separators more than Unicode.
    let is_gap = |c: char| c == '/' || c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    lower
        .split(is_gap)
        .map(|word| word.replace(['.', ',', ';', ':'], ""))
        .filter(|word| !word.is_empty())
        .collect()
}

fn jaccard(one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
    ratio(one.intersection(other).count(), one.union(other).count())
}

/// Area under the precision-recall curve by steps: the sum of precision times recall gained,
/// equal confidences counted together. `golds` is the count of answers.
pub(super) fn average_precision(rows: &[Row], golds: usize) -> (f64, Vec<Point>) {
    let (mut found, mut wrong, mut area, mut recall) = (0, 0, 0.0, 0.0);
    let mut curve = Vec::new();
    for group in rows.chunk_by(|one, other| one.confidence.total_cmp(&other.confidence).is_eq()) {
        found += group.iter().map(|row| row.found_count).sum::<usize>();
        wrong += group.iter().filter(|row| row.is_wrong).count();
        let precision = ratio(found, (found + wrong).max(1));
        let reached = ratio(found, golds);
        area += precision * (reached - recall);
        recall = reached;
        curve.push(Point { precision, recall });
    }
    (area, curve)
}

/// Best precision at a recall of at least `wanted`; 0 if it is never reached.
pub(super) fn precision_at_recall(curve: &[Point], wanted: f64) -> f64 {
    curve.iter().filter(|at| at.recall >= wanted).map(|at| at.precision).fold(0.0, f64::max)
}

/// Expected calibration error over ten equal bins: the mean distance of confidence and truth,
/// weighted by count.
pub(super) fn calibration_error(pairs: &[(f64, bool)]) -> f64 {
    const BINS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, f64::INFINITY];
    let mut bins = BINS.map(|below| (below, 0.0, 0_usize));
    for (confidence, is_true) in pairs {
        if let Some(bin) = bins.iter_mut().find(|(below, ..)| confidence < below) {
            bin.1 += confidence;
            bin.2 += usize::from(*is_true);
        }
    }
    let gap =
        |(_, sum, hits): &(f64, f64, usize)| (sum - whole(*hits)).abs() / whole(pairs.len().max(1));
    bins.iter().map(gap).sum()
}

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Rates {
    /// Share of predictions that are right.
    #[serde(rename = "p")]
    pub precision: f64,
    /// Share of answers that were found.
    #[serde(rename = "r")]
    pub recall: f64,
    /// `2 p r / (p + r)`.
    pub f1: f64,
}

impl Rates {
    pub(super) fn of(hits: usize, predicted: usize, golds: usize) -> Self {
        let precision = ratio(hits, predicted.max(1));
        let recall = ratio(hits, golds.max(1));
        let sum = precision + recall;
        let f1 = if hits == 0 { 0.0 } else { 2.0 * precision * recall / sum };
        Self { precision, recall, f1 }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} {:.3} {:.3}", self.precision, self.recall, self.f1)
    }
}

/// `part / all`; 0 where there is nothing.
pub(super) fn ratio(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { whole(part) / whole(all) }
}

/// A count as a number to reckon with.
fn whole(count: usize) -> f64 {
    // Limit: fewer than 2^32 predictions; each has more than a byte of text in memory.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{
        Answers, Pairing, Predicted, Rates, Row, average_precision, calibration_error, jaccard,
        precision_at_recall, words,
    };

    fn predicted(text: &str, confidence: f64) -> Predicted {
        Predicted { document: 0, label: 0, text: text.to_owned(), confidence }
    }

    fn close(one: f64, other: f64) {
        assert!((one - other).abs() < 1e-12, "{one} is not {other}");
    }

    #[test]
    fn words_are_lower_case_without_stops() {
        let expected = ["and", "corp", "inc", "or", "x-y"].map(str::to_owned);
        assert!(words("X-Y, Inc. and/or\u{a0}CORP. ; .").into_iter().eq(expected));
        assert_eq!(words("\u{201c}it\u{2019}s\u{201d} \u{2013}"), words("\"it's\" -"));
        close(jaccard(&words("a b"), &words("B c")), 1.0 / 3.0);
        close(jaccard(&words(""), &words("")), 0.0);
    }

    fn verdicts(
        answers: &[&str],
        predictions: &[Predicted],
        pairing: Pairing,
    ) -> Vec<(usize, bool)> {
        let mut all = Answers::default();
        for answer in answers {
            all.add(0, 0, answer);
        }
        let rows = all.rows(predictions, pairing);
        rows.into_iter().map(|row| (row.found_count, row.is_wrong)).collect()
    }

    #[test]
    fn one_answer_serves_one_prediction() {
        let answers = ["the red fox", "the red dog"];
        let predictions =
            [predicted("red fox", 0.8), predicted("the red fox", 0.9), predicted("the red", 0.7)];
        // Best first: the exact one takes its answer, "red fox" then takes the other.
        let found = verdicts(&answers, &predictions, Pairing::OneToOne);
        assert_eq!(found, [(1, false), (0, true), (1, false)]);
        let authors = Pairing::Authors { contained_label: None };
        assert_eq!(verdicts(&answers, &predictions, authors), [(2, false), (0, false), (0, false)]);
    }

    #[test]
    fn only_the_authors_let_a_contained_party_count() {
        let predictions = [predicted("Acme and all of its heirs and assigns", 0.5)];
        for (pairing, expected) in [
            (Pairing::OneToOne, (0, true)),
            (Pairing::Authors { contained_label: Some(1) }, (0, true)),
            (Pairing::Authors { contained_label: Some(0) }, (1, false)),
        ] {
            assert_eq!(verdicts(&["Acme"], &predictions, pairing), [expected], "{pairing:?}");
        }
    }

    fn rows(rows: &[(f64, bool)]) -> Vec<Row> {
        let row = |(confidence, is_hit): &(f64, bool)| Row {
            confidence: *confidence,
            label: 0,
            found_count: usize::from(*is_hit),
            is_wrong: !is_hit,
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn average_precision_is_the_published_sum() {
        // scikit-learn's example: y = 0 0 1 1, scores = 0.1 0.4 0.35 0.8 gives 0.8333..
        let (area, curve) =
            average_precision(&rows(&[(0.8, true), (0.4, false), (0.35, true), (0.1, false)]), 2);
        close(area, 5.0 / 6.0);
        close(precision_at_recall(&curve, 0.8), 2.0 / 3.0);
        close(precision_at_recall(&curve, 1.1), 0.0);
        // Equal confidences have no order.
        let (one, _) = average_precision(&rows(&[(0.5, true), (0.5, false)]), 1);
        let (other, _) = average_precision(&rows(&[(0.5, false), (0.5, true)]), 1);
        close(one, 0.5);
        close(other, 0.5);
    }

    #[test]
    fn calibration_error_weighs_bins_by_count() {
        close(
            calibration_error(&[(0.95, true), (0.95, false), (1.0, true), (0.05, false)]),
            0.2375,
        );
        close(calibration_error(&[]), 0.0);
    }

    #[test]
    fn rates_of_nothing_are_zero() {
        assert_eq!(Rates::of(0, 0, 0), Rates::default());
        let rates = Rates::of(1, 2, 4);
        close(rates.f1, 1.0 / 3.0);
    }
}
