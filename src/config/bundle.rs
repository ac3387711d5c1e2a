//! `models/NAME/bundle.json -> Bundle`: what a model knows, and how its scores are read.

use std::path::PathBuf;

use crate::types::Digest;

/// One label of the model, in the order of its output.
#[derive(Clone, Debug)]
pub struct Label {
    /// Name, such as `Governing Law`.
    pub name: String,
}

/// A model bundle whose files were read and whose digests were compared.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Name of the bundle.
    pub name: String,
    /// Revision of the bundle.
    pub revision: String,
    /// Languages (ISO 639-1) that the model was trained on.
    pub languages: Vec<String>,
    /// Labels in the order of the model's output.
    pub labels: Vec<Label>,
    /// The model file.
    pub model_path: PathBuf,
    /// The tokenizer file.
    pub tokenizer_path: PathBuf,
    /// Digest of the model file.
    pub model_digest: Digest,
    /// Digest of the tokenizer file.
    pub tokenizer_digest: Digest,
    /// Digest of `bundle.json`.
    pub manifest_digest: Digest,
}
