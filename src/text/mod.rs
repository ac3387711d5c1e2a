//! [`Document`] -> [`Text`]: readable text with its pages.
//!
//! Plain text is decoded here; PDF and HTML are read in a child process, where a stack overflow,
//! an abort, an endless loop or 4 GB of memory end one document and not the worker. Deliberately
//! does no OCR, guesses no media type, and repairs no character.

#[cfg(feature = "failpoints")]
mod attempts;
mod calls;
mod child;
mod clean;
mod deadline;
mod frame;
mod html;
mod language;
mod paragraphs;
mod pdf_extract;
mod pdfium;
mod plain;
mod process;
mod rows;
mod walls;
pub mod within;

use std::path::PathBuf;
use std::time::Duration;

use encoding_rs::Encoding;

pub use self::child::child_main;
pub use self::language::language;
pub use self::walls::Walls;

use self::deadline::Patience;
use self::frame::{Engine, Flaw, Refusal, Terms};
use self::process::{Child, Death, Failure, Reading};
use crate::config::pipeline::{PdfEngine, TextLimits};
use crate::config::settings::Sandbox;
use crate::error::{Fault, FaultClass};
use crate::types::{Blame, Digest, Document, MediaType, Reject, RejectCode, Room, Text};

/// The hidden subcommand that runs [`child_main`].
pub const CHILD_COMMAND: &str = "text-child";

/// What a child's line about a panic starts with; the place follows.
const PANIC_PREFIX: &str = "sluice text-child: panicked at ";

/// How children are started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program whose `text-child` command calls [`child_main`].
    pub program: PathBuf,
    /// PDFium's shared library; `None` where no pipeline reads PDF with it.
    pub pdfium_path: Option<PathBuf>,
    /// Documents that one child reads before a fresh one takes its place.
    pub documents_max: u32,
    /// Which walls it raises before its first document.
    pub sandbox: Sandbox,
}

impl Launch {
    /// Children of this very program, even after its file was replaced; 500 documents each.
    pub fn this_program(pdfium_path: Option<PathBuf>, sandbox: Sandbox) -> Self {
        let program = PathBuf::from("/proc/self/exe");
        Self { program, pdfium_path, documents_max: 500, sandbox }
    }
}

/// Reads documents, one at a time, with at most one live child.
///
/// A reader belongs to the thread that uses it: the kernel kills a child when the thread that
/// started it ends.
pub struct Reader {
    launch: Launch,
    child: Option<Child>,
    children_started: u64,
}

impl Reader {
    /// A reader without a child yet.
    pub const fn new(launch: Launch) -> Self {
        Self { launch, child: None, children_started: 0 }
    }

    /// Children started so far; more than documents and limits call for means that some died.
    pub const fn children_started(&self) -> u64 {
        self.children_started
    }

    /// The text of `document`.
    ///
    /// A death is the document's only where a fresh child dies of it too, so that no document pays
    /// for what an earlier one left behind; and only where the next child is fit to work, so that none
    /// pays for a machine that has no memory left.
    pub fn text(
        &mut self,
        document: &Document,
        limits: &TextLimits,
    ) -> Result<Result<Text, Reject>, Fault> {
        let reading = match way(document.media_type, limits) {
            Way::Here(charset) => plain_text(document, charset, limits),
            Way::Child(terms) => self.in_child(document, &terms, limits)?,
        };
        Ok(reading.and_then(|reading| readable(reading, document.media_type, limits)))
    }

    fn in_child(
        &mut self,
        document: &Document,
        terms: &Terms,
        limits: &TextLimits,
    ) -> Result<Result<Reading, Reject>, Fault> {
        loop {
            let mut child = self.child_with(limits.memory_bytes_max)?;
            let was_fresh = child.is_fresh();
            match child.extract(terms, document, patience(limits)) {
                Ok(reading) => {
                    self.child = Some(child);
                    return Ok(Ok(reading));
                }
                Err(
                    Failure::Died(_)
                    | Failure::Refused(Refusal::Memory | Refusal::EngineMissing(_)),
                ) if !was_fresh => {}
                Err(failure) => {
                    if matches!(failure, Failure::Died(Death::Forbidden)) {
                        tracing::error!(
                            "a text child made a forbidden system call and was ended, by the \
                             document that is rejected as TEXT_CRASHED; it may be an attack"
                        );
                    }
                    let rejected = reject(&failure, terms, limits);
                    self.keep(child, &failure);
                    if rejected.code.blame() == Blame::Doubtful {
                        self.prove(terms, limits)?;
                    }
                    return Ok(Err(rejected));
                }
            }
        }
    }

    /// Shows that a child is fit to work, so that the document before was to blame and not a machine
    /// on which none is: a fault to be tried again otherwise.
    fn prove(&mut self, terms: &Terms, limits: &TextLimits) -> Result<(), Fault> {
        let mut child = self.child_with(limits.memory_bytes_max)?;
        // Only of a child that has read no document the words may be told.
        child.probe(terms, patience(limits)).map_err(|failure| {
            if let Failure::Refused(Refusal::EngineMissing(words)) = &failure {
                return engine_missing(&self.launch, words);
            }
            let what = format!("proving a text child after one that failed: {failure:?}");
            Fault::plain(FaultClass::Retry, what)
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// The idle child, where it may go on, or a fresh one.
    fn child_with(&mut self, memory_bytes_max: u64) -> Result<Child, Fault> {
        let idle = self.child.take();
        if let Some(child) = idle.and_then(|child| child.if_fit(&self.launch, memory_bytes_max)) {
            return Ok(child);
        }
        self.children_started += 1;
        Child::spawn(&self.launch, memory_bytes_max)
    }

    /// Keeps a child that is as good as before its document failed, and tells where it is not.
    fn keep(&mut self, mut child: Child, failure: &Failure) {
        if let Some(place) = child.panic_place() {
            tracing::warn!(place, "text engine panicked");
        }
        if is_reusable(failure) {
            self.child = Some(child);
        }
    }
}

/// Where a document is read.
enum Way {
    /// In the worker: plain text in this character set.
    Here(&'static Encoding),
    /// In a child, on these terms.
    Child(Terms),
}

fn way(media_type: MediaType, limits: &TextLimits) -> Way {
    match (media_type, limits.pdf_engine) {
        (MediaType::Plain(charset), _) => Way::Here(charset),
        (MediaType::Pdf, PdfEngine::Pdfium) => Way::Child(terms(Engine::Pdfium, "", limits)),
        (MediaType::Pdf, PdfEngine::PdfExtract) => {
            Way::Child(terms(Engine::PdfExtract, "", limits))
        }
        (MediaType::Html(charset), _) => Way::Child(terms(Engine::Html, charset.name(), limits)),
    }
}

fn terms(engine: Engine, charset: &str, limits: &TextLimits) -> Terms {
    Terms {
        engine,
        pages_max: limits.pages_max,
        text_bytes_max: u64::try_from(limits.text_bytes_max).unwrap_or(u64::MAX),
        cpu_seconds_max: limits.total_timeout_ms / 1000 + 1,
        charset: charset.to_owned(),
    }
}

const fn patience(limits: &TextLimits) -> Patience {
    Patience {
        progress: Duration::from_millis(limits.progress_timeout_ms),
        total: Duration::from_millis(limits.total_timeout_ms),
    }
}

/// Whether a child is as good as before; one that has unwound a panic may hold what it leaked.
const fn is_reusable(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(Refusal::Panicked(_) | Refusal::Memory | Refusal::EngineMissing(_))
        | Failure::Flood
        | Failure::Timeout
        | Failure::Died(_) => false,
        Failure::Refused(
            Refusal::Encrypted
            | Refusal::Invalid(_)
            | Refusal::PagesTooMany(_)
            | Refusal::TooLarge
            | Refusal::Encoding(_),
        ) => true,
    }
}

fn plain_text(
    document: &Document,
    charset: &'static Encoding,
    limits: &TextLimits,
) -> Result<Reading, Reject> {
    let decoded = plain::decode(&document.bytes, charset, limits.text_bytes_max);
    let reading = |text| Reading { pages: vec![text], is_strained: false };
    decoded.map(reading).map_err(|refusal| match refusal {
        plain::Refusal::Malformed(offset) => {
            encoding_invalid(u64::try_from(offset).unwrap_or(u64::MAX), charset.name())
        }
        plain::Refusal::TooLarge => too_large(limits),
    })
}

/// Joins the pages, if there is anything to read on them.
fn readable(reading: Reading, media_type: MediaType, limits: &TextLimits) -> Result<Text, Reject> {
    let Reading { pages, is_strained } = reading;
    // A text of the longest allowed size is counted as far as the limit only.
    let most = limits.text_chars_min.max(1);
    let is_shown = |character: &char| !character.is_whitespace();
    let shown = pages.iter().flat_map(|page| page.chars()).filter(is_shown).take(most).count();
    let (code, least) = match media_type {
        MediaType::Pdf => (RejectCode::PdfNoText, most),
        MediaType::Plain(_) | MediaType::Html(_) => (RejectCode::TextEmpty, 1),
    };
    if shown < least && is_strained {
        return Err(Reject::new(RejectCode::TextMemory, Room::Text, memory_detail(limits)));
    }
    if shown < least {
        let detail = format!(
            "{shown} characters that are not white space on {} pages; at least {least} are needed",
            pages.len()
        );
        return Err(Reject::new(code, Room::Text, detail));
    }
    Ok(Text::from_pages(pages))
}

fn reject(failure: &Failure, terms: &Terms, limits: &TextLimits) -> Reject {
    let (code, detail) = match failure {
        Failure::Refused(refusal) => return refused(refusal, terms, limits),
        Failure::Flood => return too_large(limits),
        Failure::Timeout => (
            RejectCode::TextTimeout,
            format!(
                "no page within {} ms, or not the last one within {} ms",
                limits.progress_timeout_ms, limits.total_timeout_ms
            ),
        ),
        Failure::Died(Death::CpuTime) => (
            RejectCode::TextTimeout,
            "the text engine used up its time on the processor".to_owned(),
        ),
        Failure::Died(Death::Memory) => (RejectCode::TextMemory, memory_detail(limits)),
        Failure::Died(Death::StackOverflow) => {
            (RejectCode::TextCrashed, "the text engine overflowed its stack".to_owned())
        }
        Failure::Died(Death::Forbidden) => (
            RejectCode::TextCrashed,
            "the text engine made a system call that no document needs, and was ended".to_owned(),
        ),
        Failure::Died(Death::Signal(number)) => {
            (RejectCode::TextCrashed, format!("the text engine died of signal {number}"))
        }
        Failure::Died(Death::Exit) => {
            (RejectCode::TextCrashed, "the text engine left in the middle".to_owned())
        }
    };
    Reject::new(code, Room::Text, detail)
}

fn refused(refusal: &Refusal, terms: &Terms, limits: &TextLimits) -> Reject {
    let (code, detail) = match refusal {
        Refusal::Encrypted => {
            (RejectCode::PdfEncrypted, "it does not open with an empty password".to_owned())
        }
        Refusal::Invalid(Flaw::Open) => {
            (RejectCode::PdfInvalid, "the text engine cannot open it".to_owned())
        }
        Refusal::Invalid(Flaw::NoPages) => (RejectCode::PdfInvalid, "it has no pages".to_owned()),
        Refusal::Invalid(Flaw::Page(page)) => {
            (RejectCode::PdfInvalid, format!("page {page} cannot be read"))
        }
        Refusal::PagesTooMany(pages) => (
            RejectCode::PdfPagesTooMany,
            format!("{pages} pages; the limit `text.pages_max` is {}", limits.pages_max),
        ),
        Refusal::TooLarge => return too_large(limits),
        Refusal::Encoding(offset) => return encoding_invalid(*offset, &terms.charset),
        Refusal::Panicked(0) => {
            (RejectCode::TextCrashed, "the text engine panicked on opening it".to_owned())
        }
        Refusal::Panicked(page) => {
            (RejectCode::TextCrashed, format!("the text engine panicked on page {page}"))
        }
        Refusal::Memory => (RejectCode::TextMemory, memory_detail(limits)),
        Refusal::EngineMissing(_) => {
            (RejectCode::TextCrashed, "the text engine is missing".to_owned())
        }
    };
    Reject::new(code, Room::Text, detail)
}

fn memory_detail(limits: &TextLimits) -> String {
    format!("the limit `text.memory_bytes_max` is {} bytes", limits.memory_bytes_max)
}

fn too_large(limits: &TextLimits) -> Reject {
    let detail = format!("the limit `text.text_bytes_max` is {} bytes", limits.text_bytes_max);
    Reject::new(RejectCode::TextTooLarge, Room::Text, detail)
}

fn encoding_invalid(offset: u64, charset: &str) -> Reject {
    let detail = format!("byte {offset} (from 0) starts nothing that is valid in {charset}");
    Reject::new(RejectCode::EncodingInvalid, Room::Text, detail)
}

/// The walls that a child raises here; a fault where the launch asks for more.
pub fn walls(launch: &Launch) -> Result<Walls, Fault> {
    Ok(Child::spawn(launch, TextLimits::default().memory_bytes_max)?.walls())
}

/// Name and version of the PDF engine that `limits` choose, such as `pdf-extract 0.12.1`, after
/// proof that a child under these limits can load it. PDFium does not tell its version, so the
/// first 16 digits of its library's SHA-256 stand for it.
pub fn engine_version(launch: &Launch, limits: &TextLimits) -> Result<String, Fault> {
    let (engine, version) = match limits.pdf_engine {
        PdfEngine::PdfExtract => (Engine::PdfExtract, pdf_extract::VERSION.to_owned()),
        PdfEngine::Pdfium => {
            let path = launch.pdfium_path.as_ref();
            let path = path.ok_or_else(|| engine_missing(launch, "no path is set"))?;
            let library =
                std::fs::read(path).map_err(|error| engine_missing(launch, &error.to_string()))?;
            let digest: String = Digest::of(&library).to_string().chars().take(16).collect();
            (Engine::Pdfium, format!("pdfium {digest}"))
        }
    };
    let mut child = Child::spawn(launch, limits.memory_bytes_max)?;
    match child.probe(&terms(engine, "", limits), patience(limits)) {
        Ok(()) => Ok(version),
        Err(Failure::Refused(Refusal::EngineMissing(words))) => Err(engine_missing(launch, &words)),
        Err(failure) => Err(Fault::plain(
            FaultClass::Fatal,
            format!(
                "loading {version} in a text child: {failure:?}; `text.memory_bytes_max` of {} may be too low",
                limits.memory_bytes_max
            ),
        )),
    }
}

fn engine_missing(launch: &Launch, words: &str) -> Fault {
    let path = launch.pdfium_path.as_deref();
    let path = path.map_or("(none)".into(), |path| path.display().to_string());
    Fault::plain(
        FaultClass::Fatal,
        format!(
            "loading PDFium from `{path}`: {words}; set `--pdfium` or `SLUICE_PDFIUM_PATH` to \
             libpdfium.so, which `make runtime` fetches, or `text.pdf_engine: pdf_extract`"
        ),
    )
}
