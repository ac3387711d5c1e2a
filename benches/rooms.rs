//! What the rooms and leaves between text and Kafka take, on the largest text sample of the contracts pipeline.
//!
//! `cargo bench --bench rooms`. Time a call; against the model's 30 ms for a window of 256 tokens all of it should be little.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on ends"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice::assemble::assemble;
use sluice::chunk::Chunker;
use sluice::config::{self, Flow};
use sluice::error::Fault;
use sluice::infer::Engine;
use sluice::ledger::Ledger;
use sluice::queue::{FairQueue, FlowId};
use sluice::sink::codec::{Codec, Form};
use sluice::types::{Chunks, Finding, FlagScore, Record, Reject, Span, Text};
use sluice::worker::{output_schemas, plan, provenance};

/// Deliveries or windows of one round.
const ROUND: usize = 1_000;

fn flow() -> Flow {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/contracts");
    config::load(&folder).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn text(flow: &Flow) -> Text {
    let samples = std::fs::read_dir(flow.dir.join("samples")).expect("the samples");
    let texts = samples.filter_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "txt").then(|| std::fs::read_to_string(path).ok())?
    });
    Text::from_pages([texts.max_by_key(String::len).expect("a text sample")])
}

/// What was made, where it could be.
fn made<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{}", fault.chain()))
}

/// What a room gave of a document that it does not refuse.
fn accepted<T>(result: Result<T, Reject>) -> T {
    result.unwrap_or_else(|reject| panic!("{}", reject.code))
}

/// A finding on every fortieth token, of one label after the other, and every flag.
fn marked(flow: &Flow, chunks: &Chunks) -> (Vec<Finding>, Vec<FlagScore>) {
    let count = config::Labels::from(&flow.bundle).names().len();
    let spans = chunks.tokens.windows(4).step_by(40).enumerate();
    let findings = spans.map(|(number, tokens)| {
        let span = Span { start: tokens[0].start, end: tokens[3].end };
        Finding { label: number % count, span, confidence: 0.75 }
    });
    let flags =
        (0..count).map(|label| FlagScore { label, confidence: 0.25, is_present: label % 2 == 0 });
    (findings.collect(), flags.collect())
}

fn rooms(bench: &mut Criterion) {
    let flow = flow();
    let text = text(&flow);
    let bytes = u64::try_from(text.as_str().len()).expect("a size");
    let mut group = bench.benchmark_group("document");
    group.throughput(Throughput::Bytes(bytes));
    let chunker = made(Chunker::load(&flow.bundle, true));
    let tokenizer = tokenizers::Tokenizer::from_file(&flow.bundle.tokenizer_path).expect("a file");
    group.bench_function("tokenizer alone", |bench| {
        bench.iter(|| tokenizer.encode(black_box(text.as_str()), false).expect("tokens").len());
    });
    let cut = || accepted(chunker.chunk(black_box(&text), usize::MAX));
    group.bench_function("chunk", |bench| bench.iter(cut));
    let plan = made(plan(&flow));
    let (findings, flags) = marked(&flow, &cut());
    let assembled = || accepted(assemble(black_box(&findings), &flags, &text, None, &plan));
    group.bench_function("assemble", |bench| bench.iter(assembled));
    let schemas = Arc::new(made(output_schemas(&flow, &plan)));
    let none = || "none".to_owned();
    let engine = Engine { onnxruntime_version: none(), provider: none(), cpu_class: none() };
    let record = Record {
        id: none(),
        document_id: none(),
        extraction: assembled(),
        redactions: Vec::new(),
        provenance: provenance(&flow, &engine, none(), schemas.digest()),
    };
    let codec = made(Codec::new(schemas, Form::SingleObject));
    group.bench_function("avro", |bench| {
        bench.iter(|| codec.record(black_box(&record)).expect("a record that fits").len());
    });
    group.finish();
}

fn leaves(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("thousand");
    group.bench_function("queue", |bench| {
        bench.iter(|| {
            let queue = FairQueue::default();
            for number in 0..ROUND {
                let flow = FlowId(u64::try_from(number % 4).expect("a small number"));
                queue.push(flow, 256, number).expect("an open queue");
            }
            (0..ROUND).filter_map(|_| queue.pop(|_| true)).sum::<usize>()
        });
    });
    group.bench_function("ledger", |bench| {
        bench.iter(|| {
            let mut ledger = Ledger::default();
            ledger.assign(0);
            for offset in (0..).take(ROUND) {
                let opened = ledger.open(0, offset, 100).expect("a lease");
                assert!(ledger.settle(&opened.ticket, vec![offset], 100), "the lease lives");
            }
            while let Some(commit) = ledger.cut(100) {
                ledger.committed(&commit);
            }
            ledger.in_flight().deliveries_count
        });
    });
    group.finish();
}

criterion_group!(benches, rooms, leaves);
criterion_main!(benches);
