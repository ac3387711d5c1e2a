//! `Chunks -> findings and flags`: sessions on threads of their own, fed by a fair queue.
//!
//! Windows of all documents, partitions and flows share the threads by the tokens that they have
//! been served; windows of one document run side by side. On the processor a window is a call of its
//! own or shares it with others of exactly its length, where that changes no bit ([`Policy`],
//! [`Session::scores`]), so that a document gives the same bits in any company; on a card windows of
//! nearly one length share calls of few shapes. A window that was scored before need not be again.
//! Deliberately keeps no document: a job's windows come in, its scores go out.

mod cache;
mod classes;
mod cuda;
mod entities;
mod job;
mod multilabel;
mod numbers;
mod policy;
mod pool;
mod probe;
mod processor;
mod scores;
mod session;
mod words;

pub use job::{Answer, Done, Job};
pub use policy::{Policy, Shape};
pub use pool::{Engine, Handle, Pool, Setup, blank};
pub use processor::cpu_class;
pub use scores::{Candidate, Decoded, decode, findings};
pub use session::{RowScores, RunError, Runtime, SLOW_ON_CPU, Session};
