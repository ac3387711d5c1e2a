//! sluice: documents in on Kafka, small language models, validated and grounded records out.
//!
//! The rooms, in the order a document passes them:
//!
//! 1. [`source`]: Kafka messages become deliveries, under a lease per assigned partition.
//! 2. [`decode`]: a delivery becomes documents.
//! 3. [`claim`]: where a message names its document instead of holding it, the document is fetched.
//! 4. [`text`]: a document becomes text with pages; hostile formats in a child process.
//! 5. [`chunk`]: text becomes token windows with exact spans.
//! 6. [`infer`]: windows become findings.
//! 7. [`assemble`]: findings become typed, grounded values.
//! 8. [`validate`]: values are judged.
//! 9. [`redact`]: identifiers of persons are taken out of what leaves, where the pipeline asks.
//! 10. [`route`]: an outcome gets its topic, key and headers.
//! 11. [`sink`]: outcomes and offsets become visible together.
//!
//! Around them: [`worker`] wires the rooms, [`ledger`] knows what may be committed, [`config`] is
//! the only reader of settings, and [`types`] is what travels. Start reading at [`worker`].

pub mod admin;
pub mod assemble;
pub mod backoff;
pub mod chunk;
pub mod claim;
pub mod cli;
pub mod config;
pub mod decode;
pub mod error;
pub mod eval;
pub mod failpoint;
pub mod guard;
pub mod health;
pub mod http;
pub mod infer;
pub mod inspect;
pub mod kafka;
pub mod ledger;
pub mod listen;
pub mod metrics;
pub mod pulse;
pub mod queue;
pub mod redact;
pub mod registry;
pub mod route;
pub mod shutdown;
pub mod sink;
pub mod source;
pub mod telemetry;
pub mod text;
pub mod types;
pub mod validate;
pub mod worker;
