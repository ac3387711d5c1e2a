//! What inference sessions have done.

use std::time::Duration;

/// What the sessions of a process have done since its start, over all threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By model, in the order of the bundles.
    pub models: Vec<ModelUsage>,
    /// Time spent in calls of models.
    pub busy: Duration,
    /// Threads that own sessions.
    pub session_count: usize,
}

/// What a model has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelUsage {
    /// Name of its bundle.
    pub name: String,
    /// Revision of its bundle.
    pub revision: String,
    /// Calls.
    pub batch_count: u64,
    /// Windows in them.
    pub row_count: u64,
    /// Tokens in them, special ones included.
    pub token_count: u64,
    /// Tokens that fill rows up.
    pub padding_count: u64,
}
