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
/// control characters only, is the reject `TEXT_EMPTY`; one of more than `tokens_max` tokens is
/// `TEXT_TOO_LARGE`, and no more of it is cut than shows that.
pub fn chunk(
    text: &Text,
    tokenizer: &Tokenizer,
    bundle: &Bundle,
    tokens_max: usize,
) -> Result<Chunks, Reject> {
    let encoded = tokenizer.encode(text.as_str(), tokens_max)?;
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
    let (tokens, word_starts) = (encoded.spans, encoded.word_starts);
    Ok(Chunks { tokens, word_starts, windows: Arc::new(windows) })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{owned, windows};
    use crate::config::bundle::Window;

    fn window(tokens_max: usize, stride_tokens: usize) -> Window {
        Window {
            tokens_max,
            stride_tokens,
            pad_multiple_tokens: 1,
            has_independent_rows: false,
            first_id: 101,
            last_id: 102,
            pad_id: 0,
        }
    }

    #[test]
    fn the_last_window_is_the_first_that_reaches_the_end() {
        let window = window(12, 7);
        for (tokens, expected) in [
            (1, &[(0, 1)][..]),
            (10, &[(0, 10)]),
            (11, &[(0, 10), (7, 11)]),
            (17, &[(0, 10), (7, 17)]),
            (18, &[(0, 10), (7, 17), (14, 18)]),
        ] {
            let found: Vec<_> = windows(tokens, &window)
                .into_iter()
                .map(|range| (range.start, range.end))
                .collect();
            assert_eq!(found, expected, "{tokens} tokens");
        }
    }

    #[test]
    fn neighbours_meet_in_the_middle_of_their_overlap() {
        // Overlap 7..10: token 8 stands equally far from both edges and goes to the earlier one.
        assert_eq!(owned(&[0..10, 7..17]), [0..9, 9..17]);
        // Overlap 6..10: tokens 6 and 7 are farther from the edge at 10.
        assert_eq!(owned(&[0..10, 6..16]), [0..8, 8..16]);
    }

    proptest! {
        #[test]
        fn every_token_is_owned_once_by_its_most_central_window(
            tokens in 1_usize..200,
            content in 2_usize..24,
            share in 0_usize..100,
        ) {
            let stride = content.div_ceil(2) + share % (content / 2 + 1);
            let windows = windows(tokens, &window(content + 2, stride));
            let owned = owned(&windows);
            prop_assert_eq!(owned.iter().map(ExactSizeIterator::len).sum::<usize>(), tokens);
            prop_assert_eq!(owned[0].start, 0);
            prop_assert!(owned.windows(2).all(|pair| pair[0].end == pair[1].start));
            // The ends of the text are no edges.
            let edge = |index: usize, token: usize| {
                let window = &windows[index];
                let before = if window.start == 0 { usize::MAX } else { token - window.start };
                let after = if window.end == tokens { usize::MAX } else { window.end - 1 - token };
                before.min(after)
            };
            for (index, range) in owned.iter().enumerate() {
                for token in range.clone() {
                    prop_assert!(windows[index].contains(&token));
                    for other in (0..windows.len()).filter(|at| windows[*at].contains(&token)) {
                        let (mine, others) = (edge(index, token), edge(other, token));
                        prop_assert!(mine > others || mine == others && index <= other);
                    }
                }
            }
        }
    }
}
