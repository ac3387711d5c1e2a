//! `limits -> bytes`: the most that a worker and its text children come to hold.
//!
//! Every term is a limit times what one unit of it costs; what is neither is measured, and stands
//! here as a constant. `make soak` compares it with what the kernel says. Deliberately enforces
//! nothing: the limits do, each in its place.

use std::collections::BTreeMap;

use crate::config::Flow;
use crate::types::Digest;

/// Program, libraries, threads and clients of Kafka, before any model.
const PROCESS_BYTES: u64 = 128 << 20;
/// A tokenizer and the compiled plan of a flow.
const FLOW_BYTES: u64 = 48 << 20;
/// What a session holds for each byte of its model file: the weights as they lie in the file, and
/// as the runtime packs them.
const SESSION_FACTOR: u64 = 3;
/// What a session holds besides: the runtime's arena after the largest window.
const ARENA_BYTES: u64 = 64 << 20;
/// What a token holds between preparing and finishing, besides its scores: its place (16), its id
/// in up to two windows (16), its word (4), its sentence (16), its text (16), and a finding that it
/// may begin (24).
const TOKEN_BYTES: u64 = 92;
/// Room for one score.
const SCORE_BYTES: u64 = 4;
/// What a part holds while its delivery is taken apart: a document without its bytes.
const PART_BYTES: u64 = 512;
/// What tokenising holds for each byte of the piece at hand, and the longest piece.
const TOKENISING_BYTES: u64 = 270 << 18;
/// librdkafka's prefetch, two answers of a broker, and the producer's queue; see `src/kafka/mod.rs`
/// and `src/source/group.rs`.
const CLIENTS_BYTES: u64 = (16 + 2 * 16 + 64) << 20;
/// Share of what is in use that the allocator holds besides, in hundredths.
const ALLOCATOR_PERCENT: u64 = 25;

/// Most bytes of resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Of the worker itself.
    pub worker_bytes: u64,
    /// Of its text children together.
    pub children_bytes: u64,
}

/// What serves all flows: threads of each kind, and what these keep.
#[derive(Clone, Copy, Debug)]
pub struct Threads {
    /// Those that prepare, each with a text child.
    pub prepare_count: usize,
    /// Those that own sessions, each with every model.
    pub session_count: usize,
    /// Scores that they keep.
    pub cache_bytes: usize,
}

/// The bound for `flows` on these threads. `model_bytes` tells the size of a flow's model file.
pub fn bound<'a>(
    flows: impl IntoIterator<Item = &'a Flow>,
    threads: Threads,
    model_bytes: impl Fn(&Flow) -> u64,
) -> Bound {
    let prepare = bytes(threads.prepare_count);
    let mut models: BTreeMap<Digest, u64> = BTreeMap::new();
    let (mut held, mut preparing, mut child) = (PROCESS_BYTES, 0, 0);
    for flow in flows {
        models.insert(flow.bundle.model_digest, model_bytes(flow));
        held += of_flow(flow, prepare);
        // Any preparing thread may have any flow's largest document.
        preparing = preparing.max(of_preparing(flow));
        child = child.max(flow.pipeline.text.memory_bytes_max);
    }
    let session: u64 = models.values().map(|model| model * SESSION_FACTOR + ARENA_BYTES).sum();
    // The files are kept, too: sessions are opened from them.
    let files: u64 = models.values().sum();
    held += session * bytes(threads.session_count) + files + preparing * prepare;
    held += bytes(threads.cache_bytes);
    Bound {
        worker_bytes: held / 100 * (100 + ALLOCATOR_PERCENT),
        children_bytes: child.saturating_mul(prepare),
    }
}

/// What is in work of one flow, wherever it waits.
fn of_flow(flow: &Flow, prepare: u64) -> u64 {
    let pipeline = &flow.pipeline;
    let (limits, text) = (&pipeline.limits, &pipeline.text);
    let columns = bytes(flow.bundle.heads.token_columns());
    // Each preparing thread may pass the limit by one part.
    let tokens = bytes(limits.in_flight_tokens_max)
        + prepare * tokens_of_one(text.tokens_max, text.text_bytes_max);
    // In the ledger or a commit; and the parts of the delivery that each preparing thread has begun.
    let outcomes = bytes(limits.in_flight_outcome_bytes_max) * (1 + prepare);
    FLOW_BYTES
        + CLIENTS_BYTES
        + 2 * bytes(pipeline.output.message_bytes_max)
        + bytes(limits.in_flight_bytes_max)
        + tokens * (TOKEN_BYTES + columns * SCORE_BYTES)
        + outcomes
}

/// What one document holds while it is prepared: its bytes in its delivery's parts and on the wire,
/// its pages and its text.
fn of_preparing(flow: &Flow) -> u64 {
    let (input, text) = (&flow.pipeline.input, &flow.pipeline.text);
    2 * bytes(input.document_bytes_max)
        + u64::from(input.parts_max) * PART_BYTES
        + 2 * bytes(text.text_bytes_max)
        + TOKENISING_BYTES
}

/// What the longest text counts for, see [`super::flow::Running`].
fn tokens_of_one(tokens_max: usize, text_bytes_max: usize) -> u64 {
    bytes(tokens_max.max(text_bytes_max / super::flow::TOKEN_TEXT_BYTES))
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Bound, Threads, bound};
    use crate::config::fixture::{GOOD, folder};
    use crate::config::{Flow, load};

    const THREADS: Threads = Threads { prepare_count: 2, session_count: 2, cache_bytes: 32 << 20 };

    fn flow(extra: &str) -> Flow {
        let root = folder(&format!("{GOOD}{extra}"));
        load(&root.path().join("leases")).unwrap()
    }

    fn of(extra: &str, threads: Threads) -> Bound {
        bound([&flow(extra)], threads, |_| 25 << 20)
    }

    #[test]
    fn every_limit_of_memory_moves_the_bound() {
        let usual = of("", THREADS);
        for (extra, least_bytes) in [
            ("limits:\n  in_flight_bytes_max: 33554432\n", 32_u64 << 20),
            ("limits:\n  in_flight_outcome_bytes_max: 67108864\n", 3 * (64 << 20)),
            ("limits:\n  in_flight_tokens_max: 100000\n", 100_000 * 76),
            ("text:\n  tokens_max: 700000\n", 2 * 300_000 * 76),
            ("text:\n  text_bytes_max: 5242880\n", 2 * 2 * (5 << 20)),
        ] {
            let lower = of(extra, THREADS);
            let saved = usual.worker_bytes - lower.worker_bytes;
            assert!(saved >= least_bytes, "{extra} saves {saved}");
        }
        let lower = of("", Threads { cache_bytes: 0, ..THREADS });
        assert!(usual.worker_bytes - lower.worker_bytes >= 32 << 20);
        let lower = of("text:\n  memory_bytes_max: 536870912\n", THREADS);
        assert_eq!((usual.children_bytes, lower.children_bytes), (2 << 30, 1 << 30));
    }

    #[test]
    fn flows_share_models_and_threads() {
        let (one, other) = (flow(""), flow(""));
        let alone = bound([&one], THREADS, |_| 25 << 20);
        let both = bound([&one, &other], THREADS, |_| 25 << 20);
        assert!(both.worker_bytes > alone.worker_bytes);
        assert!(both.worker_bytes < 2 * alone.worker_bytes);
        assert_eq!(both.children_bytes, alone.children_bytes);
    }
}
