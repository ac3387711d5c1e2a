//! `candidates and flags, answers -> figures`, as a table for people and as JSON.
//!
//! Pure but for writing the table. The names in JSON are those of `training/evaluate.py`.

use std::io::{self, Write};

use serde::Serialize;

use super::data::Record;
use super::labels::Labels;
use super::predict::{Found, Prediction};
use super::score::{
    Answers, Pairing, Predicted, Rates, Row, average_precision, calibration_error,
    precision_at_recall, ratio,
};
use crate::config::heads::Heads;

/// Labels with fewer positive documents do not count in the mean of flags.
const POSITIVES_MIN: usize = 3;
/// Label that the authors of CUAD also count where the prediction contains the answer.
const CONTAINED_LABEL: &str = "Parties";
/// Recall at which precision is given, as in the paper on CUAD.
const RECALL_WANTED: f64 = 0.8;

/// Figures of clauses.
#[derive(Clone, Debug, Serialize)]
pub struct ClauseFigures {
    /// Documents judged.
    pub documents: usize,
    /// Average precision of the flag per document, mean over labels with at least three positive
    /// documents.
    pub flag_map: f64,
    /// Flags at their thresholds, all labels pooled.
    pub flag_micro: Rates,
    /// Expected calibration error of the flags.
    pub flag_ece: f64,
    /// Area under the pooled precision-recall curve of spans, one prediction to one answer.
    pub span_aupr_one_to_one: f64,
    /// The same as the authors of CUAD score it.
    pub span_aupr_authors: f64,
    /// Share of answers that any candidate finds.
    pub span_recall_of_candidates: f64,
    /// Best precision of spans at a recall of at least 0.8.
    pub span_p_at_80r: f64,
    /// Spans at their thresholds, all labels pooled.
    pub span_micro: Rates,
    /// Expected calibration error of spans.
    pub span_ece: f64,
    /// Label by label, in the order of the bundle.
    pub labels: Vec<ClauseLabelFigures>,
}

/// The figures of one label.
#[derive(Clone, Debug, Serialize)]
pub struct ClauseLabelFigures {
    /// Name.
    pub label: String,
    /// Documents that have an answer.
    pub documents: usize,
    /// Answers.
    pub spans: usize,
    /// Average precision of the flag; absent where no document has an answer.
    pub flag_ap: Option<f64>,
    /// The flag at its threshold.
    pub flag: Rates,
    /// Area under the precision-recall curve of its spans; absent where there is no answer.
    pub span_aupr: Option<f64>,
    /// Its spans at their threshold.
    pub span: Rates,
}

/// Flag of one label in one document: probability and truth.
type FlagPair = (f64, bool);

/// The answers of `records`, by the labels of the model.
pub(super) fn answers(records: &[Record], known: &Labels) -> Answers {
    let mut answers = Answers::default();
    for (document, record) in records.iter().enumerate() {
        for gold in &record.golds {
            let text = record.text.get(gold.span.range()).unwrap_or_default();
            if let Some(label) = known.get(&gold.label) {
                answers.add(document, label, text);
            }
        }
    }
    answers
}

/// Judges what `predictions` say of `labels` by `answers`; the n-th prediction is of document n.
pub(super) fn figures(
    heads: &Heads,
    labels: &[usize],
    predictions: &[Prediction],
    answers: &Answers,
) -> ClauseFigures {
    let predicted = |(document, found): (usize, &Found)| Predicted {
        document,
        label: found.label,
        text: found.text.clone(),
        confidence: found.confidence,
    };
    let spans: Vec<Predicted> = predictions
        .iter()
        .enumerate()
        .flat_map(|(document, one)| one.found.iter().map(move |found| (document, found)))
        .filter(|(_, found)| labels.contains(&found.label))
        .map(predicted)
        .collect();
    let rows = answers.rows(&spans, Pairing::OneToOne);
    let contained_label = heads.label_names().position(|name| name == CONTAINED_LABEL);
    let authors = answers.rows(&spans, Pairing::Authors { contained_label });
    let golds = answers.count(None);
    let (span_aupr_one_to_one, curve) = average_precision(&rows, golds);
    let flags: Vec<(usize, Vec<FlagPair>)> =
        labels.iter().map(|label| (*label, flag_pairs(*label, predictions, answers))).collect();
    let labels: Vec<ClauseLabelFigures> = flags
        .iter()
        .map(|(label, flags)| label_figures(heads, *label, flags, &rows, answers))
        .collect();
    let counted: Vec<f64> = labels
        .iter()
        .filter(|label| label.documents >= POSITIVES_MIN)
        .filter_map(|label| label.flag_ap)
        .collect();
    let pooled: Vec<FlagPair> = flags.iter().flat_map(|(_, pairs)| pairs).copied().collect();
    let hits: Vec<FlagPair> =
        rows.iter().map(|row| (row.confidence, row.found_count > 0)).collect();
    ClauseFigures {
        documents: predictions.len(),
        flag_map: counted.iter().sum::<f64>() * ratio(1, counted.len()),
        flag_micro: flag_rates(heads, &flags),
        flag_ece: calibration_error(&pooled),
        span_aupr_one_to_one,
        span_aupr_authors: average_precision(&authors, golds).0,
        span_recall_of_candidates: curve.last().map_or(0.0, |last| last.recall),
        span_p_at_80r: precision_at_recall(&curve, RECALL_WANTED),
        span_micro: span_rates(heads, &rows, golds),
        span_ece: calibration_error(&hits),
        labels,
    }
}

fn flag_pairs(label: usize, predictions: &[Prediction], answers: &Answers) -> Vec<FlagPair> {
    let pair = |(document, prediction): (usize, &Prediction)| {
        let probability = prediction.flags.get(&label).copied().unwrap_or_default();
        (probability, answers.has(document, label))
    };
    predictions.iter().enumerate().map(pair).collect()
}

fn label_figures(
    heads: &Heads,
    label: usize,
    flags: &[FlagPair],
    rows: &[Row],
    answers: &Answers,
) -> ClauseLabelFigures {
    let documents = flags.iter().filter(|(_, is_true)| *is_true).count();
    let spans = answers.count(Some(label));
    let mut ranked: Vec<Row> = flags
        .iter()
        .map(|(confidence, is_true)| Row {
            confidence: *confidence,
            label,
            found_count: usize::from(*is_true),
            is_wrong: !is_true,
        })
        .collect();
    ranked.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
    let mine: Vec<Row> = rows.iter().filter(|row| row.label == label).copied().collect();
    let some = |count: usize, area: f64| (count > 0).then_some(area);
    let name = heads.label_names().nth(label).unwrap_or_default();
    let cut = heads.flag_threshold(label);
    ClauseLabelFigures {
        label: name.to_owned(),
        documents,
        spans,
        flag_ap: some(documents, average_precision(&ranked, documents).0),
        flag: pair_rates(flags.iter().map(|pair| (*pair, cut))),
        span_aupr: some(spans, average_precision(&mine, spans).0),
        span: span_rates(heads, &mine, spans),
    }
}

/// Rates of all flags, each at the threshold of its label.
fn flag_rates(heads: &Heads, flags: &[(usize, Vec<FlagPair>)]) -> Rates {
    let with_cut = flags.iter().flat_map(|(label, pairs)| {
        let cut = heads.flag_threshold(*label);
        pairs.iter().map(move |pair| (*pair, cut))
    });
    pair_rates(with_cut)
}

fn pair_rates(flags: impl Iterator<Item = (FlagPair, f64)>) -> Rates {
    let (mut hits, mut raised, mut golds) = (0, 0, 0);
    for ((probability, is_true), cut) in flags {
        let is_raised = probability >= cut;
        raised += usize::from(is_raised);
        golds += usize::from(is_true);
        hits += usize::from(is_raised && is_true);
    }
    Rates::of(hits, raised, golds)
}

/// Rates of the spans that reach the threshold of their label.
fn span_rates(heads: &Heads, rows: &[Row], golds: usize) -> Rates {
    let (mut hits, mut reported) = (0, 0);
    for row in rows {
        if row.confidence >= heads.threshold(row.label) {
            reported += 1;
            hits += row.found_count;
        }
    }
    Rates::of(hits, reported, golds)
}

/// Writes `figures` as a table.
pub(super) fn table(figures: &ClauseFigures, out: &mut dyn Write) -> io::Result<()> {
    let width = figures.labels.iter().map(|label| label.label.len()).max().unwrap_or_default();
    writeln!(
        out,
        "{:width$}        flag by document                 spans\n\
         {:width$}   docs    AP     P     R    F1   spans    AP     P     R    F1",
        "", "label"
    )?;
    for label in &figures.labels {
        let [flag_ap, span_ap] = [label.flag_ap, label.span_aupr]
            .map(|area| area.map_or_else(|| "-".to_owned(), |area| format!("{area:.3}")));
        writeln!(
            out,
            "{:width$}  {:5} {flag_ap:>5} {} {:7} {span_ap:>5} {}",
            label.label, label.documents, label.flag, label.spans, label.span,
        )?;
    }
    let counted = figures.labels.iter().filter(|label| label.documents >= POSITIVES_MIN).count();
    writeln!(out)?;
    writeln!(out, "flag, all labels          P, R, F1  {}", figures.flag_micro)?;
    writeln!(out, "spans, all labels         P, R, F1  {}", figures.span_micro)?;
    let mean = format!("flag AP, mean over {counted} labels with {POSITIVES_MIN} or more");
    for (name, value) in [
        (mean.as_str(), figures.flag_map),
        ("span AUPR, pooled, one to one", figures.span_aupr_one_to_one),
        ("span AUPR, pooled, as the data's authors score", figures.span_aupr_authors),
        ("span precision at 80 % recall", figures.span_p_at_80r),
        ("share of answers among the candidates", figures.span_recall_of_candidates),
        ("calibration error of flags", figures.flag_ece),
        ("calibration error of spans", figures.span_ece),
    ] {
        writeln!(out, "{name:50} {value:.4}")?;
    }
    Ok(())
}
