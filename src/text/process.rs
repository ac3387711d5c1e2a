//! `Terms + bytes -> pages`: one text child as its worker sees it.
//!
//! The wire is a socket in the place of the child's standard input, so that a library that prints
//! cannot be taken for a reply; standard output is null and standard error is kept only to tell
//! one death from another. Every read and write has a deadline, so neither a hang nor a flood
//! holds the worker. Deliberately decides nothing about a document: see [`super::Reader`].

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::Launch;
use super::deadline::{Deadlines, Patience};
use super::frame::{self, HEAD_BYTES, Refusal, Reply, Setup, Terms};
use super::walls::Walls;
use crate::config::settings::Sandbox;
use crate::error::{Fault, FaultClass};
use crate::failpoint::{self, Point};
use crate::types::Document;

/// Longest time for a child to start and set its limits: a moment, even on a machine under load.
const START: Patience =
    Patience { progress: Duration::from_secs(30), total: Duration::from_secs(30) };

/// Most bytes of standard error that are looked at: a line or two of fixed words, and no more than
/// a socket's buffer of anything else.
const STDERR_BYTES_MAX: u64 = 1 << 18;

/// What a child read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The pages, in order.
    pub(super) pages: Vec<String>,
    /// Whether the child came near its memory limit, so that a page without text may be one that
    /// did not fit.
    pub(super) is_strained: bool,
}

/// How a document ended without text.
#[derive(Debug)]
pub(super) enum Failure {
    /// The child says why, and is ready for the next one.
    Refused(Refusal),
    /// The child wrote more text than it was allowed to; it is of no more use.
    Flood,
    /// No reply in time; of no more use.
    Timeout,
    /// The child is dead.
    Died(Death),
}

/// What a child died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// An allocation beyond its address space.
    Memory,
    /// Its stack ran over.
    StackOverflow,
    /// More time on the processor than the document was given.
    CpuTime,
    /// A call that its walls do not let through.
    Forbidden,
    /// Another signal, by number.
    Signal(i32),
    /// It left by itself, or spoke nonsense.
    Exit,
}

/// A running text child. Dropping it kills and reaps it.
pub(super) struct Child {
    process: std::process::Child,
    wire: UnixStream,
    stderr: UnixStream,
    memory_bytes_max: u64,
    walls: Walls,
    documents: u32,
}

impl Child {
    /// Starts a child with that much address space.
    ///
    /// The kernel kills it when the calling *thread* ends, so that no child outlives its worker.
    pub(super) fn spawn(launch: &Launch, memory_bytes_max: u64) -> Result<Self, Fault> {
        let starting = |error| Fault::new(FaultClass::Retry, "starting a text child", error);
        if failpoint::pass(Point::Started) {
            return Err(starting(io::Error::other("told to fail by `SLUICE_FAILPOINTS`")));
        }
        let (wire, child_wire) = UnixStream::pair().map_err(starting)?;
        let (stderr, child_stderr) = UnixStream::pair().map_err(starting)?;
        stderr.set_nonblocking(true).map_err(starting)?;
        let process = Command::new(&launch.program)
            .arg(super::CHILD_COMMAND)
            .env_clear()
            // Memory of a large document goes back to the system at its end, addresses too, since they
            // are what is limited.
            .env(
                "MALLOC_CONF",
                "narenas:1,background_thread:false,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0",
            )
            // Ctrl-C in a terminal is for the worker, which drains; its children finish their documents.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(child_wire)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(OwnedFd::from(child_stderr)))
            .spawn()
            .map_err(starting)?;
        let walls = Walls::default();
        let mut child = Self { process, wire, stderr, memory_bytes_max, walls, documents: 0 };
        child.set_up(launch)?;
        if launch.sandbox == Sandbox::Required && !child.walls.is_whole() {
            let what = format!(
                "starting a text child: its walls: {}; `--text-sandbox required` \
                 (SLUICE_TEXT_SANDBOX) asks for files and calls, so run it on a kernel that has \
                 Landlock and seccomp enabled, or say `best-effort`",
                child.walls
            );
            return Err(Fault::plain(FaultClass::Fatal, what));
        }
        Ok(child)
    }

    /// The walls around it.
    pub(super) const fn walls(&self) -> Walls {
        self.walls
    }

    fn set_up(&mut self, launch: &Launch) -> Result<(), Fault> {
        let pdfium_path = launch.pdfium_path.as_ref();
        let setup = Setup {
            memory_bytes_max: self.memory_bytes_max,
            is_walled: launch.sandbox != Sandbox::Off,
            pdfium_path: pdfium_path.map_or(Vec::new(), |path| path.as_os_str().as_bytes().into()),
        };
        let mut wire = self.exchange(START);
        let ready = frame::write_setup(&mut wire, &setup).and_then(|()| wire.reply(0));
        if let Ok(Reply::Ready(walls)) = ready {
            self.walls = walls;
            return Ok(());
        }
        let Err(error) = ready else {
            return Err(Fault::plain(
                FaultClass::Fatal,
                "starting a text child: it spoke nonsense",
            ));
        };
        if is_timeout(&error) {
            return Err(Fault::new(FaultClass::Retry, "starting a text child", error));
        }
        let death = self.death();
        let context = format!(
            "starting a text child: it died ({death:?}); `text.memory_bytes_max` of {} may be too low, \
             or the machine has no memory left",
            self.memory_bytes_max
        );
        // The worker's start has proven the limit, so it is the machine's want and may pass.
        Err(Fault::plain(FaultClass::Retry, context))
    }

    /// This child, where it lives and may read one more document under that limit.
    pub(super) fn if_fit(mut self, launch: &Launch, memory_bytes_max: u64) -> Option<Self> {
        let is_fit = self.memory_bytes_max == memory_bytes_max
            && self.documents < launch.documents_max
            && matches!(self.process.try_wait(), Ok(None));
        is_fit.then_some(self)
    }

    /// Whether this child has not seen a document yet, so that no earlier one can be to blame.
    pub(super) const fn is_fresh(&self) -> bool {
        self.documents == 0
    }

    /// Loads the engine that `terms` name.
    pub(super) fn probe(&mut self, terms: &Terms, patience: Patience) -> Result<(), Failure> {
        let mut wire = self.exchange(patience);
        let sent = frame::write_probe(&mut wire, terms);
        let pages = sent.map_err(Stop::Io).and_then(|()| wire.pages(terms));
        pages.map(drop).map_err(|stop| self.failure(stop))
    }

    /// The pages of `document`, in order.
    pub(super) fn extract(
        &mut self,
        terms: &Terms,
        document: &Document,
        patience: Patience,
    ) -> Result<Reading, Failure> {
        if failpoint::pass_with(Point::Given, document.bytes.len()) {
            self.process.kill().ok();
        }
        let mut wire = self.exchange(patience);
        let sent = frame::write_extract(&mut wire, terms, &document.bytes);
        // A child that refuses while the document is still on its way answers and closes, or dies:
        // what it said counts more than the broken pipe.
        let pages = match sent {
            Err(error) if is_timeout(&error) => Err(Stop::Io(error)),
            Ok(()) | Err(_) => wire.pages(terms),
        };
        self.documents += 1;
        // A child whose address space was nearly used up may be too scattered for the next one.
        if matches!(pages, Ok(Reading { is_strained: true, .. })) {
            self.documents = u32::MAX;
        }
        pages.map_err(|stop| self.failure(stop))
    }

    fn exchange(&self, patience: Patience) -> Wire<'_> {
        Wire { socket: &self.wire, deadlines: Deadlines::new(self.process.id(), patience) }
    }

    fn failure(&mut self, stop: Stop) -> Failure {
        match stop {
            Stop::Refused(refusal) => Failure::Refused(refusal),
            Stop::Flood => Failure::Flood,
            Stop::Io(error) if is_timeout(&error) => Failure::Timeout,
            Stop::Io(_) => Failure::Died(self.death()),
        }
    }

    /// Reaps the child and tells what it died of.
    ///
    /// A wire that is closed means that the child has already left, with its status decided; the
    /// kill is for one that only pretends.
    fn death(&mut self) -> Death {
        self.process.kill().ok();
        let Ok(status) = self.process.wait() else { return Death::Exit };
        let mut last_words = Vec::new();
        (&self.stderr).take(STDERR_BYTES_MAX).read_to_end(&mut last_words).ok();
        cause_of_death(status.signal(), &String::from_utf8_lossy(&last_words))
    }

    /// Where the child's engine panicked, as `FILE:LINE`, if it has said so since the last call.
    pub(super) fn panic_place(&mut self) -> Option<String> {
        let mut words = Vec::new();
        (&self.stderr).take(STDERR_BYTES_MAX).read_to_end(&mut words).ok();
        let words = String::from_utf8_lossy(&words);
        let place = words.lines().rev().find_map(|line| line.strip_prefix(super::PANIC_PREFIX))?;
        Some(place.chars().take(200).collect())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Reads the cause off the signal and the fixed phrases of those that abort: Rust's stack guard and
/// allocator; PDFium, which aborts without a word and only when memory is gone; and its containers,
/// whose one exception, that of memory, Rust meets as a foreign one.
fn cause_of_death(signal: Option<i32>, last_words: &str) -> Death {
    let Some(number) = signal else { return Death::Exit };
    let says = |phrase| last_words.contains(phrase);
    if number == Signal::XCPU.as_raw() {
        return Death::CpuTime;
    }
    if number == Signal::SYS.as_raw() {
        return Death::Forbidden;
    }
    if says("has overflowed its stack") {
        return Death::StackOverflow;
    }
    if says("memory allocation of") || says("foreign exception") || says("bad_alloc") {
        return Death::Memory;
    }
    if number == Signal::ABORT.as_raw() && last_words.trim().is_empty() {
        return Death::Memory;
    }
    Death::Signal(number)
}

/// Why there are no (more) pages.
pub(super) enum Stop {
    /// The child says why.
    Refused(Refusal),
    /// The child wrote more text than it was allowed to.
    Flood,
    /// No reply came, or one that is none.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One exchange over the socket, under its two deadlines.
struct Wire<'a> {
    socket: &'a UnixStream,
    deadlines: Deadlines,
}

impl Wire<'_> {
    /// Tries `step` with the time that is left until it ends otherwise than by its timeout; an error
    /// of kind [`io::ErrorKind::TimedOut`] once none is.
    fn in_time<T>(
        &mut self,
        mut step: impl FnMut(&UnixStream, Option<Duration>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = self.deadlines.left().ok_or(io::ErrorKind::TimedOut)?;
            match step(self.socket, Some(left)) {
                Err(error) if is_timeout(&error) => {}
                other => return other,
            }
        }
    }

    /// The pages up to the last one, at most as many and as long as `terms` have it.
    fn pages(&mut self, terms: &Terms) -> Result<Reading, Stop> {
        pages(terms, || {
            self.deadlines.progressed();
            self.reply(terms.text_bytes_max)
        })
    }

    fn reply(&mut self, page_bytes_max: u64) -> io::Result<Reply> {
        let mut head = [0; HEAD_BYTES];
        self.read_exact(&mut head)?;
        let mut payload = vec![0; frame::reply_length(head, page_bytes_max)?];
        self.read_exact(&mut payload)?;
        frame::decode_reply(head, payload)
    }
}

/// The pages that replies give up to the one that ends them, at most as many and with as many bytes
/// as `terms` have it. The child keeps to that itself, unless a document has taken it over.
pub(super) fn pages(
    terms: &Terms,
    mut reply: impl FnMut() -> io::Result<Reply>,
) -> Result<Reading, Stop> {
    let mut pages = Vec::new();
    let mut left_bytes = terms.text_bytes_max;
    let pages_max = usize::try_from(terms.pages_max.max(1)).unwrap_or(usize::MAX);
    loop {
        match reply()? {
            Reply::Page(text) => {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                left_bytes = left_bytes.checked_sub(bytes).ok_or(Stop::Flood)?;
                if pages.len() == pages_max {
                    return Err(Stop::Flood);
                }
                pages.push(text);
            }
            Reply::Progress => {}
            Reply::Done { is_strained } => return Ok(Reading { pages, is_strained }),
            Reply::Refused(refusal) => return Err(Stop::Refused(refusal)),
            Reply::Ready(_) => return Err(Stop::Io(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.in_time(|mut socket, left| {
            socket.set_read_timeout(left)?;
            socket.read(buffer)
        })
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_time(|mut socket, left| {
            socket.set_write_timeout(left)?;
            socket.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    // `WouldBlock` is what a socket's timeout gives on Linux.
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::{Death, Stop, cause_of_death, pages};
    use crate::text::frame::{Engine, Reply, Terms};

    #[test]
    fn a_child_that_gives_more_pages_than_it_may_is_not_read_on() {
        let terms = Terms {
            engine: Engine::Pdfium,
            pages_max: 3,
            text_bytes_max: 100,
            cpu_seconds_max: 1,
            charset: String::new(),
        };
        let read = |count: usize| {
            let done = Reply::Done { is_strained: false };
            let replies = std::iter::repeat_with(|| Reply::Page(String::new())).take(count);
            let mut replies = replies.chain([done]);
            pages(&terms, || Ok(replies.next().unwrap())).map(|reading| reading.pages.len())
        };
        assert!(matches!(read(3), Ok(3)));
        assert!(matches!(read(4), Err(Stop::Flood)));
    }

    #[test]
    fn each_death_has_its_cause() {
        let table = [
            (None, "", Death::Exit),
            (Some(6), "memory allocation of 8 bytes failed", Death::Memory),
            (
                Some(6),
                "terminating due to uncaught exception of type std::bad_alloc",
                Death::Memory,
            ),
            (Some(6), "", Death::Memory),
            (Some(6), "Rust cannot catch foreign exceptions, aborting", Death::Memory),
            (Some(6), "thread 'text' has overflowed its stack", Death::StackOverflow),
            (Some(6), "free(): invalid pointer", Death::Signal(6)),
            (Some(9), "", Death::Signal(9)),
            (Some(11), "", Death::Signal(11)),
            (Some(24), "", Death::CpuTime),
            (Some(31), "", Death::Forbidden),
        ];
        for (signal, words, expected) in table {
            assert_eq!(cause_of_death(signal, words), expected, "{signal:?} {words}");
        }
    }
}
