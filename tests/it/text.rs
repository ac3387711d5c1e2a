//! `text::Reader` against real children, real engines and files made to harm.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use encoding_rs::{SHIFT_JIS, UTF_8, WINDOWS_1252};
use sluice::config::pipeline::{PdfEngine, TextLimits};
use sluice::config::settings::Sandbox;
use sluice::error::FaultClass;
use sluice::text::{Launch, Reader, engine_version};
use sluice::types::{Digest, Document, MediaType, Reject, RejectCode, Sensitive, Text};

use crate::pdf_maker::{Pdf, Stream};

/// Both readers of PDF.
pub const ENGINES: [PdfEngine; 2] = [PdfEngine::Pdfium, PdfEngine::PdfExtract];

/// `PDFium`'s shared library, where the environment or `make runtime` has put it.
pub fn pdfium_path() -> PathBuf {
    let path = std::env::var_os("SLUICE_PDFIUM_PATH").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/lib/libpdfium.so"),
        PathBuf::from,
    );
    assert!(path.is_file(), "no PDFium at {}: run make runtime", path.display());
    path
}

/// How this program's children are started.
pub fn launch() -> Launch {
    Launch {
        program: env!("CARGO_BIN_EXE_sluice").into(),
        pdfium_path: Some(pdfium_path()),
        documents_max: 500,
        sandbox: Sandbox::BestEffort,
    }
}

/// A document of `bytes`.
pub fn document(media_type: MediaType, bytes: impl Into<Vec<u8>>) -> Document {
    let bytes = bytes.into();
    let digest = Digest::of(&bytes);
    Document {
        id: "test".to_owned(),
        part: 0,
        media_type,
        bytes: Sensitive::new(bytes),
        digest,
        range: None,
        identifiers: Arc::default(),
        fetched_from: None,
    }
}

pub fn read(reader: &mut Reader, document: &Document, limits: &TextLimits) -> Result<Text, Reject> {
    reader.text(document, limits).map_err(|fault| fault.chain()).unwrap()
}

pub fn html(markup: &str) -> Document {
    document(MediaType::Html(UTF_8), markup)
}

pub fn pdf(pdf: &Pdf) -> Document {
    document(MediaType::Pdf, pdf.bytes())
}

pub fn limits(pdf_engine: PdfEngine) -> TextLimits {
    TextLimits { pdf_engine, text_chars_min: 1, ..TextLimits::default() }
}

/// Reads a document that must be refused with `code`, and after it one that must not.
fn check_refused(document: &Document, limits: &TextLimits, code: RejectCode) {
    let mut reader = Reader::new(launch());
    let hello = pdf(&Pdf::of_pages(&[Stream::line("Hello")]));
    // Before, too: a child that has read something is treated otherwise than a fresh one.
    for round in 0..2 {
        let reject = read(&mut reader, document, limits).err();
        let reject = reject.unwrap_or_else(|| panic!("{code} expected, there is text"));
        assert_eq!((reject.code, reject.room.name()), (code, "text"), "{}", reject.detail);
        let text = read(&mut reader, &hello, limits).map_err(|reject| reject.detail);
        assert_eq!(text.map(|text| text.as_str().trim().to_owned()), Ok("Hello".into()), "{round}");
    }
}

#[test]
fn pages_are_kept() {
    let file = pdf(&Pdf::of_pages(&["one", "two", "three"].map(Stream::line)));
    for engine in ENGINES {
        let text = read(&mut Reader::new(launch()), &file, &limits(engine)).ok().unwrap();
        let pages: Vec<_> =
            text.pages().iter().map(|page| text.slice(*page).unwrap().trim()).collect();
        assert_eq!(pages, ["one", "two", "three"]);
        assert_eq!(text.page_of(text.as_str().find("two").unwrap()), 2);
    }
}

#[test]
fn paragraphs_of_a_pdf_are_parted_by_blank_lines() {
    let first = Stream::lines(&[
        (72, 700, "10. Licence"),
        (72, 672, "HealthGate grants to the publishers"),
        (72, 658, "a licence to its software for:"),
        (90, 630, "\\(a\\) the purposes of this agreement"),
        (90, 602, "\\(b\\) what the publishers of"),
    ]);
    let second = Stream::lines(&[
        (90, 700, "this agreement want"),
        (72, 672, "11. Term"),
        (72, 658, "It ends in May"),
        (300, 40, "Source: a register, 11/8/1999"),
    ]);
    let file = pdf(&Pdf::of_pages(&[first, second]));
    let text = read(&mut Reader::new(launch()), &file, &limits(PdfEngine::Pdfium)).ok().unwrap();
    let pages: Vec<_> = text.pages().iter().map(|page| text.slice(*page).unwrap()).collect();
    assert_eq!(
        pages,
        [
            "10. Licence\n\nHealthGate grants to the publishers\na licence to its software for:\n\n\
             (a) the purposes of this agreement\n\n(b) what the publishers of\n",
            "this agreement want\n\n11. Term\nIt ends in May\n\nSource: a register, 11/8/1999\n",
        ]
    );
}

#[test]
fn html_and_plain_text_are_read_in_their_character_sets() {
    let mut reader = Reader::new(launch());
    let cases = [
        (MediaType::Html(UTF_8), "<p>naïve<p>two".as_bytes(), "naïve\n\ntwo"),
        (MediaType::Html(WINDOWS_1252), b"<b>na\xEFve", "naïve"),
        (MediaType::Html(SHIFT_JIS), b"<i>\x83\x65\x83\x58\x83\x67", "テスト"),
        (MediaType::Plain(WINDOWS_1252), b"na\xEFve\r\n", "naïve\r\n"),
    ];
    for (media_type, bytes, expected) in cases {
        let text = read(&mut reader, &document(media_type, bytes), &TextLimits::default());
        assert_eq!(text.ok().unwrap().as_str(), expected);
    }
}

#[test]
fn bytes_outside_the_character_set_are_refused_with_their_place() {
    for media_type in [MediaType::Plain(UTF_8), MediaType::Html(UTF_8)] {
        let reject = read(
            &mut Reader::new(launch()),
            &document(media_type, b"ab\xFF".as_slice()),
            &limits(ENGINES[0]),
        )
        .err()
        .unwrap();
        assert_eq!(reject.code, RejectCode::EncodingInvalid);
        assert!(reject.detail.contains("byte 2"), "{}", reject.detail);
    }
}

#[test]
fn a_document_without_words_is_refused() {
    let blank = pdf(&Pdf::of_pages(&[Stream::line(" "), Stream::line("")]));
    for engine in ENGINES {
        check_refused(&blank, &limits(engine), RejectCode::PdfNoText);
    }
    let few = TextLimits { text_chars_min: 6, ..limits(PdfEngine::Pdfium) };
    let short = pdf(&Pdf::of_pages(&[Stream::line("Hello")]));
    let reject = read(&mut Reader::new(launch()), &short, &few).err().unwrap();
    assert_eq!(reject.code, RejectCode::PdfNoText);
    for media_type in [MediaType::Html(UTF_8), MediaType::Plain(UTF_8)] {
        for bytes in ["", " \n "] {
            check_refused(&document(media_type, bytes), &limits(ENGINES[0]), RejectCode::TextEmpty);
        }
    }
}

#[test]
fn what_is_no_pdf_is_refused() {
    let whole = Pdf::of_pages(&[Stream::line("Hello")]).bytes();
    let quarter = whole[..whole.len() / 4].to_vec();
    for bytes in [quarter, b"%PDF-1.7".to_vec(), b"PK\x03\x04".to_vec(), vec![0; 4096], Vec::new()]
    {
        for engine in ENGINES {
            let document = document(MediaType::Pdf, bytes.clone());
            check_refused(&document, &limits(engine), RejectCode::PdfInvalid);
        }
    }
}

#[test]
fn too_many_pages_are_refused() {
    let pages: Vec<_> = (0..30).map(|_| Stream::line("Hello")).collect();
    for engine in ENGINES {
        let limits = TextLimits { pages_max: 29, ..limits(engine) };
        check_refused(&pdf(&Pdf::of_pages(&pages)), &limits, RejectCode::PdfPagesTooMany);
    }
}

#[test]
fn too_long_a_text_is_refused() {
    let pages: Vec<_> = (0..50).map(|_| Stream::line("Hello, world of long texts")).collect();
    for engine in ENGINES {
        let limits = TextLimits { text_bytes_max: 1000, ..limits(engine) };
        check_refused(&pdf(&Pdf::of_pages(&pages)), &limits, RejectCode::TextTooLarge);
    }
    let limits = TextLimits { text_bytes_max: 1000, ..limits(PdfEngine::Pdfium) };
    for media_type in [MediaType::Html(UTF_8), MediaType::Plain(UTF_8)] {
        let long = document(media_type, "word ".repeat(1000));
        check_refused(&long, &limits, RejectCode::TextTooLarge);
    }
}

#[test]
fn a_bomb_meets_the_memory_limit() {
    // 4 GB of white space, and 20 million nested states of the graphics, from a few kilobytes.
    for content in [Stream::bomb(b" ", 4 << 30), Stream::bomb(b"q ", 20_000_000)] {
        let bomb = pdf(&Pdf::of_pages(&[content]));
        assert!(bomb.bytes.len() < 1 << 18);
        for engine in ENGINES {
            let limits = TextLimits { memory_bytes_max: 256 << 20, ..limits(engine) };
            check_refused(&bomb, &limits, RejectCode::TextMemory);
        }
    }
}

#[test]
fn a_document_larger_than_the_memory_limit_is_refused_before_it_is_read() {
    let limits = TextLimits { memory_bytes_max: 128 << 20, ..limits(PdfEngine::Pdfium) };
    let large = document(MediaType::Pdf, vec![b' '; 160 << 20]);
    check_refused(&large, &limits, RejectCode::TextMemory);
}

#[test]
fn a_stack_overflow_ends_one_document() {
    // A form that draws itself.
    let form = "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 4 0 R>>>>\
                /Length 5>>\nstream\n/X Do\nendstream";
    let recursive = pdf(&Pdf::new([
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 5 0 R\
         /Resources<</XObject<</X 4 0 R>>>>>>",
        form,
        "<</Length 5>>\nstream\n/X Do\nendstream",
    ]));
    check_refused(&recursive, &limits(PdfEngine::PdfExtract), RejectCode::TextCrashed);
    let reject = read(&mut Reader::new(launch()), &recursive, &limits(PdfEngine::PdfExtract));
    assert_eq!(reject.err().unwrap().detail, "the text engine overflowed its stack");
    check_refused(&recursive, &limits(PdfEngine::Pdfium), RejectCode::PdfNoText);
}

#[test]
fn an_endless_loop_meets_either_time_limit() {
    // A page that is its own parent, searched upwards for a size that it does not have.
    let endless = pdf(&Pdf::new([
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        "<</Type/Page/Parent 3 0 R>>",
    ]));
    for (progress_timeout_ms, total_timeout_ms) in [(300, 60_000), (60_000, 300)] {
        let limits =
            TextLimits { progress_timeout_ms, total_timeout_ms, ..limits(PdfEngine::PdfExtract) };
        let start = Instant::now();
        check_refused(&endless, &limits, RejectCode::TextTimeout);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn a_panic_of_an_engine_ends_one_document() {
    // A font of a kind that the engine does not expect.
    let odd = pdf(&Pdf::new([
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0]/Contents 4 0 R>>",
        "<</Length 0>>\nstream\n\nendstream",
    ]));
    check_refused(&odd, &limits(PdfEngine::PdfExtract), RejectCode::TextCrashed);
}

#[test]
fn the_engine_names_itself() {
    for (engine, name) in ENGINES.into_iter().zip(["pdfium ", "pdf-extract "]) {
        let version = engine_version(&launch(), &limits(engine)).unwrap();
        assert!(version.starts_with(name), "{version}");
    }
}

#[test]
fn a_missing_library_is_fatal_and_says_what_to_do() {
    for pdfium_path in
        [None, Some(PathBuf::from("/nonexistent/libpdfium.so")), Some("/etc/passwd".into())]
    {
        let launch = Launch { pdfium_path: pdfium_path.clone(), ..launch() };
        let at_start = engine_version(&launch, &limits(PdfEngine::Pdfium)).unwrap_err();
        let file = pdf(&Pdf::of_pages(&[Stream::line("Hello")]));
        let Err(later) = Reader::new(launch).text(&file, &limits(PdfEngine::Pdfium)) else {
            panic!("no fault");
        };
        for fault in [at_start, later] {
            assert_eq!(fault.class, FaultClass::Fatal);
            let words = fault.chain();
            let path =
                pdfium_path.as_ref().map_or("(none)".into(), |path| path.display().to_string());
            for part in [&path, "--pdfium", "SLUICE_PDFIUM_PATH", "make runtime"] {
                assert!(words.contains(part), "{words}");
            }
        }
    }
}
