//! `spans found, identifiers annotated -> figures`, as a table for people and as JSON.
//!
//! What is hidden counts, not what it is called: an identifier is *covered* if every letter and
//! digit of it lies in something found, *touched* if any does. Pure but for writing the table.
//! Deliberately takes plain spans, wherever they come from: a model, rules, or both.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::data::Record;
use super::score::ratio;
use crate::types::Span;

/// Figures of identifiers.
#[derive(Clone, Debug, Serialize)]
pub struct IdentifierFigures {
    /// Documents judged.
    pub documents: usize,
    /// Annotated identifiers.
    pub identifiers: usize,
    /// Share of them that are covered: the recall of a redaction.
    pub covered: f64,
    /// Share of them that are touched.
    pub touched: f64,
    /// Share of them that are found from first to last character.
    pub exact: f64,
    /// Places found, overlapping and touching ones counted as one.
    pub found: usize,
    /// Share of these that touch an identifier.
    pub precision: f64,
    /// By the data's names.
    pub labels: BTreeMap<String, IdentifierLabelFigures>,
}

/// The figures of one kind of identifier.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IdentifierLabelFigures {
    /// Annotated identifiers.
    pub identifiers: usize,
    /// Share of them that are covered.
    pub covered: f64,
}

/// Judges `spans`, what was found in each record.
pub(super) fn figures(records: &[Record], spans: &[Vec<Span>]) -> IdentifierFigures {
    let (mut touched, mut exact, mut found, mut right) = (0, 0, 0, 0);
    let mut by_label: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (record, spans) in records.iter().zip(spans) {
        let regions = joined(spans);
        for gold in &record.golds {
            let text = record.text.get(gold.span.range()).unwrap_or_default();
            let signs = text.char_indices().filter(|(_, c)| c.is_alphanumeric());
            let is_inside = |(at, _): (usize, char)| {
                let at = gold.span.start + at;
                regions.iter().any(|region| region.range().contains(&at))
            };
            let counts = by_label.entry(gold.label.clone()).or_default();
            counts.0 += 1;
            counts.1 += usize::from(signs.clone().all(is_inside));
            touched += usize::from(signs.clone().any(is_inside));
            exact += usize::from(spans.contains(&gold.span));
        }
        found += regions.len();
        let meets = |region: &&Span| {
            let overlaps = |gold: &Span| gold.start < region.end && region.start < gold.end;
            record.golds.iter().any(|gold| overlaps(&gold.span))
        };
        right += regions.iter().filter(meets).count();
    }
    let identifiers = by_label.values().map(|(all, _)| all).sum();
    let covered: usize = by_label.values().map(|(_, covered)| covered).sum();
    IdentifierFigures {
        documents: records.len(),
        identifiers,
        covered: ratio(covered, identifiers),
        touched: ratio(touched, identifiers),
        exact: ratio(exact, identifiers),
        found,
        precision: ratio(right, found),
        labels: by_label
            .into_iter()
            .map(|(label, (identifiers, covered))| {
                let covered = ratio(covered, identifiers);
                (label, IdentifierLabelFigures { identifiers, covered })
            })
            .collect(),
    }
}

/// Overlapping and touching spans as one, in text order.
fn joined(spans: &[Span]) -> Vec<Span> {
    let mut ordered = spans.to_vec();
    ordered.sort_unstable();
    let mut regions: Vec<Span> = Vec::new();
    for span in ordered {
        match regions.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            Some(_) | None => regions.push(span),
        }
    }
    regions
}

/// Writes `figures` as a table.
pub(super) fn table(figures: &IdentifierFigures, out: &mut dyn Write) -> io::Result<()> {
    let width = figures.labels.keys().map(String::len).max().unwrap_or_default().max(10);
    writeln!(out, "{:width$}  count  covered", "identifier")?;
    for (name, IdentifierLabelFigures { identifiers, covered }) in &figures.labels {
        writeln!(out, "{name:width$}  {identifiers:5}    {covered:.3}")?;
    }
    writeln!(out)?;
    for (name, value) in [
        ("covered, of all identifiers", figures.covered),
        ("touched", figures.touched),
        ("found exactly", figures.exact),
        ("precision", figures.precision),
    ] {
        writeln!(out, "{name:30} {value:.4}")?;
    }
    writeln!(out, "{:30} {}", "places found", figures.found)
}

#[cfg(test)]
mod tests {
    use super::{IdentifierFigures, figures, table};
    use crate::eval::data::{Gold, Record};
    use crate::types::Span;

    /// `marked` shows identifiers as `[..]`; each span found is given by its words.
    fn judged(marked: &str, found: &[&str]) -> IdentifierFigures {
        let (mut text, mut golds, mut open) = (String::new(), Vec::new(), 0);
        for c in marked.chars() {
            match c {
                '[' => open = text.len(),
                ']' => golds.push(Gold {
                    label: "NAME".to_owned(),
                    span: Span { start: open, end: text.len() },
                }),
                other => text.push(other),
            }
        }
        let place = |words: &&str| {
            let (before, _) = text.split_once(words).unwrap();
            Span { start: before.len(), end: before.len() + words.len() }
        };
        let spans = found.iter().map(place).collect();
        figures(&[Record { text, golds, ..Record::default() }], &[spans])
    }

    #[test]
    fn an_identifier_is_covered_by_all_that_is_found_together() {
        for (found, covered, touched, exact, precision) in [
            (&["Dr. Ann Lee"][..], 1.0, 1.0, 1.0, 1.0),
            (&["Dr", " Ann ", "Lee said"], 1.0, 1.0, 0.0, 1.0),
            (&["Ann"], 0.0, 1.0, 0.0, 1.0),
            (&["said"], 0.0, 0.0, 0.0, 0.0),
            (&["Dr. Ann", " Lee", "said"], 1.0, 1.0, 0.0, 0.5),
            (&[], 0.0, 0.0, 0.0, 0.0),
        ] {
            let figures = judged("pt of [Dr. Ann Lee] said", found);
            let rates = (figures.covered, figures.touched, figures.exact, figures.precision);
            assert_eq!(rates, (covered, touched, exact, precision), "{found:?}");
        }
    }

    #[test]
    fn kinds_are_told_apart_in_the_table() {
        let figures = judged("[Ann] met [Lee]", &["Ann"]);
        assert_eq!((figures.identifiers, figures.labels["NAME"].covered), (2, 0.5));
        let mut out = Vec::new();
        table(&figures, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("NAME            2    0.500"));
    }
}
