//! PDF bytes to pages by the crate `pdf-extract`; the only file that names it.
//!
//! The choice for a place where no shared library may be loaded. Deliberately catches none of its
//! panics: the child's loop does.

use pdf_extract::{Document, Error, OutputError, PlainTextOutput, output_doc_page};

use super::child::{Pages, Stop};
use super::clean;
use super::frame::{Flaw, Refusal};

/// Name and version as `Cargo.lock` has them.
pub(super) const VERSION: &str = "pdf-extract 0.12.1";

/// Reads the document in `bytes`.
pub(super) fn read(bytes: &[u8], pages_max: u32, to: &mut Pages<'_>) -> Result<(), Stop> {
    let mut document = Document::load_mem(bytes).map_err(|error| refusal(&error))?;
    if document.is_encrypted() {
        document.decrypt("").map_err(|_error| Refusal::Encrypted)?;
    }
    let count = document.get_pages().len();
    if count == 0 {
        return Err(Refusal::Invalid(Flaw::NoPages).into());
    }
    match u32::try_from(count) {
        Ok(count) if count <= pages_max => {}
        Ok(_) | Err(_) => {
            return Err(Refusal::PagesTooMany(u64::try_from(count).unwrap_or(u64::MAX)).into());
        }
    }
    for number in document.get_pages().into_keys() {
        to.begin(number.into());
        let mut text = String::new();
        output_doc_page(&document, &mut PlainTextOutput::new(&mut text), number)
            .map_err(|error| page_refusal(&error, number))?;
        to.page(clean::page(text.chars().map(u32::from)))?;
    }
    Ok(())
}

fn refusal(error: &Error) -> Refusal {
    if matches!(error, Error::Decryption(_) | Error::InvalidPassword) {
        Refusal::Encrypted
    } else {
        Refusal::Invalid(Flaw::Open)
    }
}

fn page_refusal(error: &OutputError, number: u32) -> Refusal {
    match error {
        OutputError::PdfError(Error::Decryption(_) | Error::InvalidPassword) => Refusal::Encrypted,
        OutputError::PdfError(_) | OutputError::FormatError(_) | OutputError::IoError(_) => {
            Refusal::Invalid(Flaw::Page(number.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VERSION;

    #[test]
    fn the_version_is_the_locked_one() {
        let (name, version) = VERSION.split_once(' ').unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(include_str!("../../Cargo.lock").contains(&entry));
    }
}
