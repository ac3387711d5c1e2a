//! `outcome, message -> audit entry`: what became of a part, and on whose word.
//!
//! Deliberately takes outcome and code from the message that leaves, which a limit may have turned
//! into a reject.

use super::Origin;
use crate::types::{
    Audit, Digest, Outcome, OutcomeKind, Outgoing, Provenance, ReviewCode, record_id,
};

/// The entry for a part that ended as `outcome` and leaves as `outgoing`.
pub(super) fn of<'a>(
    outcome: &Outcome,
    outgoing: &Outgoing,
    origin: &Origin<'_>,
    base: &'a Provenance,
) -> Audit<'a> {
    let left = outgoing.kind.unwrap_or(OutcomeKind::Reject);
    let model = || format!("model:{}@{}", base.model, base.model_revision);
    let (codes, deciders, redactions) = match outcome {
        Outcome::Record(record) if left == OutcomeKind::Record => {
            (Vec::new(), vec![model()], record.redactions.clone())
        }
        Outcome::Review(review) if left == OutcomeKind::Review => {
            let mut deciders = Vec::new();
            for reason in &review.reasons {
                let decider = match (&reason.field, reason.code) {
                    (_, ReviewCode::LanguageUnsupported) => "language".to_owned(),
                    (Some(field), _) => format!("rule:{field}"),
                    (None, _) => model(),
                };
                if !deciders.contains(&decider) {
                    deciders.push(decider);
                }
            }
            let codes = review.reasons.iter().map(|reason| reason.code.name()).collect();
            (codes, deciders, review.record.redactions.clone())
        }
        Outcome::Reject(refusal) => {
            (vec![refusal.code.name()], vec![format!("room:{}", refusal.room)], Vec::new())
        }
        // Refused on its way out, for its size or its form.
        Outcome::Record(_) | Outcome::Review(_) => {
            (vec![outgoing.code], vec!["room:route".to_owned()], Vec::new())
        }
    };
    let digest = origin.digest.or_else(|| origin.bytes().map(Digest::of));
    let position = origin.delivery.position.clone();
    Audit {
        base,
        record_id: record_id(&base.pipeline, &position, origin.part.number),
        outcome: left,
        codes,
        deciders,
        redactions,
        document_digest: digest.map(|digest| origin.sealed(digest)),
        position,
        part: origin.part.number,
    }
}
