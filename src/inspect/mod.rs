//! `topics and groups as they are -> answers for an operator`: what the commands `reconcile`,
//! `doctor`, `replay`, `rejects` and `topics` do.
//!
//! Like the worker it knows several rooms; no room knows it. Deliberately joins no group and commits
//! no offset: looking at a flow never disturbs it. Two things write:
//! [`rejects::replay`](mod@rejects::replay), to the input topic, and [`creation`], which makes topics. No document text is told unless it is asked for by name.

pub mod configs;
pub mod creation;
pub mod doctor;
pub mod range;
pub mod reconcile;
pub mod rejects;
pub mod replay;
mod tally;
pub mod topics;

use crate::types::OutcomeKind;

/// An output topic of a flow, and what stands on it; `None` for the audit.
pub type OutputTopic = (String, Option<OutcomeKind>);

/// The output topics of a flow.
pub fn output_topics(output: &crate::config::pipeline::Output) -> Vec<OutputTopic> {
    let outcomes = [
        (output.record_topic.clone(), Some(OutcomeKind::Record)),
        (output.review_topic.clone(), Some(OutcomeKind::Review)),
        (output.reject_topic.clone(), Some(OutcomeKind::Reject)),
    ];
    let audit = output.audit_topic.clone().map(|topic| (topic, None));
    outcomes.into_iter().chain(audit).collect()
}

/// A record id taken apart: `PIPELINE/TOPIC/PARTITION/OFFSET/PART`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordId<'a> {
    /// Pipeline name.
    pub pipeline: &'a str,
    /// Input topic.
    pub topic: &'a str,
    /// Partition of it.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Part of the delivery.
    pub part: u32,
}

impl<'a> RecordId<'a> {
    /// The pieces of `text`; `None` where it is no record id.
    pub fn of(text: &'a str) -> Option<Self> {
        let mut pieces = text.split('/');
        let (pipeline, topic) = (pieces.next()?, pieces.next()?);
        let partition = pieces.next()?.parse().ok()?;
        let offset = pieces.next()?.parse().ok()?;
        let part = pieces.next()?.parse().ok()?;
        pieces.next().is_none().then_some(Self { pipeline, topic, partition, offset, part })
    }
}

#[cfg(test)]
mod tests {
    use super::RecordId;

    #[test]
    fn a_record_id_has_five_pieces() {
        let id = RecordId::of("contracts/in/3/17/2").unwrap();
        assert_eq!((id.pipeline, id.topic, id.partition), ("contracts", "in", 3));
        assert_eq!((id.offset, id.part), (17, 2));
        for bad in ["", "contracts/in/3/17", "contracts/in/x/17/2", "contracts/in/3/17/2/9"] {
            assert_eq!(RecordId::of(bad), None, "{bad}");
        }
    }
}
