//! PDF bytes to pages by PDFium; the only file that names `pdfium_render`.
//!
//! Pages keep the order of the file, lines the order in which PDFium reads them, with a blank line
//! before each paragraph. Deliberately renders nothing, runs no script, and looks for no font of the
//! machine: the same file gives the same text wherever it is read.

use std::path::PathBuf;

use pdfium_render::prelude::{
    PdfDocument, PdfPageTextChars, Pdfium, PdfiumError, PdfiumInternalError, PdfiumLibraryConfig,
};

use super::child::{Pages, Stop};
use super::clean;
use super::frame::{Flaw, Refusal};
use super::paragraphs::{self, Paragraphs};
use super::rows::{Glyph, Line};

/// A folder that no machine has: PDFium takes its fonts from here and so from nowhere.
const NO_FONTS: &str = "/nonexistent/";

/// PDFium, or why it could not be loaded: an HTML document needs none.
pub(super) struct Engine(Result<Pdfium, String>);

impl Engine {
    /// Loads the shared library at `path`.
    pub(super) fn load(path: Option<PathBuf>) -> Self {
        let Some(path) = path else { return Self(Err("no path is set".to_owned())) };
        let load = || {
            let bindings = Pdfium::bind_to_library(path)?;
            let config = PdfiumLibraryConfig::new().set_user_font_paths(&[NO_FONTS])?;
            Ok(Pdfium::new_with_config(bindings, config))
        };
        Self(load().map_err(|error: PdfiumError| error.to_string()))
    }

    /// The library.
    pub(super) fn library(&self) -> Result<&Pdfium, Stop> {
        self.0.as_ref().map_err(|words| Stop::Refused(Refusal::EngineMissing(words.clone())))
    }

    /// Reads the document in `bytes`.
    pub(super) fn read(
        &self,
        bytes: &[u8],
        pages_max: u32,
        to: &mut Pages<'_>,
    ) -> Result<(), Stop> {
        let library = self.library()?;
        let document =
            library.load_pdf_from_byte_slice(bytes, None).map_err(|error| refusal(&error))?;
        let count = document.pages().len();
        if count <= 0 {
            return Err(Refusal::Invalid(Flaw::NoPages).into());
        }
        if i64::from(count) > i64::from(pages_max) {
            return Err(Refusal::PagesTooMany(count.unsigned_abs().into()).into());
        }
        let mut paragraphs = Paragraphs::default();
        for index in 0..count {
            let number = u64::from(index.unsigned_abs()) + 1;
            to.begin(number);
            let text = page_text(&document, index, &mut paragraphs)
                .map_err(|_error| Refusal::Invalid(Flaw::Page(number)))?;
            to.page(text)?;
        }
        Ok(())
    }
}

fn page_text(
    document: &PdfDocument<'_>,
    index: i32,
    paragraphs: &mut Paragraphs,
) -> Result<String, PdfiumError> {
    let page = document.pages().get(index)?;
    let text = page.text()?;
    let characters = text.chars();
    let units: Vec<u32> = characters.iter().map(|character| character.unicode_value()).collect();
    let mut start = 0;
    let lines: Vec<Line> = units
        .split_inclusive(|unit| *unit == u32::from('\n'))
        .map(|words| {
            let line =
                Line { units: start..start + words.len(), ends: ends(&characters, words, start) };
            start = line.units.end;
            line
        })
        .collect();
    Ok(clean::page(paragraphs.page(&units, &lines).into_iter()))
}

/// The first and the last visible of the characters `words`, which begin at `start`.
fn ends(characters: &PdfPageTextChars<'_>, words: &[u32], start: usize) -> Option<[Glyph; 2]> {
    let is_visible = |unit: &u32| paragraphs::visible(*unit).is_some();
    let first = words.iter().position(is_visible)?;
    let last = words.iter().rposition(is_visible)?;
    Some([glyph(characters, start + first)?, glyph(characters, start + last)?])
}

fn glyph(characters: &PdfPageTextChars<'_>, index: usize) -> Option<Glyph> {
    let character = characters.get(index).ok()?;
    let (x, y) = character.origin().ok()?;
    let bounds = character.loose_bounds().ok()?;
    Some(Glyph {
        x: x.value,
        y: y.value,
        left: bounds.left().value,
        bottom: bounds.bottom().value,
        right: bounds.right().value,
        top: bounds.top().value,
    })
}

fn refusal(error: &PdfiumError) -> Refusal {
    if let PdfiumError::PdfiumLibraryInternalError(
        PdfiumInternalError::PasswordError | PdfiumInternalError::SecurityError,
    ) = error
    {
        Refusal::Encrypted
    } else {
        Refusal::Invalid(Flaw::Open)
    }
}
