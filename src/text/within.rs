//! `Document -> Text` through both ends of the wire, in one process: for tests of what reads hostile bytes.
//!
//! Deliberately no way of the worker: nothing here has a limit on time, memory or the stack, and a
//! library that aborts takes the process along.

use std::io;

use super::child;
use super::frame::{self, HEAD_BYTES};
use super::process::{self, Failure, Stop};
use super::{Way, readable, reject, way};
use crate::config::pipeline::TextLimits;
use crate::types::{Document, MediaType, Reject, Text};

/// The requests that a worker would send for `document`; `None` where it reads the document itself.
pub fn requests(document: &Document, limits: &TextLimits) -> io::Result<Option<Vec<u8>>> {
    let Way::Child(terms) = way(document.media_type, limits) else { return Ok(None) };
    let mut wire = Vec::new();
    frame::write_extract(&mut wire, &terms, &document.bytes)?;
    Ok(Some(wire))
}

/// The replies of a child, without PDFium, to the requests on `wire`. An error where it would leave.
pub fn replies(wire: &[u8]) -> io::Result<Vec<u8>> {
    child::replies(wire)
}

/// What a worker reads out of the first answer on `wire`, to a document of `media_type`, and what
/// stands behind it. An error where it would take its child for dead.
pub fn reading<'a>(
    mut wire: &'a [u8],
    media_type: MediaType,
    limits: &TextLimits,
) -> io::Result<(Result<Text, Reject>, &'a [u8])> {
    let Way::Child(terms) = way(media_type, limits) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let reply = || {
        let (head, rest) =
            wire.split_first_chunk::<HEAD_BYTES>().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = frame::reply_length(*head, terms.text_bytes_max)?;
        let payload = rest.get(..length).ok_or(io::ErrorKind::UnexpectedEof)?;
        wire = rest.get(length..).unwrap_or_default();
        frame::decode_reply(*head, payload.to_vec())
    };
    let failure = match process::pages(&terms, reply) {
        Ok(reading) => return Ok((readable(reading, media_type, limits), wire)),
        Err(Stop::Refused(refusal)) => Failure::Refused(refusal),
        Err(Stop::Flood) => Failure::Flood,
        Err(Stop::Io(error)) => return Err(error),
    };
    Ok((Err(reject(&failure, &terms, limits)), wire))
}
