//! `workload -> ratio of two ways to run it`, by runs in turn: what exactly-once costs, and what a second core gives.

use crate::ceiling::{self, Configuration};
use crate::corpus::Workload;
use crate::run;
use crate::windows::Windows;

/// The 97.5 % points of Student's t with 1, 2, ... degrees of freedom; beyond the last its own.
const STUDENT: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/// Lines of `pipeline.yaml` that give up transactions.
const AT_LEAST_ONCE: &str = "delivery:\n  guarantee: at_least_once\n";

/// Time and processor time of a run with transactions over those of one without, each going first in turn. A machine that is
/// shared has ups and downs of time; those of processor time are smaller.
pub fn tell_guarantee(workload: &Workload, pairs: usize) {
    let seconds = |extra| {
        let run = run::worker(workload, extra, &[]);
        (run.seconds, run.usage.machine_cpu_seconds)
    };
    let ratio = |pair: usize| {
        let (once, repeating) = if pair.is_multiple_of(2) {
            let once = seconds("");
            (once, seconds(AT_LEAST_ONCE))
        } else {
            let repeating = seconds(AT_LEAST_ONCE);
            (seconds(""), repeating)
        };
        let ((time, cpu), (time_repeating, cpu_repeating)) = (once, repeating);
        println!(
            "pair {}: exactly once {time:.2} s, {cpu:.2} CPU s of the machine; at least once {time_repeating:.2} s, \
             {cpu_repeating:.2} CPU s",
            pair + 1
        );
        (time / time_repeating, cpu / cpu_repeating)
    };
    let (times, cpus): (Vec<_>, Vec<_>) = (0..pairs).map(ratio).unzip();
    let (name, times, cpus) = (workload.name, interval(&times), interval(&cpus));
    println!(
        "{name}: exactly once over at least once, time: {times}; processor time of the machine: {cpus}"
    );
}

/// How much faster two cores are than one, over how much faster raw ONNX Runtime is.
pub fn tell_cores(
    workload: &Workload,
    windows: &Windows,
    configuration: Configuration,
    rounds: usize,
) {
    let raw = |configuration| ceiling::measure(windows, &configuration);
    let ratio = |round: usize| {
        let raw_one = raw(configuration.on_one_core());
        let one = run::worker_on_one_core(workload).seconds;
        let raw_both = raw(configuration);
        let both = run::worker(workload, "", &[]).seconds;
        let (gain, raw_gain) = (one / both, raw_both / raw_one);
        println!("round {}: worker {gain:.3}x, raw {raw_gain:.3}x", round + 1);
        gain / raw_gain
    };
    let ratios: Vec<_> = (0..rounds).map(ratio).collect();
    println!("{}: from one core to two, over raw: {}", workload.name, interval(&ratios));
}

/// Mean and, of several values, its 95 % interval.
fn interval(values: &[f64]) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let Some(freedom) = values.len().checked_sub(1).filter(|freedom| *freedom > 0) else {
        return format!("{mean:.3}, once");
    };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let student = STUDENT[freedom.min(STUDENT.len()) - 1];
    let margin = student * (squares / freedom as f64 / count).sqrt();
    format!("{mean:.3} +- {margin:.3} ({} times)", values.len())
}
