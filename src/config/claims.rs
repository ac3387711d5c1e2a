//! The section `input.claims` of `pipeline.yaml`: from where documents may be fetched, and how long
//! that may take.
//!
//! Deliberately names no endpoint and no credential: those are settings, see [`super::stores`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::pipeline::Envelope;
use super::problem::Report;
use crate::types::Prefix;

/// Takes claims: envelopes that name their document by `uri`, `size_bytes` and `sha256` instead of
/// holding it. Without this section every claim is the reject `CLAIM_FORBIDDEN`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Where documents may lie: `s3://BUCKET/FOLDER`, `gs://BUCKET/FOLDER`,
    /// `az://CONTAINER/FOLDER` or `file:///FOLDER`. A document is fetched from one of these places
    /// or from below it, and no request goes anywhere else.
    #[schemars(length(min = 1))]
    pub allow: Vec<String>,
    /// Longest time to connect to a store, in milliseconds; then it is tried again.
    #[serde(default = "default_connect_timeout_ms")]
    #[schemars(range(min = 1))]
    pub connect_timeout_ms: u64,
    /// Longest time without a byte from the store, in milliseconds; then it is tried again.
    #[serde(default = "default_idle_timeout_ms")]
    #[schemars(range(min = 1))]
    pub idle_timeout_ms: u64,
    /// Longest time for one document, in milliseconds; then it is tried again.
    #[serde(default = "default_total_timeout_ms")]
    #[schemars(range(min = 1))]
    pub total_timeout_ms: u64,
    /// A document that is missing, or is not what its claim says, may still be on its way: for so
    /// long, in milliseconds, it is fetched again before it is refused.
    #[serde(default = "default_settle_timeout_ms")]
    #[schemars(range(max = 600_000))]
    pub settle_timeout_ms: u64,
}

const fn default_connect_timeout_ms() -> u64 {
    5_000
}

const fn default_idle_timeout_ms() -> u64 {
    10_000
}

const fn default_total_timeout_ms() -> u64 {
    60_000
}

const fn default_settle_timeout_ms() -> u64 {
    1_000
}

impl Claims {
    /// The places that `allow` lists; one that is none is left out, since `sluice check` has told
    /// it.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.allow.iter().filter_map(|text| Prefix::parse(text).ok())
    }
}

/// Adds every problem of the section's meaning to `report`.
pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(input) = &draft.input else { return };
    let Some(claims) = &input.claims else { return };
    if input.envelope == Envelope::None {
        let hint = "set `input.envelope` to auto, json or avro";
        report.at("/input/claims", "a claim is an envelope, and `input.envelope` takes none", hint);
    }
    allowed(claims, report);
    let Claims { connect_timeout_ms, idle_timeout_ms, total_timeout_ms, .. } = claims;
    for (key, timeout_ms) in
        [("connect_timeout_ms", connect_timeout_ms), ("idle_timeout_ms", idle_timeout_ms)]
    {
        if timeout_ms > total_timeout_ms {
            report.at(
                &format!("/input/claims/{key}"),
                format!("{timeout_ms} ms can never pass"),
                format!("at most input.claims.total_timeout_ms ({total_timeout_ms})"),
            );
        }
    }
    if let Some(limits) = &draft.limits {
        // A fetched document and the deliveries around it: with less, one of them would wait for
        // the other for ever.
        let least = input.document_bytes_max.saturating_mul(2);
        if (input.document_bytes_max..least).contains(&limits.in_flight_bytes_max) {
            report.at(
                "/limits/in_flight_bytes_max",
                format!(
                    "{} bytes hold no largest document beside the message that claims it",
                    limits.in_flight_bytes_max
                ),
                format!("at least twice input.document_bytes_max ({least})"),
            );
        }
    }
}

fn allowed(claims: &Claims, report: &mut Report<'_>) {
    let mut known: Vec<(Prefix, &str)> = Vec::new();
    for (index, text) in claims.allow.iter().enumerate() {
        let pointer = format!("/input/claims/allow/{index}");
        let prefix = match Prefix::parse(text) {
            Ok(prefix) => prefix,
            Err(why) => {
                report.at(&pointer, format!("`{text}` {why}"), "such as s3://bucket/folder");
                continue;
            }
        };
        if let Some((_, other)) = known.iter().find(|(other, _)| other.covers(&prefix)) {
            report.at(
                &pointer,
                format!("`{text}` is held by `{other}` already"),
                "drop one of them",
            );
        }
        known.push((prefix, text));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, load};

    /// The problems of a good pipeline with these lines in `input` and behind it all.
    fn problems(input: &str, extra: &str) -> Vec<String> {
        let text = fixture::GOOD.replacen("leases.in\n", &format!("leases.in\n{input}"), 1);
        let root = fixture::folder(&format!("{text}{extra}"));
        let found = load(&root.path().join("leases")).err().unwrap_or_default();
        found.iter().map(|one| format!("{}: {}", one.key, one.problem)).collect()
    }

    #[test]
    fn a_section_needs_places_only() {
        let input = "  claims:\n    allow: ['s3://leases/in', 'file:///data/leases']\n";
        assert_eq!(problems(input, ""), [""; 0]);
    }

    #[test]
    fn slips_are_told() {
        let with = |lines: &str| format!("  claims:\n    allow: ['s3://leases/in']\n{lines}");
        let allow = |list: &str| format!("  claims:\n    allow: [{list}]\n");
        for (input, extra, expected) in [
            ("  claims: {}\n".to_owned(), "", "input.claims.allow: is missing"),
            (allow(""), "", "input.claims.allow: has fewer than 1 entries"),
            (
                allow("'https://leases/in'"),
                "",
                "input.claims.allow[0]: `https://leases/in` has a scheme other than",
            ),
            (allow("'s3://leases/../x'"), "", "input.claims.allow[0]: `s3://leases/../x` has `.`"),
            (allow("'file:///'"), "", "input.claims.allow[0]: `file:///` names no folder"),
            (
                allow("'s3://leases', 's3://leases/in'"),
                "",
                "input.claims.allow[1]: `s3://leases/in` is held by `s3://leases` already",
            ),
            (
                with("    idle_timeout_ms: 70000\n"),
                "",
                "input.claims.idle_timeout_ms: 70000 ms can never pass",
            ),
            (with("    endpoint: x\n"), "", "input.claims.endpoint: unknown key `endpoint`"),
            (with("  envelope: none\n"), "", "input.claims: a claim is an envelope"),
            (
                with(""),
                "limits:\n  in_flight_bytes_max: 67108863\n",
                "limits.in_flight_bytes_max: 67108863 bytes hold no largest document beside",
            ),
            (
                with(""),
                "limits:\n  claims_concurrent_max: 0\n",
                "limits.claims_concurrent_max: `0` is below 1",
            ),
        ] {
            let found = problems(&input, extra);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?} {expected}");
        }
    }
}
