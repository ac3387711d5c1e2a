//! `windows -> tokens a second` of ONNX Runtime alone on a device, in the best shape of call of a few.

use std::path::Path;
use std::thread;
use std::time::Duration;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use sluice::config::settings::Device;
use sluice::infer::SLOW_ON_CPU;

use crate::{Corpus, raw};

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
    let mut rows: Vec<&[i64]> = windows.map(|window| &**window.ids).collect();
    rows.sort_by_key(|row| row.len());
    let pad = i64::from(corpus.bundle.window.pad_id);
    let cores = thread::available_parallelism().unwrap().get();
    let tried: Vec<(usize, usize)> = match device {
        Device::Cpu => CORE_ROWS.map(|count| (cores, count)).to_vec(),
        Device::Cuda => CARD_ROWS.into_iter().flat_map(|count| [(1, count), (2, count)]).collect(),
    };
    let measure = |(sessions, count): (usize, usize), time| {
        let calls: Vec<&[&[i64]]> = rows.chunks(count).collect();
        let mut sessions: Vec<Session> =
            (0..sessions).map(|_| open(&environment, &model, device)).collect();
        run(&mut sessions, &calls, pad, time)
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

fn run(sessions: &mut [Session], calls: &[&[&[i64]]], pad: i64, time: Duration) -> f64 {
    // Every shape is met once before it counts.
    for session in sessions.iter_mut() {
        for rows in calls.iter().step_by(calls.len().div_ceil(16)) {
            assert!(raw::call(session, rows, pad) > 0, "a call without tokens");
        }
    }
    raw::speed(sessions, time, |session, number| {
        raw::call(session, calls[number % calls.len()], pad)
    })
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
        Device::Cpu => builder.with_config_entry(SLOW_ON_CPU.0, SLOW_ON_CPU.1).unwrap(),
        Device::Cuda => builder.with_disable_cpu_fallback().unwrap(),
    };
    let mut builder = builder;
    builder.commit_from_memory(model).unwrap()
}
