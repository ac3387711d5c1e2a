//! `text -> token ids and byte spans`: the bundle's tokenizer, run over a whole text at once.
//!
//! Deliberately adds no special tokens, pads nothing and truncates nothing: windows do that.

use std::ops::Range;

use crate::config::bundle::Bundle;
use crate::error::{Fault, FaultClass};
use crate::types::{Reject, RejectCode, Room, Span, TokenSpan};

/// A text longer than this is tokenised in pieces, in bytes. The tokenizer keeps about 100 bytes
/// of bookkeeping for each byte that it is given at once.
///
/// Invariant: pieces give what the whole would. They are cut behind white space, which the
/// pre-tokenizer removes, and beyond which neither normalisation nor word pieces reach.
const PIECE_BYTES: usize = 1 << 16;

/// A bundle's tokenizer. Shared between threads; encoding changes nothing in it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

/// A whole text in tokens: `ids` and `spans` are equally long.
pub(super) struct Encoded {
    pub(super) ids: Vec<i64>,
    pub(super) spans: Vec<TokenSpan>,
}

impl Tokenizer {
    /// Reads the tokenizer of `bundle`; compares its digest again, so that what is used is what
    /// was checked. A tokenizer that cannot be read is fatal.
    pub fn load(bundle: &Bundle) -> Result<Self, Fault> {
        let context = || format!("loading tokenizer `{}`", bundle.tokenizer_path.display());
        let bytes = bundle
            .tokenizer_bytes()
            .map_err(|error| Fault::new(FaultClass::Fatal, context(), error))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| Fault::plain(FaultClass::Fatal, format!("{}: {error}", context())))?;
        inner
            .with_truncation(None)
            .map_err(|error| Fault::plain(FaultClass::Fatal, format!("{}: {error}", context())))?;
        inner.with_padding(None);
        Ok(Self { inner })
    }

    /// The tokens of `body`. Failing is a bug of the bundle, not of the document: the tokenizer
    /// has an answer for every text.
    pub(super) fn encode(&self, body: &str) -> Result<Encoded, Reject> {
        self.encode_pieces(body, PIECE_BYTES)
    }

    fn encode_pieces(&self, body: &str, piece_bytes: usize) -> Result<Encoded, Reject> {
        let mut encoded = Encoded { ids: Vec::new(), spans: Vec::new() };
        for range in pieces(body, piece_bytes) {
            let start = range.start;
            let piece = body.get(range).unwrap_or_default();
            // The tokenizer's own message may quote the text.
            let tokens = self.inner.encode(piece, false).map_err(|_private| {
                let detail = format!("tokenising failed in the piece at byte {start}");
                Reject::new(RejectCode::InferFailed, Room::Chunk, detail)
            })?;
            encoded.ids.extend(tokens.get_ids().iter().copied().map(i64::from));
            encoded.spans.extend(tokens.get_offsets().iter().map(|(from, to)| Span {
                start: start + piece.floor_char_boundary(*from),
                end: start + piece.ceil_char_boundary(*to),
            }));
        }
        Ok(encoded)
    }
}

/// Byte ranges that cover `body`, each of at most `piece_bytes` where there is white space to cut
/// behind, and otherwise as long as it takes to reach some.
fn pieces(body: &str, piece_bytes: usize) -> Vec<Range<usize>> {
    let bytes = body.as_bytes();
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let limit = (start + piece_bytes).min(bytes.len());
        let behind = |range: Range<usize>, back: bool| {
            let bytes = bytes.get(range.clone()).unwrap_or_default();
            let found = if back {
                bytes.iter().rposition(|byte| is_cut(*byte))
            } else {
                bytes.iter().position(|byte| is_cut(*byte))
            };
            found.map(|at| range.start + at + 1)
        };
        let end = if limit == bytes.len() {
            limit
        } else {
            behind(start..limit, true)
                .or_else(|| behind(limit..bytes.len(), false))
                .unwrap_or(bytes.len())
        };
        cuts.push(start..end);
        start = end;
    }
    cuts
}

/// Whether a piece may end behind this byte. Form feed and vertical tab are not among them: the
/// normaliser drops them as control characters, and so joins the words on both sides.
const fn is_cut(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
