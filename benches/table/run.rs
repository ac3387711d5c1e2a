//! `workload -> time`, by a worker on a real Kafka, seen from outside.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::corpus::Workload;
use crate::support::checker::Kind;
use crate::support::flow::Flow;
use crate::support::kafka;
use crate::support::process::Process;
use crate::support::wait_for;
use crate::usage::{Usage, Watch};

/// Longest wait for a run.
pub const LONG: Duration = Duration::from_mins(30);
/// Partitions of the input.
pub const PARTITIONS: i32 = 4;
/// Time between two questions for what is committed, until nine tenths are.
const ASKED_INTERVAL: Duration = Duration::from_millis(500);

/// One run of a workload.
pub struct Run {
    /// From ready to the last commit.
    pub seconds: f64,
    /// From the start to ready.
    pub ready_seconds: f64,
    /// What it used meanwhile.
    pub usage: Usage,
}

/// Runs a worker over all messages, with more lines of `pipeline.yaml` and more arguments.
pub fn worker(workload: &Workload, extra: &str, args: &[&str]) -> Run {
    run(workload, extra, args, |_| ())
}

/// Has the broker do once what is measured next: a Java that has just started compiles meanwhile, and would slow the first round.
pub fn warm_broker(workload: &Workload) {
    println!(
        "{}: a run before all, to warm the broker, {:.1} s",
        workload.name,
        worker(workload, "", &[]).seconds
    );
}

/// Bytes of a review of the first message, and that no other outcome came of it.
pub fn review_bytes(workload: &Workload) -> usize {
    let flow = Flow::shipped(workload.pipeline, PARTITIONS, None, "");
    kafka::produce(&flow.input, &workload.inputs[..1]);
    let mut worker = flow.worker("bench", &[]);
    flow.wait_for(1, &mut worker, LONG);
    let (kind, seen) = flow.seen().remove(0);
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    assert!(kind == Kind::Review, "a text in a foreign language goes to review");
    seen.payload.expect("a body").len()
}

/// Likewise with all its threads on one core.
pub fn worker_on_one_core(workload: &Workload) -> Run {
    run(workload, "", &["--inference-threads", "1", "--text-children", "1"], |worker| {
        let pid = worker.id().to_string();
        let taskset = Command::new("taskset").args(["-a", "-p", "-c", "0", &pid]).output();
        assert!(taskset.expect("taskset").status.success(), "taskset takes a core");
    })
}

fn run(workload: &Workload, extra: &str, args: &[&str], before: impl FnOnce(&Process)) -> Run {
    let flow = Flow::shipped(workload.pipeline, PARTITIONS, None, extra);
    let positions = kafka::produce(&flow.input, &workload.inputs);
    let begun = Instant::now();
    let mut worker = flow.worker("bench", args);
    await_joined(&mut worker);
    before(&worker);
    let run = measure(&worker, begun, &flow.group, &flow.input, &positions);
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    run
}

/// Waits until the worker has its partitions.
pub fn await_joined(worker: &mut Process) {
    wait_for("assigned partitions", LONG, || {
        assert!(worker.exited().is_none(), "{}", worker.tail());
        worker.stderr().contains("partitions assigned").then_some(())
    });
}

/// Measures from now until the group has committed all that stands at these positions.
pub fn measure(
    process: &Process,
    begun: Instant,
    group: &str,
    topic: &str,
    positions: &[(i32, i64)],
) -> Run {
    let ready = Instant::now();
    let watch = Watch::start(process.id());
    let mut config = kafka::client();
    config.set("group.id", group);
    let consumer: BaseConsumer = kafka::create(&config);
    // Of one partition the last, which is the highest, stays.
    let ends: BTreeMap<_, _> =
        positions.iter().map(|(partition, offset)| (*partition, *offset + 1)).collect();
    let mut asked = TopicPartitionList::new();
    for partition in ends.keys() {
        asked.add_partition(topic, *partition);
    }
    let total: i64 = ends.values().sum();
    wait_for("the last commit", LONG, || {
        let found = consumer.committed_offsets(asked.clone(), Duration::from_secs(30)).ok()?;
        let committed = |(partition, end): (&i32, &i64)| {
            let Offset::Offset(offset) = found.find_partition(topic, *partition)?.offset() else {
                return None;
            };
            Some(offset.min(*end))
        };
        let done: i64 = ends.iter().filter_map(committed).sum();
        if done * 10 < total * 9 {
            // To be asked costs the broker time that the worker lacks.
            thread::sleep(ASKED_INTERVAL);
        }
        (done == total).then_some(())
    });
    let seconds = ready.elapsed().as_secs_f64();
    Run { seconds, ready_seconds: ready.duration_since(begun).as_secs_f64(), usage: watch.end() }
}
