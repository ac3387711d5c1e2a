//! `text -> token ids and byte spans`: the bundle's tokenizer, run over a whole text at once.
//!
//! Deliberately adds no special tokens, pads nothing and truncates nothing: windows do that.

use std::ops::Range;

use crate::config::bundle::Bundle;
use crate::error::{Fault, FaultClass};
use crate::types::{Reject, RejectCode, Room, Span, TokenSpan};

/// How long the pieces are in which a text is tokenised. The tokenizer keeps up to 270 bytes of
/// bookkeeping for each byte that it is given at once (measured: 2.7 GB for 10 MB).
///
/// Invariant: pieces give what the whole would. They are cut behind white space, which the
/// pre-tokenizer removes, and beyond which neither normalisation nor word pieces reach. Only a
/// run without white space that is longer than `bytes_max`, which no text is, is cut where it
/// must be.
#[derive(Clone, Copy)]
struct PieceSize {
    /// Cut behind the last white space within so many bytes.
    bytes: usize,
    /// Where there is none, cut at the next, but at the latest after so many bytes.
    bytes_max: usize,
}

const PIECE_SIZE: PieceSize = PieceSize { bytes: 1 << 16, bytes_max: 1 << 18 };

/// A bundle's tokenizer. Shared between threads; encoding changes nothing in it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

/// A whole text in tokens: `ids` and `spans` are equally long.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) ids: Vec<i64>,
    pub(super) spans: Vec<TokenSpan>,
    /// First token of each word of the pre-tokenizer, see [`crate::types::Chunks::word_starts`].
    pub(super) word_starts: Vec<u32>,
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
    pub(super) fn encode(&self, body: &str, tokens_max: usize) -> Result<Encoded, Reject> {
        self.encode_pieces(body, PIECE_SIZE, tokens_max)
    }

    fn encode_pieces(
        &self,
        body: &str,
        size: PieceSize,
        tokens_max: usize,
    ) -> Result<Encoded, Reject> {
        let mut encoded = Encoded::default();
        for range in pieces(body, size) {
            let start = range.start;
            let piece = body.get(range).unwrap_or_default();
            // The tokenizer's own message may quote the text.
            let tokens = self.inner.encode(piece, false).map_err(|_private| {
                let detail = format!("tokenising failed in the piece at byte {start}");
                Reject::new(RejectCode::InferFailed, Room::Chunk, detail)
            })?;
            // A word never goes over the end of a piece, but its number starts anew there.
            let mut word_before = None;
            for (index, word) in (encoded.ids.len()..).zip(tokens.get_word_ids()) {
                if word_before.replace(word) != Some(word) {
                    // Limit: a text has fewer than 2^32 tokens, since its bytes are fewer.
                    encoded.word_starts.push(u32::try_from(index).unwrap_or(u32::MAX));
                }
            }
            if encoded.ids.len() + tokens.len() > tokens_max {
                let detail = format!("the limit `text.tokens_max` is {tokens_max} tokens");
                return Err(Reject::new(RejectCode::TextTooLarge, Room::Chunk, detail));
            }
            encoded.ids.extend(tokens.get_ids().iter().copied().map(i64::from));
            encoded.spans.extend(tokens.get_offsets().iter().map(|(from, to)| Span {
                start: start + piece.floor_char_boundary(*from),
                end: start + piece.ceil_char_boundary(*to),
            }));
        }
        Ok(encoded)
    }
}

/// Byte ranges that cover `body`, in order; see [`PieceSize`].
fn pieces(body: &str, size: PieceSize) -> Vec<Range<usize>> {
    let bytes = body.as_bytes();
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let near = start.saturating_add(size.bytes).min(bytes.len());
        let far = body.floor_char_boundary(start.saturating_add(size.bytes_max).max(start + 4));
        let window = |range: Range<usize>| bytes.get(range).unwrap_or_default().iter();
        let last = || window(start..near).rposition(|byte| is_cut(*byte)).map(|at| start + at + 1);
        let next = || window(near..far).position(|byte| is_cut(*byte)).map(|at| near + at + 1);
        let end = if near == bytes.len() { near } else { last().or_else(next).unwrap_or(far) };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PieceSize, Tokenizer, pieces};

    /// A small tokenizer of the kind that the contracts bundle has: the same normaliser,
    /// pre-tokeniser and special tokens, and pieces of one or two letters.
    fn tokenizer() -> Tokenizer {
        let mut vocabulary = serde_json::Map::new();
        let letters = || ('a'..='z').chain("中文각.-ß".chars()).map(String::from);
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
        let more = ["##ab", "ab", "fi", "##é", "[", "]"].map(str::to_owned);
        let tokens = special.iter().cloned().chain(letters());
        for token in tokens.chain(letters().map(|letter| format!("##{letter}"))).chain(more) {
            let id = vocabulary.len();
            vocabulary.entry(token).or_insert_with(|| id.into());
        }
        let added: Vec<_> = special
            .iter()
            .map(|token| {
                serde_json::json!({
                    "id": vocabulary[token], "content": token, "special": true,
                    "normalized": false, "single_word": false, "lstrip": false, "rstrip": false,
                })
            })
            .collect();
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "lowercase": true,
                           "handle_chinese_chars": true, "strip_accents": null},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": null, "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocabulary,
                      "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
        });
        Tokenizer { inner: tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap() }
    }

    /// The words of the tokens of `text`, without the mark of a continued word.
    fn words(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let encoding = tokenizer.inner.encode(text, false).unwrap();
        let bare = |token: &String| token.strip_prefix("##").unwrap_or(token).to_owned();
        encoding.get_tokens().iter().map(bare).collect()
    }

    /// Pieces of text that normalisation treats in ways of its own.
    fn text() -> impl Strategy<Value = String> {
        let parts = [
            "a",
            "B",
            "ab",
            "fi",
            "\u{e9}",
            "e\u{301}",
            "\u{301}",
            "\u{345}",
            " ",
            "\n",
            "\t",
            "\r\n",
            "\u{c}",
            "\u{b}",
            "\u{85}",
            "\u{a0}",
            "\u{3000}",
            "\u{2028}",
            "\u{200b}",
            "\u{ad}",
            "\u{4e2d}",
            "\u{ac01}",
            "\u{1f600}",
            "\u{130}",
            "\u{df}",
            "\u{fb01}",
            "[SEP]",
            "[MASK]",
            ".",
            "-",
            "\0",
            "\u{fffd}",
            "\u{feff}",
            "\u{1d15e}",
            "\u{f900}",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..60)
            .prop_map(|parts| parts.concat())
    }

    #[test]
    fn spans_are_byte_ranges_of_the_original_text() {
        let tokenizer = tokenizer();
        let text = "A\u{c9}b  \u{1f600} \u{4e2d}\u{6587}, fa\u{e7}ade";
        let encoded = tokenizer.encode(text, usize::MAX).unwrap();
        let found: Vec<_> =
            encoded.spans.iter().filter_map(|span| text.get(span.range())).collect();
        let expected = [
            "A",
            "\u{c9}",
            "b",
            "\u{1f600}",
            "\u{4e2d}",
            "\u{6587}",
            ",",
            "f",
            "a",
            "\u{e7}",
            "a",
            "d",
            "e",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn words_are_what_white_space_and_punctuation_leave() {
        let tokenizer = tokenizer();
        let text = "abab b-ab.\u{c}ab [SEP]ab \u{4e2d}\u{6587}";
        let encoded = tokenizer.encode(text, usize::MAX).unwrap();
        let starts = encoded.word_starts.iter().map(|start| usize::try_from(*start).unwrap());
        let ends = starts.clone().skip(1).chain([encoded.spans.len()]);
        let words = starts.zip(ends).map(|(first, end)| {
            text.get(encoded.spans[first].start..encoded.spans[end - 1].end).unwrap()
        });
        let expected = ["abab", "b", "-", "ab", ".", "ab", "[SEP]", "ab", "\u{4e2d}", "\u{6587}"];
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pieces_are_cut_behind_white_space_or_where_they_must_be() {
        let body = "aaa bbb\u{c}ccc\u{a0}ddd eeeeeeeeeeee f \u{1f600}\u{1f600}\u{1f600}g";
        for (bytes_max, expected) in [
            (
                99,
                vec![
                    "aaa ",
                    "bbb\u{c}ccc\u{a0}ddd ",
                    "eeeeeeeeeeee ",
                    "f ",
                    "\u{1f600}\u{1f600}\u{1f600}g",
                ],
            ),
            (
                12,
                vec![
                    "aaa ",
                    "bbb\u{c}ccc\u{a0}ddd",
                    " ",
                    "eeeeeeeeeeee",
                    " f ",
                    "\u{1f600}\u{1f600}\u{1f600}",
                    "g",
                ],
            ),
        ] {
            let pieces = pieces(body, PieceSize { bytes: 5, bytes_max });
            let found: Vec<_> = pieces.into_iter().filter_map(|range| body.get(range)).collect();
            assert_eq!(found, expected, "at most {bytes_max}");
        }
        assert!(pieces("", PieceSize { bytes: 5, bytes_max: 5 }).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(text in text(), bytes in 1_usize..20) {
            let tokenizer = tokenizer();
            let [whole, pieces] = [usize::MAX, bytes].map(|bytes| {
                tokenizer.encode_pieces(&text, PieceSize { bytes, bytes_max: usize::MAX }, usize::MAX).unwrap()
            });
            prop_assert_eq!(whole.ids, pieces.ids);
            prop_assert_eq!(whole.spans, pieces.spans);
            prop_assert_eq!(whole.word_starts, pieces.word_starts);
        }

        #[test]
        fn pieces_cover_the_text_on_character_boundaries(text in text(), bytes in 1_usize..9) {
            let pieces = pieces(&text, PieceSize { bytes, bytes_max: 2 * bytes });
            prop_assert!(pieces.iter().all(|range| range.len() <= (2 * bytes).max(4)));
            let parts = pieces.into_iter().map(|range| text.get(range).unwrap_or("split"));
            prop_assert_eq!(parts.collect::<String>(), text);
        }

        #[test]
        fn spans_stand_in_order_and_hold_their_token(text in text()) {
            let tokenizer = tokenizer();
            let encoded = tokenizer.encode(&text, usize::MAX).unwrap();
            let tokens = words(&tokenizer, &text);
            for (span, token) in encoded.spans.iter().zip(&tokens) {
                let slice = text.get(span.range());
                prop_assert!(slice.is_some_and(|slice| !slice.is_empty()), "{span:?}");
                prop_assert_eq!(words(&tokenizer, slice.unwrap()).concat(), token.clone());
            }
            prop_assert!(encoded.spans.is_sorted_by_key(|span| span.start));
        }

        #[test]
        fn what_no_token_covers_the_normaliser_drops(text in text()) {
            let tokenizer = tokenizer();
            let encoded = tokenizer.encode(&text, usize::MAX).unwrap();
            for (offset, c) in text.char_indices() {
                let is_covered = encoded.spans.iter().any(|span| span.range().contains(&offset));
                let alone = words(&tokenizer, &c.to_string());
                prop_assert!(is_covered || alone.is_empty(), "{c:?} is lost");
            }
        }
    }
}
