//! A claim: a message that names its document instead of holding it.

use super::{Digest, Uri};

/// Where a document lies and what it must be.
#[derive(Clone)]
pub struct Claim {
    /// Its place, which the pipeline allows.
    pub uri: Uri,
    /// Its size in bytes, within `input.document_bytes_max`.
    pub size_bytes: usize,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}
