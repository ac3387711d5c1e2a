//! `Extraction -> reasons for review, or Reject`: values are judged by the rules of a pipeline.
//!
//! Every broken rule is told, not only the first. Deliberately changes no value and reads no text;
//! neither reasons nor rejects hold a word of the document.

mod rules;
mod values;

pub use rules::Rules;
