//! `texts -> predictions`: the same code that the worker runs, from chunk to scores.
//!
//! Deliberately keeps a few documents in flight only: a data set may be larger than memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::chunk::Chunker;
use crate::config::bundle::Bundle;
use crate::infer::{self, Answer, Candidate, Decoded, Handle, Job};
use crate::queue::FlowId;
use crate::types::{Chunks, RejectCode, Span, Text, window_tokens};

/// Documents in flight: enough to keep all sessions busy over the end of one.
const IN_FLIGHT_MAX: usize = 8;

/// A model with all that is needed to ask it.
pub(super) struct Asker<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) chunker: &'a Chunker,
    pub(super) handle: Handle,
}

/// What the model says of one text; no candidates and no flags where there was nothing to ask.
#[derive(Default)]
pub(super) struct Prediction {
    /// Candidate spans.
    pub(super) found: Vec<Found>,
    /// Labels with a flag, and its probability.
    pub(super) flags: BTreeMap<usize, f64>,
    pub(super) token_count: usize,
    /// Tokens of the rows that the model read, and of those that the gate spared it.
    pub(super) row_tokens: (usize, usize),
}

/// A span that the model might mark.
pub(super) struct Found {
    /// Index of the label in the bundle.
    pub(super) label: usize,
    pub(super) span: Span,
    /// Its words.
    pub(super) text: String,
    pub(super) confidence: f64,
}

/// A text whose windows are being run.
struct Pending {
    text: Text,
    chunks: Chunks,
    answer: Receiver<Answer>,
}

impl Asker<'_> {
    /// Predictions in the order of `texts`; `None` is a document without text, of which the model
    /// says nothing. `told` is called with each count of documents that are done.
    pub(super) fn ask(
        &self,
        texts: impl Iterator<Item = Result<Option<Text>>>,
        told: &mut dyn FnMut(usize),
    ) -> Result<Vec<Prediction>> {
        let mut done = Vec::new();
        let mut waiting: VecDeque<Option<Pending>> = VecDeque::new();
        for text in texts {
            waiting.push_back(text?.and_then(|text| self.submit(text).transpose()).transpose()?);
            if waiting.len() > IN_FLIGHT_MAX {
                done.extend(waiting.pop_front().map(|pending| self.finish(pending)).transpose()?);
                told(done.len());
            }
        }
        for pending in waiting {
            done.push(self.finish(pending)?);
            told(done.len());
        }
        Ok(done)
    }

    fn submit(&self, text: Text) -> Result<Option<Pending>> {
        let chunks = match self.chunker.chunk(&text, usize::MAX) {
            Ok(chunks) => chunks,
            Err(reject) if reject.code == RejectCode::TextEmpty => return Ok(None),
            Err(reject) => bail!("{}: {}", reject.code, reject.detail),
        };
        let (answers, answer) = sync_channel(1);
        self.handle.submit(Job {
            flow: FlowId::default(),
            model: 0,
            windows: Arc::clone(&chunks.windows),
            cancelled: Arc::default(),
            mark: None,
            // Nobody waits any more where the receiver is gone.
            done: Box::new(move |answer| drop(answers.send(answer))),
        });
        Ok(Some(Pending { text, chunks, answer }))
    }

    fn finish(&self, pending: Option<Pending>) -> Result<Prediction> {
        let Some(Pending { text, chunks, answer }) = pending else {
            return Ok(Prediction::default());
        };
        let scores = match answer.recv().context("waiting for the model")? {
            Answer::Scores(scores) => scores,
            Answer::Reject(reject) => bail!("{}: {}", reject.code, reject.detail),
            Answer::Cancelled => return Err(anyhow!("the model was stopped")),
        };
        let Decoded { candidates, flags } = infer::decode(&scores, &chunks, &text, self.bundle);
        let found = candidates
            .into_iter()
            .filter_map(|Candidate { label, span, confidence }| {
                let text = text.slice(span)?.to_owned();
                Some(Found { label, span, text, confidence })
            })
            .collect();
        let flags = flags.into_iter().collect();
        let row_tokens = (window_tokens(&chunks.windows), chunks.spared_tokens);
        Ok(Prediction { found, flags, token_count: chunks.tokens.len(), row_tokens })
    }
}
