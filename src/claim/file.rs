//! `file:// claim -> bytes`, from below an allowed folder.
//!
//! Links are followed only where they stay below it. What was opened is judged, not what was asked
//! for, so that nobody can put a link in its place in between.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{DENIED, Trouble, away};
use crate::types::{Claim, Uri};

/// Bytes that are read between two looks at whether the document is still wanted.
const CHUNK_BYTES: usize = 1 << 20;

/// Whether links lead in a circle; the standard library has no stable name for it.
fn is_loop(error: &std::io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// The bytes of the claim's file; `None` once nobody wants them.
pub(super) fn read(
    folder: &Uri,
    claim: &Claim,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<Vec<u8>>, Trouble> {
    let trouble = |error: &std::io::Error| {
        let kind = error.kind();
        if matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory) {
            Trouble::Missing
        } else if kind == ErrorKind::PermissionDenied {
            Trouble::Denied(DENIED.to_owned())
        } else if kind == ErrorKind::InvalidFilename || is_loop(error) {
            // No folder has such a file, so it is not the folder that is away.
            Trouble::Outside
        } else {
            Trouble::Away(away(folder, &format!("reading a file: {kind}")))
        }
    };
    // The folder itself is the operator's: a volume that is not mounted is no document's fault.
    let root = path_of(folder).canonicalize().map_err(|error| {
        let kind = error.kind();
        Trouble::Away(away(folder, &format!("opening a folder of `input.claims.allow`: {kind}")))
    })?;
    let path = path_of(&claim.uri).canonicalize().map_err(|error| trouble(&error))?;
    if !path.starts_with(&root) || !path.is_file() {
        return Err(Trouble::Outside);
    }
    // A pipe that took the file's place would keep this thread waiting.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| trouble(&error))?;
    let metadata = file.metadata().map_err(|error| trouble(&error))?;
    let opened = place_of(&file).map_err(|error| trouble(&error))?;
    if !metadata.is_file() || !opened.starts_with(&root) {
        return Err(Trouble::Outside);
    }
    if usize::try_from(metadata.len()).ok() != Some(claim.size_bytes) {
        return Err(Trouble::Size(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(claim.size_bytes);
    loop {
        if !is_wanted() {
            return Ok(None);
        }
        // One more than claimed is enough to know.
        let left = (claim.size_bytes + 1).saturating_sub(bytes.len()).min(CHUNK_BYTES);
        let limit = u64::try_from(left).unwrap_or_default();
        let count = (&file).take(limit).read_to_end(&mut bytes).map_err(|error| trouble(&error))?;
        if count == 0 || bytes.len() > claim.size_bytes {
            break;
        }
    }
    if bytes.len() == claim.size_bytes {
        return Ok(Some(bytes));
    }
    Err(Trouble::Size(u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
}

fn path_of(uri: &Uri) -> PathBuf {
    Path::new("/").join(uri.key().as_str())
}

/// Where an open file really lies.
fn place_of(file: &File) -> std::io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
