//! `windows -> tokens a second` of ONNX Runtime alone on a device, in the best shape of call of a few.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use sluice::config::settings::Device;

use crate::Corpus;

/// How long a shape is tried.
const TRIED: Duration = Duration::from_secs(2);
/// Rows of a call that are tried on a card, and on the processor.
const CARD_ROWS: [usize; 5] = [16, 32, 64, 128, 256];
const CORE_ROWS: [usize; 2] = [1, 8];

/// Prints the speed in the best shape, then that shape.
pub(crate) fn tell(folder: &Path, corpus: &Corpus, device: Device, time: Duration) {
    let environment = ort::init_from(folder.join("lib/libonnxruntime.so"))
        .unwrap()
        .with_telemetry(false)
        .build()
        .unwrap();
    let model = corpus.bundle.model_bytes().unwrap();
    // By length, so that a call pads little.
    let windows = corpus.chunks.iter().flat_map(|chunks| chunks.windows.iter());
    let mut rows: Vec<Vec<i64>> = windows.map(|window| window.ids.to_vec()).collect();
    rows.sort_by_key(Vec::len);
    let cores = thread::available_parallelism().unwrap().get();
    let tried: Vec<(usize, usize)> = match device {
        Device::Cpu => CORE_ROWS.map(|count| (cores, count)).to_vec(),
        Device::Cuda => CARD_ROWS.into_iter().flat_map(|count| [(1, count), (2, count)]).collect(),
    };
    let measure = |(sessions, count): (usize, usize), time| {
        let calls: Vec<&[Vec<i64>]> = rows.chunks(count).collect();
        let mut sessions: Vec<Session> =
            (0..sessions).map(|_| open(&environment, &model, device)).collect();
        run(&mut sessions, &calls, time)
    };
    let best = tried
        .into_iter()
        .map(|shape| (measure(shape, TRIED), shape))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .unwrap()
        .1;
    let speed = measure(best, time);
    println!("{speed:.0} {} sessions, {} rows a call", best.0, best.1);
}

fn run(sessions: &mut [Session], calls: &[&[Vec<i64>]], time: Duration) -> f64 {
    // Every shape is met once before it counts.
    for session in sessions.iter_mut() {
        for rows in calls.iter().step_by(calls.len().div_ceil(16)) {
            assert!(call(session, rows) > 0, "a call without tokens");
        }
    }
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let tokens: usize = thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                scope.spawn(|| {
                    let mut tokens = 0;
                    while begun.elapsed() < time {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        tokens += call(session, calls[number % calls.len()]);
                    }
                    tokens
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    tokens as f64 / begun.elapsed().as_secs_f64()
}

/// Runs one call; gives its tokens without padding.
fn call(session: &mut Session, rows: &[Vec<i64>]) -> usize {
    let longest = rows.iter().map(Vec::len).max().unwrap();
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for row in rows {
        let padding = longest - row.len();
        ids.extend(row.iter().copied().chain(std::iter::repeat_n(0, padding)));
        mask.extend(std::iter::repeat_n(1_i64, row.len()).chain(std::iter::repeat_n(0, padding)));
    }
    let shape = [rows.len(), longest];
    let ids = Tensor::from_array((shape, ids)).unwrap();
    let mask = Tensor::from_array((shape, mask)).unwrap();
    let outputs =
        session.run(ort::inputs! { "input_ids" => ids, "attention_mask" => mask }).unwrap();
    assert!(outputs.len() > 0, "the model answers");
    rows.iter().map(Vec::len).sum()
}

fn open(environment: &Environment, model: &[u8], device: Device) -> Session {
    let builder = Session::builder(environment)
        .unwrap()
        .with_optimization_level(GraphOptimizationLevel::All)
        .unwrap()
        .with_intra_threads(1)
        .unwrap();
    let provider = match device {
        Device::Cpu => ort::ep::CPU::default().build(),
        Device::Cuda => ort::ep::CUDA::default().with_tf32(false).build(),
    };
    let builder = builder.with_execution_providers([provider.error_on_failure()]).unwrap();
    let builder = match device {
        Device::Cpu => builder,
        Device::Cuda => builder.with_disable_cpu_fallback().unwrap(),
    };
    let mut builder = builder;
    builder.commit_from_memory(model).unwrap()
}
