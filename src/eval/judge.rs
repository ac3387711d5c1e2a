//! `records, predictions -> figures`: which kind of figures a data set and a model call for.
//!
//! Deliberately measures each kind as its literature does, so that figures can be compared; they
//! cannot be compared with each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::classes::{self, ClassFigures};
use super::clauses::{self, ClauseFigures};
use super::data::Record;
use super::entities::{self, EntityFigures};
use super::identifiers::{self, IdentifierFigures};
use super::labels::{Labels, Task, choose};
use super::predict::{Found, Prediction};
use crate::config::bundle::Bundle;
use crate::config::heads::{Head, Placed};
use crate::redact::Redactor;
use crate::types::{Finding, Span, Text};

/// All figures of one run over one data set.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Figures {
    /// Of a multilabel head.
    Clauses(ClauseFigures),
    /// Of entities heads, strictly.
    Entities(EntityFigures),
    /// Of entities heads, by what they cover.
    Identifiers(IdentifierFigures),
    /// Of a classes head.
    Classes(ClassFigures),
}

/// What is measured.
pub(super) struct Judge<'a> {
    bundle: &'a Bundle,
    /// The heads that answer the data, all of one kind.
    heads: Vec<Placed<'a>>,
    labels: Labels,
    /// Whether labels that no annotation has are measured too: what is marked with them is wrong.
    is_of_all_labels: bool,
    is_by_cover: bool,
    /// What finds identifiers besides the heads, where the pipeline redacts.
    redactor: Option<Redactor>,
}

/// What of a model is measured, and how.
#[derive(Args, Clone, Debug, Default)]
pub struct Measured {
    /// Measure this head of the model, several by several; else those that know the data's labels
    #[arg(long = "head", value_name = "NAME")]
    pub heads: Vec<String>,
    /// Measure this label of the data only, several by several
    #[arg(long = "label", value_name = "NAME")]
    pub labels: Vec<String>,
    /// The model's label for all classes of the data that it does not have
    #[arg(long, value_name = "LABEL")]
    pub rest: Option<String>,
    /// Judge spans as identifiers: by the letters and digits that they cover, whatever their label;
    /// of a pipeline that redacts, with what its rules find
    #[arg(long)]
    pub identifiers: bool,
}

impl<'a> Judge<'a> {
    /// Fits `records` to the heads of `bundle`. Takes what is not measured out of them.
    pub(super) fn new(
        bundle: &'a Bundle,
        records: &mut [Record],
        measured: &Measured,
    ) -> Result<Self> {
        let wanted = &measured.labels;
        for record in records.iter_mut().filter(|_| !wanted.is_empty()) {
            record.golds.retain(|gold| wanted.contains(&gold.label));
        }
        let task = if records.iter().any(|record| record.class.is_some()) {
            Task::Classes
        } else {
            Task::Spans
        };
        let classes = records.iter().filter_map(|record| record.class.as_ref());
        let spans = records.iter().flat_map(|record| &record.golds);
        let names: BTreeSet<&str> = classes
            .map(|class| class.label.as_str())
            .chain(spans.map(|gold| gold.label.as_str()))
            .collect();
        let (heads, mut labels) = choose(&bundle.heads, &names, task, &measured.heads)?;
        if let (Some(rest), Some(placed)) = (&measured.rest, heads.first()) {
            labels = labels.with_rest(&names, placed, rest)?;
        }
        let judge = Self {
            bundle,
            heads,
            labels,
            is_of_all_labels: wanted.is_empty(),
            is_by_cover: measured.identifiers,
            redactor: None,
        };
        if judge.is_of_clauses()
            && let Some(name) = names.iter().find(|name| judge.labels.get(name).is_none())
        {
            bail!("the model has no label `{name}`");
        }
        Ok(judge)
    }

    /// Judges identifiers by all that `redactor` finds: by the model, by rules, and by what stands
    /// elsewhere in the text.
    pub(super) fn with(self, redactor: Option<Redactor>) -> Self {
        Self { redactor, ..self }
    }

    /// Whether the figures are those of a multilabel head, which compares words, not positions.
    pub(super) fn is_of_clauses(&self) -> bool {
        self.heads.iter().any(|placed| match placed.head {
            Head::Multilabel(_) => true,
            Head::Entities(_) | Head::Classes(_) => false,
        })
    }

    /// Judges `predictions`; the n-th is of record n.
    pub(super) fn figures(&self, records: &[Record], predictions: &[Prediction]) -> Figures {
        match self.heads.as_slice() {
            [Placed { head: Head::Multilabel(_), .. }, ..] => {
                let labels = self.heads.iter().flat_map(|placed| placed.labels.clone());
                let labels: Vec<usize> = labels.collect();
                let answers = clauses::answers(records, &self.labels);
                let heads = &self.bundle.heads;
                Figures::Clauses(clauses::figures(heads, &labels, predictions, &answers))
            }
            [Placed { head: Head::Classes(head), labels, .. }, ..] => {
                let subject = classes::Subject { head, labels: labels.clone() };
                Figures::Classes(classes::figures(&subject, &self.labels, records, predictions))
            }
            [..] if self.is_by_cover => {
                let both = records.iter().zip(predictions);
                let spans: Vec<_> = both.map(|(record, one)| self.hidden(record, one)).collect();
                Figures::Identifiers(identifiers::figures(records, &spans))
            }
            [..] => {
                let found: Vec<Vec<&Found>> =
                    predictions.iter().map(|one| self.reported(one).collect()).collect();
                Figures::Entities(entities::figures(&self.heads, &self.labels, records, &found))
            }
        }
    }

    /// What would be hidden of the record.
    fn hidden(&self, record: &Record, prediction: &Prediction) -> Vec<Span> {
        let reported = self.reported(prediction);
        let Some(redactor) = &self.redactor else { return reported.map(|it| it.span).collect() };
        let findings: Vec<_> = reported
            .map(|found| Finding {
                label: found.label,
                span: found.span,
                confidence: narrowed(found.confidence),
            })
            .collect();
        redactor.places(&Text::from_pages([record.text.clone()]), &findings)
    }

    /// What reaches its threshold, of the heads that are measured.
    fn reported<'b>(&'b self, prediction: &'b Prediction) -> impl Iterator<Item = &'b Found> {
        let is_of_heads = |label: usize| {
            self.heads.iter().any(|at| at.labels.contains(&label))
                && (self.is_of_all_labels || self.labels.has(label))
        };
        prediction.found.iter().filter(move |found| {
            is_of_heads(found.label) && found.confidence >= self.bundle.heads.threshold(found.label)
        })
    }
}

/// A probability as findings carry it.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a probability fits")]
const fn narrowed(confidence: f64) -> f32 {
    confidence as f32
}

/// Annotations of each name that no head knows, and their number.
pub(super) fn unknown(records: &[Record], labels: &Labels) -> BTreeMap<String, usize> {
    let mut unknown = BTreeMap::new();
    let golds = records.iter().flat_map(|record| &record.golds).map(|gold| &gold.label);
    let classes = records.iter().filter_map(|record| record.class.as_ref());
    for name in golds.chain(classes.map(|class| &class.label)) {
        if labels.get(name).is_none() {
            *unknown.entry(name.clone()).or_default() += 1;
        }
    }
    unknown
}

impl Figures {
    /// Documents judged.
    pub fn documents(&self) -> usize {
        match self {
            Self::Clauses(figures) => figures.documents,
            Self::Entities(figures) => figures.documents,
            Self::Identifiers(figures) => figures.documents,
            Self::Classes(figures) => figures.documents,
        }
    }

    /// Writes the figures as a table.
    pub(super) fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Clauses(figures) => clauses::table(figures, out),
            Self::Entities(figures) => entities::table(figures, out),
            Self::Identifiers(figures) => identifiers::table(figures, out),
            Self::Classes(figures) => classes::table(figures, out),
        }
    }
}
