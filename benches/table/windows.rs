//! `workload -> token windows`, cut by the worker's own rooms: what the model sees.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use sluice::chunk::Chunker;
use sluice::config::bundle::Bundle;
use sluice::config::settings::Sandbox;
use sluice::config::{self, Flow};
use sluice::decode::{Decoded, decode};
use sluice::registry::Client;
use sluice::source::delivery_of_bytes;
use sluice::text::{Launch, Reader};
use sluice::types::Position;

use crate::corpus::Workload;
use crate::support::env;
use crate::support::flow::shipped;

/// The windows of a workload, in the order of its documents.
pub struct Windows {
    /// Token ids, special ones included, without padding.
    pub rows: Vec<Vec<i64>>,
    /// Rows of each document, that is of each part of a message.
    pub of_document: Vec<Range<usize>>,
    /// Their pages.
    pub pages: usize,
    /// The model.
    pub bundle: Bundle,
}

impl Windows {
    /// Tokens as the model sees them, without padding.
    pub fn tokens(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }
}

/// The windows of `workload`.
pub fn of(workload: &Workload) -> Windows {
    let flow =
        config::load(&shipped(workload.pipeline)).unwrap_or_else(|problems| panic!("{problems:?}"));
    // All that there is to read: what the worker spares itself is its gain.
    let chunker = Chunker::load(&flow.bundle, false).unwrap();
    let mut reader = Reader::new(Launch {
        program: env!("CARGO_BIN_EXE_sluice").into(),
        pdfium_path: env("SLUICE_PDFIUM_PATH").map(PathBuf::from),
        documents_max: 500,
        sandbox: Sandbox::BestEffort,
    });
    let (mut rows, mut of_document, mut pages) = (Vec::new(), Vec::new(), 0);
    for (number, input) in (0..).zip(&workload.inputs) {
        let position = Position { topic: Arc::from("bench"), partition: 0, offset: number };
        let body = input.payload.clone().unwrap();
        let delivery = delivery_of_bytes(body, number.to_string(), workload.content_type, position);
        for document in documents_of(&flow, &delivery) {
            let text = reader.text(&document, &flow.pipeline.text).unwrap();
            let Ok(text) = text else { continue };
            let cut = chunker.chunk(&text, flow.pipeline.text.tokens_max);
            let Ok(chunks) = cut else { continue };
            pages += text.pages().len();
            let first = rows.len();
            rows.extend(chunks.windows.iter().map(|window| window.ids.to_vec()));
            of_document.push(first..rows.len());
        }
    }
    Windows { rows, of_document, pages, bundle: flow.bundle }
}

fn documents_of(flow: &Flow, delivery: &sluice::types::Delivery) -> Vec<sluice::types::Document> {
    match decode(delivery, &flow.pipeline.input, &None::<Client>).unwrap() {
        Ok(Decoded::Parts(pieces)) => {
            pieces.into_iter().filter_map(|piece| piece.document.ok()).collect()
        }
        _ => Vec::new(),
    }
}
