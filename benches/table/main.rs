//! The table of `make bench`: what a worker does through a real Kafka, against raw ONNX Runtime on the same windows and
//! against the Python services of `benches/peers`, in one run on one machine.
//!
//! `cargo bench --bench table -- DATA [--rounds N] [--only WORKLOAD] [--peers] [--latency] [--all-read] [--guarantee] [--cores] [--bare]`.
//! Figures are ratios within a round; the table tells the median of the rounds and their range. With `--all-read` the worker has
//! neither cache nor gate; `--guarantee`, `--cores` and `--bare` measure nothing else. `benches/README.md` says how to read it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on ends, and prints what it found"
)]

mod bare;
mod ceiling;
mod corpus;
mod latency;
mod pairs;
mod peer;
#[path = "../raw/mod.rs"]
mod raw;
mod run;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod support;
mod usage;
mod windows;

use std::path::PathBuf;

use self::corpus::Workload;
use self::run::Run;

/// What the command line asks for.
struct Asked {
    data: PathBuf,
    rounds: usize,
    only: Option<String>,
    with_peers: bool,
    with_latency: bool,
    /// Whether the worker runs the model on all that there is.
    all_read: bool,
    what: What,
}

/// What is measured.
#[derive(Clone, Copy)]
enum What {
    Table,
    Guarantee,
    Cores,
    Bare,
}

fn asked() -> Asked {
    let mut asked = Asked {
        data: PathBuf::new(),
        rounds: 3,
        only: None,
        with_peers: false,
        with_latency: false,
        all_read: false,
        what: What::Table,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--rounds" => asked.rounds = value().parse().expect("--rounds is a number"),
            "--only" => asked.only = Some(value()),
            "--peers" => asked.with_peers = true,
            "--latency" => asked.with_latency = true,
            "--all-read" => asked.all_read = true,
            "--guarantee" => asked.what = What::Guarantee,
            "--cores" => asked.what = What::Cores,
            "--bare" => asked.what = What::Bare,
            data => asked.data = PathBuf::from(data),
        }
    }
    assert!(
        asked.data.is_dir(),
        "name the folder of the data sets: cargo bench --bench table -- DATA"
    );
    asked
}

fn main() {
    let asked = asked();
    if matches!(asked.what, What::Bare) {
        let workload = bare::workload();
        run::warm_broker(&workload);
        return bare::tell(&workload, asked.rounds);
    }
    let is_asked =
        |workload: &Workload| asked.only.as_ref().is_none_or(|only| workload.name == *only);
    for workload in corpus::all(&asked.data).into_iter().filter(is_asked) {
        tell(&workload, &asked);
    }
}

/// Measures one workload, round by round.
fn tell(workload: &Workload, asked: &Asked) {
    let windows = windows::of(workload);
    println!(
        "\n{}: {} messages, {} documents, {} pages, {} tokens in {} windows",
        workload.name,
        workload.inputs.len(),
        windows.of_document.len(),
        windows.pages,
        windows.tokens(),
        windows.rows.len()
    );
    run::warm_broker(workload);
    if matches!(asked.what, What::Guarantee) {
        return pairs::tell_guarantee(workload, asked.rounds);
    }
    let configuration = ceiling::choose(&windows);
    if matches!(asked.what, What::Cores) {
        return pairs::tell_cores(workload, &windows, configuration, asked.rounds);
    }
    let mut ratios = Vec::new();
    let mut documents_a_second = 0.0;
    let mut against = [Vec::new(), Vec::new()];
    for round in 1..=asked.rounds {
        let before = ceiling::measure(&windows, &configuration);
        let worker = if asked.all_read {
            run::worker(workload, "gate: false\n", &["--cache-bytes", "0"])
        } else {
            run::worker(workload, "", &[])
        };
        let after = ceiling::measure(&windows, &configuration);
        let ceiling = f64::midpoint(before, after);
        let speed = windows.tokens() as f64 / worker.seconds;
        ratios.push(speed / ceiling);
        documents_a_second = windows.of_document.len() as f64 / worker.seconds;
        println!(
            "round {round}: ceiling {before:.0} and {after:.0} tokens/s ({configuration}); worker {speed:.0} tokens/s, \
             efficiency {:.3}; {}",
            speed / ceiling,
            told(&worker, &windows)
        );
        if !asked.with_peers {
            continue;
        }
        for (name, against) in ["usual", "tuned"].into_iter().zip(&mut against) {
            let peer = peer::run(name, workload);
            against.push(peer.seconds / worker.seconds);
            println!(
                "round {round}: {name} peer {:.0} tokens/s, worker {:.2}x; {}",
                windows.tokens() as f64 / peer.seconds,
                peer.seconds / worker.seconds,
                told(&peer, &windows)
            );
        }
    }
    println!("{}: efficiency {}", workload.name, spread(&mut ratios));
    for (name, against) in ["usual", "tuned"].into_iter().zip(&mut against) {
        if !against.is_empty() {
            println!("{}: against the {name} peer {}", workload.name, spread(against));
        }
    }
    if asked.with_latency && workload.name == latency::WORKLOAD {
        latency::tell(workload, &windows, documents_a_second);
    }
}

/// Rates, processor time and memory of one run.
fn told(run: &Run, windows: &windows::Windows) -> String {
    let rate = |count: usize| count as f64 / run.seconds;
    format!(
        "{:.1} documents/s, {:.1} pages/s, {:.1} s in all; {:.1} CPU s and {:.0} MB at most ({:.0} of children); ready after {:.2} s",
        rate(windows.of_document.len()),
        rate(windows.pages),
        run.seconds,
        run.usage.cpu_seconds,
        run.usage.peak_bytes as f64 / 1e6,
        run.usage.children_peak_bytes as f64 / 1e6,
        run.ready_seconds
    )
}

/// Median and range.
fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    format!("{:.3} ({first:.3} to {last:.3}, {} rounds)", values[values.len() / 2], values.len())
}
