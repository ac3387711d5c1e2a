//! Tests on the large data sets; `SLUICE_DATA` names their folder.

mod contracts;
mod figures;
mod flows;
mod identifiers;
mod leaks;
mod logs;
mod notes;
mod pdf_corpus;
mod sections;
mod values;

use std::path::PathBuf;

/// The folder of the data sets.
///
/// # Panics
/// Where `SLUICE_DATA` is not set: a test on data that is not there has not passed.
pub(crate) fn folder() -> PathBuf {
    let given = crate::support::env("SLUICE_DATA");
    PathBuf::from(given.expect("SLUICE_DATA names the folder of the data sets"))
}
