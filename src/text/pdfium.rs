//! PDF bytes to pages by PDFium; the only file that names `pdfium_render`.
//!
//! Pages keep the order of the file, lines the order in which PDFium reads them. Deliberately
//! renders nothing, runs no script, and looks for no font of the machine: the same file gives the
//! same text wherever it is read.

use std::path::PathBuf;

use pdfium_render::prelude::{
    PdfDocument, Pdfium, PdfiumError, PdfiumInternalError, PdfiumLibraryConfig,
};

use super::child::{Pages, Stop};
use super::clean;
use super::frame::{Flaw, Refusal};

/// A folder that no machine has: PDFium takes its fonts from here and so from nowhere.
const NO_FONTS: &str = "/nonexistent/";

/// PDFium, loaded when first needed.
pub(super) struct Engine {
    path: Option<PathBuf>,
    library: Option<Pdfium>,
}

impl Engine {
    /// An engine that will load the shared library at `path`.
    pub(super) const fn new(path: Option<PathBuf>) -> Self {
        Self { path, library: None }
    }

    /// The library, loaded once.
    pub(super) fn load(&mut self) -> Result<&Pdfium, Stop> {
        if self.library.is_none() {
            let missing = |words: String| Stop::Refused(Refusal::EngineMissing(words));
            let path = self.path.as_ref().ok_or_else(|| missing("no path is set".to_owned()))?;
            let bindings =
                Pdfium::bind_to_library(path).map_err(|error| missing(error.to_string()))?;
            let config = PdfiumLibraryConfig::new()
                .set_user_font_paths(&[NO_FONTS])
                .map_err(|error| missing(error.to_string()))?;
            self.library = Some(Pdfium::new_with_config(bindings, config));
        }
        self.library.as_ref().ok_or(Stop::Refused(Refusal::EngineMissing(String::new())))
    }

    /// Reads the document in `bytes`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        pages_max: u32,
        to: &mut Pages<'_>,
    ) -> Result<(), Stop> {
        let library = self.load()?;
        let document =
            library.load_pdf_from_byte_slice(bytes, None).map_err(|error| refusal(&error))?;
        let count = document.pages().len();
        if count <= 0 {
            return Err(Refusal::Invalid(Flaw::NoPages).into());
        }
        if i64::from(count) > i64::from(pages_max) {
            return Err(Refusal::PagesTooMany(count.unsigned_abs().into()).into());
        }
        for index in 0..count {
            let number = u64::from(index.unsigned_abs()) + 1;
            to.begin(number);
            let text = page_text(&document, index)
                .map_err(|_error| Refusal::Invalid(Flaw::Page(number)))?;
            to.page(text)?;
        }
        Ok(())
    }
}

fn page_text(document: &PdfDocument<'_>, index: i32) -> Result<String, PdfiumError> {
    let page = document.pages().get(index)?;
    let text = page.text()?;
    let characters = text.chars();
    Ok(clean::page(characters.iter().map(|character| character.unicode_value())))
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
