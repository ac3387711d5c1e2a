//! `Request -> bytes` and `bytes -> Reply`: the wire between the worker and a text child.
//!
//! A frame is one byte of kind, eight bytes of length (little endian) and the payload. Requests go
//! to the child, replies come back; pages travel one a frame, so that every page is progress.
//! Deliberately knows no timeouts and no processes; trusts neither end's lengths.

use std::io::{self, Read, Write};

use super::walls::Walls;

/// Bytes before the payload: kind and length.
pub(super) const HEAD_BYTES: usize = 9;

/// Longest payload of a reply that is not a page, in bytes.
pub(super) const NOTE_BYTES_MAX: u64 = 4096;

const SETUP: u8 = 1;
const PROBE: u8 = 2;
const EXTRACT: u8 = 3;

const READY: u8 = 10;
const PROGRESS: u8 = 11;
const PAGE: u8 = 12;
const DONE: u8 = 13;
const REFUSED: u8 = 14;

/// Who reads the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// PDFium.
    Pdfium,
    /// The crate `pdf-extract`.
    PdfExtract,
    /// The HTML tokenizer.
    Html,
}

impl Engine {
    const fn code(self) -> u8 {
        match self {
            Self::Pdfium => 0,
            Self::PdfExtract => 1,
            Self::Html => 2,
        }
    }

    fn from_code(code: u8) -> io::Result<Self> {
        match code {
            0 => Ok(Self::Pdfium),
            1 => Ok(Self::PdfExtract),
            2 => Ok(Self::Html),
            3.. => Err(malformed()),
        }
    }
}

/// What a child is told once, before anything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setup {
    /// Address space of the child, in bytes.
    pub(super) memory_bytes_max: u64,
    /// Whether it raises its walls.
    pub(super) is_walled: bool,
    /// PDFium's shared library as bytes of a path; empty for none.
    pub(super) pdfium_path: Vec<u8>,
}

/// What one document may cost, and how to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Who reads it.
    pub(super) engine: Engine,
    /// Most pages.
    pub(super) pages_max: u32,
    /// Longest text, in UTF-8 bytes.
    pub(super) text_bytes_max: u64,
    /// Longest time on the processor, in whole seconds.
    pub(super) cpu_seconds_max: u64,
    /// Label of the character set (WHATWG Encoding); empty for PDF.
    pub(super) charset: String,
}

impl Terms {
    fn encode(&self) -> io::Result<Vec<u8>> {
        let label_bytes = u8::try_from(self.charset.len()).map_err(|_error| malformed())?;
        let mut head = vec![self.engine.code()];
        head.extend(self.pages_max.to_le_bytes());
        head.extend(self.text_bytes_max.to_le_bytes());
        head.extend(self.cpu_seconds_max.to_le_bytes());
        head.push(label_bytes);
        head.extend(self.charset.as_bytes());
        Ok(head)
    }

    fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let [engine] = take(from)?;
        let pages_max = u32::from_le_bytes(take(from)?);
        let text_bytes_max = u64::from_le_bytes(take(from)?);
        let cpu_seconds_max = u64::from_le_bytes(take(from)?);
        let [label_bytes] = take(from)?;
        let (label, rest) = from.split_at_checked(label_bytes.into()).ok_or_else(malformed)?;
        *from = rest;
        let charset = String::from_utf8(label.to_vec()).map_err(|_error| malformed())?;
        let engine = Engine::from_code(engine)?;
        Ok(Self { engine, pages_max, text_bytes_max, cpu_seconds_max, charset })
    }
}

/// One request as the child sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The first one.
    Setup(Setup),
    /// Load the engine and say whether that went well.
    Probe(Terms),
    /// Read a document: its terms, and the payload that ends with its bytes from the index on.
    Extract(Terms, Vec<u8>, usize),
}

/// Writes the first request.
pub(super) fn write_setup(to: &mut impl Write, setup: &Setup) -> io::Result<()> {
    let memory = setup.memory_bytes_max.to_le_bytes();
    write_frame(to, SETUP, &[&memory, &[u8::from(setup.is_walled)], &setup.pdfium_path])
}

/// Writes a request that only loads the engine.
pub(super) fn write_probe(to: &mut impl Write, terms: &Terms) -> io::Result<()> {
    write_frame(to, PROBE, &[&terms.encode()?])
}

/// Writes a request for the text of `document`.
pub(super) fn write_extract(to: &mut impl Write, terms: &Terms, document: &[u8]) -> io::Result<()> {
    write_frame(to, EXTRACT, &[&terms.encode()?, document])
}

/// Reads one request; `None` where the worker has closed the wire. A request that does not fit
/// into memory is an error of kind [`io::ErrorKind::OutOfMemory`].
pub(super) fn read_request(from: &mut impl Read) -> io::Result<Option<Request>> {
    let mut head = [0; HEAD_BYTES];
    let first = from.read(&mut head)?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(head.get_mut(first..).unwrap_or_default())?;
    let (kind, length) = split_head(head);
    let mut payload = Vec::new();
    let room = usize::try_from(length).map_err(|_error| malformed())?;
    payload.try_reserve_exact(room).map_err(|_error| io::ErrorKind::OutOfMemory)?;
    if from.take(length).read_to_end(&mut payload)? != room {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut rest = payload.as_slice();
    match kind {
        SETUP => {
            let memory_bytes_max = u64::from_le_bytes(take(&mut rest)?);
            let [is_walled] = take(&mut rest)?;
            let pdfium_path = rest.to_vec();
            let setup = Setup { memory_bytes_max, is_walled: is_walled != 0, pdfium_path };
            Ok(Some(Request::Setup(setup)))
        }
        PROBE => Ok(Some(Request::Probe(Terms::decode(&mut rest)?))),
        EXTRACT => {
            let terms = Terms::decode(&mut rest)?;
            let start = payload.len() - rest.len();
            Ok(Some(Request::Extract(terms, payload, start)))
        }
        0 | 4.. => Err(malformed()),
    }
}

/// Why a child gives no text for a document although it is alive and well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Opens only with a password, or by a security handler that the engine does not have.
    Encrypted,
    /// Not a document of its type.
    Invalid(Flaw),
    /// So many pages.
    PagesTooMany(u64),
    /// More text than allowed.
    TooLarge,
    /// Not valid in its character set; the offset of the first bad byte.
    Encoding(u64),
    /// The engine panicked while it read the page with that number; 0 while it opened the file.
    Panicked(u64),
    /// It does not fit into the child's memory.
    Memory,
    /// The engine could not be loaded; the loader's words, which name a file of this machine and
    /// nothing of a document.
    EngineMissing(String),
}

/// What is wrong with a PDF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It cannot be opened at all.
    Open,
    /// It opens, and has no pages.
    NoPages,
    /// Its page with that number cannot be read.
    Page(u64),
}

impl Refusal {
    fn encode(&self) -> (u8, u64, &str) {
        match self {
            Self::Encrypted => (0, 0, ""),
            Self::Invalid(Flaw::Open) => (1, 0, ""),
            Self::Invalid(Flaw::NoPages) => (2, 0, ""),
            Self::Invalid(Flaw::Page(page)) => (3, *page, ""),
            Self::PagesTooMany(pages) => (4, *pages, ""),
            Self::TooLarge => (5, 0, ""),
            Self::Encoding(offset) => (6, *offset, ""),
            Self::Panicked(page) => (7, *page, ""),
            Self::Memory => (8, 0, ""),
            Self::EngineMissing(words) => (9, 0, words),
        }
    }

    fn decode(mut from: &[u8]) -> io::Result<Self> {
        let [code] = take(&mut from)?;
        let number = u64::from_le_bytes(take(&mut from)?);
        Ok(match code {
            0 => Self::Encrypted,
            1 => Self::Invalid(Flaw::Open),
            2 => Self::Invalid(Flaw::NoPages),
            3 => Self::Invalid(Flaw::Page(number)),
            4 => Self::PagesTooMany(number),
            5 => Self::TooLarge,
            6 => Self::Encoding(number),
            7 => Self::Panicked(number),
            8 => Self::Memory,
            9 => Self::EngineMissing(String::from_utf8_lossy(from).into_owned()),
            10.. => return Err(malformed()),
        })
    }
}

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The limits are set, and these walls stand; documents may come.
    Ready(Walls),
    /// Still at work, in a document without pages.
    Progress,
    /// The text of the next page.
    Page(String),
    /// That was the last page.
    Done {
        /// Whether the child came near its memory limit.
        is_strained: bool,
    },
    /// There is no text.
    Refused(Refusal),
}

/// Writes one reply.
pub(super) fn write_reply(to: &mut impl Write, reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Ready(walls) => write_frame(to, READY, &[&[walls.code()]]),
        Reply::Progress => write_frame(to, PROGRESS, &[]),
        Reply::Page(text) => write_frame(to, PAGE, &[text.as_bytes()]),
        Reply::Done { is_strained } => write_frame(to, DONE, &[&[u8::from(*is_strained)]]),
        Reply::Refused(refusal) => {
            let (code, number, words) = refusal.encode();
            // Limit: a loader's words stay below the longest note, cut where they do not.
            let words = words.as_bytes().get(..2048).unwrap_or(words.as_bytes());
            write_frame(to, REFUSED, &[&[code], &number.to_le_bytes(), words])
        }
    }
}

/// The longest payload that a reply of this head may have, and the length it claims.
pub(super) fn reply_length(head: [u8; HEAD_BYTES], page_bytes_max: u64) -> io::Result<usize> {
    let (kind, length) = split_head(head);
    let most = if kind == PAGE { page_bytes_max } else { NOTE_BYTES_MAX };
    if length > most {
        return Err(malformed());
    }
    usize::try_from(length).map_err(|_error| malformed())
}

/// The reply of that head and payload.
pub(super) fn decode_reply(head: [u8; HEAD_BYTES], payload: Vec<u8>) -> io::Result<Reply> {
    let (kind, _length) = split_head(head);
    match kind {
        READY => {
            let [code] = take(&mut payload.as_slice())?;
            Ok(Reply::Ready(Walls::from_code(code)))
        }
        PROGRESS => Ok(Reply::Progress),
        PAGE => String::from_utf8(payload).map(Reply::Page).map_err(|_error| malformed()),
        DONE => Ok(Reply::Done { is_strained: payload != [0] }),
        REFUSED => Refusal::decode(&payload).map(Reply::Refused),
        0..READY | 15.. => Err(malformed()),
    }
}

fn write_frame(to: &mut impl Write, kind: u8, pieces: &[&[u8]]) -> io::Result<()> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let length = u64::try_from(length).map_err(|_error| malformed())?;
    let mut head = vec![kind];
    head.extend(length.to_le_bytes());
    to.write_all(&head)?;
    pieces.iter().try_for_each(|piece| to.write_all(piece))
}

fn split_head(head: [u8; HEAD_BYTES]) -> (u8, u64) {
    let [kind, length @ ..] = head;
    (kind, u64::from_le_bytes(length))
}

fn take<const N: usize>(from: &mut &[u8]) -> io::Result<[u8; N]> {
    let (bytes, rest) = from.split_first_chunk().ok_or_else(malformed)?;
    *from = rest;
    Ok(*bytes)
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(charset: &str) -> Terms {
        Terms {
            engine: Engine::Html,
            pages_max: 7,
            text_bytes_max: 1 << 40,
            cpu_seconds_max: 61,
            charset: charset.to_owned(),
        }
    }

    fn back(reply: &Reply) -> io::Result<Reply> {
        let mut wire = Vec::new();
        write_reply(&mut wire, reply)?;
        let (head, payload) = wire.split_first_chunk().unwrap();
        assert_eq!(reply_length(*head, 1 << 20)?, payload.len());
        decode_reply(*head, payload.to_vec())
    }

    #[test]
    fn every_request_comes_through() {
        let mut wire = Vec::new();
        let setup = Setup { memory_bytes_max: 5, is_walled: true, pdfium_path: b"/p".to_vec() };
        write_setup(&mut wire, &setup).unwrap();
        write_probe(&mut wire, &terms("")).unwrap();
        write_extract(&mut wire, &terms("UTF-8"), b"<p>").unwrap();
        let mut from = wire.as_slice();
        assert_eq!(read_request(&mut from).unwrap(), Some(Request::Setup(setup)));
        assert_eq!(read_request(&mut from).unwrap(), Some(Request::Probe(terms(""))));
        let Some(Request::Extract(got, payload, start)) = read_request(&mut from).unwrap() else {
            panic!("no document");
        };
        assert_eq!((got, &payload[start..]), (terms("UTF-8"), b"<p>".as_slice()));
        assert_eq!(read_request(&mut from).unwrap(), None);
    }

    #[test]
    fn every_reply_comes_through() {
        let refusals = [
            Refusal::Encrypted,
            Refusal::Invalid(Flaw::Open),
            Refusal::Invalid(Flaw::NoPages),
            Refusal::Invalid(Flaw::Page(3)),
            Refusal::PagesTooMany(u64::MAX),
            Refusal::TooLarge,
            Refusal::Encoding(9),
            Refusal::Panicked(0),
            Refusal::Memory,
            Refusal::EngineMissing("no such file".to_owned()),
        ];
        let done = [true, false].map(|is_strained| Reply::Done { is_strained });
        let plain =
            [Reply::Ready(Walls::from_code(5)), Reply::Progress, Reply::Page("é\n".to_owned())];
        for reply in refusals.map(Reply::Refused).iter().chain(&plain).chain(&done) {
            assert_eq!(&back(reply).unwrap(), reply);
        }
    }

    #[test]
    fn a_reply_that_claims_too_much_is_refused_before_it_is_read() {
        let mut head = [PAGE; HEAD_BYTES];
        head[1..].copy_from_slice(&101_u64.to_le_bytes());
        assert!(reply_length(head, 100).is_err());
        assert_eq!(reply_length(head, 101).unwrap(), 101);
        head[0] = DONE;
        head[1..].copy_from_slice(&(NOTE_BYTES_MAX + 1).to_le_bytes());
        assert!(reply_length(head, u64::MAX).is_err());
    }

    #[test]
    fn a_request_larger_than_memory_is_an_error_and_no_abort() {
        let mut wire = vec![EXTRACT];
        wire.extend((1_u64 << 62).to_le_bytes());
        let error = read_request(&mut wire.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    proptest! {
        #[test]
        fn no_bytes_make_either_end_panic(wire in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(read_request(&mut wire.as_slice()));
            if let Some((head, payload)) = wire.split_first_chunk() {
                drop(reply_length(*head, 64));
                drop(decode_reply(*head, payload.to_vec()));
            }
        }
    }
}
