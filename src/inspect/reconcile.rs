//! `input topic, output topics -> whether every part has exactly one outcome`: `sluice reconcile`.
//!
//! How many parts a message has is found by decoding it again, as the worker does. Outcomes are told
//! by their record id, which redaction leaves as it is, so that a flow that redacts is reconciled
//! like any other. Big ranges are checked in sweeps of [`PARTS_MAX`] parts, each of which reads the
//! outputs once. Deliberately looks into no record: that is `sluice replay`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use rdkafka::message::{BorrowedMessage, Message};
use serde::Serialize;
use serde_json::{Value, json};

use super::configs::{self, Configs};
use super::range::{Asked, RangeArgs};
use super::tally::{PartOf, Sent, Sweep, Verdict};
use super::topics::{Isolation, Range, Topics, header};
use super::{RecordId, output_topics};
use crate::config::Flow;
use crate::config::pipeline::Tombstone;
use crate::decode::{Decoded, decode};
use crate::error::Fault;
use crate::kafka::Connection;
use crate::registry::Client;
use crate::sink::codec::{Codec, Form};
use crate::source;
use crate::types::OutcomeKind;
use crate::worker;

/// Limit: parts of one sweep, see [`super::tally`].
pub const PARTS_MAX: usize = 2_000_000;
/// Longest wait until the outputs that were there at the start are stable: no transaction of sluice
/// is longer, see `delivery.transaction_timeout_ms`.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at what is not stable yet.
const SETTLE_INTERVAL: Duration = Duration::from_millis(500);
/// How far the clocks of sender and worker may be apart where `--since` narrows the outputs.
const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What to look at.
pub struct Question<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// How to reach the cluster.
    pub connection: &'a Connection,
    /// Finds the schema of an Avro envelope, and of an audit entry in Confluent wire format.
    pub registry: Option<&'a Arc<Client>>,
    /// Which inputs.
    pub range: &'a RangeArgs,
    /// Parts of one sweep; [`PARTS_MAX`] unless memory is short.
    pub parts_max: usize,
}

/// Numbers of input offsets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Offsets {
    /// Asked for.
    pub asked: i64,
    /// No longer in the topic.
    pub expired: i64,
    /// Without a message: compacted, aborted, or a mark of a transaction.
    pub gaps: i64,
    /// Not committed by the group, or not in the topic yet.
    pub uncommitted: i64,
}

/// The answer.
pub struct Report {
    /// Group whose offsets count.
    pub group: String,
    /// Input topic.
    pub topic: String,
    /// Input offsets.
    pub offsets: Offsets,
    /// Sums and findings.
    pub verdict: Verdict,
    /// Whether the flow writes an audit.
    pub has_audit: bool,
    /// Messages on output topics that are not of this flow.
    pub foreign: u64,
    /// Output partitions that an open transaction holds up.
    pub unstable: Vec<String>,
}

/// An output topic while it is read.
struct Output {
    topic: String,
    kind: Option<OutcomeKind>,
    ranges: Vec<Range>,
    /// By output partition that has lost its beginning, by input partition: first offset seen.
    floors: BTreeMap<i32, BTreeMap<i32, i64>>,
    is_compacted: bool,
    /// What was sent then or later, in milliseconds since 1970, its retention has not deleted.
    kept_since_ms: i64,
}

impl Output {
    /// Whether an outcome of `message` may have been deleted here.
    fn may_lack(&self, message: Sent) -> bool {
        if self.is_compacted {
            return true;
        }
        // Outcomes of one input partition stand in the order of their offsets in each partition of
        // an output: what is below the first one that is left may be gone.
        let is_below = |first: &BTreeMap<i32, i64>| {
            first.get(&message.partition).is_none_or(|first| message.offset < *first)
        };
        message.time_ms < self.kept_since_ms && self.floors.values().any(is_below)
    }
}

struct Work<'a> {
    question: &'a Question<'a>,
    topic: Arc<str>,
    codec: Codec,
    committed: Topics,
    outputs: Vec<Output>,
    report: Report,
}

/// Compares inputs and outputs.
pub fn reconcile(question: &Question<'_>) -> Result<Report> {
    let flow = question.flow;
    let committed = Topics::connect(question.connection, Isolation::Committed)?;
    let input = flow.pipeline.input.topic.clone();
    let asked = question.range.asked(&committed, &input)?;
    // Order: what is committed before what is published, so that every outcome behind a committed
    // offset is below the ends that are asked for next.
    let done = committed.committed(&flow.group(), &input)?;
    let mut report = Report {
        group: flow.group(),
        topic: input.clone(),
        offsets: Offsets::default(),
        verdict: Verdict::default(),
        has_audit: flow.pipeline.output.audit_topic.is_some(),
        foreign: 0,
        unstable: Vec::new(),
    };
    let mut rest = Vec::new();
    for (partition, asked) in asked {
        rest.push(bounded(&committed, (&input, partition), asked, (&done, &mut report.offsets))?);
    }
    let outputs = outputs(question, &committed, &mut report.unstable)?;
    let plan = worker::plan(flow)?;
    let schemas = Arc::new(worker::output_schemas(flow, &plan)?);
    let codec = Codec::new(schemas, Form::SingleObject)?;
    let topic = Arc::from(input.as_str());
    let mut work = Work { question, topic, codec, committed, outputs, report };
    loop {
        let (sweep, ranges) = work.take(&mut rest)?;
        if ranges.iter().all(Range::is_empty) {
            return Ok(work.report);
        }
        work.sweep(sweep, &ranges)?;
    }
}

/// What of a partition is asked for, is there and is committed; the rest is counted.
fn bounded(
    committed: &Topics,
    (topic, partition): (&str, i32),
    asked: Asked,
    (done, offsets): (&BTreeMap<i32, i64>, &mut Offsets),
) -> Result<Range, Fault> {
    let bounds = committed.bounds(topic, partition)?;
    let done = done.get(&partition).copied().unwrap_or(bounds.first);
    let from = asked.from.unwrap_or(bounds.first);
    let to = asked.to.unwrap_or_else(|| done.max(from));
    let whole = Range { partition, from, to };
    offsets.asked += whole.len();
    offsets.expired += Range { to: to.min(bounds.first), ..whole }.len();
    let range = Range { from: from.max(bounds.first), to: to.min(done).min(bounds.end), ..whole };
    offsets.uncommitted += Range { from: from.max(bounds.first).max(range.to), ..whole }.len();
    Ok(range)
}

/// The output topics with what they hold now, once that is stable.
fn outputs(
    question: &Question<'_>,
    committed: &Topics,
    unstable: &mut Vec<String>,
) -> Result<Vec<Output>, Fault> {
    let everything = Topics::connect(question.connection, Isolation::Uncommitted)?;
    let began = Instant::now();
    let mut outputs = Vec::new();
    for (topic, kind) in output_topics(&question.flow.pipeline.output) {
        let mut ranges = everything.whole(&topic)?;
        let configs = configs::of_topic(question.connection, &topic)?;
        let is_compacted = configs.is_compacted();
        let kept_since_ms = kept_since_ms(&configs);
        let mut floors = BTreeMap::new();
        for range in &mut ranges {
            while committed.bounds(&topic, range.partition)?.end < range.to {
                if began.elapsed() > SETTLE_MAX {
                    unstable.push(format!("{topic}/{}", range.partition));
                    break;
                }
                std::thread::sleep(SETTLE_INTERVAL);
            }
            if range.from > 0 {
                floors.insert(range.partition, BTreeMap::new());
            }
        }
        if let Some(since) = question.range.since {
            let earlier: Timestamp = since.checked_sub(CLOCKS_APART_MAX).unwrap_or(since);
            let at = committed.at(&topic, earlier)?;
            for range in &mut ranges {
                let at = at.get(&range.partition).copied().unwrap_or(range.from);
                if at > range.from {
                    range.from = at;
                    // What it held before is older than all that is asked for.
                    floors.remove(&range.partition);
                }
            }
        }
        outputs.push(Output { topic, kind, ranges, floors, is_compacted, kept_since_ms });
    }
    Ok(outputs)
}

/// What was sent then or later is younger than the retention by time; everything may be deleted where
/// that is not what deletes.
fn kept_since_ms(configs: &Configs) -> i64 {
    match (configs.number("retention.ms"), configs.number("retention.bytes")) {
        (Some(kept_ms @ 0..), None | Some(..0)) => {
            let slack_ms = i64::try_from(CLOCKS_APART_MAX.as_millis()).unwrap_or_default();
            Timestamp::now().as_millisecond().saturating_sub(kept_ms).saturating_add(slack_ms)
        }
        _ => i64::MAX,
    }
}

impl Work<'_> {
    /// Reads inputs off `rest` until a sweep is full; gives it with the ranges that it covers.
    fn take(&mut self, rest: &mut [Range]) -> Result<(Sweep, Vec<Range>), Fault> {
        let mut sweep = Sweep::default();
        let parts_max = self.question.parts_max;
        let mut covered = Vec::new();
        for range in rest {
            let mut messages = 0;
            let mut next = range.to;
            self.committed.read(&self.topic, &[*range], |message| {
                if sweep.parts_count() >= parts_max {
                    next = message.offset();
                    return Ok(ControlFlow::Break(()));
                }
                messages += 1;
                self.expect(message, &mut sweep)?;
                Ok(ControlFlow::Continue(()))
            })?;
            let done = Range { to: next, ..*range };
            self.report.offsets.gaps += done.len() - messages;
            range.from = next.max(range.from);
            covered.push(done);
            if sweep.parts_count() >= parts_max {
                break;
            }
        }
        Ok((sweep, covered))
    }

    fn expect(&self, message: &BorrowedMessage<'_>, sweep: &mut Sweep) -> Result<(), Fault> {
        let input = &self.question.flow.pipeline.input;
        let delivery = source::delivery_of(message, &self.topic);
        let schemas = self.question.registry.cloned();
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(&delivery, input, &schemas)));
        let at = Sent {
            partition: message.partition(),
            offset: message.offset(),
            time_ms: message.timestamp().to_millis().unwrap_or_default(),
        };
        match decoded {
            Ok(decoded) => match decoded? {
                Ok(Decoded::Parts(pieces)) => {
                    let parts = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
                    sweep.expect(at, parts);
                }
                Ok(Decoded::Claim(_)) => sweep.expect_claim(at),
                Ok(Decoded::Tombstone) => {
                    let is_forwarded = input.tombstone == Tombstone::Forward;
                    sweep.expect_tombstone(at, is_forwarded);
                }
                Err(_refused_as_a_whole) => sweep.expect(at, 1),
            },
            // The worker refuses it as a whole too.
            Err(_panic) => sweep.expect(at, 1),
        }
        Ok(())
    }

    /// Reads all outputs and judges the parts of one sweep.
    fn sweep(&mut self, mut sweep: Sweep, ranges: &[Range]) -> Result<(), Fault> {
        let pipeline = self.question.flow.pipeline.name.as_str();
        let mut foreign = 0;
        for output in &mut self.outputs {
            let (topic, kind, floors) = (&output.topic, output.kind, &mut output.floors);
            self.committed.read(topic, &output.ranges, |message| {
                let id = header(message, "sluice-record-id").and_then(RecordId::of);
                let own = id.filter(|id| id.pipeline == pipeline && *id.topic == *self.topic);
                let Some(id) = own else {
                    foreign += 1;
                    return Ok(ControlFlow::Continue(()));
                };
                if let Some(first) = floors.get_mut(&message.partition()) {
                    first.entry(id.partition).or_insert(id.offset);
                }
                let RecordId { partition, offset, part, .. } = id;
                let is_asked = |range: &&Range| {
                    range.partition == partition && (range.from..range.to).contains(&offset)
                };
                if !ranges.iter().any(|range| is_asked(&range)) {
                    return Ok(ControlFlow::Continue(()));
                }
                let of = PartOf { partition, offset, part };
                match kind {
                    Some(kind) => sweep.ended(of, kind),
                    None => match audited(&self.codec, self.question.registry, message) {
                        Some(kind) => sweep.audited(of, kind),
                        None => foreign += 1,
                    },
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let outputs = &self.outputs;
        let may_be_gone = |message| outputs.iter().any(|output| output.may_lack(message));
        let flow = (pipeline, self.topic.as_ref());
        sweep.judge(flow, self.report.has_audit, may_be_gone, &mut self.report.verdict);
        self.report.foreign = foreign;
        Ok(())
    }
}

/// The outcome that an entry of the audit names; `None` where it cannot be read.
fn audited(
    codec: &Codec,
    registry: Option<&Arc<Client>>,
    message: &BorrowedMessage<'_>,
) -> Option<OutcomeKind> {
    let find = |id| registry.and_then(|client| client.schema_by_id(id).ok().flatten());
    let entry = codec.read(message.payload()?, &find).ok()?;
    match entry.get("outcome").and_then(Value::as_str)? {
        "record" => Some(OutcomeKind::Record),
        "review" => Some(OutcomeKind::Review),
        "reject" => Some(OutcomeKind::Reject),
        _ => None,
    }
}

impl Report {
    /// Every part has exactly one outcome, and the audit says the same.
    pub fn is_clean(&self) -> bool {
        self.verdict.is_clean()
    }

    /// One JSON object a finding, then one with the sums.
    pub fn json_lines(&self) -> Vec<String> {
        let findings = self.verdict.findings.iter().map(|finding| json!(finding).to_string());
        let counts = self.verdict.counts.iter().map(|(wrong, count)| (wrong.name(), count));
        let summary = json!({
            "topic": self.topic,
            "group": self.group,
            "agrees": self.is_clean(),
            "offsets": self.offsets,
            "sums": self.verdict.sums,
            "findings": counts.collect::<BTreeMap<_, _>>(),
            "foreign": self.foreign,
            "unstable": self.unstable,
        });
        findings.chain([summary.to_string()]).collect()
    }

    /// For people.
    pub fn table(&self) -> String {
        let (offsets, sums) = (&self.offsets, &self.verdict.sums);
        let mut lines = Vec::new();
        let mut line = |name: &str, count: &dyn std::fmt::Display, told: &str| {
            lines.push(format!("  {name:<18}{count:>12}  {told}"));
        };
        line("offsets", &offsets.asked, &format!("of `{}`, of which", self.topic));
        line("- expired", &offsets.expired, "deleted from the input by its retention");
        line("- gaps", &offsets.gaps, "compacted, aborted, or marks of transactions");
        let told = format!("not committed by `{}`", self.group);
        line("- uncommitted", &offsets.uncommitted, &told);
        let told = format!("{} of them with a null body", sums.tombstones);
        line("- messages", &sums.messages, &told);
        line("parts", &sums.parts, "expected, of which");
        line("- records", &sums.records, "");
        line("- reviews", &sums.reviews, "");
        line("- rejects", &sums.rejects, "");
        let told = "whose outcome retention or compaction may have deleted";
        line("- outcome expired", &sums.outcome_expired, told);
        if self.has_audit {
            line("audit entries", &sums.audited, "");
        }
        for (wrong, count) in &self.verdict.counts {
            line(wrong.name(), count, "parts");
        }
        if self.foreign > 0 {
            line("foreign", &self.foreign, "messages on output topics that are not of this flow");
        }
        for place in &self.unstable {
            line("unstable", place, "an open transaction holds readers up; see `sluice doctor`");
        }
        for finding in &self.verdict.findings {
            let told =
                |kinds: &[&str]| if kinds.is_empty() { "-".to_owned() } else { kinds.join("+") };
            let (outcomes, audited) = (told(&finding.outcomes), told(&finding.audited));
            let (wrong, id) = (finding.wrong.name(), &finding.record_id);
            lines.push(format!("{wrong} {id} (outcomes {outcomes}, audit {audited})"));
        }
        let verdict = if self.is_clean() { "the sums agree" } else { "the sums do NOT agree" };
        lines.push(verdict.to_owned());
        lines.join("\n")
    }
}
