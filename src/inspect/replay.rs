//! `record id -> the outcome as it was published, its input, and where another one differs`:
//! `sluice replay`.
//!
//! Deliberately runs no model: whoever asks does, with the worker's own engine, and brings the message
//! that would be published. Differences are named by their place; values are document text, and told
//! only by [`Difference::values`].

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::topics::{Isolation, Topics, header};
use super::{RecordId, output_topics};
use crate::config::Flow;
use crate::config::pipeline::Format;
use crate::config::settings::SettingsError;
use crate::error::{Fault, FaultClass};
use crate::kafka::Connection;
use crate::registry::Client;
use crate::sink::codec::{Codec, Form};
use crate::source;
use crate::types::{Delivery, Digest, OutcomeKind, Outgoing, Provenance};
use crate::worker;

/// How far the clocks of sender and worker may be apart.
const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_hours(1);

/// A published outcome, and what it came from.
pub struct Case {
    /// How the part ended.
    pub kind: OutcomeKind,
    /// What was published, as [`view`] has it; `None` for a null body.
    pub published: Option<Value>,
    /// Part of the delivery.
    pub part: u32,
    /// The input; `None` where it has expired.
    pub input: Option<Delivery>,
}

/// One piece of provenance that is another one here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Its column.
    pub name: &'static str,
    /// As published.
    pub published: String,
    /// As it would be here.
    pub here: String,
}

/// One place where two outcomes differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// JSON pointer.
    pub path: String,
    /// What was published, and what came out now.
    pub values: (Value, Value),
}

/// The codec that reads what `flow` has published, and writes in the same form.
pub fn codec(flow: &Flow) -> Result<Codec, Fault> {
    let plan = worker::plan(flow)?;
    let schemas = Arc::new(worker::output_schemas(flow, &plan)?);
    let form = match flow.pipeline.output.format {
        Format::Json => Form::Json,
        Format::Avro => Form::SingleObject,
    };
    Codec::new(schemas, form)
}

/// Looks for the outcome of a record id on the topics of `flow`.
pub fn find(
    flow: &Flow,
    connection: &Connection,
    registry: Option<&Arc<Client>>,
    id: &str,
) -> Result<Case> {
    let (pipeline, input) = (&flow.pipeline.name, &flow.pipeline.input.topic);
    let of = RecordId::of(id).filter(|of| of.pipeline == pipeline && of.topic == input);
    let Some(of) = of else {
        let problem = format!("`{id}` is no record id of this pipeline: {pipeline}/{input}/..");
        return Err(SettingsError { setting: "--record".to_owned(), problem }.into());
    };
    let topics = Topics::connect(connection, Isolation::Committed)?;
    let input = topics.message(&Arc::from(input.as_str()), of.partition, of.offset)?;
    // No outcome is older than its input, but for what the clocks are apart.
    let sent = input.as_ref().and_then(|input| input.sent);
    let since = sent.map(|sent| sent.checked_sub(CLOCKS_APART_MAX).unwrap_or(sent));
    let codec = codec(flow)?;
    for (topic, kind) in output_topics(&flow.pipeline.output) {
        let Some(kind) = kind else { continue };
        let Some(message) = published(&topics, &topic, since, id)? else { continue };
        let body = message.body.as_ref().map(|body| body.as_slice());
        let published = match body {
            None => None,
            Some(body) => Some(view(kind, body, &message, (&codec, registry))?),
        };
        return Ok(Case { kind, published, part: of.part, input });
    }
    let what = format!("no outcome with the record id `{id}` is on the output topics");
    Err(Fault::plain(FaultClass::Fatal, what).into())
}

fn published(
    topics: &Topics,
    topic: &str,
    since: Option<Timestamp>,
    id: &str,
) -> Result<Option<Delivery>, Fault> {
    let mut ranges = topics.whole(topic)?;
    if let Some(since) = since {
        let at = topics.at(topic, since)?;
        for range in &mut ranges {
            let at = at.get(&range.partition).copied().unwrap_or(range.from);
            range.from = range.from.max(at);
        }
    }
    let (name, mut found) = (Arc::from(topic), None);
    topics.read(topic, &ranges, |message| {
        if header(message, "sluice-record-id") != Some(id) {
            return Ok(ControlFlow::Continue(()));
        }
        found = Some(source::delivery_of(message, &name));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// What is compared of an outcome: the columns of a record or review; of a reject what its headers
/// say, and the digest of its body. `message` gives the headers.
fn view(
    kind: OutcomeKind,
    body: &[u8],
    message: &Delivery,
    (codec, registry): (&Codec, Option<&Arc<Client>>),
) -> Result<Value, Fault> {
    if kind == OutcomeKind::Reject {
        let text = |name: &str| {
            let value = message.header(name).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        return Ok(json!({
            "code": text("sluice-code"),
            "room": text("sluice-room"),
            "detail": text("sluice-detail"),
            "omitted": text("sluice-omitted"),
            "range": text("sluice-range"),
            "body_digest": Digest::of(body).to_string(),
        }));
    }
    let find = |id| registry.and_then(|client| client.schema_by_id(id).ok().flatten());
    codec.read(body, &find).map_err(|error| {
        let what = format!(
            "reading a {}: its schema is neither this folder's nor one that the registry knows; \
             give `--registry`",
            kind.name()
        );
        Fault::new(FaultClass::Fatal, what, error)
    })
}

/// What is compared of the message that would be published now.
pub fn view_of(outgoing: &Outgoing, input: &Delivery, codec: &Codec) -> Result<Value, Fault> {
    let message = Delivery { headers: outgoing.headers.clone(), ..input.clone() };
    let body = outgoing.payload.as_ref().map(|body| body.as_slice()).unwrap_or_default();
    view(outgoing.kind.unwrap_or(OutcomeKind::Reject), body, &message, (codec, None))
}

/// Where the provenance of what was published is not that of `here`. Empty for a reject, which
/// carries none.
pub fn mismatches(case: &Case, here: &Provenance) -> Vec<Mismatch> {
    if case.kind == OutcomeKind::Reject {
        return Vec::new();
    }
    let published = case.published.as_ref().and_then(|body| body.get("provenance"));
    let text = |name: &str| {
        let value = published.and_then(|provenance| provenance.get(name));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let own = [
        ("pipeline_revision", here.pipeline_revision.clone()),
        ("config_digest", here.config_digest.to_string()),
        ("schema_digest", here.schema_digest.to_string()),
        ("model", here.model.clone()),
        ("model_revision", here.model_revision.clone()),
        ("model_digest", here.model_digest.to_string()),
        ("tokenizer_digest", here.tokenizer_digest.to_string()),
        ("thresholds_digest", here.thresholds_digest.to_string()),
        ("gate_digest", here.gate_digest.map(|digest| digest.to_string()).unwrap_or_default()),
        ("sluice_version", here.sluice_version.clone()),
        ("text_engine", here.text_engine.clone()),
        ("onnxruntime_version", here.onnxruntime_version.clone()),
        ("provider", here.provider.clone()),
        ("cpu_class", here.cpu_class.clone()),
        ("redaction_key", here.redaction_key.clone().unwrap_or_default()),
    ];
    let compared =
        own.into_iter().map(|(name, here)| Mismatch { name, published: text(name), here });
    compared.filter(|one| one.published != one.here).collect()
}

/// Where two outcomes differ, in the order of their places.
pub fn differences(published: &Value, fresh: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ("", published, fresh, &mut found);
    found
}

fn differ(path: &str, published: &Value, fresh: &Value, found: &mut Vec<Difference>) {
    match (published, fresh) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let of = |all: &serde_json::Map<String, Value>| all.get(name).cloned();
                let (one, other) = (of(one).unwrap_or_default(), of(other).unwrap_or_default());
                differ(&format!("{path}/{name}"), &one, &other, found);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for index in 0..one.len().max(other.len()) {
                let of = |all: &[Value]| all.get(index).cloned().unwrap_or_default();
                differ(&format!("{path}/{index}"), &of(one), &of(other), found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let values = (one.clone(), other.clone());
            found.push(Difference { path: path.to_owned(), values });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn a_difference_is_named_by_its_place() {
        let one = json!({"a": 1, "b": [{"c": "x"}, {"c": "y"}], "d": null});
        let check = |other, expected: &[&str]| {
            let found = differences(&one, &other);
            let paths: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
            assert_eq!(paths, expected);
        };
        check(one.clone(), &[]);
        check(json!({"a": 2, "b": [{"c": "x"}, {"c": "z"}], "d": null}), &["/a", "/b/1/c"]);
        check(json!({"a": 1, "b": [{"c": "x"}], "d": null}), &["/b/1"]);
        check(json!({"a": 1, "b": [{"c": "x"}, {"c": "y"}], "d": null, "e": 0}), &["/e"]);
    }
}
