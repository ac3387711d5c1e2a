//! `Audit -> Node`: an entry in the form of `schemas/audit.avsc`.
//!
//! Deliberately takes what is the same for all parts of a flow from its provenance, so that the
//! audit names the same pipeline and model as the record does.

use std::borrow::Cow;

use super::json::{Node, named, text};
use crate::types::{Audit, Digest, Redaction};

/// The entry as it is published.
pub(super) fn node<'a>(audit: &'a Audit<'_>) -> Node<'a> {
    let base = audit.base;
    let digest = |digest: &Digest| Node::Text(Cow::Owned(digest.to_string()));
    Node::Struct(vec![
        named("record_id", text(&audit.record_id)),
        named("outcome", text(audit.outcome.name())),
        named("codes", Node::List(audit.codes.iter().map(|code| text(code)).collect())),
        named("decided_by", Node::List(audit.deciders.iter().map(|one| text(one)).collect())),
        named("redactions", Node::List(audit.redactions.iter().map(redaction).collect())),
        named("document_digest", audit.document_digest.as_ref().map_or(Node::Null, digest)),
        named("redaction_key", base.redaction_key.as_deref().map_or(Node::Null, text)),
        named("pipeline", text(&base.pipeline)),
        named("pipeline_revision", text(&base.pipeline_revision)),
        named("config_digest", digest(&base.config_digest)),
        named("model", text(&base.model)),
        named("model_revision", text(&base.model_revision)),
        named("model_digest", digest(&base.model_digest)),
        named("sluice_version", text(&base.sluice_version)),
        named("source_topic", text(&audit.position.topic)),
        named("source_partition", Node::Long(i64::from(audit.position.partition))),
        named("source_offset", Node::Long(audit.position.offset)),
        named("part", Node::Long(i64::from(audit.part))),
    ])
}

fn redaction(of: &Redaction) -> Node<'_> {
    Node::Struct(vec![
        named("kind", text(of.kind)),
        named("policy", text(of.policy)),
        named("decided_by", Node::Text(Cow::Owned(of.decider.name()))),
        named("count", Node::Long(i64::from(of.count))),
    ])
}
