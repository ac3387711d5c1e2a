//! Output topics -> which outcomes a `read_committed` reader has seen, and when.
//!
//! A thread of its own reads all the time, so that the moment of a commit is known. It judges nothing: the checker reads the
//! topics again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::kafka::{self, Seen};
use crate::support::unique;

/// Place of an input: partition and offset.
pub(super) type Place = (i32, i64);

type Arrivals = BTreeMap<Place, Instant>;

/// A reader at work.
pub(super) struct Tail {
    arrivals: Arc<Mutex<Arrivals>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tail {
    /// Reads all partitions of `topics`, `partitions` each, from the beginning.
    pub(super) fn start(servers: &str, topics: &[&str], partitions: i32) -> Self {
        let mut config = kafka::client_of(servers);
        config.set("group.id", unique("tail")).set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "50");
        // It measures how soon others are back, so it must be back before.
        config.set("reconnect.backoff.max.ms", "200").set("fetch.error.backoff.ms", "50");
        config.set("topic.metadata.refresh.interval.ms", "1000");
        let consumer: BaseConsumer = kafka::create(&config);
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..partitions {
                let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
                added.expect("naming a partition");
            }
        }
        consumer.assign(&assignment).expect("assigning partitions");
        let (arrivals, is_over) = (Arc::<Mutex<Arrivals>>::default(), Arc::<AtomicBool>::default());
        let (seen, stop) = (Arc::clone(&arrivals), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // Errors mend themselves, or the wait for outcomes ends.
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
                let now = Instant::now();
                lock(&seen).entry(place(&Seen::of(&message))).or_insert(now);
            }
        });
        Self { arrivals, is_over, thread: Some(thread) }
    }

    /// How many inputs have an outcome.
    pub(super) fn count(&self) -> usize {
        lock(&self.arrivals).len()
    }

    /// When the outcome of each input came, for those of `places` that have one.
    pub(super) fn of(&self, places: &[Place]) -> Vec<(Place, Instant)> {
        let arrivals = lock(&self.arrivals);
        places.iter().filter_map(|place| Some((*place, *arrivals.get(place)?))).collect()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The input of an outcome, by its record id `PIPELINE/TOPIC/PARTITION/OFFSET/PART`.
fn place(seen: &Seen) -> Place {
    let id = seen.header("sluice-record-id").expect("every outcome has a record id");
    let mut words = id.rsplit('/').skip(1).map(|word| word.parse::<i64>().expect("a number"));
    let offset = words.next().expect("an offset");
    (words.next().and_then(|it| i32::try_from(it).ok()).expect("a partition"), offset)
}
