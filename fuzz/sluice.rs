//! The rooms that read what strangers wrote, as a crate of their own: what is fuzzed by coverage.
//!
//! These rooms import leaves only, so that they build without Kafka, model runtime and object
//! stores: fuzzing needs every crate built anew with instrumentation. Deliberately holds no code
//! but what the fuzzer's binaries share; `targets` is what the tests run too.
#![allow(dead_code)] // what only the other rooms call

#[path = "../src/assemble/mod.rs"]
pub mod assemble;
#[path = "../src/chunk/mod.rs"]
pub mod chunk;
#[path = "../src/config/mod.rs"]
pub mod config;
#[path = "../src/decode/mod.rs"]
pub mod decode;
#[path = "../src/error.rs"]
pub mod error;
#[path = "../src/failpoint.rs"]
pub mod failpoint;
#[path = "../src/http.rs"]
pub mod http;
#[path = "../src/redact/mod.rs"]
pub mod redact;
#[path = "../src/registry/mod.rs"]
pub mod registry;
#[path = "../src/text/mod.rs"]
pub mod text;
#[path = "../src/types/mod.rs"]
pub mod types;

// The targets name the worker's crate, since the tests have them as they are.
extern crate self as sluice;

#[path = "targets/mod.rs"]
pub mod targets;

pub use libfuzzer_sys;

/// The main function of a fuzzer's binary for one function of [`targets`].
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: $crate::end_at_own_panics(),
            |input: &[u8]| $crate::targets::$name(input)
        );
    };
}

/// Ends the process where code of this house panics, even where the panic would be caught.
///
/// A library for a hostile format may panic: whoever calls it catches that, and a test shows it.
/// The fuzzer's own hook would take each such panic for a find.
pub fn end_at_own_panics() {
    std::panic::set_hook(Box::new(|info| {
        // Files of other crates are named from the root of the file system, those of this one from
        // the place of the package.
        if info.location().is_some_and(|place| !place.file().starts_with('/')) {
            eprintln!("{info}");
            std::process::abort();
        }
    }));
}
