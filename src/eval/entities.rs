//! `entities found, annotations -> figures`, as a table for people and as JSON.
//!
//! Strict, as CoNLL-2003 scores: label, start and end must be those of the annotation. Pure but for
//! writing the table. Deliberately counts annotations that no head knows nowhere but in a list.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

use super::data::Record;
use super::judge::unknown;
use super::labels::Labels;
use super::predict::Found;
use super::score::{Rates, calibration_error};
use crate::config::heads::Placed;
use crate::types::Span;

/// Figures of entities.
#[derive(Clone, Debug, Serialize)]
pub struct EntityFigures {
    /// Documents judged.
    pub documents: usize,
    /// Heads that answer the data.
    pub heads: Vec<String>,
    /// All labels pooled, every annotation counted.
    pub micro: Rates,
    /// Expected calibration error of what is reported.
    pub ece: f64,
    /// All labels pooled, annotations inside or across a longer one of the same head left out: a
    /// head can mark a word once only.
    pub outer_micro: Rates,
    /// Expected calibration error by the same.
    pub outer_ece: f64,
    /// Label by label, in the order of the bundle.
    pub labels: Vec<EntityLabelFigures>,
    /// Annotations that the model has no label for, by the data's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, usize>,
}

/// The figures of one label.
#[derive(Clone, Debug, Serialize)]
pub struct EntityLabelFigures {
    /// Name in the bundle.
    pub label: String,
    /// Annotations.
    pub golds: usize,
    /// Every annotation counted.
    #[serde(flatten)]
    pub all: Rates,
    /// Without those inside or across a longer one.
    pub outer: Rates,
}

/// A labelled span.
type Entity = (usize, Span);

/// What is compared: by document.
struct Pages<'a> {
    golds: Vec<BTreeSet<Entity>>,
    found: &'a [Vec<&'a Found>],
}

impl Pages<'_> {
    /// Rates of one label, or of all.
    fn rates(&self, label: Option<usize>) -> Rates {
        let is_meant = |at: usize| label.is_none_or(|label| label == at);
        let (mut hits, mut found, mut golds) = (0, 0, 0);
        for (gold, mine) in self.golds.iter().zip(self.found) {
            golds += gold.iter().filter(|(at, _)| is_meant(*at)).count();
            let mine: BTreeSet<Entity> = mine
                .iter()
                .map(|found| (found.label, found.span))
                .filter(|(at, _)| is_meant(*at))
                .collect();
            found += mine.len();
            hits += mine.intersection(gold).count();
        }
        Rates::of(hits, found, golds)
    }

    fn ece(&self) -> f64 {
        let pairs: Vec<(f64, bool)> = self
            .golds
            .iter()
            .zip(self.found)
            .flat_map(|(gold, mine)| {
                mine.iter()
                    .map(|found| (found.confidence, gold.contains(&(found.label, found.span))))
            })
            .collect();
        calibration_error(&pairs)
    }
}

/// Judges what was `found`, by document.
pub(super) fn figures(
    heads: &[Placed<'_>],
    known: &Labels,
    records: &[Record],
    found: &[Vec<&Found>],
) -> EntityFigures {
    let golds = |of_record: &dyn Fn(&[Entity]) -> BTreeSet<Entity>| -> Vec<BTreeSet<Entity>> {
        records.iter().map(|record| of_record(&annotated(record, known))).collect()
    };
    let all = Pages { golds: golds(&|golds| golds.iter().copied().collect()), found };
    let outer = Pages { golds: golds(&|golds| outermost(golds, heads)), found };
    let names = heads.iter().flat_map(|at| at.labels.clone().zip(at.head.label_names()));
    let labels = names.map(|(label, name)| EntityLabelFigures {
        label: name.to_owned(),
        golds: all.golds.iter().flatten().filter(|(at, _)| *at == label).count(),
        all: all.rates(Some(label)),
        outer: outer.rates(Some(label)),
    });
    EntityFigures {
        documents: records.len(),
        heads: heads.iter().map(|placed| placed.head.name().to_owned()).collect(),
        micro: all.rates(None),
        ece: all.ece(),
        outer_micro: outer.rates(None),
        outer_ece: outer.ece(),
        labels: labels.collect(),
        unknown: unknown(records, known),
    }
}

/// The annotations of a record that the model has labels for, in the order of the data.
fn annotated(record: &Record, known: &Labels) -> Vec<Entity> {
    record.golds.iter().filter_map(|gold| Some((known.get(&gold.label)?, gold.span))).collect()
}

/// Without those that overlap a longer one of the same head, or an earlier one that is as long.
fn outermost(golds: &[Entity], heads: &[Placed<'_>]) -> BTreeSet<Entity> {
    let mut all = BTreeSet::new();
    for placed in heads {
        let mut mine: Vec<&Entity> =
            golds.iter().filter(|(label, _)| placed.labels.contains(label)).collect();
        mine.sort_by_key(|(_, span)| (Reverse(span.len()), span.start));
        let mut kept: Vec<Entity> = Vec::new();
        for (label, span) in mine {
            if kept.iter().all(|(_, other)| span.end <= other.start || other.end <= span.start) {
                kept.push((*label, *span));
            }
        }
        all.extend(kept);
    }
    all
}

/// Writes `figures` as a table.
pub(super) fn table(figures: &EntityFigures, out: &mut dyn Write) -> io::Result<()> {
    let width = figures.labels.iter().map(|label| label.label.len()).max().unwrap_or_default();
    writeln!(
        out,
        "{:width$}          all annotations       outermost only\n\
         {:width$}  golds       P     R    F1       P     R    F1",
        "", "label"
    )?;
    for EntityLabelFigures { label, golds, all, outer } in &figures.labels {
        writeln!(out, "{label:width$}  {golds:5}   {all}   {outer}")?;
    }
    writeln!(out, "\nstrict, all labels, P, R, F1")?;
    writeln!(out, "all annotations  {}   calibration error {:.4}", figures.micro, figures.ece)?;
    let EntityFigures { outer_micro, outer_ece, .. } = figures;
    writeln!(out, "outermost only   {outer_micro}   calibration error {outer_ece:.4}")?;
    for (name, count) in &figures.unknown {
        writeln!(out, "the model has no label for `{name}`: {count} annotations not counted")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{EntityFigures, figures, table};
    use crate::config::heads::Heads;
    use crate::eval::data::{Gold, Record};
    use crate::eval::labels::{Task, choose};
    use crate::eval::predict::Found;
    use crate::types::Span;

    fn heads() -> Heads {
        let head = |name: &str, labels: &[&str]| {
            let labels: Vec<_> =
                labels.iter().map(|name| json!({"name": name, "threshold": 0.5})).collect();
            json!({"kind": "entities", "name": name, "labels": labels,
                   "calibration": {"bias": 0.0, "weights": [1.0, 0.0, 0.0]}})
        };
        let all = json!([head("one", &["Item", "Agent"]), head("other", &["History"])]);
        Heads::new(serde_json::from_value(all).unwrap()).unwrap()
    }

    fn judged(golds: &[(&str, usize, usize)], found: &[(usize, usize, usize)]) -> EntityFigures {
        let heads = heads();
        let gold = |(label, start, end): &(&str, usize, usize)| Gold {
            label: (*label).to_owned(),
            span: Span { start: *start, end: *end },
        };
        let golds: Vec<_> = golds.iter().map(gold).collect();
        let record = Record { golds, ..Record::default() };
        let names: BTreeSet<&str> = record.golds.iter().map(|gold| gold.label.as_str()).collect();
        let (chosen, known) = choose(&heads, &names, Task::Spans, &[]).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(label, start, end)| Found {
                label: *label,
                span: Span { start: *start, end: *end },
                text: String::new(),
                confidence: 0.95,
            })
            .collect();
        figures(&chosen, &known, &[record], &[found.iter().collect()])
    }

    #[test]
    fn label_start_and_end_must_agree() {
        let golds = [("Item", 0, 9), ("Agent", 10, 15), ("Item", 20, 25)];
        let found = [(0, 0, 9), (0, 10, 15), (0, 20, 24)];
        let figures = judged(&golds, &found);
        assert_eq!(figures.micro.to_string(), "0.333 0.333 0.333");
        assert_eq!(figures.labels[0].all.to_string(), "0.333 0.500 0.400");
        assert_eq!(figures.labels[1].all.to_string(), "0.000 0.000 0.000");
        assert!((figures.ece - (0.95 - 1.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn nested_annotations_count_in_one_figure_only() {
        let golds = [("Item", 0, 9), ("Agent", 0, 4), ("Agent", 5, 9), ("History", 0, 4)];
        let figures = judged(&golds, &[(0, 0, 9), (2, 0, 4)]);
        assert_eq!(figures.micro.to_string(), "1.000 0.500 0.667");
        assert_eq!(figures.outer_micro.to_string(), "1.000 1.000 1.000");
        assert_eq!(figures.heads, ["one", "other"]);
        // The longer one stands out even where it comes later.
        let figures = judged(&[("Agent", 0, 4), ("Item", 2, 9)], &[(0, 2, 9)]);
        assert_eq!(figures.outer_micro.to_string(), "1.000 1.000 1.000");
    }

    #[test]
    fn what_the_model_does_not_know_is_listed() {
        let figures = judged(&[("Item", 0, 4), ("Color", 5, 8)], &[(0, 0, 4)]);
        assert_eq!(figures.micro.to_string(), "1.000 1.000 1.000");
        assert_eq!(figures.unknown.get("Color"), Some(&1));
        let mut out = Vec::new();
        table(&figures, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("`Color`: 1") && text.contains("1.000 1.000 1.000"), "{text}");
    }
}
