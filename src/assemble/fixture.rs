//! What tests of this room share.

use proptest::prelude::*;

use crate::config::{HeadKind, Labels};
use crate::types::{Finding, Span};

/// Labels of one head that gives spans and flags.
pub(super) fn clauses(labels: &[&str]) -> Labels {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Labels::new([("clauses", HeadKind::Multilabel, labels)])
}

/// Texts of up to a dozen pieces, and up to `findings_max` findings of any of `label_count` labels
/// anywhere in them.
pub(super) fn documents(
    piece: impl Strategy<Value = String>,
    label_count: usize,
    findings_max: usize,
) -> impl Strategy<Value = (String, Vec<Finding>)> {
    let body = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    body.prop_flat_map(move |body| {
        let ends: Vec<_> = body.char_indices().map(|(byte, _)| byte).chain([body.len()]).collect();
        let end = proptest::sample::select(ends);
        let found = (0..label_count, end.clone(), end, 0.0_f32..=1.0);
        let finding = found.prop_map(|(label, one, other, confidence)| Finding {
            label,
            span: Span { start: one.min(other), end: one.max(other) },
            confidence,
        });
        (Just(body), proptest::collection::vec(finding, 0..=findings_max))
    })
}
