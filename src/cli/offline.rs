//! `files -> outcomes` in order, by the same middle as a worker's, without Kafka.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, load, run};
use crate::claim::{Got, Trial};
use crate::config::samples::sample_key;
use crate::config::settings::{Compute, Logs, Registry, redact_key};
use crate::config::stores::Stores;
use crate::decode::{Claimed, Decoded, Piece};
use crate::error::{Fault, FaultClass};
use crate::infer::{Answer, Job};
use crate::queue::FlowId;
use crate::sink::json::Node;
use crate::telemetry;
use crate::text::Reader;
use crate::types::{Delivery, Extent, Outcome, Part, Position, Reject};
use crate::worker::{self, Base, Engine, Pending, Prepared, Reach};

/// Documents that may be with the model while the next ones are read.
const AHEAD_MAX: usize = 16;

/// Pause before a document is looked for again that is not where its claim says.
const UNSETTLED_PAUSE: Duration = Duration::from_millis(200);

/// What an offline command works with.
#[derive(Args)]
pub(super) struct Means {
    #[command(flatten)]
    pub compute: Compute,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub stores: Stores,
    #[command(flatten)]
    pub logs: Logs,
}

/// Where the key of redaction comes from.
#[derive(Clone, Copy)]
pub(super) enum KeyFrom {
    /// The variable `SLUICE_REDACT_KEY`.
    Environment,
    /// The public one for samples.
    Samples,
}

/// One part and how it ended.
pub(super) struct Ended {
    /// Name of its file.
    pub name: String,
    /// Part of the delivery.
    pub part: Part,
    /// How.
    pub outcome: Outcome,
}

enum Waiting {
    Ended(Ended),
    Model { name: String, part: Part, pending: Box<Pending>, answer: Receiver<Answer> },
}

/// A pipeline ready to work on files.
pub(super) struct Offline {
    /// Its middle.
    pub engine: Engine,
    base: Base,
}

/// Where file number `number` stands, as a position.
pub(super) fn position(number: usize) -> Position {
    let offset = i64::try_from(number).unwrap_or(i64::MAX);
    Position { topic: Arc::from("file"), partition: 0, offset }
}

impl Offline {
    /// Starts logging, loads the pipeline in `dir` and warms its model.
    pub(super) fn load(dir: &Path, means: &Means, from: KeyFrom) -> Result<Self, Failure> {
        telemetry::start(&means.logs, None);
        let flow = load(dir)?;
        let key = match from {
            KeyFrom::Environment => redact_key([&flow])?,
            KeyFrom::Samples => sample_key(),
        };
        let registry = run::client(&means.registry)?;
        let reach = Reach::new(registry, key, &means.stores);
        let (base, mut engines) = worker::build(&means.compute, &reach, vec![flow])?;
        match engines.pop() {
            Some(engine) => Ok(Self { engine, base }),
            None => Err(Fault::plain(FaultClass::Fatal, "no pipeline was loaded").into()),
        }
    }

    /// Works on `inputs` and tells each part's end, in order. The model has the next documents
    /// while the first ones are told.
    pub(super) fn each(
        &self,
        inputs: impl Iterator<Item = Result<(String, Delivery), Fault>>,
        mut tell: impl FnMut(Ended) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut reader = Reader::new(self.base.launch.clone());
        let mut waiting = VecDeque::new();
        for input in inputs {
            let (name, delivery) = input?;
            self.begin(name, &delivery, &mut reader, &mut waiting)?;
            while waiting.len() > AHEAD_MAX {
                self.tell_first(&mut waiting, &mut tell)?;
            }
        }
        while !waiting.is_empty() {
            self.tell_first(&mut waiting, &mut tell)?;
        }
        Ok(())
    }

    fn begin(
        &self,
        name: String,
        delivery: &Delivery,
        reader: &mut Reader,
        waiting: &mut VecDeque<Waiting>,
    ) -> Result<(), Failure> {
        let mut decoded = self.engine.decode(delivery)?;
        if let Ok(Decoded::Claim(claimed)) = decoded {
            decoded = self.fetch(delivery, *claimed)?;
        }
        let pieces = match decoded {
            Ok(Decoded::Parts(pieces)) => pieces,
            Ok(Decoded::Tombstone | Decoded::Claim(_)) => return Ok(()),
            Err(reject) => {
                let outcome = Outcome::Reject(reject);
                waiting.push_back(Waiting::Ended(Ended { name, part: Part::WHOLE, outcome }));
                return Ok(());
            }
        };
        for Piece { part, document } in pieces {
            let name = name.clone();
            let prepared = match document {
                Ok(document) => self.engine.prepare(delivery, &document, reader)?,
                Err(reject) => Prepared::Ended(Outcome::Reject(reject)),
            };
            waiting.push_back(match prepared {
                Prepared::Ended(outcome) => Waiting::Ended(Ended { name, part, outcome }),
                Prepared::Pending(pending) => {
                    let answer = self.submit(&pending);
                    Waiting::Model { name, part, pending, answer }
                }
            });
        }
        Ok(())
    }

    /// Fetches what a delivery claims, and takes it apart. What a worker would try again for as long
    /// as it takes ends the command.
    fn fetch(
        &self,
        delivery: &Delivery,
        claimed: Claimed,
    ) -> Result<Result<Decoded, Reject>, Fault> {
        let mut trial = Trial::default();
        loop {
            match self.engine.fetch(&claimed.claim, &mut trial, &|| true)? {
                Got::Bytes(bytes) => return Ok(self.engine.claimed(delivery, claimed, bytes)),
                Got::Refused(reject) => return Ok(Err(reject)),
                Got::Unsettled | Got::Unwanted => thread::sleep(UNSETTLED_PAUSE),
            }
        }
    }

    fn submit(&self, pending: &Pending) -> Receiver<Answer> {
        let (sender, answer) = sync_channel(1);
        self.base.pool.handle().submit(Job {
            flow: FlowId(0),
            model: self.engine.model,
            windows: pending.windows(),
            cancelled: Arc::new(AtomicBool::new(false)),
            mark: None,
            // A receiver that is gone wants no answer.
            done: Box::new(move |answer| drop(sender.send(answer))),
        });
        answer
    }

    fn tell_first(
        &self,
        waiting: &mut VecDeque<Waiting>,
        tell: &mut impl FnMut(Ended) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match waiting.pop_front() {
            None => Ok(()),
            Some(Waiting::Ended(ended)) => tell(ended),
            Some(Waiting::Model { name, part, pending, answer }) => {
                let outcome = match answer.recv() {
                    Ok(Answer::Scores(scores)) => self.engine.finish(*pending, &scores),
                    Ok(Answer::Reject(reject)) => Outcome::Reject(reject),
                    Ok(Answer::Cancelled) | Err(_) => {
                        let fault =
                            Fault::plain(FaultClass::Fatal, "the model stopped at its work");
                        return Err(fault.into());
                    }
                };
                tell(Ended { name, part, outcome })
            }
        }
    }

    /// One part's end as a JSON object: `outcome`, then what belongs to it. A review's text is
    /// left out: the reader has the file.
    pub(super) fn json(&self, ended: &Ended) -> Result<Value, Failure> {
        let columns = &self.engine.output.columns;
        let wrong = |error| Fault::new(FaultClass::Fatal, "writing JSON", error);
        let mut line = json!({ "outcome": ended.outcome.kind().name(), "document": ended.name, "part": ended.part.number });
        let Some(object) = line.as_object_mut() else { return Ok(line) };
        if let Extent::Bytes(span) = ended.part.extent {
            object.insert("range".to_owned(), json!([span.start, span.end]));
        }
        match &ended.outcome {
            Outcome::Record(record) => {
                let node = serde_json::to_value(columns.record(record)).map_err(wrong)?;
                object.insert("record".to_owned(), node);
            }
            Outcome::Review(review) => {
                let Node::Struct(entries) = columns.review(review) else { return Ok(line) };
                let kept = |name: &str| name == "reasons" || name == "record";
                for (name, node) in entries.into_iter().filter(|(name, _)| kept(name)) {
                    let node = serde_json::to_value(node).map_err(wrong)?;
                    object.insert(name.into_owned(), node);
                }
            }
            Outcome::Reject(reject) => {
                object.insert("code".to_owned(), json!(reject.code.name()));
                object.insert("room".to_owned(), json!(reject.room.name()));
                object.insert("detail".to_owned(), json!(reject.detail));
            }
        }
        Ok(line)
    }
}
