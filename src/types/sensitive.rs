//! `T -> Sensitive<T>`: document content that no formatter can print.
//!
//! Deliberately has neither `Debug` nor `Display`: a log line, an error or a panic message that
//! would quote a document does not compile.

use std::ops::Deref;

/// Content that came out of a document, or is one.
///
/// ```compile_fail
/// let secret = sluice::types::Sensitive::new(String::from("patient name"));
/// println!("{secret:?}");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// Marks `content` as document content.
    pub const fn new(content: T) -> Self {
        Self(content)
    }

    /// Gives the content up, for publishing only.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Sensitive<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
