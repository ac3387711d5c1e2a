//! `Delivery -> parts -> outcomes`: the middle of the house, the same for Kafka, files and tests.
//!
//! Deliberately holds no thread, no clock and nothing of one document: [`super::flow`] and the
//! offline commands drive it.

use std::sync::Arc;

use jiff::Timestamp;

use super::flow::TOKEN_TEXT_BYTES;
use crate::assemble::{self, Plan};
use crate::chunk::Chunker;
use crate::claim::{Got, Stores, Trial};
use crate::config::Flow;
use crate::config::bundle::Bundle;
use crate::decode::{self, Claimed, Decoded, Known};
use crate::error::{Fault, FaultClass};
use crate::failpoint;
use crate::infer;
use crate::redact::{Redactor, Subject};
use crate::registry::Client;
use crate::sink::codec::Codec;
use crate::sink::schemas::Schemas;
use crate::telemetry;
use crate::text::{self, Reader};
use crate::types::{
    Chunk, Chunks, Claim, Cover, Delivery, Digest, Document, Extraction, Identifier, Outcome,
    Provenance, Reason, Record, Redaction, Reject, RejectCode, Review, ReviewCode, Room, Sensitive,
    Shown, Text, WindowScores, record_id, window_tokens,
};
use crate::validate::Rules;

/// A part whose text waits for the model.
pub struct Pending {
    document_id: String,
    identifiers: Arc<[Identifier]>,
    text: Text,
    chunks: Chunks,
    /// Whether anything of what leaves comes from the model.
    is_read: bool,
    provenance: Provenance,
    sent: Option<Timestamp>,
}

impl Pending {
    /// The windows for the model: none where nothing would be read of what it says.
    pub fn windows(&self) -> Arc<Vec<Chunk>> {
        if self.is_read { Arc::clone(&self.chunks.windows) } else { Arc::default() }
    }

    /// Tokens that the model is spared so, and those that the gate spares it.
    pub(super) fn spared_tokens(&self) -> (usize, usize) {
        let gated = self.chunks.spared_tokens;
        if self.is_read { (0, gated) } else { (window_tokens(&self.chunks.windows) + gated, 0) }
    }

    /// What it counts for in `limits.in_flight_tokens_max`: its tokens, and where these are long, one
    /// for each so many bytes of its text.
    pub(super) fn tokens_held(&self) -> usize {
        self.chunks.tokens.len().max(self.text.as_str().len() / TOKEN_TEXT_BYTES)
    }
}

/// What a document leaves as.
struct Leaving {
    extraction: Extraction,
    text: String,
    redactions: Vec<Redaction>,
}

/// What preparing a part gave.
pub enum Prepared {
    /// It has ended without the model.
    Ended(Outcome),
    /// Its windows are to be run.
    Pending(Box<Pending>),
}

/// All that is needed to work on the documents of one pipeline.
pub struct Engine {
    /// The checked pipeline.
    pub flow: Flow,
    /// Index of the pipeline's model in the inference pool.
    pub model: usize,
    pub(super) chunker: Chunker,
    pub(super) plan: Plan,
    pub(super) rules: Rules,
    /// Takes identifiers out of what leaves; `None` where the pipeline does not ask for it.
    pub(super) redactor: Option<Redactor>,
    /// Finds the schema of an Avro envelope.
    pub(super) registry: Option<Arc<Client>>,
    /// Fetches what claims name; `None` where the pipeline takes none.
    pub(super) stores: Option<Stores>,
    /// The output schemas.
    pub output: Arc<Schemas>,
    /// Provenance with everything that does not depend on the document.
    pub(super) provenance: Provenance,
}

impl Engine {
    /// The model bundle.
    pub const fn bundle(&self) -> &Bundle {
        &self.flow.bundle
    }

    /// A codec for the flow's output; with a registry, one whose schemas are registered there.
    pub fn codec(&self) -> Result<Codec, Fault> {
        let output = &self.flow.pipeline.output;
        Codec::connect(Arc::clone(&self.output), output, self.registry.as_deref())
    }

    /// What is the same in the provenance of all documents.
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What of `delivery` may leave beside its outcomes; `None` where the flow does not redact.
    pub fn cover(&self, delivery: &Delivery) -> Option<Cover> {
        self.redactor.as_ref().map(|redactor| redactor.cover(delivery))
    }

    /// Takes a delivery apart.
    pub fn decode(&self, delivery: &Delivery) -> Result<Result<Decoded, Reject>, Fault> {
        decode::decode(delivery, &self.flow.pipeline.input, &self.registry)
    }

    /// Takes a delivery apart without asking the registry: a fault where only the registry knows
    /// the schema of its envelope, and [`Self::decode`] has to ask.
    pub fn decode_known(&self, delivery: &Delivery) -> Result<Result<Decoded, Reject>, Fault> {
        let known = self.registry.as_deref().map(Known);
        decode::decode(delivery, &self.flow.pipeline.input, &known)
    }

    /// Tries once to fetch the document of a claim that [`Self::decode`] gave; blocks.
    pub fn fetch(
        &self,
        claim: &Claim,
        trial: &mut Trial,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Got, Fault> {
        match &self.stores {
            Some(stores) => stores.fetch(claim, trial, is_wanted),
            None => Err(Fault::plain(FaultClass::Fatal, "fetching a claim without `input.claims`")),
        }
    }

    /// The parts of a document that was fetched.
    pub fn claimed(
        &self,
        delivery: &Delivery,
        claimed: Claimed,
        bytes: Vec<u8>,
    ) -> Result<Decoded, Reject> {
        let pieces = decode::claimed(delivery, &self.flow.pipeline.input, claimed, bytes)?;
        Ok(Decoded::Parts(pieces))
    }

    /// Reads and cuts one document.
    pub fn prepare(
        &self,
        delivery: &Delivery,
        document: &Document,
        reader: &mut Reader,
    ) -> Result<Prepared, Fault> {
        let mut span = telemetry::span("text");
        let text = match reader.text(document, &self.flow.pipeline.text)? {
            Ok(text) => text,
            Err(reject) => return Ok(Prepared::Ended(Outcome::Reject(reject))),
        };
        span.size("sluice.text", text.as_str().as_bytes());
        drop(span);
        let (id, words) = (Shown(document.id.as_bytes()), Shown(text.as_str().as_bytes()));
        tracing::trace!(position = %delivery.position, part = document.part, %id, text = %words, "a text");
        failpoint::burst(text.as_str());
        let provenance = self.provenance_of(delivery, document, &text);
        if let Some(reason) = self.foreign_language(&text) {
            // Redaction knows the model's languages only: of a text in another nothing leaves.
            let text = match &self.redactor {
                None => text.as_str().to_owned(),
                Some(_) => String::new(),
            };
            let leaving =
                Leaving { extraction: Extraction::default(), text, redactions: Vec::new() };
            let outcome = self.leave(document.id.clone(), leaving, provenance, vec![reason]);
            return Ok(Prepared::Ended(outcome));
        }
        let mut span = telemetry::span("chunk");
        Ok(match self.chunker.chunk(&text, self.flow.pipeline.text.tokens_max) {
            Err(reject) => Prepared::Ended(Outcome::Reject(reject)),
            Ok(chunks) => {
                span.count("sluice.tokens", chunks.tokens.len());
                span.count("sluice.windows", chunks.windows.len());
                Prepared::Pending(Box::new(Pending {
                    document_id: document.id.clone(),
                    identifiers: Arc::clone(&document.identifiers),
                    is_read: self.reads_model(&text),
                    text,
                    chunks,
                    provenance,
                    sent: delivery.sent,
                }))
            }
        })
    }

    /// Whether what the model says of `text` can change what leaves.
    fn reads_model(&self, text: &Text) -> bool {
        self.plan.reads_model(text) || self.redactor.as_ref().is_some_and(Redactor::reads_model)
    }

    /// Judges one document by what the model said of it.
    pub fn finish(&self, pending: Pending, scores: &[WindowScores]) -> Outcome {
        let Pending { document_id, identifiers, text, chunks, is_read, provenance, sent } = pending;
        let span = telemetry::span("assemble");
        let (findings, flags) = if is_read {
            infer::findings(scores, &chunks, &text, self.bundle())
        } else {
            (Vec::new(), Vec::new())
        };
        let extraction = match assemble::assemble(&findings, &flags, &text, sent, &self.plan) {
            Ok(extraction) => extraction,
            Err(reject) => return Outcome::Reject(reject),
        };
        drop(span);
        let span = telemetry::span("validate");
        let reasons = match self.rules.judge(&extraction) {
            Ok(reasons) => reasons,
            Err(reject) => return Outcome::Reject(reject),
        };
        drop(span);
        let leaving = match &self.redactor {
            None => {
                let text = text.as_str().to_owned();
                Leaving { extraction, text, redactions: Vec::new() }
            }
            Some(redactor) => {
                let digest = provenance.document_digest;
                let subject = Subject { identifiers: &identifiers, digest };
                let redacted = redactor.redact(&text, &findings, &extraction, subject);
                Leaving {
                    extraction: redacted.extraction,
                    text: redacted.text.as_str().to_owned(),
                    redactions: redacted.redactions,
                }
            }
        };
        self.leave(document_id, leaving, provenance, reasons)
    }

    /// The record, or with reasons the review, of what leaves.
    fn leave(
        &self,
        document_id: String,
        leaving: Leaving,
        provenance: Provenance,
        reasons: Vec<Reason>,
    ) -> Outcome {
        let Leaving { extraction, text, redactions } = leaving;
        let id = record_id(&self.flow.pipeline.name, &provenance.position, provenance.part);
        let (document_id, provenance) = match &self.redactor {
            None => (document_id, provenance),
            Some(redactor) => (
                redactor.document_id(&document_id, &provenance.position),
                Provenance {
                    document_digest: redactor.seal(provenance.document_digest),
                    text_digest: Some(redactor.seal(Digest::of(text.as_bytes()))),
                    ..provenance
                },
            ),
        };
        let record = Record { id, document_id, extraction, redactions, provenance };
        if reasons.is_empty() {
            return Outcome::Record(Box::new(record));
        }
        let text = Sensitive::new(text);
        Outcome::Review(Box::new(Review { record, reasons, text }))
    }

    fn provenance_of(&self, delivery: &Delivery, document: &Document, text: &Text) -> Provenance {
        Provenance {
            document_digest: document.digest,
            // Where the flow redacts, a path may not leave: files are named after persons.
            document_uri: document
                .fetched_from
                .as_ref()
                .filter(|_| self.redactor.is_none())
                .map(|uri| uri.written().into_inner()),
            text_digest: Some(text.digest()),
            position: delivery.position.clone(),
            part: document.part,
            ..self.provenance.clone()
        }
    }

    fn foreign_language(&self, text: &Text) -> Option<Reason> {
        let language = text::language(text)?;
        let is_known = self.flow.languages().iter().any(|known| known == language);
        (!is_known).then(|| Reason {
            code: ReviewCode::LanguageUnsupported,
            field: None,
            detail: format!(
                "the text is in `{language}`; the pipeline extracts {}",
                self.flow.languages().join(", ")
            ),
        })
    }
}

/// The refusal for a bug that was met in `room`.
pub fn panicked(room: Room) -> Outcome {
    let detail = "a bug in sluice was met; the place stands in the log";
    Outcome::Reject(Reject::new(RejectCode::InternalPanic, room, detail))
}
