//! `documents -> text`: what a text child does, without its walls, and the wire to it.

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use sluice::config::pipeline::{PdfEngine, TextLimits};
use sluice::config::settings::Sandbox;
use sluice::text::{Launch, Reader, within};
use sluice::types::{Digest, Document, MediaType, Reject, Sensitive, Text};

use super::first_line;

/// Limits that small inputs reach.
const TEXT_BYTES_MAX: usize = 4_000;
const PAGES_MAX: u32 = 5;

/// A PDF file, by `pdf-extract`.
pub fn pdf(input: &[u8]) {
    check(MediaType::Pdf, input);
}

/// Markup; a first line that names a character set, such as `charset=shift_jis`, is none of it.
pub fn html(input: &[u8]) {
    let (charset, markup) = charset_of(input);
    check(MediaType::Html(charset), markup);
}

/// Plain text, with a first line as for [`html`].
pub fn plain(input: &[u8]) {
    let (charset, bytes) = charset_of(input);
    // Plain text starts no child.
    let launch = Launch {
        program: "/nonexistent".into(),
        documents_max: 1,
        ..Launch::this_program(None, Sandbox::Off)
    };
    let document = document(MediaType::Plain(charset), bytes);
    let read = Reader::new(launch).text(&document, &limits());
    if let Ok(text) = read.map_err(|fault| fault.chain()).unwrap() {
        check_text(&text);
    }
}

/// What a worker writes to a child, and what a child writes to a worker.
pub fn wire(input: &[u8]) {
    if let Ok(replies) = within::replies(input) {
        // Whatever a child says to any request, its worker understands; of a document that is too
        // large, too.
        let mut rest = replies.as_slice();
        while !rest.is_empty() {
            let limits = TextLimits { text_bytes_max: usize::MAX, ..limits() };
            let (_, after) = within::reading(rest, MediaType::Pdf, &limits).unwrap();
            rest = after;
        }
    }
    drop(within::reading(input, MediaType::Pdf, &limits()));
}

fn charset_of(input: &[u8]) -> (&'static Encoding, &[u8]) {
    let Some(rest) = input.strip_prefix(b"charset=") else { return (UTF_8, input) };
    let (label, bytes) = first_line(rest);
    (Encoding::for_label(label).unwrap_or(UTF_8), bytes)
}

fn limits() -> TextLimits {
    TextLimits {
        pdf_engine: PdfEngine::PdfExtract,
        pages_max: PAGES_MAX,
        text_bytes_max: TEXT_BYTES_MAX,
        text_chars_min: 1,
        ..TextLimits::default()
    }
}

fn document(media_type: MediaType, bytes: &[u8]) -> Document {
    Document {
        id: "fuzz".to_owned(),
        part: 0,
        media_type,
        bytes: Sensitive::new(bytes.to_vec()),
        digest: Digest::of(bytes),
        range: None,
        fetched_from: None,
        identifiers: Arc::default(),
    }
}

fn check(media_type: MediaType, bytes: &[u8]) {
    let once = || -> Result<Text, Reject> {
        let requests = within::requests(&document(media_type, bytes), &limits()).unwrap();
        let replies = within::replies(&requests.expect("it is read in a child")).unwrap();
        let (read, rest) = within::reading(&replies, media_type, &limits()).unwrap();
        assert!(rest.is_empty(), "more than one answer to one request");
        read
    };
    let told = |read: Result<Text, Reject>| match read {
        Ok(text) => {
            check_text(&text);
            Ok(text.digest())
        }
        Err(reject) => Err((reject.code, reject.detail)),
    };
    assert!(told(once()) == told(once()), "read in two ways");
}

fn check_text(text: &Text) {
    let body = text.as_str();
    assert!(body.len() <= TEXT_BYTES_MAX, "{} bytes of text", body.len());
    assert!(body.contains(|character: char| !character.is_whitespace()), "a text without text");
    let pages = text.pages();
    assert!(pages.len() <= usize::try_from(PAGES_MAX).unwrap(), "{} pages", pages.len());
    assert!(pages.iter().map(|page| text.slice(*page).unwrap()).collect::<String>() == body);
}
