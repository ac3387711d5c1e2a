//! `file -> Delivery`: the offline source of `sluice extract` and `sluice test`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Fault, FaultClass};
use crate::types::{Delivery, Header, Position, Sensitive};

/// Largest file that is read, in bytes; above it only so much is, and the limit of the pipeline
/// refuses the document.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Reads the file at `path` as the delivery at `position`: the body is the document, its name the
/// document id, `content_type` the header of that name.
pub fn delivery_of_file(
    path: &Path,
    content_type: &str,
    position: Position,
) -> Result<Delivery, Fault> {
    let fault =
        |error| Fault::new(FaultClass::Fatal, format!("reading `{}`", path.display()), error);
    let mut body = Vec::new();
    File::open(path).map_err(fault)?.take(MAX_FILE_BYTES).read_to_end(&mut body).map_err(fault)?;
    let name =
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(delivery_of_bytes(body, name, content_type, position))
}

/// `body` as the delivery of a document of that name and type.
pub fn delivery_of_bytes(
    body: Vec<u8>,
    name: String,
    content_type: &str,
    position: Position,
) -> Delivery {
    let header = |name: &str, value: Vec<u8>| Header {
        name: name.to_owned(),
        value: Some(Sensitive::new(value)),
    };
    let headers = vec![
        header("content-type", content_type.as_bytes().to_vec()),
        header("document-id", name.into_bytes()),
    ];
    Delivery { position, key: None, body: Some(Sensitive::new(body)), headers, sent: None }
}
