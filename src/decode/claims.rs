//! What an envelope says of a document that lies elsewhere `-> Claimed`, and with its bytes `->`
//! parts.
//!
//! Deliberately fetches nothing: whether the pipeline allows the place is said here, before anybody
//! asks for it. No detail quotes the URI, since a path may name a person.

use std::borrow::Cow;

use super::{Kind, Piece, Unwrapped, parts, reject, within};
use crate::config::pipeline::Input;
use crate::types::{Claim, Delivery, Digest, Reject, RejectCode, Uri};

/// A document that its envelope names instead of holding it.
#[derive(Clone)]
pub struct Claimed {
    /// Where it lies, and what it must be.
    pub claim: Claim,
    document_id: Option<String>,
    content_type: Vec<u8>,
}

/// The keys of an envelope that make a claim, as they were sent.
pub(super) struct Reference<'a> {
    pub(super) document_id: Option<Cow<'a, str>>,
    pub(super) content_type: Option<Cow<'a, [u8]>>,
    pub(super) uri: Cow<'a, str>,
    pub(super) size_bytes: Option<u64>,
    pub(super) sha256: Option<Cow<'a, str>>,
}

impl Reference<'_> {
    /// The claim, where it is whole and the pipeline allows it.
    pub(super) fn check(self, input: &Input) -> Result<Claimed, Reject> {
        let missing = |key: &str| {
            reject(RejectCode::EnvelopeInvalid, format!("the envelope has `uri` but no `{key}`"))
        };
        let content_type = self.content_type.ok_or_else(|| missing("content_type"))?;
        let size_bytes = self.size_bytes.ok_or_else(|| missing("size_bytes"))?;
        let sha256 = self.sha256.ok_or_else(|| missing("sha256"))?;
        let sha256 = Digest::from_hex(&sha256).ok_or_else(|| {
            let detail = "`sha256` of the envelope is not 64 hexadecimal digits";
            reject(RejectCode::EnvelopeInvalid, detail)
        })?;
        let size_bytes = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        if size_bytes == 0 {
            return Err(reject(
                RejectCode::DocumentEmpty,
                "the envelope claims a document of no bytes",
            ));
        }
        within(size_bytes, input.document_bytes_max)?;
        let claim = Claim { uri: allowed(&self.uri, input)?, size_bytes, sha256 };
        let document_id = self.document_id.map(Cow::into_owned);
        Ok(Claimed { claim, document_id, content_type: content_type.into_owned() })
    }
}

/// The place, where `input.claims.allow` holds it.
fn allowed(text: &str, input: &Input) -> Result<Uri, Reject> {
    let forbidden = |detail: String| reject(RejectCode::ClaimForbidden, detail);
    let Some(claims) = &input.claims else {
        return Err(forbidden(
            "the pipeline has no `input.claims`, so it takes no claims".to_owned(),
        ));
    };
    let uri = Uri::parse(text).map_err(|why| forbidden(format!("the claim's `uri` {why}")))?;
    if claims.prefixes().any(|prefix| prefix.holds(&uri)) {
        return Ok(uri);
    }
    let detail = "the claim's `uri` lies in no place that `input.claims.allow` lists";
    Err(forbidden(detail.to_owned()))
}

/// The parts of a document that was fetched.
pub fn claimed(
    delivery: &Delivery,
    input: &Input,
    of: Claimed,
    bytes: Vec<u8>,
) -> Result<Vec<Piece>, Reject> {
    let unwrapped = Unwrapped {
        document_id: of.document_id.map(Cow::Owned),
        kind: Kind::Declared(Some(Cow::Owned(of.content_type))),
        bytes: Cow::Owned(bytes),
    };
    let mut pieces = parts(unwrapped, delivery, input)?;
    for document in pieces.iter_mut().flat_map(|piece| &mut piece.document) {
        document.fetched_from = Some(of.claim.uri.clone());
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::roomy_input;
    use super::super::{Claimed, Opened, json, tests};
    use super::claimed;
    use crate::config::claims::Claims;
    use crate::config::pipeline::{Input, Split};
    use crate::types::{Digest, Extent, Reject, RejectCode};

    fn input() -> Input {
        let claims: Claims =
            serde_json::from_value(json!({"allow": ["s3://leases/in", "file:///data"]})).unwrap();
        Input { claims: Some(claims), ..roomy_input() }
    }

    fn envelope() -> Value {
        json!({
            "document_id": "lease-9", "content_type": "text/plain", "uri": "s3://leases/in/9.txt",
            "size_bytes": 5, "sha256": Digest::of(b"words").to_string(),
        })
    }

    fn open(body: &Value, input: &Input) -> Result<Claimed, Reject> {
        match json::unwrap(body.to_string().as_bytes(), input)? {
            Opened::Claim(claimed) => Ok(*claimed),
            Opened::Document(_) => panic!("the envelope holds its document"),
        }
    }

    #[test]
    fn a_claim_is_taken_where_the_pipeline_allows_its_place() {
        let claimed = open(&envelope(), &input()).unwrap();
        assert_eq!(*claimed.claim.uri.written(), "s3://leases/in/9.txt");
        assert_eq!((claimed.claim.size_bytes, claimed.claim.sha256), (5, Digest::of(b"words")));
        let without = open(&envelope(), &roomy_input()).err().unwrap();
        assert_eq!(without.code, RejectCode::ClaimForbidden);
    }

    #[test]
    fn what_is_wrong_with_a_claim_is_named_without_its_uri() {
        for (key, value, code) in [
            ("uri", json!("s3://leases/out/9.txt"), RejectCode::ClaimForbidden),
            ("uri", json!("s3://leases/in/../out/9.txt"), RejectCode::ClaimForbidden),
            ("uri", json!("https://leases/in/9.txt"), RejectCode::ClaimForbidden),
            ("uri", json!("file:///data-old/9"), RejectCode::ClaimForbidden),
            ("uri", json!(7), RejectCode::EnvelopeInvalid),
            ("uri", json!(null), RejectCode::EnvelopeInvalid),
            ("size_bytes", json!(0), RejectCode::DocumentEmpty),
            ("size_bytes", json!(1001), RejectCode::DocumentTooLarge),
            ("size_bytes", json!("5"), RejectCode::EnvelopeInvalid),
            ("size_bytes", json!(5.5), RejectCode::EnvelopeInvalid),
            ("sha256", json!("00"), RejectCode::EnvelopeInvalid),
            ("sha256", json!(null), RejectCode::EnvelopeInvalid),
            ("content_type", json!(null), RejectCode::EnvelopeInvalid),
            ("content", json!("eA=="), RejectCode::EnvelopeInvalid),
            ("text", json!("x"), RejectCode::EnvelopeInvalid),
        ] {
            let mut body = envelope();
            body[key] = value.clone();
            let reject = open(&body, &input()).err().unwrap_or_else(|| panic!("{key} {value}"));
            assert_eq!(reject.code, code, "{key} {value}");
            assert!(!reject.detail.contains("9.txt"), "{}", reject.detail);
        }
    }

    #[test]
    fn a_senders_own_keys_beside_a_document_are_passed_over() {
        let body = json!({"text": "words", "uri": 7, "size_bytes": "many", "sha256": [1]});
        let body = body.to_string();
        let opened = json::unwrap(body.as_bytes(), &roomy_input());
        assert!(matches!(opened, Ok(Opened::Document(unwrapped)) if &*unwrapped.bytes == b"words"));
    }

    #[test]
    fn a_fetched_document_is_taken_apart_like_one_in_the_message() {
        let of = tests::delivery(Some(b"an envelope"), &[]);
        let whole = claimed(&of, &input(), open(&envelope(), &input()).unwrap(), b"words".to_vec());
        let whole = whole.unwrap().remove(0);
        assert_eq!(whole.part.extent, Extent::Whole);
        let document = whole.document.unwrap();
        assert_eq!((document.id.as_str(), document.bytes.as_slice()), ("lease-9", &b"words"[..]));
        assert_eq!(document.digest, Digest::of(b"words"));
        assert!(document.fetched_from.is_some_and(|uri| *uri.key() == "in/9.txt"));
        // Entries of what was fetched are no run of the message's bytes.
        let log = Input { split: Split::Log, ..input() };
        let parts = claimed(&of, &log, open(&envelope(), &log).unwrap(), b"a\nb".to_vec()).unwrap();
        assert_eq!(parts.len(), 2);
        for piece in parts {
            assert_eq!(piece.part.extent, Extent::Inside);
            assert!(piece.document.unwrap().fetched_from.is_some());
        }
        let lies = claimed(&of, &input(), open(&envelope(), &input()).unwrap(), b"%PDF-".to_vec());
        assert_eq!(lies.err().unwrap().code, RejectCode::TypeMismatch);
    }
}
