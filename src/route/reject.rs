//! `Reject, Delivery -> Outgoing`: the original message with the reason in its headers, cut down
//! piece by piece where it would not fit.

use serde_json::json;

use super::header;
use crate::types::{
    Delivery, Digest, Extent, Header, OutcomeKind, Outgoing, Part, Reject, Sensitive, record_id,
};

/// Where a refused part came from.
pub(super) struct Origin<'a> {
    pub(super) pipeline: &'a str,
    pub(super) delivery: &'a Delivery,
    pub(super) part: Part,
}

impl Origin<'_> {
    /// The part's bytes of the body; `None` where the body is null, or the part no run of bytes.
    fn bytes(&self) -> Option<&[u8]> {
        let body = self.delivery.body.as_ref()?;
        match self.part.extent {
            Extent::Whole => Some(body.as_slice()),
            Extent::Bytes(span) => body.get(span.range()),
            Extent::Inside => None,
        }
    }
}

/// What a reject message that is too large leaves out, in this order, until it fits.
const OMISSIONS: [&str; 3] = ["body", "body,headers", "body,headers,key"];

/// Limit: characters of a detail that travel; a detail is one sentence.
const DETAIL_CHARS_MAX: usize = 1_000;

/// Prefix of the headers that sluice sets.
const OWN_PREFIX: &str = "sluice-";

/// The reject message. With body, original headers and key left out it is far below the smallest
/// limit that a pipeline may set (65,536 bytes): a topic name has at most 249 bytes, a pipeline
/// name 63, and a detail one sentence.
pub(super) fn outgoing(
    topic: &str,
    refusal: &Reject,
    origin: &Origin<'_>,
    bytes_max: usize,
) -> Outgoing {
    // A part that is no run of bytes has none to bring.
    let least = if origin.part.extent == Extent::Inside { "body" } else { "" };
    let mut built = build(topic, refusal, origin, least);
    for omitted in OMISSIONS {
        if built.size_bytes() <= bytes_max {
            break;
        }
        built = build(topic, refusal, origin, omitted);
    }
    built
}

fn build(topic: &str, refusal: &Reject, origin: &Origin<'_>, omitted: &str) -> Outgoing {
    let delivery = origin.delivery;
    let leaves_out = |what: &str| omitted.split(',').any(|piece| piece == what);
    let mut headers: Vec<Header> = Vec::new();
    if !leaves_out("headers") {
        let originals = delivery.headers.iter();
        headers.extend(originals.filter(|header| !is_own(&header.name)).cloned());
    }
    headers.extend(reasons(refusal, origin));
    if !omitted.is_empty() {
        headers.push(header("sluice-omitted", omitted));
    }
    let body = match origin.bytes() {
        Some(bytes) if !leaves_out("body") => bytes.to_vec(),
        Some(_) | None => stand_in(refusal, origin),
    };
    let body = Sensitive::new(body);
    if delivery.body.is_none() {
        headers.push(header("sluice-body", "null"));
    } else if leaves_out("body") || origin.part.extent == Extent::Inside {
        headers.push(header("sluice-body", "omitted"));
    }
    let key = if leaves_out("key") { None } else { delivery.key.clone() };
    Outgoing {
        topic: topic.to_owned(),
        key,
        headers,
        payload: Some(body),
        kind: Some(OutcomeKind::Reject),
        code: refusal.code.name(),
    }
}

fn detail(refusal: &Reject) -> String {
    refusal.detail.chars().take(DETAIL_CHARS_MAX).collect()
}

fn is_own(name: &str) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

fn reasons(refusal: &Reject, origin: &Origin<'_>) -> Vec<Header> {
    let position = &origin.delivery.position;
    let number = origin.part.number;
    let mut reasons = vec![
        header("sluice-outcome", OutcomeKind::Reject.name()),
        header("sluice-code", refusal.code.name()),
        header("sluice-room", refusal.room.name()),
        header("sluice-detail", &detail(refusal)),
        header("sluice-pipeline", origin.pipeline),
        header("sluice-record-id", &record_id(origin.pipeline, position, number)),
        header("sluice-source-topic", &position.topic),
        header("sluice-source-partition", &position.partition.to_string()),
        header("sluice-source-offset", &position.offset.to_string()),
        header("sluice-part", &number.to_string()),
    ];
    if let Extent::Bytes(span) = origin.part.extent {
        reasons.push(header("sluice-range", &format!("{}-{}", span.start, span.end)));
    }
    reasons
}

/// Stands for bytes that are not there: what they were, where they are to be found, why they were
/// refused.
fn stand_in(refusal: &Reject, origin: &Origin<'_>) -> Vec<u8> {
    let bytes = origin.bytes();
    let note = json!({
        "digest": bytes.map(|bytes| Digest::of(bytes).to_string()),
        "bytes": bytes.map(<[u8]>::len),
        "position": origin.delivery.position.to_string(),
        "part": origin.part.number,
        "code": refusal.code.name(),
        "room": refusal.room.name(),
        "detail": detail(refusal),
    });
    note.to_string().into_bytes()
}
