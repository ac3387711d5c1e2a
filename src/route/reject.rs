//! `Reject, Origin -> Outgoing`: the original message with the reason in its headers, cut down
//! piece by piece where it would not fit; a reference to it where the flow redacts.

use serde_json::json;

use super::{HOPS, Origin, header, hops};
use crate::types::{
    Cover, Digest, Extent, Header, OutcomeKind, Outgoing, Reject, Sensitive, record_id,
};

/// What a reject message that is too large leaves out, in this order, until it fits.
const OMISSIONS: [&str; 3] = ["body", "body,headers", "body,headers,key"];

/// Limit: characters of a detail that travel; a detail is one sentence.
const DETAIL_CHARS_MAX: usize = 1_000;

/// Prefix of the headers that sluice sets.
const OWN_PREFIX: &str = "sluice-";

/// The reject message. With body, original headers and key left out it is far below the smallest
/// limit that a pipeline may set (65,536 bytes): a topic name has at most 249 bytes, a pipeline
/// name 63, and a detail one sentence.
///
/// `flow` is the pipeline's name and its reject topic.
pub(super) fn outgoing(
    flow: (&str, &str),
    refusal: &Reject,
    origin: &Origin<'_>,
    bytes_max: usize,
) -> Outgoing {
    let least = match (withheld(origin), origin.part.extent) {
        (Some(_), _) => "body,headers",
        // A part that is no run of bytes has none to bring.
        (None, Extent::Inside) => "body",
        (None, Extent::Whole | Extent::Bytes(_)) => "",
    };
    let mut built = build(flow, refusal, origin, least);
    for omitted in OMISSIONS {
        if built.size_bytes() <= bytes_max {
            break;
        }
        built = build(flow, refusal, origin, omitted);
    }
    built
}

/// What may leave in the place of the message, where the message itself must not.
fn withheld<'a>(origin: &Origin<'a>) -> Option<&'a Cover> {
    origin.cover.filter(|cover| !cover.shows_rejects)
}

fn build(
    (pipeline, topic): (&str, &str),
    refusal: &Reject,
    origin: &Origin<'_>,
    omitted: &str,
) -> Outgoing {
    let delivery = origin.delivery;
    let withheld = withheld(origin);
    let leaves_out = |what: &str| omitted.split(',').any(|piece| piece == what);
    let mut headers: Vec<Header> = Vec::new();
    if let Some(cover) = withheld {
        headers.extend(cover.headers.iter().cloned());
    } else if !leaves_out("headers") {
        let originals = delivery.headers.iter();
        headers.extend(originals.filter(|header| !is_own(&header.name)).cloned());
    }
    headers.extend(reasons(pipeline, refusal, origin));
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
    let key = match withheld {
        Some(cover) => cover.key.clone(),
        None => delivery.key.clone(),
    };
    Outgoing {
        topic: topic.to_owned(),
        key: key.filter(|_| !leaves_out("key")),
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

fn reasons(pipeline: &str, refusal: &Reject, origin: &Origin<'_>) -> Vec<Header> {
    let position = &origin.delivery.position;
    let number = origin.part.number;
    let mut reasons = vec![
        header("sluice-outcome", OutcomeKind::Reject.name()),
        header("sluice-code", refusal.code.name()),
        header("sluice-room", refusal.room.name()),
        header("sluice-detail", &detail(refusal)),
        header("sluice-pipeline", pipeline),
        header("sluice-record-id", &record_id(pipeline, position, number)),
        header("sluice-source-topic", &position.topic),
        header("sluice-source-partition", &position.partition.to_string()),
        header("sluice-source-offset", &position.offset.to_string()),
        header("sluice-part", &number.to_string()),
    ];
    if let Extent::Bytes(span) = origin.part.extent {
        reasons.push(header("sluice-range", &format!("{}-{}", span.start, span.end)));
    }
    reasons.extend(hops(origin.delivery).map(|hops| header(HOPS, &hops.to_string())));
    reasons
}

/// Stands for bytes that are not there: what they were, where they are to be found, why they were
/// refused.
fn stand_in(refusal: &Reject, origin: &Origin<'_>) -> Vec<u8> {
    let bytes = origin.bytes();
    let digest = bytes.map(Digest::of).map(|digest| match withheld(origin) {
        Some(cover) => cover.secret.seal(digest),
        None => digest,
    });
    let note = json!({
        "digest": digest.map(|digest| digest.to_string()),
        "bytes": bytes.map(<[u8]>::len),
        "position": origin.delivery.position.to_string(),
        "part": origin.part.number,
        "code": refusal.code.name(),
        "room": refusal.room.name(),
        "detail": detail(refusal),
    });
    note.to_string().into_bytes()
}
