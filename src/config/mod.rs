//! `files, flags, environment -> checked settings`: load, check, build, in that order.
//!
//! Rooms only ever see what is checked. Deliberately the only reader of files and of the
//! environment, besides the command line.

pub mod bundle;
pub mod pipeline;
