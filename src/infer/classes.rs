//! `a classes head's logits of all windows -> the class of the text` (`training/DECODER.md`).
//!
//! Deliberately always gives one class: who wants none of an unsure one asks for confidence in
//! the rules of a pipeline.

use super::numbers::{argmax, count, log_softmax};
use super::scores::Candidate;
use crate::types::{Chunks, Span};

/// What a classes head says of the windows of a document: its logits, window by window.
pub(super) struct Votes<'a>(pub(super) Vec<&'a [f32]>);

impl Votes<'_> {
    /// The best class by the mean of all windows; its label counts from `first_label`. Its span
    /// is what is owned by the window that speaks for it most, so the whole text of a short one.
    pub(super) fn candidate(
        &self,
        first_label: usize,
        temperature: f64,
        chunks: &Chunks,
    ) -> Option<Candidate> {
        let mut scores = self.mean();
        for score in &mut scores {
            *score /= temperature;
        }
        let best = argmax(scores.iter().copied());
        log_softmax(&mut scores);
        let confidence = scores.get(best)?.exp();
        let of_best =
            |logits: &&[f32]| logits.get(best).copied().map_or(f64::NEG_INFINITY, f64::from);
        let strongest = argmax(self.0.iter().map(of_best));
        let tokens = chunks.tokens.get(chunks.windows.get(strongest)?.owned.clone())?;
        let span = Span { start: tokens.first()?.start, end: tokens.last()?.end };
        Some(Candidate { label: first_label + best, span, confidence })
    }

    /// Mean logit of each class.
    fn mean(&self) -> Vec<f64> {
        let mut totals: Vec<f64> = Vec::new();
        for logits in &self.0 {
            totals.resize(logits.len(), 0.0);
            for (total, logit) in totals.iter_mut().zip(*logits) {
                *total += f64::from(*logit);
            }
        }
        let windows = count(self.0.len());
        totals.into_iter().map(|total| total / windows).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Votes;
    use crate::types::{Chunk, Chunks, Sensitive, Span};

    /// One token a byte; windows own the tokens up to these ends.
    fn chunks(ends: &[usize]) -> Chunks {
        let window = |(start, end): (usize, usize)| Chunk {
            ids: Sensitive::new(Vec::new()),
            padded_tokens: 0,
            tokens: start..end,
            owned: start..end,
        };
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let tokens = ends.last().copied().unwrap_or_default();
        Chunks {
            tokens: (0..tokens).map(|start| Span { start, end: start + 1 }).collect(),
            word_starts: Vec::new(),
            sentences: Vec::new(),
            spared_tokens: 0,
            windows: Arc::new(starts.zip(ends.iter().copied()).map(window).collect()),
        }
    }

    #[test]
    fn one_window_speaks_for_its_whole_text() {
        let found = Votes(vec![&[0.0, 2.0, 1.0]]).candidate(3, 2.0, &chunks(&[9])).unwrap();
        assert_eq!((found.label, found.span), (4, Span { start: 0, end: 9 }));
        let expected = 1.0 / (1.0 + (-1.0_f64).exp() + (-0.5_f64).exp());
        assert!((found.confidence - expected).abs() < 1e-12);
    }

    #[test]
    fn windows_are_averaged_and_the_strongest_gives_the_place() {
        let windows: [&[f32]; 3] = [&[5.0, 0.0], &[0.0, 4.0], &[0.0, 4.0]];
        let found = Votes(windows.to_vec()).candidate(0, 1.0, &chunks(&[4, 7, 9]));
        let found = found.unwrap();
        assert_eq!(
            (found.label, found.span),
            (1, Span { start: 4, end: 7 }),
            "the first of equals"
        );
        assert!((found.confidence - 1.0 / (1.0 + (-1.0_f64).exp())).abs() < 1e-12);
        let equal = Votes(vec![&[1.0, 1.0]]).candidate(0, 1.0, &chunks(&[4])).unwrap();
        assert_eq!(equal.label, 0, "the lower class of equals");
    }

    #[test]
    fn no_window_gives_no_class() {
        assert!(Votes(Vec::new()).candidate(0, 1.0, &chunks(&[])).is_none());
    }
}
