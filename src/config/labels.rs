//! `Bundle -> Labels`: what a model can say, by name.
//!
//! Deliberately knows nothing of thresholds and tensors: those are the decoder's.

use std::ops::Range;

use super::bundle::Bundle;
use super::heads;

/// The labels of a model bundle in the order of their index, and the heads that give them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    heads: Vec<Head>,
}

/// One head of a model: the labels that it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Name in the bundle.
    pub name: String,
    /// What an answer is.
    pub kind: HeadKind,
    /// Indices of its labels.
    pub labels: Range<usize>,
}

/// What an answer of a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Spans of any label, and one flag a label.
    Multilabel,
    /// Spans that do not overlap.
    Entities,
    /// One label for the whole document.
    Classes,
}

impl Labels {
    /// Labels that one head after the other gives: its name, its kind and its labels.
    pub fn new<'a>(heads: impl IntoIterator<Item = (&'a str, HeadKind, Vec<String>)>) -> Self {
        let mut all = Self { names: Vec::new(), heads: Vec::new() };
        for (name, kind, labels) in heads {
            let start = all.names.len();
            all.names.extend(labels);
            let labels = start..all.names.len();
            all.heads.push(Head { name: name.to_owned(), kind, labels });
        }
        all
    }

    /// Every label in the order of its index.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Every head in the order of the bundle.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The index of the label `name`.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|label| label == name)
    }

    /// The head of that name.
    pub fn head(&self, name: &str) -> Option<&Head> {
        self.heads.iter().find(|head| head.name == name)
    }

    /// Whether the label of that index has a flag.
    pub fn has_flag(&self, label: usize) -> bool {
        self.heads.iter().any(|head| match head.kind {
            HeadKind::Multilabel => head.labels.contains(&label),
            HeadKind::Entities | HeadKind::Classes => false,
        })
    }
}

impl From<&Bundle> for Labels {
    fn from(bundle: &Bundle) -> Self {
        Self::new(bundle.heads.iter().map(|placed| {
            let kind = match placed.head {
                heads::Head::Multilabel(_) => HeadKind::Multilabel,
                heads::Head::Entities(_) => HeadKind::Entities,
                heads::Head::Classes(_) => HeadKind::Classes,
            };
            (placed.head.name(), kind, placed.head.label_names().map(str::to_owned).collect())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{HeadKind, Labels};

    #[test]
    fn labels_are_counted_through_the_heads() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let labels = Labels::new([
            ("clauses", HeadKind::Multilabel, names(&["A", "B"])),
            ("intent", HeadKind::Classes, names(&["C"])),
        ]);
        assert_eq!(labels.index("C"), Some(2));
        assert_eq!(labels.head("intent").map(|head| head.labels.clone()), Some(2..3));
        assert_eq!([0, 1, 2].map(|label| labels.has_flag(label)), [true, true, false]);
    }
}
