//! `Request -> Reply`s: the text child, where hostile formats are read.
//!
//! It takes its limits and raises its walls before it takes a document, has an empty environment,
//! dies with its worker, and never writes a word of a document anywhere but into its replies. Deliberately enforces no
//! wall clock: the worker does, from outside.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use encoding_rs::Encoding;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::frame::{self, Engine, Refusal, Reply, Request, Terms};
use super::walls::{self, Status, Walls};
use super::{html, pdf_extract, pdfium, plain};

/// Open files that a child may have: its three streams, the wire, and what a library opens to
/// load itself.
const FILES_MAX: u64 = 32;

/// Stack for recursive parsers, where the address space allows it.
const STACK_BYTES_MAX: u64 = 64 << 20;

/// What a child needs beyond its documents' time, on the processor: to start and load an engine.
const CPU_START: Duration = Duration::from_secs(10);

/// Runs the hidden subcommand: reads requests until the worker closes the wire or dies.
pub fn child_main() -> ExitCode {
    panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            let mut stderr = io::stderr().lock();
            writeln!(stderr, "{}{}:{}", super::PANIC_PREFIX, place.file(), place.line()).ok();
        }
    }));
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Order: before the wire is opened a second time, and before open files are limited.
    close_inherited()?;
    let mut wire = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(Request::Setup(setup)) = frame::read_request(&mut wire)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    limit(Resource::As, setup.memory_bytes_max)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nofile, FILES_MAX)?;
    let status = Status::open()?;
    // Order: what an engine needs of the file system is loaded before the walls stand.
    let path = Some(setup.pdfium_path).filter(|path| !path.is_empty());
    let pdfium = pdfium::Engine::load(path.map(|path| OsString::from_vec(path).into()));
    let (files, ports) = if setup.is_walled { walls::take_files() } else { (false, false) };
    let strain = Strain::new(status, setup.memory_bytes_max);
    // A stack of its own, since the first thread's is as large as the worker's shell allowed.
    let stack_bytes = STACK_BYTES_MAX.min(setup.memory_bytes_max / 8);
    let stack_bytes = usize::try_from(stack_bytes).map_err(io::Error::other)?;
    let serving = thread::Builder::new().name("text".to_owned()).stack_size(stack_bytes).spawn(
        move || {
            // Order: this is the last thread. From here on no other can be started.
            let calls = setup.is_walled && walls::take_calls();
            frame::write_reply(&mut wire, &Reply::Ready(Walls { files, ports, calls }))?;
            serve(wire, &pdfium, &strain)
        },
    )?;
    serving.join().map_err(|_panic| io::Error::from(io::ErrorKind::Other))?
}

/// Closes what the worker left open to this child beside its streams. The clients of Kafka have pipes
/// that every new program inherits: a library must not write into them, nor their numbers use up
/// those that a child may have.
fn close_inherited() -> io::Result<()> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // The folder itself is among them, and closed already.
        nix::unistd::close(number).ok();
    }
    Ok(())
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

fn serve(mut wire: UnixStream, pdfium: &pdfium::Engine, strain: &Strain) -> io::Result<()> {
    let mut busy = CPU_START;
    loop {
        let request = match frame::read_request(&mut wire) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                // The document is still on the wire, so this child ends with its answer.
                return frame::write_reply(&mut wire, &Reply::Refused(Refusal::Memory));
            }
            Err(error) => return Err(error),
        };
        let start = Instant::now();
        let ending = answer(&request, pdfium, &mut wire, busy)?;
        busy += start.elapsed();
        let ending = strain.judge(ending);
        frame::write_reply(&mut wire, &ending)?;
    }
}

/// Tells a document that is broken from one for which memory was too small: a library that gets no
/// memory often takes the page for an empty or a broken one, and says nothing.
struct Strain {
    status: Status,
    /// Address space above which such words are not believed, in bytes.
    limit_bytes: u64,
}

impl Strain {
    /// Half of what is free at the start: buffers grow by doubling, so that one which did not fit
    /// was at least so large before.
    fn new(status: Status, memory_bytes_max: u64) -> Self {
        let start = status.peak_bytes().unwrap_or(0).min(memory_bytes_max);
        Self { status, limit_bytes: start + (memory_bytes_max - start) / 2 }
    }

    fn judge(&self, ending: Reply) -> Reply {
        if self.status.peak_bytes().is_none_or(|peak| peak < self.limit_bytes) {
            return ending;
        }
        match ending {
            Reply::Done { .. } => Reply::Done { is_strained: true },
            Reply::Refused(Refusal::Invalid(_) | Refusal::Panicked(_)) => {
                Reply::Refused(Refusal::Memory)
            }
            Reply::Ready(_) | Reply::Progress | Reply::Page(_) | Reply::Refused(_) => ending,
        }
    }
}

/// The replies, without PDFium and without a limit, to the requests on `wire`.
pub(super) fn replies(mut wire: &[u8]) -> io::Result<Vec<u8>> {
    let pdfium = pdfium::Engine::load(None);
    let mut replies = Vec::new();
    while let Some(request) = frame::read_request(&mut wire)? {
        let (terms, bytes) = parts(&request)?;
        let ending = reply(terms, bytes, &pdfium, &mut replies)?;
        frame::write_reply(&mut replies, &ending)?;
    }
    Ok(replies)
}

/// What a request asks for: its terms, and the document where there is one.
fn parts(request: &Request) -> io::Result<(&Terms, Option<&[u8]>)> {
    match request {
        Request::Setup(_) => Err(io::ErrorKind::InvalidData.into()),
        Request::Probe(terms) => Ok((terms, None)),
        Request::Extract(terms, payload, start) => {
            Ok((terms, Some(payload.get(*start..).unwrap_or_default())))
        }
    }
}

/// Writes all pages within the time on the processor that is due, and gives the reply that ends them.
fn answer(
    request: &Request,
    pdfium: &pdfium::Engine,
    wire: &mut UnixStream,
    busy: Duration,
) -> io::Result<Reply> {
    let (terms, bytes) = parts(request)?;
    // Only a backstop for a worker that is stopped itself. The time that a child was busy bounds
    // what it has used of the processor, since one thread does the work.
    let seconds = busy.as_secs() + 1 + terms.cpu_seconds_max;
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: None })?;
    reply(terms, bytes, pdfium, wire)
}

fn reply(
    terms: &Terms,
    bytes: Option<&[u8]>,
    pdfium: &pdfium::Engine,
    wire: &mut dyn Write,
) -> io::Result<Reply> {
    let mut pages = Pages { wire, page: 0, left_bytes: terms.text_bytes_max };
    let read = panic::catch_unwind(AssertUnwindSafe(|| read(terms, bytes, pdfium, &mut pages)));
    match read {
        Ok(Ok(())) => Ok(Reply::Done { is_strained: false }),
        Ok(Err(Stop::Refused(refusal))) => Ok(Reply::Refused(refusal)),
        Ok(Err(Stop::Io(error))) => Err(error),
        Err(_panic) => Ok(Reply::Refused(Refusal::Panicked(pages.page))),
    }
}

fn read(
    terms: &Terms,
    bytes: Option<&[u8]>,
    pdfium: &pdfium::Engine,
    pages: &mut Pages<'_>,
) -> Result<(), Stop> {
    match (terms.engine, bytes) {
        (Engine::Pdfium, None) => pdfium.library().map(drop),
        (Engine::PdfExtract | Engine::Html, None) => Ok(()),
        (Engine::Pdfium, Some(bytes)) => pdfium.read(bytes, terms.pages_max, pages),
        (Engine::PdfExtract, Some(bytes)) => pdf_extract::read(bytes, terms.pages_max, pages),
        (Engine::Html, Some(bytes)) => read_html(bytes, &terms.charset, pages),
    }
}

fn read_html(bytes: &[u8], charset: &str, pages: &mut Pages<'_>) -> Result<(), Stop> {
    let charset = Encoding::for_label(charset.as_bytes())
        .ok_or_else(|| Stop::Io(io::ErrorKind::InvalidData.into()))?;
    // Markup does not count as text, so the only limit here is memory.
    let markup = plain::decode(bytes, charset, usize::MAX).map_err(|refusal| match refusal {
        plain::Refusal::Malformed(offset) => {
            Stop::Refused(Refusal::Encoding(u64::try_from(offset).unwrap_or(u64::MAX)))
        }
        plain::Refusal::TooLarge => Stop::Refused(Refusal::TooLarge),
    })?;
    let text = html::text(&markup, &mut |text_bytes| pages.progress(text_bytes))?;
    #[cfg(feature = "failpoints")]
    let text = super::attempts::attempted(text);
    pages.page(text)
}

/// Why an engine stops before the last page.
#[derive(Debug)]
pub(super) enum Stop {
    /// The document's fault.
    Refused(Refusal),
    /// The worker is gone.
    Io(io::Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Where an engine's pages go: straight to the worker, counted.
pub(super) struct Pages<'a> {
    wire: &'a mut dyn Write,
    /// Page that is being read, from 1; 0 before the first.
    page: u64,
    left_bytes: u64,
}

impl Pages<'_> {
    /// Says which page comes next, from 1.
    pub(super) fn begin(&mut self, page: u64) {
        self.page = page;
    }

    /// Sends the text of one page.
    pub(super) fn page(&mut self, text: String) -> Result<(), Stop> {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(Refusal::TooLarge)?;
        frame::write_reply(&mut self.wire, &Reply::Page(text)).map_err(Stop::Io)
    }

    /// Says that work goes on, and that the page so far has so many bytes.
    pub(super) fn progress(&mut self, text_bytes: usize) -> Result<(), Stop> {
        if u64::try_from(text_bytes).unwrap_or(u64::MAX) > self.left_bytes {
            return Err(Refusal::TooLarge.into());
        }
        frame::write_reply(&mut self.wire, &Reply::Progress).map_err(Stop::Io)
    }
}
