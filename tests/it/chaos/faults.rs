//! The faults, each with the proof that it fired. They are played on a [`Stage`] and leave it as they found it: three brokers,
//! the workers `w0` and `w1`.

use std::time::{Duration, Instant};

use super::stage::{LONG, Stage, TRANSACTION_TIMEOUT_MS};
use crate::support::cluster::NodeId;
use crate::support::kafka;
use crate::support::process::was_killed;
use crate::support::wait_for;

/// A fault that has happened.
pub(super) struct Fired {
    /// The moment from which its recovery counts.
    pub(super) at: Instant,
    /// How it is known that it happened.
    pub(super) proof: String,
}

fn fired(at: Instant, proof: String) -> Fired {
    Fired { at, proof }
}

/// One fault.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) play: fn(&mut Stage) -> Fired,
}

/// Every fault that comes from processes, groups and brokers.
pub(super) const CASES: &[Case] = &[
    Case { name: "killed after poll", play: |stage| killed_at(stage, "polled=kill@3") },
    Case { name: "killed before begin", play: |stage| killed_at(stage, "cut=kill@1") },
    Case { name: "killed between send and offsets", play: |stage| killed_at(stage, "sent=kill@1") },
    Case {
        name: "killed between offsets and commit",
        play: |stage| killed_at(stage, "offsets-sent=kill@1"),
    },
    Case { name: "killed after commit", play: |stage| killed_at(stage, "committed=kill@1") },
    Case { name: "killed at random, three times", play: killed_at_random },
    Case { name: "two workers join and leave in order", play: joined_and_left },
    Case { name: "two workers join and are killed", play: joined_and_killed },
    Case { name: "rolling restart", play: rolling_restart },
    Case { name: "scaled 3 to 10 to 3", play: scaled },
    Case { name: "partition added to the input", play: partition_added },
    Case { name: "producer fenced", play: fenced },
    Case { name: "transaction timed out", play: timed_out },
    Case { name: "broker killed and started again", play: broker_killed },
    Case { name: "broker frozen", play: broker_frozen },
    Case { name: "transaction coordinator moved", play: transaction_coordinator_moved },
    Case { name: "group coordinator moved", play: group_coordinator_moved },
    Case { name: "all brokers away", play: all_brokers_away },
];

fn killed_at(stage: &mut Stage, fault: &str) -> Fired {
    stage.stop_worker("w0");
    stage.start_worker("w0", fault);
    // Off the stage at once: what the other worker has left may be enough for it to die of.
    let mut planted = stage.take_worker("w0");
    wait_for("partitions of the worker that will die", LONG, || {
        let is_joined = planted.stderr().contains("partitions assigned");
        (is_joined || planted.exited().is_some()).then_some(())
    });
    stage.feed();
    let (status, worker) = stage.wait_end(planted);
    let at = Instant::now();
    assert!(was_killed(status), "{status}\n{}", worker.tail());
    let logs = worker.logs();
    let line = logs.iter().find(|line| line["message"] == "a planted fault");
    let line = line.unwrap_or_else(|| panic!("no planted fault\n{}", worker.tail()));
    let (point, _) = fault.split_once('=').expect("a planted fault has a point");
    assert_eq!(line["point"], point);
    stage.meanwhile("w1");
    stage.start_worker("w0", "");
    fired(
        at,
        format!("pid {} ended by SIGKILL at `{point}`, passage {}", worker.id(), line["passage"]),
    )
}

fn killed_at_random(stage: &mut Stage) -> Fired {
    let mut pids = Vec::new();
    let mut at = Instant::now();
    for (name, other) in [("w0", "w1"), ("w1", "w0"), ("w0", "w1")] {
        let pause_ms = stage.dice.roll(1_500);
        std::thread::sleep(Duration::from_millis(pause_ms));
        pids.push(stage.kill_worker(name));
        at = Instant::now();
        if pids.len() == 1 {
            stage.meanwhile(other);
        }
        stage.start_worker(name, "");
    }
    fired(at, format!("pids {pids:?} ended by SIGKILL"))
}

fn join(stage: &mut Stage, names: &[&str]) {
    for name in names {
        stage.start_worker(name, "");
    }
    for name in names {
        stage.await_joined(name);
    }
    stage.feed();
}

fn joined_and_left(stage: &mut Stage) -> Fired {
    join(stage, &["w2", "w3"]);
    stage.stop_worker("w2");
    let at = Instant::now();
    stage.meanwhile("w0");
    stage.stop_worker("w3");
    fired(at, "four workers had partitions; two drained with exit code 0".to_owned())
}

fn joined_and_killed(stage: &mut Stage) -> Fired {
    join(stage, &["w2", "w3"]);
    let pids = ["w2", "w3"].map(|name| stage.kill_worker(name));
    let at = Instant::now();
    stage.meanwhile("w0");
    fired(at, format!("four workers had partitions; pids {pids:?} ended by SIGKILL"))
}

fn rolling_restart(stage: &mut Stage) -> Fired {
    let mut at = Instant::now();
    for (name, other) in [("w0", "w1"), ("w1", "w0")] {
        stage.stop_worker(name);
        at = Instant::now();
        if name == "w0" {
            stage.meanwhile(other);
        }
        stage.start_worker(name, "");
        stage.await_joined(name);
    }
    fired(at, "each drained with exit code 0 and had partitions again".to_owned())
}

fn scaled(stage: &mut Stage) -> Fired {
    join(stage, &["w2"]);
    let seven = ["w3", "w4", "w5", "w6", "w7", "w8", "w9"];
    join(stage, &seven);
    stage.meanwhile("w0");
    for name in seven {
        stage.stop_worker(name);
    }
    let at = Instant::now();
    stage.feed();
    stage.stop_worker("w2");
    fired(at, "ten workers had partitions; seven, then one, drained with exit code 0".to_owned())
}

fn partition_added(stage: &mut Stage) -> Fired {
    let fresh = stage.partitions;
    stage.partitions += 1;
    let count = usize::try_from(stage.partitions).expect("a number of partitions");
    kafka::add_partitions(&stage.cluster.servers(), &stage.flow.input, count);
    let at = Instant::now();
    stage.await_partitions();
    stage.feed_to(Some(fresh));
    stage.meanwhile("w0");
    fired(at, format!("partition {fresh} took inputs"))
}

fn fenced(stage: &mut Stage) -> Fired {
    let old = stage.take_worker("w0");
    // Another one of the same name, as after a network split.
    stage.start_worker("w0", "");
    stage.wait_told("w0", "\"running\"");
    stage.feed();
    let (status, old) = stage.wait_end(old);
    let at = Instant::now();
    assert_eq!(status.code(), Some(1), "{}", old.tail());
    assert!(old.stderr().contains("is fenced"), "{}", old.tail());
    stage.meanwhile("w1");
    fired(at, format!("pid {} said that it is fenced, and ended with exit code 1", old.id()))
}

fn timed_out(stage: &mut Stage) -> Fired {
    let wait_ms = TRANSACTION_TIMEOUT_MS + 3_000;
    stage.stop_worker("w0");
    stage.start_worker("w0", &format!("offsets-sent=wait:{wait_ms}@1"));
    stage.await_joined("w0");
    stage.feed();
    stage.wait_told("w0", "a planted fault");
    let at = Instant::now();
    stage.meanwhile("w1");
    stage.wait_told("w0", "the broker ended its transaction");
    fired(at, format!("a transaction was held open for {wait_ms} ms, and w0 told so"))
}

/// Kills the leader of a partition, waits for another one, and brings the first one back.
fn leader_killed(stage: &mut Stage, topic: &str, (victim, partition): (NodeId, i32)) -> Fired {
    let pid = stage.cluster.kill(victim);
    let at = Instant::now();
    let next = stage.cluster.leader_but(topic, partition, &[victim]);
    stage.meanwhile("w1");
    stage.cluster.restart();
    stage.cluster.await_in_sync();
    fired(at, format!("broker {victim} (pid {pid}) is gone, {next} leads {partition} of `{topic}`"))
}

fn broker_killed(stage: &mut Stage) -> Fired {
    let topic = stage.flow.record.clone();
    let victim = stage.cluster.leader_but(&topic, 0, &[]);
    leader_killed(stage, &topic, (victim, 0))
}

fn transaction_coordinator_moved(stage: &mut Stage) -> Fired {
    let topic = "__transaction_state";
    let found = stage.cluster.coordinator(topic, &stage.flow.transactional_id("w0"));
    leader_killed(stage, topic, found)
}

fn group_coordinator_moved(stage: &mut Stage) -> Fired {
    let topic = "__consumer_offsets";
    let found = stage.cluster.coordinator(topic, &stage.flow.group);
    leader_killed(stage, topic, found)
}

fn broker_frozen(stage: &mut Stage) -> Fired {
    let topic = stage.flow.record.clone();
    let victim = stage.cluster.leader_but(&topic, 0, &[]);
    stage.cluster.freeze(victim);
    let at = Instant::now();
    let next = stage.cluster.leader_but(&topic, 0, &[victim]);
    stage.meanwhile("w1");
    std::thread::sleep(stage.outage.saturating_sub(at.elapsed()));
    let time = at.elapsed();
    stage.cluster.thaw(victim);
    stage.cluster.await_in_sync();
    fired(at, format!("broker {victim} stood still for {time:.1?}, {next} leads 0 of `{topic}`"))
}

fn all_brokers_away(stage: &mut Stage) -> Fired {
    let since = Instant::now();
    let pids: Vec<_> = stage.cluster.ids().into_iter().map(|id| stage.cluster.kill(id)).collect();
    assert_eq!(stage.cluster.leader(&stage.flow.input, 0), None, "a broker answers");
    stage.meanwhile("w1");
    std::thread::sleep(stage.outage.saturating_sub(since.elapsed()));
    stage.cluster.restart();
    let at = Instant::now();
    stage.cluster.await_in_sync();
    fired(at, format!("brokers {pids:?} were gone for {:.1?}", at - since))
}
