//! Bad news about the world, in three classes. Bad news about a document is a
//! [`crate::types::Reject`]; a bug of ours is a panic.

use std::error::Error as StdError;

/// What to do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// The same call may go through later: back off and call again.
    Retry,
    /// The transaction is void: abort it, and send again what is still ours.
    Abort,
    /// Nothing in this process can mend it: exit, and let the supervisor restart.
    Fatal,
}

/// A failure of the world around the worker: broker, registry, disk, device.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Fault {
    /// What to do about it.
    pub class: FaultClass,
    /// What was being done, in the gerund: "committing a transaction".
    context: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Fault {
    /// A fault met while doing `context`.
    pub fn new(
        class: FaultClass,
        context: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { class, context: context.into(), source: Some(Box::new(source)) }
    }

    /// A fault without a deeper cause.
    pub fn plain(class: FaultClass, context: impl Into<String>) -> Self {
        Self { class, context: context.into(), source: None }
    }

    /// The fault with all its causes, for one log line.
    pub fn chain(&self) -> String {
        let mut line = self.context.clone();
        let mut next: Option<&dyn StdError> = StdError::source(self);
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}
