//! Faults of processes, groups and brokers, on three real brokers: nothing lost, nothing twice, order kept within a key.
//!
//! `make test` plays each fault once; `make chaos` plays the same ones for as long as it is asked, see `long`.

mod faults;
mod load;
mod long;
mod stage;
mod tail;

use std::fmt;
use std::time::Duration;

use self::faults::{CASES, Case};
use self::stage::{Recovery, Round, Stage};

/// How one fault went.
struct Row {
    name: String,
    proof: String,
    recovery: Recovery,
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, proof, recovery } = self;
        let (first, all) = (recovery.first.as_secs_f64(), recovery.all.as_secs_f64());
        write!(
            out,
            "{name}: fired ({proof}); first commit after {first:.1} s, all partitions after {all:.1} s"
        )
    }
}

/// Plays one fault while the inputs of its round come in, and waits until each has an outcome.
fn play(stage: &mut Stage, case: &Case, round: Round) -> Row {
    stage.begin(round);
    let fired = (case.play)(stage);
    stage.end();
    let drained = if round.is_draining { ", SIGTERM during it" } else { "" };
    let name = format!("{}{drained}", case.name);
    Row { name, proof: fired.proof, recovery: stage.recovery(fired.at) }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "recovery times are for people who run the tests with --nocapture"
)]
fn every_fault_leaves_each_part_exactly_one_outcome() {
    let mut stage = Stage::start(0x5EED_4321, Duration::from_secs(5));
    for (number, case) in CASES.iter().enumerate() {
        // Every other one meets a drain as well; `make chaos` plays all of them both ways.
        let round = Round { inputs_count: 200, is_draining: number % 2 == 1 };
        let row = play(&mut stage, case, round);
        println!("{row}");
        let report = stage.check();
        assert!(report.is_clean(), "{}: {report}", row.name);
    }
    println!("{} inputs: none lost, none doubled, order kept", stage.inputs_count());
    stage.close();
}
