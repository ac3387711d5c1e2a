//! `models/NAME/bundle.json -> Bundle`: what a model knows, and how its scores are read.
//!
//! Refuses unknown keys wherever a key would change a score; descriptive keys (licence, metrics,
//! data) are for people and may be anything. Deliberately opens no session: that is `infer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::heads::{Head, Heads};
use crate::types::Digest;

/// Name of the manifest in a bundle's folder.
pub const MANIFEST: &str = "bundle.json";
/// Name of the model in a bundle's folder.
pub const MODEL: &str = "model.onnx";
/// Name of the tokenizer in a bundle's folder.
pub const TOKENIZER: &str = "tokenizer.json";

/// How a text is cut into windows and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Most tokens in a row, the two special ones included; a multiple of `pad_to`.
    pub tokens_max: usize,
    /// Distance in tokens between the starts of two windows; at least half and at most all of the
    /// text tokens that one window holds.
    #[serde(rename = "stride")]
    pub stride_tokens: usize,
    /// Rows are padded to a multiple of so many tokens.
    #[serde(rename = "pad_to")]
    pub pad_multiple_tokens: usize,
    /// Whether a row scores the same in a call of several rows of its length, bit for bit: so with
    /// fixed ranges of activations, and not where they are taken over the call.
    #[serde(default, rename = "independent_rows")]
    pub has_independent_rows: bool,
    /// Id of the token before the text of a row.
    #[serde(rename = "cls")]
    pub first_id: u32,
    /// Id of the token after the text of a row.
    #[serde(rename = "sep")]
    pub last_id: u32,
    /// Id of padding.
    #[serde(rename = "pad")]
    pub pad_id: u32,
}

impl Window {
    /// Most tokens of the text in one window: a row without its two special tokens.
    pub const fn content_tokens_max(&self) -> usize {
        self.tokens_max.saturating_sub(2)
    }
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
    /// What the model answers.
    pub heads: Heads,
    /// How a text is cut into windows.
    pub window: Window,
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

/// Why a bundle cannot be used. Holds no document text; a bundle is none.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file of the bundle cannot be read.
    #[error("reading `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `bundle.json` has another shape than this version reads.
    #[error("reading `{}`", path.display())]
    Shape {
        /// The manifest.
        path: PathBuf,
        /// What and where, by line and column.
        #[source]
        source: serde_json::Error,
    },
    /// `bundle.json` says something that cannot be.
    #[error("reading `{}`: key `{key}`: {detail}", path.display())]
    Value {
        /// The manifest.
        path: PathBuf,
        /// The key, such as `labels[3].name`.
        key: String,
        /// What is wrong, and what would be right.
        detail: String,
    },
    /// A file is not the one that the manifest was written for.
    #[error(
        "comparing digests: `{}` is {found}, but `bundle.json` has {expected}; \
         fetch the bundle again, or write its manifest anew", path.display()
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// SHA-256 in the manifest.
        expected: String,
        /// SHA-256 of the file.
        found: Digest,
    },
}

/// `bundle.json` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    name: String,
    revision: String,
    language: Vec<String>,
    window: Window,
    decoder: Decoder,
    heads: Vec<Head>,
    files: BTreeMap<String, String>,
    // Descriptive: for people and for the model card.
    #[serde(default, rename = "base")]
    _base: IgnoredAny,
    #[serde(default, rename = "data")]
    _data: IgnoredAny,
    #[serde(default, rename = "license")]
    _license: IgnoredAny,
    #[serde(default, rename = "metrics")]
    _metrics: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decoder {
    version: String,
}

impl Bundle {
    /// Reads the bundle in `folder` and compares the digests of its files.
    pub fn load(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(MANIFEST);
        let bytes = read(&path)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|source| BundleError::Shape { path: path.clone(), source })?;
        let wrong = |(key, detail)| BundleError::Value { path: path.clone(), key, detail };
        check(&manifest).map_err(wrong)?;
        let heads = Heads::new(manifest.heads).map_err(wrong)?;
        // Every file that the manifest lists is compared, not only those that are run.
        let mut digests = BTreeMap::new();
        for (name, expected) in &manifest.files {
            if Path::new(name).file_name() != Some(name.as_ref()) {
                let detail = "it must be the name of a file in the bundle's folder";
                return Err(wrong((format!("files.{name}"), detail.to_owned())));
            }
            let path = folder.join(name);
            let found = Digest::of(&read(&path)?);
            digests.insert(name.as_str(), compare(path, found, expected.clone())?);
        }
        let digest = |name: &str| {
            let missing = "it is missing; write the SHA-256 of the file".to_owned();
            digests.get(name).copied().ok_or_else(|| wrong((format!("files.{name}"), missing)))
        };
        Ok(Self {
            model_digest: digest(MODEL)?,
            tokenizer_digest: digest(TOKENIZER)?,
            manifest_digest: Digest::of(&bytes),
            model_path: folder.join(MODEL),
            tokenizer_path: folder.join(TOKENIZER),
            name: manifest.name,
            revision: manifest.revision,
            languages: manifest.language,
            heads,
            window: manifest.window,
        })
    }

    /// The bytes of the model file, compared with its digest once more: what is run is what was
    /// checked, whatever happened to the file since.
    pub fn model_bytes(&self) -> Result<Vec<u8>, BundleError> {
        reread(&self.model_path, self.model_digest)
    }

    /// The bytes of the tokenizer file, likewise.
    pub fn tokenizer_bytes(&self) -> Result<Vec<u8>, BundleError> {
        reread(&self.tokenizer_path, self.tokenizer_digest)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    std::fs::read(path).map_err(|source| BundleError::Read { path: path.to_owned(), source })
}

fn reread(path: &Path, expected: Digest) -> Result<Vec<u8>, BundleError> {
    let bytes = read(path)?;
    compare(path.to_owned(), Digest::of(&bytes), expected.to_string())?;
    Ok(bytes)
}

fn compare(path: PathBuf, found: Digest, expected: String) -> Result<Digest, BundleError> {
    if found.to_string() == expected {
        Ok(found)
    } else {
        Err(BundleError::Digest { path, expected, found })
    }
}

/// A key and what is wrong with its value.
type Complaint = (String, String);

fn claim(holds: bool, key: impl Into<String>, detail: &str) -> Result<(), Complaint> {
    if holds { Ok(()) } else { Err((key.into(), detail.to_owned())) }
}

/// The first thing in a manifest, but for its heads, that cannot be.
fn check(manifest: &Manifest) -> Result<(), Complaint> {
    claim(manifest.format == 2, "format", "only 2 is known")?;
    let is_known = matches!(manifest.decoder.version.as_str(), "2" | "3");
    claim(is_known, "decoder.version", "only \"2\" and \"3\" are known")?;
    let window = &manifest.window;
    let multiple = window.pad_multiple_tokens;
    claim(multiple >= 1, "window.pad_to", "it must be at least 1")?;
    claim(
        window.tokens_max >= 4 && window.tokens_max.is_multiple_of(multiple),
        "window.tokens_max",
        "it must be at least 4 and a multiple of `pad_to`",
    )?;
    let content = window.content_tokens_max();
    claim(
        (content.div_ceil(2)..=content).contains(&window.stride_tokens),
        "window.stride",
        "it must lie between half of `tokens_max` - 2 and all of it",
    )
}
