//! `Delivery -> parts -> outcomes`: the middle of the house, the same for Kafka, files and tests.
//!
//! Deliberately holds no thread, no clock and nothing of one document: [`super::flow`] and the
//! offline commands drive it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::assemble::{self, Plan};
use crate::chunk::{self, Tokenizer};
use crate::config::Flow;
use crate::config::bundle::Bundle;
use crate::decode::{self, Decoded, Known};
use crate::error::Fault;
use crate::infer;
use crate::registry::Client;
use crate::sink::codec::Codec;
use crate::sink::schemas::Schemas;
use crate::text::{self, Reader};
use crate::types::{
    Chunks, Delivery, Document, Extraction, Outcome, Provenance, Reason, Record, Reject,
    RejectCode, Review, ReviewCode, Room, Sensitive, Text, WindowScores, record_id,
};
use crate::validate::Rules;

/// A part whose text waits for the model.
pub struct Pending {
    document_id: String,
    text: Text,
    /// The windows for the model.
    pub chunks: Chunks,
    provenance: Provenance,
    sent: Option<Timestamp>,
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
    pub(super) tokenizer: Tokenizer,
    pub(super) plan: Plan,
    pub(super) rules: Rules,
    /// Finds the schema of an Avro envelope.
    pub(super) registry: Option<Arc<Client>>,
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

    /// Reads and cuts one document.
    pub fn prepare(
        &self,
        delivery: &Delivery,
        document: &Document,
        reader: &mut Reader,
    ) -> Result<Prepared, Fault> {
        let text = match reader.text(document, &self.flow.pipeline.text)? {
            Ok(text) => text,
            Err(reject) => return Ok(Prepared::Ended(Outcome::Reject(reject))),
        };
        let provenance = self.provenance_of(delivery, document, &text);
        if let Some(reason) = self.foreign_language(&text) {
            let record = self.record(document.id.clone(), Extraction::default(), provenance);
            return Ok(Prepared::Ended(review(record, vec![reason], &text)));
        }
        Ok(match chunk::chunk(&text, &self.tokenizer, self.bundle()) {
            Err(reject) => Prepared::Ended(Outcome::Reject(reject)),
            Ok(chunks) => Prepared::Pending(Box::new(Pending {
                document_id: document.id.clone(),
                text,
                chunks,
                provenance,
                sent: delivery.sent,
            })),
        })
    }

    /// Judges one document by what the model said of it.
    pub fn finish(&self, pending: Pending, scores: &[WindowScores]) -> Outcome {
        let Pending { document_id, text, chunks, provenance, sent } = pending;
        let (findings, flags) = infer::findings(scores, &chunks, &text, self.bundle());
        let extraction = match assemble::assemble(&findings, &flags, &text, sent, &self.plan) {
            Ok(extraction) => extraction,
            Err(reject) => return Outcome::Reject(reject),
        };
        match self.rules.judge(&extraction) {
            Err(reject) => Outcome::Reject(reject),
            Ok(reasons) => {
                let record = self.record(document_id, extraction, provenance);
                if reasons.is_empty() {
                    Outcome::Record(Box::new(record))
                } else {
                    review(record, reasons, &text)
                }
            }
        }
    }

    fn record(
        &self,
        document_id: String,
        extraction: Extraction,
        provenance: Provenance,
    ) -> Record {
        let id = record_id(&self.flow.pipeline.name, &provenance.position, provenance.part);
        Record { id, document_id, extraction, provenance }
    }

    fn provenance_of(&self, delivery: &Delivery, document: &Document, text: &Text) -> Provenance {
        Provenance {
            document_digest: document.digest,
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

fn review(record: Record, reasons: Vec<Reason>, text: &Text) -> Outcome {
    let text = Sensitive::new(text.as_str().to_owned());
    Outcome::Review(Box::new(Review { record, reasons, text }))
}

/// The refusal for a bug that was met in `room`.
pub fn panicked(room: Room) -> Outcome {
    let detail = "a bug in sluice was met; the place stands in the log";
    Outcome::Reject(Reject::new(RejectCode::InternalPanic, room, detail))
}
