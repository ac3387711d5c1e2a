//! `files, flags, environment -> checked settings`: load, check, build, in that order.
//!
//! Rooms only ever see what is checked. Deliberately the only reader of files and of the
//! environment, besides the command line. What a pipeline does stands in its folder
//! ([`pipeline`]); where it runs stands in flags and `SLUICE_*` variables ([`settings`]); neither
//! can say the other's things.

pub mod admin;
pub mod bundle;
#[cfg(test)]
mod bundle_tests;
mod check;
pub mod claims;
mod columns;
mod draft;
mod fields;
#[cfg(test)]
pub(crate) mod fixture;
mod flow;
pub mod heads;
mod labels;
mod libraries;
#[cfg(test)]
mod load_tests;
pub mod oauth;
pub mod pipeline;
mod problem;
mod properties;
pub mod redaction;
mod registry;
mod rules;
pub mod samples;
mod secrets;
pub mod settings;
mod shape;
pub mod stores;
mod yaml;

pub use check::RESERVED_COLUMNS;
pub use flow::{Flow, check_together, load};
pub use labels::{Head, HeadKind, Labels};
pub use problem::Problem;
pub use properties::Property;
pub use samples::media_type_of;
pub use settings::Settings;
pub use shape::schema;
