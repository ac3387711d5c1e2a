//! What tests of this room share.

use crate::config::{HeadKind, Labels};

/// Labels of one head that gives spans and flags.
pub(super) fn clauses(labels: &[&str]) -> Labels {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Labels::new([("clauses", HeadKind::Multilabel, labels)])
}
