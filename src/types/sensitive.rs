//! `T -> Sensitive<T>`: document content that no formatter can print.
//!
//! Deliberately has neither `Debug` nor `Display`: a log line, an error or a panic message that
//! would quote a document does not compile. A log line may say how large content is: [`Shown`].

use std::fmt;
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

/// Content in a log line: its size, and nothing of itself.
///
/// Only a program that was built with the feature `failpoints` can lift this guard, for the test
/// that proves its own search: see [`lift_guard`].
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_guard_lifted() {
            return f.write_str(&String::from_utf8_lossy(self.0));
        }
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(feature = "failpoints")]
mod guard {
    use std::sync::atomic::{AtomicBool, Ordering};

    static IS_LIFTED: AtomicBool = AtomicBool::new(false);

    /// From here on [`super::Shown`] shows, and the panic hook tells messages.
    pub fn lift_guard() {
        IS_LIFTED.store(true, Ordering::Relaxed);
    }

    /// Whether the guard is lifted.
    pub fn is_guard_lifted() -> bool {
        IS_LIFTED.load(Ordering::Relaxed)
    }
}

#[cfg(not(feature = "failpoints"))]
mod guard {
    /// Does nothing: the program was built without the feature `failpoints`.
    pub const fn lift_guard() {}

    /// Never.
    pub const fn is_guard_lifted() -> bool {
        false
    }
}

pub use guard::{is_guard_lifted, lift_guard};

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn of_content_only_its_size_is_shown() {
        assert_eq!(Shown(b"patient name").to_string(), "12 bytes");
    }
}
