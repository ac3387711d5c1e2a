//! `tokens -> windows`: where windows stand, and which of them speaks for a token.

use std::ops::Range;

use crate::config::bundle::Window;

/// A window: the tokens that it holds, and those of them whose scores are read from it.
pub(super) type Place = (Range<usize>, Range<usize>);

/// The windows over `tokens`, one every `stride_tokens`, up to the first that reaches the end.
/// Neighbours meet in the middle of their overlap, the middle token of an odd one going to the
/// earlier window, so that each token is read from the window in which it stands most central.
pub(super) fn over(tokens: Range<usize>, window: &Window) -> Vec<Place> {
    let content = window.content_tokens_max();
    let past_first = tokens.len().saturating_sub(content);
    let count = 1 + past_first.div_ceil(window.stride_tokens);
    let held = |index: usize| {
        let start = tokens.start + index * window.stride_tokens;
        start..(start + content).min(tokens.end)
    };
    let mut start = tokens.start;
    (0..count)
        .map(|index| {
            let window = held(index);
            let end = if index + 1 == count {
                window.end
            } else {
                let next = held(index + 1).start;
                next + (window.end - next).div_ceil(2)
            };
            (window, std::mem::replace(&mut start, end)..end)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::over;
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

    /// What windows over `tokens` hold, and what is read from each.
    fn windows(tokens: Range<usize>, window: &Window) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
        over(tokens, window).into_iter().unzip()
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

    proptest! {
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
