//! A text as the model reads it: tokens and the windows over them.

use std::ops::Range;
use std::sync::Arc;

use super::{Sensitive, TokenSpan};

/// One window of a text: one row for the model.
pub struct Chunk {
    /// Token ids as the model takes them, the special ones at both ends included, padding not.
    pub ids: Sensitive<Vec<i64>>,
    /// Length in tokens to which the row is padded, by the window of the bundle.
    pub padded_tokens: usize,
    /// Tokens of the text that the window holds, special ones not counted.
    pub tokens: Range<usize>,
    /// Those of them whose scores are read from this window: where windows overlap, each token
    /// belongs to the window in which it stands most central.
    ///
    /// Invariant: over all windows of a text these ranges ascend and do not overlap. They touch and
    /// cover it, but for tokens that the gate keeps from the model.
    pub owned: Range<usize>,
}

/// Tokens of `windows` as the model sees them: overlaps and special ones in, padding out.
pub fn window_tokens(windows: &[Chunk]) -> usize {
    windows.iter().map(|window| window.ids.len()).sum()
}

/// A text cut into windows.
pub struct Chunks {
    /// Where each token stands in the text, in order.
    pub tokens: Vec<TokenSpan>,
    /// First token of each word, ascending; a word goes up to the next one's first token.
    ///
    /// Invariant: 0 is the first where there is a token.
    pub word_starts: Vec<u32>,
    /// Token ranges of the sentences, which touch and cover the text; none where neither windows
    /// end with them nor a head of the model tells them apart.
    pub sentences: Vec<Range<usize>>,
    /// Windows in order; shared, since several threads read them.
    pub windows: Arc<Vec<Chunk>>,
    /// Tokens that all rows would have, less those that they have: what the gate spares the model.
    pub spared_tokens: usize,
}

/// What the model says of one window.
pub struct WindowScores {
    /// Index of the window in [`Chunks::windows`].
    pub window: usize,
    /// Logits of the window's owned tokens, one row a token, one column for each of the bundle's
    /// token columns; empty where it has none.
    pub logits: Vec<f32>,
    /// Logits of the classes of the window as a whole; empty where the bundle has none.
    pub classes: Vec<f32>,
}
