//! `tokens -> windows`: where windows stand, and which of them speaks for a token.

use std::ops::Range;

use crate::config::bundle::Window;

/// A window: the tokens that it holds, and those of them whose scores are read from it.
pub(super) type Place = (Range<usize>, Range<usize>);

/// The windows over `tokens`, up to the first that reaches the end. A window ends with the last of
/// `sentences` that ends in its later half, and the next one begins there. Where none does, the
/// next one begins `stride_tokens` after it; they meet in the middle of their overlap, the middle
/// token of an odd one going to the earlier window, so that each token is read from the window in
/// which it stands most central.
pub(super) fn over(
    tokens: Range<usize>,
    sentences: &[Range<usize>],
    window: &Window,
) -> Vec<Place> {
    let content = window.content_tokens_max();
    let mut places = Vec::new();
    let (mut start, mut owned) = (tokens.start, tokens.start);
    while start + content < tokens.end {
        let full = start + content;
        let up_to = sentences.partition_point(|sentence| sentence.end <= full);
        let last = sentences.get(..up_to).and_then(<[_]>::last).map_or(0, |sentence| sentence.end);
        let (end, next, meet) = if last > start + content / 2 {
            (last, last, last)
        } else {
            let next = start + window.stride_tokens;
            (full, next, next + (full - next).div_ceil(2))
        };
        places.push((start..end, owned..meet));
        (start, owned) = (next, meet);
    }
    places.push((start..tokens.end, owned..tokens.end));
    places
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::over;
    use crate::config::bundle::{Cut, Window};

    fn window(tokens_max: usize, stride_tokens: usize) -> Window {
        Window {
            tokens_max,
            cut: Cut::Stride,
            stride_tokens,
            pad_multiple_tokens: 1,
            has_independent_rows: false,
            first_id: 101,
            last_id: 102,
            pad_id: 0,
        }
    }

    /// What windows over `tokens` hold, and what is read from each.
    fn windows(tokens: Range<usize>, window: &Window) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
        over(tokens, &[], window).into_iter().unzip()
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
            for offset in [0, 1000] {
                let (found, _) = windows(offset..offset + tokens, &window);
                let expected: Vec<_> =
                    expected.iter().map(|(start, end)| offset + start..offset + end).collect();
                assert_eq!(found, expected, "{tokens} tokens");
            }
        }
    }

    #[test]
    fn neighbours_meet_in_the_middle_of_their_overlap() {
        // Overlap 7..10: token 8 stands equally far from both edges and goes to the earlier one.
        assert_eq!(windows(0..17, &window(12, 7)).1, [0..9, 9..17]);
        // Overlap 6..10: tokens 6 and 7 are farther from the edge at 10.
        assert_eq!(windows(0..16, &window(12, 6)).1, [0..8, 8..16]);
    }

    /// Windows of at most 10 tokens over `lengths` of sentences.
    fn over_sentences(lengths: &[usize]) -> Vec<super::Place> {
        let mut start = 0;
        let range = |length: &usize| {
            let range = start..start + length;
            start = range.end;
            range
        };
        let sentences: Vec<_> = lengths.iter().map(range).collect();
        over(0..start, &sentences, &window(12, 7))
    }

    #[test]
    fn windows_end_with_sentences_where_one_ends_in_their_later_half() {
        // As `over` of `training/windows.py` gives them.
        for (lengths, expected) in [
            (&[10][..], &[(0..10, 0..10)][..]),
            (&[4, 6, 1], &[(0..10, 0..10), (10..11, 10..11)]),
            (&[3, 3, 3, 3], &[(0..9, 0..9), (9..12, 9..12)]),
            // A sentence that ends before the later half is no end of a window.
            (&[5, 6], &[(0..10, 0..9), (7..11, 9..11)]),
            (&[6, 5], &[(0..6, 0..6), (6..11, 6..11)]),
            // One longer than a window is read in windows that overlap.
            (&[6, 14, 5], &[(0..6, 0..6), (6..16, 6..15), (13..20, 15..20), (20..25, 20..25)]),
        ] {
            assert_eq!(over_sentences(lengths), expected, "{lengths:?}");
        }
    }

    proptest! {
        #[test]
        fn every_token_is_owned_once_where_sentences_end_windows(
            lengths in prop::collection::vec(1_usize..25, 1..20),
        ) {
            let places = over_sentences(&lengths);
            let mut next = 0;
            for (held, owned) in &places {
                prop_assert_eq!(owned.start, next);
                prop_assert!(held.start <= owned.start && owned.end <= held.end);
                prop_assert!(!owned.is_empty() && held.len() <= 10);
                next = owned.end;
            }
            prop_assert_eq!(next, lengths.iter().sum::<usize>());
        }

        #[test]
        fn every_token_is_owned_once_by_its_most_central_window(
            tokens in 1_usize..200,
            content in 2_usize..24,
            share in 0_usize..100,
        ) {
            let stride = content.div_ceil(2) + share % (content / 2 + 1);
            let (windows, owned) = windows(0..tokens, &window(content + 2, stride));
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
