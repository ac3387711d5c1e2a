//! What `benches/gpu.sh` measures with: one figure a call, since ONNX Runtime is loaded once a process.
//!
//! `gpu-bench ceiling FOLDER KIND DEVICE SECONDS`: raw ONNX Runtime in the best shape of call it finds, tokens a second.
//! `gpu-bench pool FOLDER KIND DEVICE SECONDS`: the worker's pool on the same windows, tokens a second.
//! `gpu-bench same FOLDER DEVICE`: half precision against float32 of the same weights, and a document alone against in company.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on ends, and prints what it found"
)]

mod ceiling;
#[path = "../raw/mod.rs"]
mod raw;
mod same;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use sluice::chunk::Chunker;
use sluice::config::bundle::Bundle;
use sluice::config::settings::Device;
use sluice::infer::{Answer, Job, Pool, Setup};
use sluice::queue::FlowId;
use sluice::types::{Chunks, Text, WindowScores};

/// Documents in work at once, so that calls can be filled.
const AHEAD: usize = 256;

/// A model and the texts cut for it.
pub struct Corpus {
    /// The model.
    pub bundle: Arc<Bundle>,
    /// Its texts.
    pub texts: Vec<Text>,
    /// And their windows.
    pub chunks: Vec<Chunks>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["ceiling", folder, kind, device, seconds] => {
            let corpus = corpus(folder, kind);
            ceiling::tell(Path::new(folder), &corpus, self::device(device), time(seconds));
        }
        ["pool", folder, kind, device, seconds] => {
            let corpus = corpus(folder, kind);
            let pool = start(folder, &corpus.bundle, self::device(device));
            println!("{:.0}", speed(&pool, &corpus, time(seconds)));
        }
        ["same", folder, device] => same::tell(folder, self::device(device)),
        _ => panic!("give ceiling, pool or same, and what it needs; `benches/gpu.sh` does"),
    }
}

fn device(name: &str) -> Device {
    [Device::Cpu, Device::Cuda].into_iter().find(|device| device.name() == name).expect("a device")
}

fn time(seconds: &str) -> Duration {
    Duration::from_secs(seconds.parse().expect("a number of seconds"))
}

/// The contracts model of that kind, and the windows of all texts.
pub(crate) fn corpus(folder: &str, kind: &str) -> Corpus {
    let bundle = Bundle::load(&Path::new(folder).join(kind).join("models/contracts")).unwrap();
    let chunker = Chunker::load(&bundle, true).unwrap();
    let mut paths: Vec<_> = std::fs::read_dir(Path::new(folder).join("texts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path| {
        Text::from_pages([String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()])
    };
    let texts: Vec<Text> = paths.into_iter().map(read).collect();
    let cut = |text| chunker.chunk(text, usize::MAX).unwrap();
    let chunks = texts.iter().map(cut).collect();
    Corpus { bundle: Arc::new(bundle), texts, chunks }
}

/// A pool as the worker starts it, without a cache, since the texts come again.
pub(crate) fn start(folder: &str, bundle: &Arc<Bundle>, device: Device) -> Pool {
    let thread_count = match device {
        Device::Cpu => std::thread::available_parallelism().unwrap().get(),
        Device::Cuda => 2,
    };
    Pool::start(Setup {
        bundles: vec![Arc::clone(bundle)],
        thread_count,
        device,
        policy: None,
        library: Path::new(folder).join("lib/libonnxruntime.so"),
        cache_bytes: 0,
    })
    .unwrap_or_else(|fault| panic!("{}", fault.chain()))
}

/// Tokens a second, padding not counted, with as many documents waiting as a worker has.
fn speed(pool: &Pool, corpus: &Corpus, time: Duration) -> f64 {
    let tokens = || pool.handle().usage().models[0].token_count;
    let begun = Instant::now();
    let mut waiting = std::collections::VecDeque::new();
    for chunks in corpus.chunks.iter().filter(|chunks| !chunks.windows.is_empty()).cycle() {
        waiting.push_back(submit(pool, chunks));
        if waiting.len() > AHEAD {
            scores(&waiting.pop_front().unwrap());
        }
        if begun.elapsed() > time {
            break;
        }
    }
    tokens() as f64 / begun.elapsed().as_secs_f64()
}

/// Submits a document.
pub(crate) fn submit(pool: &Pool, chunks: &Chunks) -> std::sync::mpsc::Receiver<Answer> {
    let (answers, receiver) = sync_channel(1);
    pool.handle().submit(Job {
        flow: FlowId(0),
        model: 0,
        windows: Arc::clone(&chunks.windows),
        cancelled: Arc::default(),
        mark: None,
        done: Box::new(move |answer| drop(answers.send(answer))),
    });
    receiver
}

/// Its scores.
pub(crate) fn scores(receiver: &std::sync::mpsc::Receiver<Answer>) -> Vec<WindowScores> {
    match receiver.recv().unwrap() {
        Answer::Scores(scores) => scores,
        Answer::Reject(reject) => panic!("{}: {}", reject.code, reject.detail),
        Answer::Cancelled => panic!("the job was cancelled"),
    }
}
