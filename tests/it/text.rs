//! `text::Reader` against real children, real engines and files made to harm.

use std::path::{Path, PathBuf};

use encoding_rs::UTF_8;
use sluice::config::pipeline::{PdfEngine, TextLimits};
use sluice::text::{Launch, Reader};
use sluice::types::{Digest, Document, MediaType, Reject, Sensitive, Text};

/// PDFium's shared library, where the environment or `scripts/fetch-runtime` has put it.
pub fn pdfium_path() -> PathBuf {
    let path = std::env::var_os("SLUICE_PDFIUM_PATH").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/libpdfium.so"),
        PathBuf::from,
    );
    assert!(path.is_file(), "no PDFium at {}: run scripts/fetch-runtime", path.display());
    path
}

/// How this program's children are started.
pub fn launch() -> Launch {
    Launch {
        program: env!("CARGO_BIN_EXE_sluice").into(),
        pdfium_path: Some(pdfium_path()),
        documents_max: 500,
    }
}

/// A document of `bytes`.
pub fn document(media_type: MediaType, bytes: impl Into<Vec<u8>>) -> Document {
    let bytes = bytes.into();
    let digest = Digest::of(&bytes);
    Document { id: "test".to_owned(), part: 0, media_type, bytes: Sensitive::new(bytes), digest }
}

fn read(reader: &mut Reader, document: &Document, limits: &TextLimits) -> Result<Text, Reject> {
    reader.text(document, limits).map_err(|fault| fault.chain()).unwrap()
}

fn html(markup: &str) -> Document {
    document(MediaType::Html(UTF_8), markup)
}

#[test]
fn a_page_of_html_is_read_in_a_child() {
    let mut reader = Reader::new(launch());
    let text = read(&mut reader, &html("<p>one<p>two"), &TextLimits::default());
    assert_eq!(text.ok().unwrap().as_str(), "one\n\ntwo");
}

#[test]
fn the_engine_names_itself() {
    for (engine, name) in [(PdfEngine::Pdfium, "pdfium "), (PdfEngine::PdfExtract, "pdf-extract ")]
    {
        let limits = TextLimits { pdf_engine: engine, ..TextLimits::default() };
        let version = sluice::text::engine_version(&launch(), &limits).unwrap();
        assert!(version.starts_with(name), "{version}");
    }
}
