//! A pipeline of a test's own: the contracts pipeline on topics that nobody else uses, and what
//! came out of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::checker::{self, Kind, Outcome, Report};
use super::kafka::{self, Input, Seen};
use super::process::Process;
use super::{unique, wait_for};

/// Name of the pipeline, where a test does not choose one.
const PIPELINE: &str = "contracts";

/// Key of redaction, for the flows that redact.
pub(crate) const REDACT_KEY: &str = "a key for the tests of redaction";

/// A pipeline folder and its topics.
pub(crate) struct Flow {
    _folder: TempDir,
    dir: PathBuf,
    name: String,
    servers: String,
    prefix: String,
    pub(crate) input: String,
    pub(crate) record: String,
    pub(crate) review: String,
    pub(crate) reject: String,
    pub(crate) audit: String,
}

/// What a test may choose.
struct Spec<'a> {
    servers: &'a str,
    name: &'a str,
    partitions: i32,
    format: &'a str,
    extra: &'a str,
    /// More lines of `input`.
    input: &'a str,
}

impl<'a> Spec<'a> {
    const fn usual(servers: &'a str) -> Self {
        Self { servers, name: PIPELINE, partitions: 1, format: "json", extra: "", input: "" }
    }
}

/// Where the real pipeline stands.
pub(crate) fn contracts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipelines/contracts")
}

impl Flow {
    /// The contracts pipeline with JSON output on fresh topics of so many partitions; `extra` is
    /// appended to `pipeline.yaml`.
    pub(crate) fn new(partitions: i32, extra: &str) -> Self {
        Self::with(partitions, "json", extra)
    }

    /// Likewise, with output in `format`.
    pub(crate) fn with(partitions: i32, format: &str, extra: &str) -> Self {
        Self::build(&Spec { partitions, format, extra, ..Spec::usual(kafka::brokers()) })
    }

    /// Likewise with JSON output, and logs split into entries.
    pub(crate) fn splitting(partitions: i32, extra: &str) -> Self {
        let input = "  split: log\n";
        Self::build(&Spec { partitions, extra, input, ..Spec::usual(kafka::brokers()) })
    }

    /// Likewise on one partition at these servers.
    pub(crate) fn splitting_at(servers: &str) -> Self {
        Self::build(&Spec { input: "  split: log\n", ..Spec::usual(servers) })
    }

    /// Likewise on one partition, under a name of its own, so that it can run beside another flow.
    pub(crate) fn named(name: &str) -> Self {
        Self::build(&Spec { name, ..Spec::usual(kafka::brokers()) })
    }

    /// Likewise on one partition at these servers, which `wait_for` and the like do not read.
    pub(crate) fn at(servers: &str) -> Self {
        Self::build(&Spec::usual(servers))
    }

    fn build(spec: &Spec<'_>) -> Self {
        let &Spec { servers, name, partitions, format, extra, input: more } = spec;
        let large = [("max.message.bytes", "16777216")];
        let topic = |stem: &str, configs: &[(&str, &str)]| {
            let topic = unique(stem);
            kafka::create_topic_at(servers, &topic, partitions, configs);
            topic
        };
        let input = topic("documents", &large);
        let record = topic("records", &[]);
        let (review, reject) = (topic("reviews", &[]), topic("rejects", &[]));
        let audit = topic("audits", &[]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(contracts().join("pipeline.yaml")).unwrap();
        let yaml = source
            .replace("contracts.documents", &input)
            .replace("contracts.records", &record)
            .replace("contracts.reviews", &review)
            .replace("contracts.rejects", &reject)
            .replace("\nname: contracts\n", &format!("\nname: {name}\n"))
            .replace("contracts.audit", &audit)
            .replace("\noutput:\n", &format!("\noutput:\n  format: {format}\n"));
        let yaml = yaml.replace(
            &format!("  topic: {input}\n"),
            &format!("  topic: {input}\n  group: {}\n{more}", unique("group")),
        );
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("pipelines").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink(root.join("models"), folder.path().join("models")).unwrap();
        std::fs::write(dir.join("pipeline.yaml"), format!("{yaml}\n{extra}\n")).unwrap();
        std::fs::copy(contracts().join("record.avsc"), dir.join("record.avsc")).unwrap();
        let (name, servers) = (name.to_owned(), servers.to_owned());
        let prefix = unique("flow");
        Self { _folder: folder, dir, name, servers, prefix, input, record, review, reject, audit }
    }

    /// The folder, for the command line.
    pub(crate) fn dir(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    /// Starts a worker named `instance` on this pipeline.
    pub(crate) fn worker(&self, instance: &str, args: &[&str]) -> Process {
        let mut all = vec!["run", self.dir(), "--brokers", &self.servers];
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(args);
        // Pipelines of all tests have one name; without a prefix of its own, each would fence the
        // workers of the others.
        all.extend(["--transactional-prefix", &self.prefix]);
        let key = ("SLUICE_REDACT_KEY", REDACT_KEY);
        Process::sluice(&all, &[("SLUICE_INSTANCE", instance), key])
    }

    /// All outcomes that a `read_committed` reader sees now, by topic.
    pub(crate) fn seen(&self) -> Vec<(Kind, Seen)> {
        let topics = [
            (Kind::Record, &self.record),
            (Kind::Review, &self.review),
            (Kind::Reject, &self.reject),
        ];
        let all = topics.into_iter().flat_map(|(kind, topic)| {
            kafka::read_committed_all(topic).into_iter().map(move |seen| (kind, seen))
        });
        all.collect()
    }

    /// Waits until so many outcomes are seen; the worker must stay alive meanwhile.
    pub(crate) fn wait_for(
        &self,
        count: usize,
        worker: &mut Process,
        time: Duration,
    ) -> Vec<(Kind, Seen)> {
        wait_for(&format!("{count} outcomes"), time, || {
            assert!(worker.exited().is_none(), "the worker ended\n{}", worker.tail());
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
    }

    /// Lets the worker drain, and asserts that every part of `inputs` has exactly one outcome.
    pub(crate) fn drain_and_check(
        &self,
        worker: &mut Process,
        inputs: &[Input],
        positions: &[(i32, i64)],
    ) {
        worker.sigterm();
        assert!(worker.wait(Duration::from_mins(1)).success(), "{}", worker.tail());
        let report = self.check(inputs, positions);
        assert!(report.is_clean(), "{report}");
    }

    /// Compares what went in, at these positions, with what came out.
    pub(crate) fn check(&self, inputs: &[Input], positions: &[(i32, i64)]) -> Report {
        let inputs: Vec<_> = inputs
            .iter()
            .zip(positions)
            .map(|(input, (partition, offset))| checker::Input {
                topic: self.input.clone(),
                partition: *partition,
                offset: *offset,
                key: input.key.clone(),
                parts: input.parts.unwrap_or(1),
            })
            .collect();
        let outcomes: Vec<_> =
            self.seen().into_iter().map(|(kind, seen)| outcome(kind, &seen)).collect();
        let mut report = checker::check(&self.name, &inputs, &outcomes);
        let entries: Vec<_> = kafka::read_committed_all(&self.audit).iter().map(entry).collect();
        checker::check_audit(&outcomes, &entries, &mut report);
        report
    }
}

fn outcome(kind: Kind, seen: &Seen) -> Outcome {
    let header = |name: &str| seen.header(name).unwrap_or_default();
    let source = match kind {
        Kind::Reject => {
            let number = |name: &str| header(name).parse::<i64>().unwrap();
            (
                number("sluice-source-partition"),
                number("sluice-source-offset"),
                number("sluice-part"),
            )
        }
        Kind::Record | Kind::Review => {
            let body = json(seen);
            let number = |name: &str| body["provenance"][name].as_i64().unwrap();
            (number("source_partition"), number("source_offset"), number("part"))
        }
    };
    Outcome {
        record_id: header("sluice-record-id"),
        kind,
        source_partition: i32::try_from(source.0).unwrap(),
        source_offset: source.1,
        part: u32::try_from(source.2).unwrap(),
        key: seen.key.clone(),
        output_partition: seen.partition,
        output_offset: seen.offset,
    }
}

/// Record id and outcome of an entry of the audit.
fn entry(seen: &Seen) -> (String, Kind) {
    let body = json(seen);
    let kind = match body["outcome"].as_str().unwrap() {
        "record" => Kind::Record,
        "review" => Kind::Review,
        "reject" => Kind::Reject,
        other => panic!("no outcome is called {other}"),
    };
    (body["record_id"].as_str().unwrap().to_owned(), kind)
}

/// The body of a record, a review or an entry of the audit as JSON.
pub(crate) fn json(seen: &Seen) -> Value {
    serde_json::from_slice(seen.payload.as_deref().unwrap()).unwrap()
}

/// A short contract in plain text; each number gives another one.
pub(crate) fn short_contract(number: usize) -> Input {
    let states = ["Delaware", "New York", "Texas", "California"];
    let text = format!(
        "SUPPLY AGREEMENT No. {number}. This Supply Agreement is entered into as of January {}, 2019 \
         by and between Alpha {number} Holdings, Inc., a Delaware corporation, and Beta Trading LLC. \
         Neither party may assign this Agreement without the prior written consent of the other \
         party. This Agreement shall be governed by the laws of the State of {}.",
        number % 28 + 1,
        states[number % states.len()]
    );
    Input::new(&format!("key-{}", number % 100), text.as_bytes())
        .header("content-type", b"text/plain")
        .header("document-id", format!("contract-{number}").as_bytes())
}
