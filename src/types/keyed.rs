//! `key, bytes -> Digest`: HMAC-SHA256, for what could be guessed from a plain digest.
//!
//! A name or a record number has few possible values: whoever has its plain digest tries them all.
//! Deliberately keeps no key on disk and prints none.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Digest;

/// A secret key, ready for HMAC-SHA256 (RFC 2104, FIPS 198-1). No formatter prints it.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Shortest key, in bytes; half of what the digest could use, and out of reach of guessing.
    pub const BYTES_MIN: usize = 16;

    /// The key of those bytes; `None` below [`Self::BYTES_MIN`].
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < Self::BYTES_MIN {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// The keyed digest of `bytes` for one purpose; for another purpose the same bytes give
    /// another digest.
    pub fn digest(&self, purpose: &str, bytes: &[u8]) -> Digest {
        let mut mac = self.0.clone();
        let length = u64::try_from(purpose.len()).unwrap_or(u64::MAX);
        mac.update(&length.to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(bytes);
        Digest(mac.finalize().into_bytes().into())
    }

    /// A number that follows from key, purpose and bytes: the first 64 bits of the digest.
    pub fn number(&self, purpose: &str, bytes: &[u8]) -> u64 {
        let Digest(digest) = self.digest(purpose, bytes);
        digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// The keyed digest that stands for a plain one: as good as one of the bytes themselves, and
    /// no second pass over them.
    pub fn seal(&self, plain: Digest) -> Digest {
        self.digest("digest", &plain.0)
    }

    /// Name of the key: tells whether two digests were made with the same one, and nothing else.
    pub fn name(&self) -> String {
        self.digest("name of the key", b"").short()
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_short_key_is_none() {
        assert!(Key::new(&[7; 15]).is_none());
        assert!(Key::new(&[7; 16]).is_some());
    }

    #[test]
    fn purpose_bytes_and_key_all_count() {
        let (one, other) = (Key::new(&[1; 16]).unwrap(), Key::new(&[2; 16]).unwrap());
        let digest = one.digest("name", b"jane");
        assert_eq!(digest, one.digest("name", b"jane"));
        assert_ne!(digest, one.digest("name", b"jan"));
        assert_ne!(digest, one.digest("place", b"jane"));
        assert_ne!(digest, other.digest("name", b"jane"));
        assert_ne!(one.digest("ab", b"c"), one.digest("a", b"bc"));
        assert_ne!(one.name(), other.name());
    }

    /// Computed with Python's `hmac` over the length of the purpose in eight bytes, the purpose,
    /// and the bytes.
    #[test]
    fn the_digest_is_hmac_sha256() {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let expected = "1ab7ab775dd6a244afab5f0a7ef5f78ca945a47b8d12d812e837c41d5a2a3764";
        assert_eq!(key.digest("p", b"x").to_string(), expected);
    }
}
