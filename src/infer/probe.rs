//! `model on this processor -> whether its rows are independent`, tried at start.
//!
//! A bundle says so of its graph; which kernels ONNX Runtime picks for a shape is this machine's
//! matter, and some may sum in another order. Deliberately tries special tokens only: it knows no
//! others, and sums of any numbers round otherwise in another order.

use super::policy::Policy;
use super::session::{RowScores, RunError, Session};
use crate::config::bundle::Bundle;
use crate::types::{Chunk, Sensitive};

/// Lengths that are tried, in tokens, where several rows of them share a call: odd ones, and those
/// of whole vectors.
const LENGTHS: [usize; 5] = [3, 9, 16, 31, 64];

/// Whether rows of calls as `policy` makes them score bit for bit what each does alone.
pub(super) fn rows_are_independent(
    session: &mut Session,
    bundle: &Bundle,
    policy: Policy,
) -> Result<bool, RunError> {
    for length in LENGTHS {
        let rows: Vec<_> =
            (0..policy.rows_max(length)).map(|seed| row(bundle, seed, length)).collect();
        let together =
            session.scores(&rows.iter().collect::<Vec<_>>(), policy.shape(rows.len(), length))?;
        for at in [0, rows.len() / 2, rows.len() - 1] {
            let (Some(row), Some(together)) = (rows.get(at), together.get(at)) else { continue };
            let alone = session.scores(&[row], policy.shape(1, length))?;
            if !alone.first().is_some_and(|alone| bits(alone).eq(bits(together))) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A row of `length` special tokens, in another order for each seed.
fn row(bundle: &Bundle, seed: usize, length: usize) -> Chunk {
    let window = &bundle.window;
    let ids = [window.first_id, window.last_id, window.pad_id].map(i64::from);
    let id = |at: usize| ids.get((seed + at * (seed % 5 + 1)) % ids.len()).copied();
    let content = 0..length.saturating_sub(2);
    Chunk {
        ids: Sensitive::new((0..length).filter_map(id).collect()),
        padded_tokens: length,
        tokens: content.clone(),
        owned: content,
    }
}

fn bits(scores: &RowScores) -> impl Iterator<Item = u32> {
    scores.logits.iter().chain(&scores.classes).map(|score| score.to_bits())
}
