//! The long run of `make chaos`: every fault in turn and at random, for as long as it is asked.
//!
//! `SLUICE_CHAOS_MINUTES`, `SLUICE_CHAOS_INPUTS` and `SLUICE_CHAOS_SEED` say how long, how many inputs over the whole run, and in
//! which order: the same seed gives the same order of faults. `SLUICE_CHAOS_FAULT` names words of those that are played.
#![expect(clippy::print_stdout, reason = "a run is watched by people")]

use std::time::{Duration, Instant};

use super::faults::{CASES, Case};
use super::play;
use super::stage::{Round, Stage};
use crate::support::dice::Dice;
use crate::support::env;

/// How long brokers are away.
const OUTAGE: Duration = Duration::from_mins(1);
/// About as long as a round lasts; what is fed in one keeps step with the time.
const ROUND: Duration = Duration::from_secs(20);
/// Fewest inputs of a round, so that every worker has something to do.
const ROUND_INPUTS_MIN: usize = 120;

fn number(name: &str, usual: u64) -> u64 {
    let given = env(name).map(|text| text.parse());
    given.map_or(usual, |number| number.unwrap_or_else(|_| panic!("{name} is no number")))
}

/// All faults whose names hold `words`, each alone and with a drain during it, in an order by chance.
fn shuffled(dice: &mut Dice, words: &str) -> Vec<(&'static Case, bool)> {
    let chosen = CASES.iter().filter(|case| case.name.contains(words));
    let mut all: Vec<_> = chosen.flat_map(|case| [(case, false), (case, true)]).collect();
    assert!(!all.is_empty(), "no fault is called `{words}`");
    for last in (1..all.len()).rev() {
        let other = dice.roll(u64::try_from(last + 1).expect("a small number"));
        all.swap(last, usize::try_from(other).expect("a small number"));
    }
    all
}

#[test]
#[ignore = "it runs for as long as it is asked to: `make chaos`"]
fn faults_in_turn_and_at_random_leave_each_part_exactly_one_outcome() {
    let time = Duration::from_mins(number("SLUICE_CHAOS_MINUTES", 20));
    let inputs = usize::try_from(number("SLUICE_CHAOS_INPUTS", 10_000)).expect("a count");
    let process = u64::from(std::process::id());
    let seed = number("SLUICE_CHAOS_SEED", process.wrapping_mul(0x9E37_79B9_7F4A_7C15)).max(1);
    let words = env("SLUICE_CHAOS_FAULT").unwrap_or_default();
    println!("seed {seed}: faults for {} s, {inputs} inputs", time.as_secs());
    let mut dice = Dice(seed);
    let mut stage = Stage::start(seed, OUTAGE);
    let begun = Instant::now();
    let mut order = Vec::new();
    let mut rounds_count = 0;
    while begun.elapsed() < time {
        if order.is_empty() {
            order = shuffled(&mut dice, &words);
        }
        let Some((case, is_draining)) = order.pop() else { break };
        let share = (begun.elapsed() + ROUND).as_secs_f64() / time.as_secs_f64();
        let due = due(inputs, share).saturating_sub(stage.inputs_count());
        let inputs_count = due.max(ROUND_INPUTS_MIN);
        let row = play(&mut stage, case, Round { inputs_count, is_draining });
        rounds_count += 1;
        println!("{:>5} s  {row}", begun.elapsed().as_secs());
    }
    // What the time was too short for.
    let left = inputs.saturating_sub(stage.inputs_count());
    if left > 0 {
        stage.begin(Round { inputs_count: left, is_draining: false });
        stage.end();
    }
    let report = stage.check();
    println!("| inputs | faults | lost | duplicated | out of order | other | seed |");
    println!("|--|--|--|--|--|--|--|");
    let other = report.unexpected.len() + report.contradictory.len() + report.unaudited.len();
    println!(
        "| {} | {rounds_count} | {} | {} | {} | {other} | {seed} |",
        stage.inputs_count(),
        report.lost.len(),
        report.duplicated.len(),
        report.swapped.len(),
    );
    assert!(report.is_clean(), "{report}");
    stage.close();
}

/// `share` of `inputs`, at most all of them.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a count of inputs, far below 2^53, times a share from 0 to 1"
)]
fn due(inputs: usize, share: f64) -> usize {
    (inputs as f64 * share.clamp(0.0, 1.0)) as usize
}
