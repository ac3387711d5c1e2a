//! The worker at full load on inputs of mixed sizes and kinds, hostile ones among them: its resident memory and that of its
//! text children, against the bound that it tells and against time.
//!
//! Short in the tests, where it shows the bound only; `make soak MINUTES=160` shows the slope. A run of minutes cannot: caches
//! and arenas still fill, and the interval of the slope is as wide as its samples are few.
//!
//! What is resident under load goes up and down by tens of megabytes with what is in work, and hides growth of one. So every
//! 40 seconds of load end with a rest: all is committed, what the allocator gives back late is given back, and what is resident
//! then is what stays. The slope of that is judged; that under load is told beside it.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::pdf_maker::{Pdf, Stream};
use crate::service::get;
use crate::support::broker::Broker;
use crate::support::dice::Dice;
use crate::support::flow::{Flow, short_contract};
use crate::support::kafka::{Input, producer, send_all};
use crate::support::memory::resident_bytes;
use crate::support::process::Process;
use crate::support::slope::Slope;
use crate::support::{env, jvm, wait_for};

const LONG: Duration = Duration::from_mins(3);
/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Samples whose median is a point of the slope: what is resident between the peaks of single documents.
const MEDIAN_OF: usize = 15;
/// Points of the slope between two that are printed.
const SHOWN_EVERY: usize = 20;
/// Time at full load between two rests: as the rests differ by more than memory grows in an hour, many of them are needed.
const LOAD: Duration = Duration::from_secs(40);
/// From the last commit to the sample of a rest: jemalloc gives back what is not used for 10 s, by a thread that looks every 10 s
/// where there are few pages.
const SETTLE: Duration = Duration::from_secs(22);
/// From so many minutes on the slope is judged.
const JUDGED_MINUTES_MIN: f64 = 110.0;
/// Most growth, in megabytes an hour.
const GROWTH_MB_MAX: f64 = 1.0;
/// Time within which some outcome is published, or the worker stands still and shows nothing.
const STILL_MAX: Duration = Duration::from_mins(3);
/// Messages that wait or are in work at least, so that no thread of the worker ever waits; few enough that all are done soon.
const BACKLOG_COUNT: u64 = 30;
/// Rounds that are sent at once.
const ROUNDS_AT_ONCE: usize = 2;

/// What was seen at one time.
struct Sample {
    hours: f64,
    worker_bytes: u64,
    children_bytes: u64,
}

/// Inputs of one round; each number gives others. Their sizes are drawn each by itself, so that they do not come in waves.
fn round(number: usize, dice: &mut Dice) -> Vec<Input> {
    let mut below = |most| usize::try_from(dice.roll(most)).expect("a small number");
    let typed = |key: &str, kind: &str, body: &[u8]| {
        Input::new(&format!("{key}-{number}"), body).header("content-type", kind.as_bytes())
    };
    let contract = |index: usize| {
        String::from_utf8(short_contract(number * 7 + index).payload.unwrap()).unwrap()
    };
    let log = |lines: usize| {
        (0..lines).fold(String::new(), |mut log, line| {
            let (minute, second) = (line % 60, number % 60);
            let place = format!("pump {line} of plant {number}");
            writeln!(log, "2026-01-01 10:{minute:02}:{second:02} WARN {place} leaks").unwrap();
            log
        })
    };
    let note = json!({"resourceType": "DocumentReference", "id": format!("note-{number}"), "content": [
        {"attachment": {"contentType": "text/plain", "data": STANDARD.encode(contract(1))}}]});
    let paragraphs: Vec<_> = (0..=below(40) * 3).map(contract).collect();
    let page = |index| Stream::line(contract(index).get(..90).unwrap_or_default());
    let pages: Vec<_> = (0..=below(12)).map(page).collect();
    let mut inputs = vec![
        typed("short", "text/html", contract(0).as_bytes()),
        typed("few-lines", "text/plain", log(3).as_bytes()),
        typed("lines", "text/plain", log(1 + below(120)).as_bytes()),
        typed("note", "application/fhir+json", note.to_string().as_bytes()),
        typed("contract", "text/html", paragraphs.join("<p>").as_bytes()),
        typed("pages", "application/pdf", &Pdf::of_pages(&pages).bytes()),
    ];
    inputs.push(match number % 6 {
        0 => typed("cut", "application/pdf", &Pdf::of_pages(&pages).bytes()[..200]),
        1 => typed("nested", "application/fhir+json", "[".repeat(50_000).as_bytes()),
        2 => typed("bytes", "text/plain", &b"\xFF\xFE\n".repeat(500)),
        3 => typed("endless", "text/plain", &b"x".repeat(100_000)),
        4 => typed("word", "text/html", &b"x".repeat(1_000_000)),
        _ => typed("many", "text/plain", &b"a\n".repeat(10_001)),
    });
    if number % 50 == 49 {
        let bomb = Pdf::of_pages(&[Stream::bomb(b"q ", 20_000_000)]);
        inputs.push(typed("bomb", "application/pdf", &bomb.bytes()));
    }
    inputs
}

/// The sum of the numbers of a metric.
fn metric(page: &str, name: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("less than 4 TiB")) / 1024.0
}

impl Sample {
    const fn own(&self) -> u64 {
        self.worker_bytes
    }

    const fn children(&self) -> u64 {
        self.children_bytes
    }

    const fn both(&self) -> u64 {
        self.worker_bytes + self.children_bytes
    }
}

/// Medians in megabytes of so many samples each, at the hours of their middles.
fn medians(samples: &[Sample], of: fn(&Sample) -> u64) -> Vec<(f64, f64)> {
    let point = |few: &[Sample]| {
        let mut values: Vec<_> = few.iter().map(of).collect();
        values.sort_unstable();
        (few[MEDIAN_OF / 2].hours, megabytes(values[MEDIAN_OF / 2]))
    };
    samples.chunks_exact(MEDIAN_OF).map(point).collect()
}

/// Megabytes at the hours of the samples.
fn points(samples: &[Sample], of: fn(&Sample) -> u64) -> Vec<(f64, f64)> {
    samples.iter().map(|sample| (sample.hours, megabytes(of(sample)))).collect()
}

#[test]
fn memory_at_full_load_stays_within_its_bound() {
    let minutes = env("SLUICE_SOAK_MINUTES")
        .map_or(0.4, |text| text.parse().expect("SLUICE_SOAK_MINUTES in minutes"));
    // What has been read for long is dropped, or a night of it fills the disk.
    let broker = Broker::start(&[
        ("log.retention.bytes", "134217728"),
        ("log.segment.bytes", "33554432"),
        ("log.retention.check.interval.ms", "30000"),
    ]);
    let flow = Flow::splitting_at(broker.address());
    let listen = format!("127.0.0.1:{}", jvm::free_port());
    let mut worker = flow.worker("a", &["--listen", &listen]);
    let running = wait_for("a running worker", LONG, || {
        assert!(worker.exited().is_none(), "{}", worker.tail());
        worker.logs().into_iter().find(|line| line["message"] == "running")
    });
    let bound = |name: &str| running[name].as_u64().expect("the worker tells its bound");
    let page = || get(&format!("http://{listen}/metrics")).1;
    let sender = producer(&[("bootstrap.servers", broker.address())]);
    let mut dice = Dice(0x5EED_50A4);
    let (mut samples, mut rests, mut rounds, mut sent) = (Vec::new(), Vec::new(), 0, 0);
    let begun = Instant::now();
    let sample = |worker: &Process| {
        let (worker_bytes, children_bytes) = resident_bytes(worker.id()).expect("it lives");
        Sample { hours: begun.elapsed().as_secs_f64() / 3600.0, worker_bytes, children_bytes }
    };
    let (mut ended, mut moved, mut loaded) = (0, begun, begun);
    while begun.elapsed().as_secs_f64() < minutes * 60.0 {
        let mut seen = page();
        let done = |page: &str| {
            let (begun, open) = ("sluice_deliveries_total", "sluice_in_flight_deliveries");
            metric(page, begun).saturating_sub(metric(page, open))
        };
        let is_resting = loaded.elapsed() >= LOAD;
        if is_resting && done(&seen) == sent {
            std::thread::sleep(SETTLE);
            let rest = sample(&worker);
            let (own, both) = (megabytes(rest.own()), megabytes(rest.both()));
            println!(
                "at rest after {:.1} minutes: {own:.1} MB, with children {both:.1}",
                rest.hours * 60.0
            );
            rests.push(rest);
            loaded = Instant::now();
            continue;
        }
        while !is_resting && sent < done(&seen) + BACKLOG_COUNT {
            let now = rounds..rounds + ROUNDS_AT_ONCE;
            let inputs: Vec<_> = now.flat_map(|number| round(number, &mut dice)).collect();
            rounds += ROUNDS_AT_ONCE;
            sent += u64::try_from(send_all(&sender, &flow.input, &inputs).len()).unwrap();
            seen = page();
        }
        assert!(worker.exited().is_none(), "{}", worker.tail());
        let outcomes = metric(&seen, "sluice_outcomes_total");
        if outcomes > ended {
            (ended, moved) = (outcomes, Instant::now());
        }
        assert!(moved.elapsed() < STILL_MAX, "it stands still at {ended}\n{}", worker.tail());
        samples.push(sample(&worker));
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    println!("{minutes} minutes: {sent} messages, {ended} outcomes");
    assert!(ended > 0, "nothing was worked on\n{}", worker.tail());
    tell_peak("worker", &samples, Sample::own, bound("memory_bytes_max"));
    tell_peak("text children", &samples, Sample::children, bound("children_memory_bytes_max"));
    tell_course(&samples);
    let slope = tell_slopes(&samples, &rests);
    if minutes >= JUDGED_MINUTES_MIN {
        let slope = slope.expect("samples enough");
        assert!(slope.upper() < GROWTH_MB_MAX, "memory grows: {slope:?}");
    }
}

/// Prints the most that was resident, and checks it against its bound.
fn tell_peak(what: &str, samples: &[Sample], of: fn(&Sample) -> u64, bound: u64) {
    let peak = samples.iter().map(of).max().expect("samples");
    let (most, limit) = (megabytes(peak), megabytes(bound));
    println!("resident at most, {what}: {most:.0} MB, bound {limit:.0} MB");
    assert!(peak < bound, "{what} pass their bound");
}

/// Prints what was resident under load when.
fn tell_course(samples: &[Sample]) {
    let worker = medians(samples, Sample::own);
    let both = medians(samples, Sample::both);
    for ((hours, worker), (_, both)) in worker.iter().zip(&both).step_by(SHOWN_EVERY) {
        println!("after {:.0} minutes: {worker:.0} MB, with children {both:.0}", hours * 60.0);
    }
}

/// Prints how memory grows over the last two thirds; gives the slope of what stays at rest.
fn tell_slopes(samples: &[Sample], rests: &[Sample]) -> Option<Slope> {
    let tell = |what: &str, points: Vec<(f64, f64)>| {
        let settled = points.get(points.len() / 3..).unwrap_or_default();
        let slope = Slope::of(settled)?;
        let (mean, margin, count) = (slope.mean, slope.margin, settled.len());
        println!(
            "slope {what}: {mean:.2} MB an hour, 95 % interval +- {margin:.2}, {count} points"
        );
        Some(slope)
    };
    tell("under load", medians(samples, Sample::both));
    tell("at rest, without children", points(rests, Sample::own));
    tell("at rest", points(rests, Sample::both))
}
