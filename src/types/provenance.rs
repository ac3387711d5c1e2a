//! Why a record says so: everything needed to make it again.

use serde::Serialize;

use super::{Digest, Position};

/// What made a record, and from what. Holds no clock, host or random value: the same input gives
/// the same provenance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// Pipeline name.
    pub pipeline: String,
    /// Revision of the pipeline folder, as its owner names it.
    pub pipeline_revision: String,
    /// Digest of `pipeline.yaml`.
    pub config_digest: Digest,
    /// Digest of the resolved output schema.
    pub schema_digest: Digest,
    /// Model bundle name.
    pub model: String,
    /// Model bundle revision.
    pub model_revision: String,
    /// Digest of `model.onnx`.
    pub model_digest: Digest,
    /// Digest of `tokenizer.json`.
    pub tokenizer_digest: Digest,
    /// Digest of `bundle.json`: labels, thresholds, calibration, decoder.
    pub thresholds_digest: Digest,
    /// Digest of `gate.bin`, which kept sentences from the model; absent where it read all.
    pub gate_digest: Option<Digest>,
    /// Version of sluice.
    pub sluice_version: String,
    /// Text engine and its version, such as `pdf-extract 0.12.1`, or `pdfium` and the
    /// first digits of its library's digest.
    pub text_engine: String,
    /// Version of ONNX Runtime.
    pub onnxruntime_version: String,
    /// Execution provider, such as `cpu`.
    pub provider: String,
    /// Instruction class of the processor, such as `x86_64-avx512-vnni`.
    pub cpu_class: String,
    /// Name of the key of redaction; absent where the flow does not redact.
    pub redaction_key: Option<String>,
    /// Digest of the document's bytes; keyed where the flow redacts.
    pub document_digest: Digest,
    /// Where the document was fetched from; absent where the message held it, or the flow redacts.
    pub document_uri: Option<String>,
    /// Digest of the text that is published, in UTF-8; absent where no text was had, keyed where
    /// the flow redacts.
    pub text_digest: Option<Digest>,
    /// Where the document came from.
    #[serde(skip)]
    pub position: Position,
    /// Part of the delivery, from 0.
    pub part: u32,
}
