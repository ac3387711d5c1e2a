//! `classes found, classes annotated -> figures`, as a table for people and as JSON.
//!
//! Pure but for writing the table. Out of scope is what the data says is; a model tells it by the
//! class of that name, or by not being sure.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;

use super::data::Record;
use super::judge::unknown;
use super::labels::Labels;
use super::predict::Prediction;
use super::score::{Rates, calibration_error, ratio};
use crate::config::heads::Classes;

/// Figures of classes.
#[derive(Clone, Debug, Serialize)]
pub struct ClassFigures {
    /// Texts judged.
    pub documents: usize,
    /// The head that answers the data.
    pub head: String,
    /// Share of texts whose class is the right one.
    pub accuracy: f64,
    /// Mean F1 of the classes that the data has.
    pub macro_f1: f64,
    /// Expected calibration error.
    pub ece: f64,
    /// What comes of texts that belong to no class, where the data has such.
    #[serde(flatten)]
    pub scope: Option<ScopeFigures>,
    /// Class by class, in the order of the bundle.
    pub labels: Vec<ClassLabelFigures>,
    /// Texts of a class that the model does not have, by the data's name; they count as wrong.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, usize>,
}

/// Figures of texts in scope and out of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeFigures {
    /// Share of the texts in scope whose class is the right one.
    pub in_scope_accuracy: f64,
    /// Share of the texts out of scope whose class says so.
    pub out_of_scope_recall: f64,
    /// Share of the texts in scope that are given a class in scope, at `review_below` of the head
    /// or above.
    pub in_scope_sure: f64,
    /// Share of those whose class is the right one.
    pub in_scope_sure_accuracy: f64,
    /// Share of the texts out of scope whose class says so or is unsure.
    pub out_of_scope_caught: f64,
}

/// The figures of one class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassLabelFigures {
    /// Name in the bundle.
    pub label: String,
    /// Texts of that class.
    pub golds: usize,
    /// Precision, recall, F1.
    #[serde(flatten)]
    pub rates: Rates,
}

/// The head that is measured, and its labels.
pub(super) struct Subject<'a> {
    pub(super) head: &'a Classes,
    pub(super) labels: Range<usize>,
}

/// One text: what it is, what the model says. The label of the data may be one that the model
/// does not have, and the model may have had nothing to say.
#[derive(Clone, Copy)]
struct Verdict {
    gold: Option<usize>,
    is_out_of_scope: bool,
    found: Option<(usize, f64)>,
}

impl Verdict {
    fn is_right(&self) -> bool {
        self.gold.is_some() && self.gold == self.found.map(|(label, _)| label)
    }
}

/// Judges `predictions`; the n-th is of record n.
pub(super) fn figures(
    subject: &Subject<'_>,
    known: &Labels,
    records: &[Record],
    predictions: &[Prediction],
) -> ClassFigures {
    let verdict = |(record, prediction): (&Record, &Prediction)| {
        let class = record.class.as_ref();
        let found = prediction.found.iter().find(|found| subject.labels.contains(&found.label));
        Verdict {
            gold: class.and_then(|class| known.get(&class.label)),
            is_out_of_scope: class.is_some_and(|class| class.is_out_of_scope),
            found: found.map(|found| (found.label, found.confidence)),
        }
    };
    let verdicts: Vec<Verdict> = records.iter().zip(predictions).map(verdict).collect();
    let names = subject.labels.clone().zip(&subject.head.labels);
    let labels: Vec<_> = names
        .map(|(label, name)| ClassLabelFigures {
            label: name.name.clone(),
            golds: verdicts.iter().filter(|one| one.gold == Some(label)).count(),
            rates: rates(&verdicts, label),
        })
        .collect();
    let present: Vec<f64> =
        labels.iter().filter(|label| label.golds > 0).map(|label| label.rates.f1).collect();
    let pairs: Vec<(f64, bool)> = verdicts
        .iter()
        .map(|one| (one.found.map_or(0.0, |(_, confidence)| confidence), one.is_right()))
        .collect();
    ClassFigures {
        documents: verdicts.len(),
        head: subject.head.name.clone(),
        accuracy: share(&verdicts, |_| true, Verdict::is_right),
        macro_f1: present.iter().sum::<f64>() * ratio(1, present.len()),
        ece: calibration_error(&pairs),
        scope: scope(subject.head, &verdicts),
        labels,
        unknown: unknown(records, known),
    }
}

fn rates(verdicts: &[Verdict], label: usize) -> Rates {
    let found = |one: &&Verdict| one.found.is_some_and(|(found, _)| found == label);
    let golds = verdicts.iter().filter(|one| one.gold == Some(label));
    let hits = golds.clone().filter(found).count();
    Rates::of(hits, verdicts.iter().filter(found).count(), golds.count())
}

/// The share that `is` among those that are `of`.
fn share(
    verdicts: &[Verdict],
    of: impl Fn(&Verdict) -> bool,
    is: impl Fn(&Verdict) -> bool,
) -> f64 {
    let all = verdicts.iter().filter(|one| of(one));
    ratio(all.clone().filter(|one| is(one)).count(), all.count())
}

fn scope(head: &Classes, verdicts: &[Verdict]) -> Option<ScopeFigures> {
    let outside = verdicts.iter().find(|one| one.is_out_of_scope)?.gold;
    let says_outside =
        |one: &Verdict| outside.is_some() && outside == one.found.map(|(label, _)| label);
    let least = head.review_below.unwrap_or_default();
    let is_sure = |one: &Verdict| one.found.is_some_and(|(_, confidence)| confidence >= least);
    let is_out = |one: &Verdict| one.is_out_of_scope;
    let is_in = |one: &Verdict| !one.is_out_of_scope;
    let passes = |one: &Verdict| is_sure(one) && !says_outside(one);
    Some(ScopeFigures {
        in_scope_accuracy: share(verdicts, is_in, Verdict::is_right),
        out_of_scope_recall: share(verdicts, is_out, says_outside),
        in_scope_sure: share(verdicts, is_in, passes),
        in_scope_sure_accuracy: share(verdicts, |one| is_in(one) && passes(one), Verdict::is_right),
        out_of_scope_caught: share(verdicts, is_out, |one| !passes(one)),
    })
}

/// Writes `figures` as a table.
pub(super) fn table(figures: &ClassFigures, out: &mut dyn Write) -> io::Result<()> {
    let width = figures.labels.iter().map(|label| label.label.len()).max().unwrap_or_default();
    writeln!(out, "{:width$}  texts      P     R    F1", "class")?;
    for ClassLabelFigures { label, golds, rates } in &figures.labels {
        writeln!(out, "{label:width$}  {golds:5}  {rates}")?;
    }
    writeln!(out)?;
    let scope = figures.scope.iter().flat_map(|scope| {
        [
            ("accuracy in scope", scope.in_scope_accuracy),
            ("recall of out of scope", scope.out_of_scope_recall),
            ("in scope and sure", scope.in_scope_sure),
            ("accuracy of these", scope.in_scope_sure_accuracy),
            ("out of scope told or unsure", scope.out_of_scope_caught),
        ]
    });
    let all = [
        ("accuracy", figures.accuracy),
        ("F1, mean over classes", figures.macro_f1),
        ("calibration error", figures.ece),
    ];
    for (name, value) in all.into_iter().chain(scope) {
        writeln!(out, "{name:30} {value:.4}")?;
    }
    for (name, count) in &figures.unknown {
        writeln!(out, "the model has no class `{name}`: {count} texts count as wrong")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{ClassFigures, ScopeFigures, Subject, figures, table};
    use crate::config::heads::{Head, Heads};
    use crate::eval::data::{Class, Record};
    use crate::eval::labels::{Task, choose};
    use crate::eval::predict::{Found, Prediction};
    use crate::types::Span;

    /// Texts: their class in the data, and the class and confidence that the model gives.
    fn judged(texts: &[(&str, Option<(usize, f64)>)]) -> ClassFigures {
        let all = json!([{
            "kind": "classes", "name": "intent", "temperature": 1.0, "review_below": 0.5,
            "labels": [{"name": "balance"}, {"name": "transfer"}, {"name": "oos"}],
        }]);
        let heads = Heads::new(serde_json::from_value(all).unwrap()).unwrap();
        let record = |(label, _): &(&str, Option<(usize, f64)>)| {
            let class = Class { label: (*label).to_owned(), is_out_of_scope: *label == "oos" };
            Record { class: Some(class), ..Record::default() }
        };
        let prediction = |(_, found): &(&str, Option<(usize, f64)>)| {
            let found = found.map(|(label, confidence)| Found {
                label,
                span: Span { start: 0, end: 1 },
                text: String::new(),
                confidence,
            });
            Prediction { found: found.into_iter().collect(), ..Prediction::default() }
        };
        let names: BTreeSet<&str> = texts.iter().map(|(label, _)| *label).collect();
        let (chosen, known) = choose(&heads, &names, Task::Classes, &[]).unwrap();
        let Head::Classes(head) = chosen[0].head else { panic!("the head is one of classes") };
        let subject = Subject { head, labels: chosen[0].labels.clone() };
        let records: Vec<_> = texts.iter().map(record).collect();
        let predictions: Vec<_> = texts.iter().map(prediction).collect();
        figures(&subject, &known, &records, &predictions)
    }

    #[test]
    fn scope_is_told_by_a_class_or_by_being_unsure() {
        let figures = judged(&[
            ("balance", Some((0, 0.9))),
            ("balance", Some((1, 0.9))),
            ("transfer", Some((1, 0.4))),
            ("transfer", Some((2, 0.9))),
            ("oos", Some((2, 0.3))),
            ("oos", Some((0, 0.4))),
            ("oos", Some((0, 0.8))),
        ]);
        let expected = ScopeFigures {
            in_scope_accuracy: 0.5,
            out_of_scope_recall: 1.0 / 3.0,
            in_scope_sure: 0.5,
            in_scope_sure_accuracy: 0.5,
            out_of_scope_caught: 2.0 / 3.0,
        };
        assert_eq!(figures.scope, Some(expected));
        assert!((figures.accuracy - 3.0 / 7.0).abs() < 1e-12);
        let mut out = Vec::new();
        table(&figures, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("recall of out of scope         0.3333"));
    }

    #[test]
    fn a_text_without_answer_or_of_an_unknown_class_is_wrong() {
        let figures = judged(&[("balance", Some((0, 1.0))), ("balance", None), ("loan", None)]);
        assert!((figures.accuracy - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(figures.unknown.get("loan"), Some(&1));
        assert!(figures.scope.is_none());
        assert!((figures.macro_f1 - 2.0 / 3.0).abs() < 1e-12, "the mean of one class");
    }
}
