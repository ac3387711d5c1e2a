//! `Text -> Chunks`: token windows with overlap, every token with its span in the text.
//!
//! Where the bundle has a gate, windows stand only where it expects anything. Deliberately knows no
//! labels and no scores of the model, and cuts no text: spans are the only link back.

mod gate;
mod sentences;
mod tokens;
mod windows;

use std::sync::Arc;

use gate::Gate;
use tokens::Tokenizer;
use windows::Place;

use crate::config::bundle::{Bundle, Cut, Window};
use crate::config::heads::Head;
use crate::error::Fault;
use crate::types::{Chunk, Chunks, Reject, RejectCode, Room, Sensitive, Text};

/// Cuts texts as one bundle was trained on. Shared between threads; cutting changes nothing in it.
pub struct Chunker {
    tokenizer: Tokenizer,
    window: Window,
    /// `None` where every token is read.
    gate: Option<Gate>,
    /// Whether windows end with sentences, or a head of the model tells them apart.
    has_sentences: bool,
}

impl Chunker {
    /// Reads the tokenizer of `bundle` and, unless every token is to be read, its gate, if it has
    /// one; compares their digests again, so that what is used is what was checked. A file that
    /// cannot be read is fatal.
    pub fn load(bundle: &Bundle, is_gated: bool) -> Result<Self, Fault> {
        Ok(Self {
            tokenizer: Tokenizer::load(bundle)?,
            window: bundle.window,
            gate: if is_gated { Gate::load(bundle)? } else { None },
            has_sentences: bundle.window.cut == Cut::Sentences
                || bundle.heads.iter().any(|it| matches!(it.head, Head::Multilabel(_))),
        })
    }

    /// Cuts `text` into windows. A text without any token, such as one of control characters only,
    /// is the reject `TEXT_EMPTY`; one of more than `tokens_max` tokens is `TEXT_TOO_LARGE`, and no
    /// more of it is cut than shows that.
    pub fn chunk(&self, text: &Text, tokens_max: usize) -> Result<Chunks, Reject> {
        let encoded = self.tokenizer.encode(text.as_str(), tokens_max)?;
        if encoded.ids.is_empty() {
            return Err(Reject::new(RejectCode::TextEmpty, Room::Chunk, "the text has no token"));
        }
        let sentences = if self.has_sentences {
            sentences::sentences(text.as_str(), &encoded.spans)
        } else {
            Vec::new()
        };
        let whole = 0..encoded.ids.len();
        let all = match self.window.cut {
            Cut::Stride => windows::over(whole, &[], &self.window),
            Cut::Sentences => windows::over(whole, &sentences, &self.window),
        };
        let (places, spared_tokens) = match &self.gate {
            None => (all, 0),
            Some(gate) => {
                let read = gate.places(&encoded.ids, &sentences, &self.window);
                let spared = row_tokens(&all).saturating_sub(row_tokens(&read));
                (read, spared)
            }
        };
        let windows = places.into_iter().map(|place| self.row(&encoded.ids, place)).collect();
        Ok(Chunks {
            tokens: encoded.spans,
            word_starts: encoded.word_starts,
            sentences,
            windows: Arc::new(windows),
            spared_tokens,
        })
    }

    /// The row of one window.
    fn row(&self, ids: &[i64], (tokens, owned): Place) -> Chunk {
        let Window { first_id, last_id, pad_multiple_tokens, .. } = self.window;
        let content = ids.get(tokens.clone()).unwrap_or_default();
        let ids: Vec<i64> = std::iter::once(i64::from(first_id))
            .chain(content.iter().copied())
            .chain([i64::from(last_id)])
            .collect();
        let padded_tokens = ids.len().next_multiple_of(pad_multiple_tokens);
        Chunk { ids: Sensitive::new(ids), padded_tokens, tokens, owned }
    }
}

/// Tokens of the rows of these windows, the two special ones of each included.
fn row_tokens(places: &[Place]) -> usize {
    places.iter().map(|(tokens, _)| tokens.len() + 2).sum()
}
