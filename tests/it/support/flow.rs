//! A pipeline of a test's own: a shipped pipeline, most often that of contracts, on topics that
//! nobody else uses, and what came out of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::checker::{self, Kind, Outcome, Report};
use super::kafka::{self, Input, Seen};
use super::process::Process;
use super::{unique, wait_for};

/// The pipeline, where a test does not choose one; also its name.
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
    /// The consumer group.
    pub(crate) group: String,
    pub(crate) input: String,
    pub(crate) record: String,
    pub(crate) review: String,
    pub(crate) reject: String,
    pub(crate) audit: String,
}

/// What a test may choose.
struct Spec<'a> {
    servers: &'a str,
    /// Folder below `pipelines/`.
    pipeline: &'a str,
    name: &'a str,
    /// Of the input topic.
    partitions: i32,
    /// Of each output topic.
    output_partitions: i32,
    replicas: i32,
    format: &'a str,
    extra: &'a str,
    /// More lines of `input`.
    input: &'a str,
    /// Section of `pipeline.yaml` that is left out.
    without: Option<&'a str>,
}

impl<'a> Spec<'a> {
    const fn usual(servers: &'a str) -> Self {
        Self {
            servers,
            pipeline: PIPELINE,
            name: PIPELINE,
            partitions: 1,
            output_partitions: 1,
            replicas: 1,
            format: "json",
            extra: "",
            input: "",
            without: None,
        }
    }
}

/// Where a shipped pipeline stands.
pub(crate) fn shipped(pipeline: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(pipeline)
}

/// Where the pipeline of contracts stands.
pub(crate) fn contracts() -> PathBuf {
    shipped(PIPELINE)
}

/// `yaml` without its section `name`, which ends at the next line that begins with a letter.
fn without(yaml: &str, name: &str) -> String {
    let mut is_inside = false;
    let lines = yaml.split_inclusive('\n').filter(|line| {
        if line.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            is_inside = line.starts_with(&format!("{name}:"));
        }
        !is_inside
    });
    lines.collect()
}

/// `yaml` with `value` behind `key`, which stands there once.
fn with(yaml: &str, key: &str, value: &str) -> String {
    let mut count = 0;
    let lines = yaml.split_inclusive('\n').map(|line| {
        if line.trim_start().starts_with(&format!("{key}:")) {
            count += 1;
            let indent = line.len() - line.trim_start().len();
            return format!("{}{key}: {value}\n", line.get(..indent).unwrap_or_default());
        }
        line.to_owned()
    });
    let changed = lines.collect();
    assert_eq!(count, 1, "`{key}` stands once in the file");
    changed
}

impl Flow {
    /// The contracts pipeline with JSON output on fresh topics of so many partitions; `extra` is
    /// appended to `pipeline.yaml`.
    pub(crate) fn new(partitions: i32, extra: &str) -> Self {
        Self::with(partitions, "json", extra)
    }

    /// Likewise, with output in `format`.
    pub(crate) fn with(partitions: i32, format: &str, extra: &str) -> Self {
        let output_partitions = partitions;
        let usual = Spec::usual(kafka::brokers());
        Self::build(&Spec { partitions, output_partitions, format, extra, ..usual })
    }

    /// Likewise with JSON output, and logs split into entries.
    pub(crate) fn splitting(partitions: i32, extra: &str) -> Self {
        let (input, output_partitions) = ("  split: log\n", partitions);
        let usual = Spec::usual(kafka::brokers());
        Self::build(&Spec { partitions, output_partitions, extra, input, ..usual })
    }

    /// The shipped pipeline of that folder with Avro output on so many partitions, without the
    /// section `without` of its file.
    pub(crate) fn shipped(
        pipeline: &str,
        partitions: i32,
        without: Option<&str>,
        extra: &str,
    ) -> Self {
        let (name, output_partitions) = (pipeline, partitions);
        let usual = Spec { partitions, output_partitions, ..Spec::usual(kafka::brokers()) };
        Self::build(&Spec { pipeline, name, format: "avro", extra, without, ..usual })
    }

    /// Likewise with JSON output, `claims` as more lines of `input`, and `extra` behind it all.
    pub(crate) fn claiming(partitions: i32, claims: &str, extra: &str) -> Self {
        let (input, output_partitions) = (claims, partitions);
        let usual = Spec::usual(kafka::brokers());
        Self::build(&Spec { partitions, output_partitions, extra, input, ..usual })
    }

    /// Likewise on one partition, under a name of its own.
    pub(crate) fn claiming_named(name: &str, claims: &str) -> Self {
        Self::build(&Spec { name, input: claims, ..Spec::usual(kafka::brokers()) })
    }

    /// Likewise on one partition at these servers.
    pub(crate) fn splitting_at(servers: &str) -> Self {
        Self::build(&Spec { input: "  split: log\n", ..Spec::usual(servers) })
    }

    /// Likewise on one partition, under a name of its own, so that it can run beside another flow.
    pub(crate) fn named(name: &str) -> Self {
        Self::build(&Spec { name, ..Spec::usual(kafka::brokers()) })
    }

    /// Likewise on one partition at these servers.
    pub(crate) fn at(servers: &str) -> Self {
        Self::build(&Spec::usual(servers))
    }

    /// Likewise on three servers, with a replica of each partition on each of them.
    pub(crate) fn replicated(servers: &str, partitions: i32, extra: &str) -> Self {
        let usual = Spec::usual(servers);
        Self::build(&Spec { partitions, output_partitions: 3, replicas: 3, extra, ..usual })
    }

    fn build(spec: &Spec<'_>) -> Self {
        let &Spec { servers, name, partitions, output_partitions, replicas, .. } = spec;
        let &Spec { pipeline, format, extra, input: more, without, .. } = spec;
        let large = [("max.message.bytes", "16777216")];
        let topic = |stem: &str, partitions: i32, configs: &[(&str, &str)]| {
            let topic = unique(stem);
            kafka::create_topic_at(servers, &topic, (partitions, replicas), configs);
            topic
        };
        let output = |stem: &str| topic(stem, output_partitions, &[]);
        let input = topic("documents", partitions, &large);
        let (record, review, reject) = (output("records"), output("reviews"), output("rejects"));
        let audit = output("audits");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = shipped(pipeline);
        let yaml = std::fs::read_to_string(source.join("pipeline.yaml")).unwrap();
        // A section of the test's own stands for the shipped one; the limits of parts are the
        // worker's.
        let own = extra.lines().filter(|line| !line.starts_with(' '));
        let own = own.filter_map(|line| line.split_once(':')).map(|(section, _)| section);
        let yaml = without.into_iter().chain(own).fold(yaml, |yaml, it| self::without(&yaml, it));
        let yaml = yaml.replace("  parts_max: 100\n", "");
        let topics = [
            ("topic", &input),
            ("record_topic", &record),
            ("review_topic", &review),
            ("reject_topic", &reject),
            ("audit_topic", &audit),
        ];
        let yaml = topics.iter().fold(yaml, |yaml, (key, topic)| with(&yaml, key, topic));
        let yaml = yaml
            .replace(&format!("\nname: {pipeline}\n"), &format!("\nname: {name}\n"))
            .replace("\noutput:\n", &format!("\noutput:\n  format: {format}\n"));
        let group = unique("group");
        let yaml = yaml.replace(
            &format!("  topic: {input}\n"),
            &format!("  topic: {input}\n  group: {group}\n{more}"),
        );
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("pipelines").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink(root.join("models"), folder.path().join("models")).unwrap();
        std::fs::write(dir.join("pipeline.yaml"), format!("{yaml}\n{extra}\n")).unwrap();
        std::fs::copy(source.join("record.avsc"), dir.join("record.avsc")).unwrap();
        let (name, servers) = (name.to_owned(), servers.to_owned());
        let prefix = unique("flow");
        Self {
            _folder: folder,
            dir,
            name,
            servers,
            prefix,
            group,
            input,
            record,
            review,
            reject,
            audit,
        }
    }

    /// The folder, for the command line.
    pub(crate) fn dir(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    /// A second folder of the pipeline, with `pipeline.yaml` as `edit` makes it.
    pub(crate) fn edited(&self, edit: impl FnOnce(String) -> String) -> String {
        let dir = self.dir.with_file_name(unique("edited"));
        std::fs::create_dir(&dir).unwrap();
        let yaml = std::fs::read_to_string(self.dir.join("pipeline.yaml")).unwrap();
        std::fs::write(dir.join("pipeline.yaml"), edit(yaml)).unwrap();
        std::fs::copy(self.dir.join("record.avsc"), dir.join("record.avsc")).unwrap();
        dir.to_str().unwrap().to_owned()
    }

    /// First part of the transactional ids of its workers.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Starts a worker named `instance` on this pipeline.
    pub(crate) fn worker(&self, instance: &str, args: &[&str]) -> Process {
        self.worker_with(instance, args, &[])
    }

    /// Likewise, with more in its environment.
    pub(crate) fn worker_with(
        &self,
        instance: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Process {
        self.start(self.dir(), instance, args, env)
    }

    /// Likewise, with these faults planted, see `src/failpoint.rs`.
    pub(crate) fn planted(&self, instance: &str, args: &[&str], faults: &str) -> Process {
        self.worker_with(instance, args, &[("SLUICE_FAILPOINTS", faults)])
    }

    /// Starts a worker named `instance` on the folder `dir` of this pipeline.
    pub(crate) fn worker_of(&self, dir: &str, instance: &str, args: &[&str]) -> Process {
        self.start(dir, instance, args, &[])
    }

    fn start(&self, dir: &str, instance: &str, args: &[&str], env: &[(&str, &str)]) -> Process {
        let all = self.arguments(dir, args);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let own = [("SLUICE_INSTANCE", instance), ("SLUICE_REDACT_KEY", REDACT_KEY)];
        Process::sluice(&all, &[&own, env].concat())
    }

    /// Likewise, as the last arguments of another program, which becomes the worker.
    #[cfg_attr(
        not(feature = "failpoints"),
        expect(dead_code, reason = "the tests that plant faults need it")
    )]
    pub(crate) fn worker_through(
        &self,
        program: &[&str],
        instance: &str,
        args: &[&str],
    ) -> Process {
        let mut command = Command::new(program[0]);
        let all = self.arguments(self.dir(), args);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_sluice")).args(all);
        command.env("SLUICE_INSTANCE", instance).env("SLUICE_REDACT_KEY", REDACT_KEY);
        Process::spawn("sluice", command)
    }

    /// The command line of a worker on the folder `dir`.
    fn arguments(&self, dir: &str, args: &[&str]) -> Vec<String> {
        let mut all = vec!["run", dir, "--brokers", &self.servers];
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(args);
        // Pipelines of all tests have one name; without a prefix of its own, each would fence the
        // workers of the others.
        all.extend(["--transactional-prefix", &self.prefix]);
        all.into_iter().map(str::to_owned).collect()
    }

    /// The transactional id of the worker named `instance`.
    pub(crate) fn transactional_id(&self, instance: &str) -> String {
        format!("{}.{}.{instance}", self.prefix, self.name)
    }

    /// All outcomes that a `read_committed` reader sees now, by topic.
    pub(crate) fn seen(&self) -> Vec<(Kind, Seen)> {
        let topics = [
            (Kind::Record, &self.record),
            (Kind::Review, &self.review),
            (Kind::Reject, &self.reject),
        ];
        let all = topics.into_iter().flat_map(|(kind, topic)| {
            kafka::read_committed_at(&self.servers, topic).into_iter().map(move |seen| (kind, seen))
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
        drain(worker);
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
        let audit = kafka::read_committed_at(&self.servers, &self.audit);
        let entries: Vec<_> = audit.iter().map(entry).collect();
        checker::check_audit(&outcomes, &entries, &mut report);
        report
    }
}

/// SIGTERM to a worker, however short it lives: one that has not begun would end by the signal.
pub(crate) fn drain(worker: &Process) {
    wait_for("the worker to take SIGTERM", Duration::from_mins(1), || {
        worker.takes_sigterm().then_some(())
    });
    worker.sigterm();
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
