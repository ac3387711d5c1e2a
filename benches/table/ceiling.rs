//! `token windows -> tokens a second` of ONNX Runtime alone, in the best configuration that is found on this machine.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use sluice::infer::SLOW_ON_CPU;

use crate::raw;
use crate::support::env;
use crate::windows::Windows;

/// How long one measurement lasts at least.
const MEASURED_MIN: Duration = Duration::from_secs(6);
/// How long a configuration is tried.
const TRIED_MIN: Duration = Duration::from_secs(3);

/// A way to use the cores.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    sessions: usize,
    threads_each: usize,
    /// Rows of one call, of equal or nearly equal length.
    batch: usize,
    /// Whether rows go in the order of their length, so that a call pads little.
    is_sorted: bool,
}

impl Configuration {
    /// Likewise for one core.
    pub const fn on_one_core(self) -> Self {
        Self { sessions: 1, threads_each: 1, ..self }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, threads_each, batch, is_sorted } = self;
        let order = if *is_sorted { ", by length" } else { "" };
        write!(
            formatter,
            "{sessions} sessions of {threads_each} threads, {batch} rows a call{order}"
        )
    }
}

fn cores() -> usize {
    thread::available_parallelism().unwrap().get()
}

/// The best of the configurations that are usual on a CPU.
pub fn choose(windows: &Windows) -> Configuration {
    let cores = cores();
    let mut tried = Vec::new();
    for (sessions, threads_each) in [(cores, 1), (1, cores)] {
        for (batch, is_sorted) in [(1, false), (8, true), (32, true)] {
            tried.push(Configuration { sessions, threads_each, batch, is_sorted });
        }
    }
    let speed = |one: &Configuration| run(windows, one, TRIED_MIN);
    let speeds: Vec<_> = tried.iter().map(speed).collect();
    for (one, speed) in tried.iter().zip(&speeds) {
        println!("raw: {one}: {speed:.0} tokens/s");
    }
    let best = (0..tried.len()).max_by(|one, other| speeds[*one].total_cmp(&speeds[*other]));
    tried[best.unwrap()]
}

/// Tokens a second, padding not counted.
pub fn measure(windows: &Windows, configuration: &Configuration) -> f64 {
    run(windows, configuration, MEASURED_MIN)
}

fn run(windows: &Windows, configuration: &Configuration, time: Duration) -> f64 {
    let mut order: Vec<usize> = (0..windows.rows.len()).collect();
    if configuration.is_sorted {
        order.sort_by_key(|row| windows.rows[*row].len());
    }
    let calls: Vec<&[usize]> = order.chunks(configuration.batch).collect();
    // Calls from all over the workload, whatever part of it the time suffices for.
    let stride = coprime_stride(calls.len());
    let mut sessions: Vec<_> =
        (0..configuration.sessions).map(|_| open(windows, configuration)).collect();
    for session in &mut sessions {
        for call in calls.iter().step_by(calls.len().div_ceil(12)) {
            call_model(session, windows, call);
        }
    }
    raw::speed(&mut sessions, time, |session, number| {
        call_model(session, windows, calls[number * stride % calls.len()])
    })
}

/// A step that meets every one of `count` calls.
fn coprime_stride(count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (count / 2 + 1..=2 * count + 1).find(|step| gcd(*step, count) == 1).unwrap_or(1)
}

/// Runs one call; gives its tokens without padding.
fn call_model(session: &mut Session, windows: &Windows, rows: &[usize]) -> usize {
    let rows: Vec<&[i64]> = rows.iter().map(|row| windows.rows[*row].as_slice()).collect();
    raw::call(session, &rows, i64::from(windows.bundle.window.pad_id))
}

fn open(windows: &Windows, configuration: &Configuration) -> Session {
    static LOADED: OnceLock<Environment> = OnceLock::new();
    let environment = LOADED.get_or_init(|| {
        let library =
            env("ORT_DYLIB_PATH").map(PathBuf::from).expect("ORT_DYLIB_PATH names ONNX Runtime");
        ort::init_from(library).unwrap().with_telemetry(false).build().unwrap()
    });
    Session::builder(environment)
        .unwrap()
        .with_optimization_level(GraphOptimizationLevel::All)
        .unwrap()
        .with_config_entry(SLOW_ON_CPU.0, SLOW_ON_CPU.1)
        .unwrap()
        .with_intra_threads(configuration.threads_each)
        .unwrap()
        .with_inter_threads(1)
        .unwrap()
        .with_intra_op_spinning(false)
        .unwrap()
        .commit_from_memory(&windows.bundle.model_bytes().unwrap())
        .unwrap()
}

/// Seconds that each document's windows take one after the other in one session of one thread.
pub fn alone(windows: &Windows) -> Vec<f64> {
    let one = Configuration { sessions: 1, threads_each: 1, batch: 1, is_sorted: false };
    let mut session = open(windows, &one);
    let mut time = |rows: &Range<usize>| {
        let begun = Instant::now();
        for row in rows.clone() {
            call_model(&mut session, windows, &[row]);
        }
        begun.elapsed().as_secs_f64()
    };
    // Twice: every length is met once before it counts.
    windows.of_document.iter().map(&mut time).for_each(|_seconds| ());
    windows.of_document.iter().map(time).collect()
}
