//! `Text -> Chunks`: token windows with overlap, every token with its span in the text.
//!
//! Deliberately knows no labels and no scores, and cuts no text: spans are the only link back.

mod tokens;

use std::ops::Range;
use std::sync::Arc;

pub use tokens::Tokenizer;

use crate::config::bundle::{Bundle, Window};
use crate::types::{Chunk, Chunks, Reject, RejectCode, Room, Sensitive, Text};

/// Cuts `text` into windows as `bundle` was trained on. A text without any token, such as one of
/// control characters only, is the reject `TEXT_EMPTY`.
pub fn chunk(text: &Text, tokenizer: &Tokenizer, bundle: &Bundle) -> Result<Chunks, Reject> {
    let encoded = tokenizer.encode(text.as_str())?;
    if encoded.ids.is_empty() {
        return Err(Reject::new(RejectCode::TextEmpty, Room::Chunk, "the text has no token"));
    }
    let window = &bundle.window;
    let ranges = windows(encoded.ids.len(), window);
    let owned = owned(&ranges);
    let windows = ranges
        .into_iter()
        .zip(owned)
        .map(|(tokens, owned)| {
            let content = encoded.ids.get(tokens.clone()).unwrap_or_default();
            let ids: Vec<i64> = std::iter::once(i64::from(window.first_id))
                .chain(content.iter().copied())
                .chain([i64::from(window.last_id)])
                .collect();
            let padded_tokens = ids.len().next_multiple_of(window.pad_multiple_tokens);
            Chunk { ids: Sensitive::new(ids), padded_tokens, tokens, owned }
        })
        .collect();
    Ok(Chunks { tokens: encoded.spans, windows: Arc::new(windows) })
}

/// Token ranges of the windows over `token_count` tokens: one every `stride_tokens`, up to the
/// first that reaches the end of the text.
fn windows(token_count: usize, window: &Window) -> Vec<Range<usize>> {
    let content = window.content_tokens_max();
    let past_first = token_count.saturating_sub(content);
    let count = 1 + past_first.div_ceil(window.stride_tokens);
    (0..count)
        .map(|index| index * window.stride_tokens)
        .map(|start| start..(start + content).min(token_count))
        .collect()
}

/// For each window the tokens that stand more central in it than in any other: neighbours meet
/// in the middle of their overlap, the middle token of an odd one going to the earlier window.
fn owned(windows: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut owned = Vec::with_capacity(windows.len());
    for (index, window) in windows.iter().enumerate() {
        let end = windows
            .get(index + 1)
            .map_or(window.end, |next| next.start + (window.end - next.start).div_ceil(2));
        owned.push(start..end);
        start = end;
    }
    owned
}
