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
/// Name of the gate's weights in a bundle's folder.
pub const GATE: &str = "gate.bin";

/// What the windows of a text end with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// With any token: all windows but the last are full, and neighbours overlap.
    #[default]
    Stride,
    /// With a sentence, and nothing overlaps, wherever one ends in the later half of a window.
    Sentences,
}

/// How a text is cut into windows and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Most tokens in a row, the two special ones included; a multiple of `pad_to`.
    pub tokens_max: usize,
    /// What a window ends with.
    #[serde(default)]
    pub cut: Cut,
    /// Distance in tokens between the starts of two windows of which the first does not end with a
    /// sentence; at least half and at most all of the text tokens that one window holds.
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

/// What says, ahead of the model, in which sentences it would find nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSpec {
    /// A sentence is read by the model where its score is at least this.
    pub threshold: i64,
    /// Sentences that begin within so many first tokens of a text are read whatever they score.
    pub opening_tokens: usize,
    /// So many tokens on both sides of what is read are read with it.
    pub margin_tokens: usize,
    /// What lies between two margins is read with them where it has no more tokens than this.
    pub joined_tokens: usize,
    /// Logit, of every label, of a token that the model has not read.
    pub unread_logit: f32,
    /// The file with the weights.
    pub path: PathBuf,
    /// Digest of that file.
    pub digest: Digest,
}

impl GateSpec {
    /// The bytes of the file, compared with its digest once more.
    pub fn bytes(&self) -> Result<Vec<u8>, BundleError> {
        reread(&self.path, self.digest)
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
    /// What keeps sentences from the model; `None` where it reads all of a text.
    pub gate: Option<GateSpec>,
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
    #[serde(default)]
    gate: Option<ManifestGate>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestGate {
    threshold: i64,
    opening: usize,
    margin: usize,
    joined: usize,
    unread: f32,
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
        let gate = |it: ManifestGate| {
            Ok(GateSpec {
                threshold: it.threshold,
                opening_tokens: it.opening,
                margin_tokens: it.margin,
                joined_tokens: it.joined,
                unread_logit: it.unread,
                path: folder.join(GATE),
                digest: digest(GATE)?,
            })
        };
        Ok(Self {
            gate: manifest.gate.map(gate).transpose()?,
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
    )?;
    let Some(gate) = &manifest.gate else { return Ok(()) };
    claim(
        manifest.heads.iter().all(|head| matches!(head, Head::Multilabel(_))),
        "gate",
        "only heads of the kind `multilabel` can do without the rest of a text",
    )?;
    claim(
        window.cut == Cut::Stride,
        "window.cut",
        "a bundle with a gate cuts by `stride`, so that what is read keeps its margins",
    )?;
    claim(
        gate.margin.saturating_mul(2) <= content - window.stride_tokens,
        "gate.margin",
        "it must be at most half of what two windows share",
    )?;
    claim(gate.joined <= content, "gate.joined", "it must be at most `tokens_max` - 2")?;
    claim(
        gate.opening >= 1,
        "gate.opening",
        "it must be at least 1, or a text may have no window",
    )?;
    claim(gate.unread.is_finite(), "gate.unread", "it must be a finite logit")
}
