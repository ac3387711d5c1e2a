//! The cluster, the workers, what is fed to them and what comes out: where faults are played.
//!
//! Between faults two workers run, `w0` and `w1`. It knows no fault; `faults` does.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer};

use super::load;
use super::tail::{Place, Tail};
use crate::support::checker::Report;
use crate::support::cluster::Cluster;
use crate::support::dice::Dice;
use crate::support::flow::{Flow, drain};
use crate::support::kafka::{self, Input, Receipts};
use crate::support::process::{Process, was_killed};
use crate::support::wait_for;

/// Long enough for ten workers to load their models on two cores, and for brokers to come back.
pub(super) const LONG: Duration = Duration::from_mins(5);
/// What a reader sees so soon after a fault was committed before it.
const READER_LAG: Duration = Duration::from_millis(250);
/// Workers between faults.
const USUAL: [&str; 2] = ["w0", "w1"];
/// Partitions of the input at first: more than the workers that ever run.
const PARTITIONS: i32 = 12;
/// The inputs of a round come in so many shares.
const SHARES: usize = 6;
/// Longer than a broker needs to be missed and a leader to be elected.
pub(super) const TRANSACTION_TIMEOUT_MS: u32 = 8_000;

/// What happens during a fault besides it.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// Inputs of the round.
    pub(super) inputs_count: usize,
    /// Whether a worker is told to drain (SIGTERM) during the fault.
    pub(super) is_draining: bool,
}

/// How long it took from a moment until a `read_committed` reader saw outcomes again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    /// Until the first outcome of any input partition.
    pub(super) first: Duration,
    /// Until each input partition that had something to do had an outcome.
    pub(super) all: Duration,
}

/// Where faults are played.
pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) flow: Flow,
    pub(super) dice: Dice,
    /// How long brokers are away.
    pub(super) outage: Duration,
    /// Number of partitions of the input.
    pub(super) partitions: i32,
    workers: BTreeMap<String, Process>,
    producer: BaseProducer<Receipts>,
    tail: Tail,
    inputs: Vec<Input>,
    positions: Vec<Place>,
    round: Round,
    /// Number of the first input of the round.
    first: usize,
}

impl Stage {
    /// Starts three brokers and two workers.
    pub(super) fn start(seed: u64, outage: Duration) -> Self {
        let cluster = Cluster::start();
        let servers = cluster.servers();
        let extra = format!(
            "delivery:\n  commit_interval_ms: 200\n  commit_deliveries_max: 10\n  \
             transaction_timeout_ms: {TRANSACTION_TIMEOUT_MS}\n\
             limits:\n  in_flight_deliveries_max: 60\n"
        );
        let flow = Flow::replicated(&servers, PARTITIONS, &extra);
        // Patient, and soon aware of new partitions and of brokers that are back.
        let patient = [
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "600000"),
            ("reconnect.backoff.max.ms", "500"),
            ("topic.metadata.refresh.interval.ms", "1000"),
        ];
        let producer = kafka::producer_at(&servers, &patient);
        let topics = [flow.record.as_str(), &flow.review, &flow.reject];
        let tail = Tail::start(&servers, &topics, 3);
        let mut stage = Self {
            cluster,
            flow,
            dice: Dice(seed.max(1)),
            outage,
            partitions: PARTITIONS,
            workers: BTreeMap::new(),
            producer,
            tail,
            inputs: Vec::new(),
            positions: Vec::new(),
            round: Round { inputs_count: 0, is_draining: false },
            first: 0,
        };
        for name in USUAL {
            stage.start_worker(name, "");
        }
        stage
    }

    /// Begins a round: a share of its inputs is fed, and the workers are at work.
    pub(super) fn begin(&mut self, round: Round) {
        self.round = round;
        self.first = self.inputs.len();
        self.feed();
        let before = self.first;
        self.wait("the first outcome of a round", |stage| stage.tail.count() > before);
    }

    /// Ends a round: what is left of its inputs is fed, and every input so far has an outcome.
    pub(super) fn end(&mut self) {
        let fed = self.inputs.len() - self.first;
        self.feed_these((fed..self.round.inputs_count).map(|_| None));
        self.acknowledge();
        assert!(self.workers.keys().map(String::as_str).eq(USUAL), "{:?}", self.workers.keys());
        let all = self.inputs.len();
        self.wait("all outcomes", |stage| stage.tail.count() >= all);
    }

    /// Number of the inputs so far.
    pub(super) fn inputs_count(&self) -> usize {
        self.inputs.len()
    }

    /// Feeds a share of the inputs of the round; brokers may be away.
    pub(super) fn feed(&mut self) {
        self.feed_to(None);
    }

    /// Likewise, all to one partition where one is given.
    pub(super) fn feed_to(&mut self, partition: Option<i32>) {
        let fed = self.inputs.len() - self.first;
        let count = (self.round.inputs_count / SHARES).min(self.round.inputs_count - fed);
        self.feed_these((0..count).map(|_| partition));
    }

    fn feed_these(&mut self, partitions: impl Iterator<Item = Option<i32>>) {
        let start = self.inputs.len();
        let fresh = (start..).zip(partitions);
        self.inputs
            .extend(fresh.map(|(number, partition)| Input { partition, ..load::input(number) }));
        let first = start - self.positions.len();
        kafka::offer(&self.producer, &self.flow.input, &self.inputs[start..], first);
    }

    /// Waits until the brokers have taken every input that was fed.
    pub(super) fn acknowledge(&mut self) {
        let open = self.inputs.len() - self.positions.len();
        let topic = &self.flow.input;
        self.positions.extend(kafka::acknowledged(&self.producer, topic, open, LONG));
    }

    /// Waits until the producer of the inputs knows of all their partitions.
    pub(super) fn await_partitions(&self) {
        wait_for("the new partitions", LONG, || {
            let topic = Some(self.flow.input.as_str());
            let metadata = self.producer.client().fetch_metadata(topic, Duration::from_secs(5));
            let metadata = metadata.ok()?;
            let known = metadata.topics().first()?.partitions();
            let is_led = known.iter().all(|partition| partition.leader() >= 0);
            (is_led && i32::try_from(known.len()) == Ok(self.partitions)).then_some(())
        });
    }

    /// What goes on in the middle of a fault: more inputs come, and where the round says so
    /// `name` is told to drain and comes back.
    pub(super) fn meanwhile(&mut self, name: &str) {
        self.feed();
        if self.round.is_draining {
            self.stop_worker(name);
            self.start_worker(name, "");
        }
    }

    /// Starts a worker, with these faults planted.
    pub(super) fn start_worker(&mut self, name: &str, faults: &str) {
        let args = ["--inference-threads", "1", "--text-children", "1"];
        let args = [&args[..], &["--drain-deadline-ms", "8000"]].concat();
        let worker = self.flow.planted(name, &args, faults);
        assert!(self.workers.insert(name.to_owned(), worker).is_none(), "`{name}` runs already");
    }

    /// Waits until a worker has partitions.
    pub(super) fn await_joined(&mut self, name: &str) {
        self.wait_told(name, "partitions assigned");
    }

    /// Waits until the log of a worker that lives says `words`.
    pub(super) fn wait_told(&mut self, name: &str, words: &str) {
        self.wait(&format!("`{words}` of `{name}`"), |stage| {
            stage.worker(name).stderr().contains(words)
        });
    }

    /// SIGTERM: it drains, leaves and ends well.
    pub(super) fn stop_worker(&mut self, name: &str) {
        let mut worker = self.take_worker(name);
        drain(&worker);
        let status = worker.wait(LONG);
        assert!(status.success(), "`{name}` drained with {status}\n{}", worker.tail());
        assert!(worker.stderr().contains("draining"), "{}", worker.tail());
    }

    /// SIGKILL; gives the pid that is gone.
    pub(super) fn kill_worker(&mut self, name: &str) -> u32 {
        let mut worker = self.take_worker(name);
        assert!(worker.exited().is_none(), "`{name}` had ended\n{}", worker.tail());
        assert!(was_killed(worker.kill9()));
        worker.id()
    }

    /// Takes a worker off the stage: that it ends is no fault any more.
    pub(super) fn take_worker(&mut self, name: &str) -> Process {
        self.workers.remove(name).unwrap_or_else(|| panic!("no worker `{name}`"))
    }

    /// Waits for the end of a worker that was taken; the others must live meanwhile.
    pub(super) fn wait_end(&mut self, mut worker: Process) -> (ExitStatus, Process) {
        let status = wait_for("the end of a worker", LONG, || {
            self.assert_alive();
            worker.exited()
        });
        (status, worker)
    }

    fn worker(&self, name: &str) -> &Process {
        self.workers.get(name).unwrap_or_else(|| panic!("no worker `{name}`"))
    }

    fn assert_alive(&mut self) {
        for (name, worker) in &mut self.workers {
            if let Some(status) = worker.exited() {
                panic!("the worker `{name}` ended by itself: {status}\n{}", worker.tail());
            }
        }
    }

    /// All that the workers have told, for one who looks for why they stand still; brokers that are
    /// away fill it otherwise.
    fn stories(&self) -> Vec<String> {
        let told = |(name, worker): (&String, &Process)| {
            let stderr = worker.stderr();
            let lines = stderr.lines().filter(|line| !line.contains("AllBrokersDown"));
            format!("{name}\n{}", lines.collect::<Vec<_>>().join("\n"))
        };
        self.workers.iter().map(told).collect()
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        loop {
            self.assert_alive();
            if is_so(self) {
                return;
            }
            assert!(
                start.elapsed() < LONG,
                "no {what} within {LONG:?}: {} of {} inputs have an outcome\n{}",
                self.tail.count(),
                self.inputs.len(),
                self.stories().join("\n")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How long after `moment` outcomes of this round came again; its inputs must have their
    /// outcomes.
    pub(super) fn recovery(&self, moment: Instant) -> Recovery {
        let mut firsts = BTreeMap::new();
        for ((partition, _), seen) in self.tail.of(&self.positions[self.first..]) {
            if let Some(time) = seen.checked_duration_since(moment).filter(|it| *it >= READER_LAG) {
                let first = firsts.entry(partition).or_insert(time);
                *first = time.min(*first);
            }
        }
        let bounds = firsts.values().min().zip(firsts.values().max());
        let (first, all) = bounds.expect("outcomes came after the fault");
        Recovery { first: *first, all: *all }
    }

    /// Compares everything that was fed with all that a `read_committed` reader finds.
    pub(super) fn check(&self) -> Report {
        self.flow.check(&self.inputs, &self.positions)
    }

    /// Lets all workers drain.
    pub(super) fn close(mut self) {
        for name in USUAL {
            self.stop_worker(name);
        }
    }
}
