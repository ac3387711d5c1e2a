//! `scores of all windows -> findings and flags`: merge, decode, apply thresholds.
//!
//! Pure, and independent of the order in which windows were scored. Deliberately makes no value
//! of a span: that is `assemble`.

use super::decoder::{Candidate, Page};
use crate::config::bundle::Bundle;
use crate::types::{Chunks, Finding, FlagScore, Text, WindowScores};

/// Everything the model says of a document, before any threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Candidate spans, by label, then as the decoder found them.
    pub candidates: Vec<Candidate>,
    /// Probability of each label's flag, in the order of the bundle.
    pub flags: Vec<f64>,
}

/// Reads the scores of a document: `scores` are those of all windows of `chunks`, in any order.
///
/// Invariant (kept by `chunk`): the windows' owned tokens touch without gap, so that each token
/// has the logits of exactly one window.
pub fn decode(scores: &[WindowScores], chunks: &Chunks, text: &Text, bundle: &Bundle) -> Decoded {
    let mut windows: Vec<&WindowScores> = scores.iter().collect();
    windows.sort_by_key(|scores| scores.window);
    let label_count = bundle.labels.len().max(1);
    let page = Page::new(text, &chunks.tokens);
    let mut decoded = Decoded::default();
    for (index, label) in bundle.labels.iter().enumerate() {
        let column: Vec<f32> = windows
            .iter()
            .flat_map(|scores| scores.logits.iter().skip(index).step_by(label_count).copied())
            .collect();
        debug_assert_eq!(column.len(), chunks.tokens.len());
        let (candidates, flag) = page.decode(index, label, bundle.decoder.floor, &column);
        decoded.candidates.extend(candidates);
        decoded.flags.push(flag);
    }
    decoded
}

/// The findings, in text order, and the flag of each label in the order of the bundle.
pub fn findings(
    scores: &[WindowScores],
    chunks: &Chunks,
    text: &Text,
    bundle: &Bundle,
) -> (Vec<Finding>, Vec<FlagScore>) {
    let Decoded { mut candidates, flags } = decode(scores, chunks, text, bundle);
    candidates.sort_by_key(|candidate| (candidate.span, candidate.label));
    let reaches = |candidate: &Candidate| {
        bundle
            .labels
            .get(candidate.label)
            .is_some_and(|label| candidate.confidence >= label.threshold)
    };
    let findings = candidates
        .iter()
        .filter(|candidate| reaches(candidate))
        .map(|candidate| Finding {
            label: candidate.label,
            span: candidate.span,
            confidence: single(candidate.confidence),
        })
        .collect();
    let flags = bundle
        .labels
        .iter()
        .zip(flags)
        .enumerate()
        .map(|(label, (parameters, confidence))| FlagScore {
            label,
            confidence: single(confidence),
            is_present: confidence >= parameters.flag_threshold,
        })
        .collect();
    (findings, flags)
}

/// A probability in the precision in which it is published.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounding is meant")]
const fn single(probability: f64) -> f32 {
    probability as f32
}
