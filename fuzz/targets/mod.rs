//! `bytes -> ()`, or a panic where a promise is broken: the functions that are fuzzed.
//!
//! They live once: the fuzzer runs them by coverage, and `tests/it/fuzz.rs` runs them over the
//! committed corpus and changes of it. An input is what a sender would send, as far as it can be,
//! so that any file may join the corpus; what else a target needs stands in a first line of text.

mod decoding;
mod extracting;
mod reading;
mod settings;

use std::path::{Path, PathBuf};

pub use decoding::{avro, decode, fhir, hl7, log};
pub use extracting::{assemble, chunk, redact};
pub use reading::{html, pdf, plain, wire};
pub use settings::pipeline;

/// What is fuzzed: it panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its folder in `fuzz/corpus`, too.
pub const TARGETS: [(&str, Target); 13] = [
    ("assemble", assemble),
    ("avro", avro),
    ("chunk", chunk),
    ("decode", decode),
    ("fhir", fhir),
    ("hl7", hl7),
    ("html", html),
    ("log", log),
    ("pdf", pdf),
    ("pipeline", pipeline),
    ("plain", plain),
    ("redact", redact),
    ("wire", wire),
];

/// The folder of the worker's own package, whichever package this is compiled into.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let above = own.parent().filter(|above| above.join("pipelines").is_dir());
    above.filter(|_| own.ends_with("fuzz")).unwrap_or(own).to_owned()
}

/// The first line, without its end, and what stands behind it.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (&[], input),
    }
}
