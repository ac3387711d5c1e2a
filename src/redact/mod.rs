//! `text, findings, extraction, who it is about -> the same without identifiers`.
//!
//! What identifies is the union of what the model marks, what rules find by its form, what the
//! envelope names, the typed dates of the extraction, and whatever of these stands elsewhere in the
//! document. Each is replaced by its policy, in the text and in all that was taken from it: a value
//! that is an identifier becomes its replacement, one that partly is becomes its words as they are
//! published, and a typed value that cannot be told without it is dropped. Spans refer to the
//! published text, with those of the text as it was read beside them.
//!
//! Deliberately looks at nothing but the document: the key comes from outside, and without it
//! nobody gets from a replacement back to what was there. It judges nothing and routes nothing;
//! what leaves beside the record (key, headers, identifiers of documents, digests) goes by
//! [`Redactor::cover`].
//!
//! Invariant: what no finder marks stays as it is, and what one marks does not leave.

mod dates;
mod extraction;
mod identifiers;
mod patterns;
mod published;
mod regions;
mod replace;
mod rules;
mod search;
mod surrogates;

use std::collections::{BTreeMap, BTreeSet};

use self::identifiers::{Wanted, telling_words};
use self::published::Published;
use self::regions::{Detection, unite};
use self::replace::{AGE_MAX, Replacer};
use crate::config::pipeline::{FieldKind, FieldSpec};
use crate::config::redaction::{DatePolicy, IdentifierKind as Kind, Policies, Redact};
use crate::types::{
    Cover, Decider, Delivery, Digest, Extraction, Finding, Header, Identifier, Key, Position,
    Redaction, Sensitive, Span, Text, Value,
};

/// What document ids and keys are sealed for: where a message has no key, its document id is the
/// key of its outcomes, and an erasure under that key must meet them.
const DOCUMENT: &str = "document id";

/// Confidence from which on a word that the model marks is looked for elsewhere by itself: a name
/// more likely than not, since one that is missed costs more than one too many.
const REPEAT_CONFIDENCE_MIN: f32 = 0.5;
/// Fewer letters and digits are not looked for elsewhere: they stand for too much.
const REPEAT_CHARS_MIN: usize = 4;
/// Largest shift of dates, in days, either way: less than a year, after which a day without its
/// year would be the same again.
const SHIFT_DAYS_MAX: i32 = 364;

/// Redacts the documents of one flow.
pub struct Redactor {
    key: Key,
    policies: Policies,
    rules: Vec<Kind>,
    /// What a label of the model identifies: its name and kind, by its index.
    labels: BTreeMap<usize, (String, Kind)>,
    /// How the words of a column became its values, attributes as `COLUMN.ATTRIBUTE`.
    columns: BTreeMap<String, FieldKind>,
    shows_rejects: bool,
}

/// Who a document is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// What its envelope says.
    pub identifiers: &'a [Identifier],
    /// Plain digest of the document: stands for its subject where the envelope names none.
    pub digest: Digest,
}

/// A document as it may leave.
pub struct Redacted {
    /// What it says.
    pub extraction: Extraction,
    /// Its text, which the spans of the extraction refer to.
    pub text: Text,
    /// What was replaced.
    pub redactions: Vec<Redaction>,
}

impl Redactor {
    /// Whether labels of the model tell of identifiers.
    pub fn reads_model(&self) -> bool {
        !self.labels.is_empty()
    }

    /// A redactor by `spec`, for a model with `labels` (index, name, kind of those that identify)
    /// and a pipeline with `fields`.
    pub fn new(
        spec: &Redact,
        labels: impl IntoIterator<Item = (usize, String, Kind)>,
        fields: &[FieldSpec],
        key: Key,
    ) -> Self {
        let mut columns = BTreeMap::new();
        for field in fields {
            columns.insert(field.name.clone(), field.kind);
            for attribute in &field.attributes {
                columns.insert(format!("{}.{}", field.name, attribute.name), attribute.kind);
            }
        }
        let labels = labels.into_iter().map(|(index, name, kind)| (index, (name, kind)));
        Self {
            key,
            policies: spec.policy.clone(),
            rules: spec.rules.clone(),
            labels: labels.collect(),
            columns,
            shows_rejects: spec.reject_bytes,
        }
    }

    /// The document as it may leave.
    pub fn redact(
        &self,
        text: &Text,
        findings: &[Finding],
        extraction: &Extraction,
        subject: Subject<'_>,
    ) -> Redacted {
        let body = text.as_str();
        let regions = self.all_regions(body, findings, extraction, subject.identifiers);
        let replacer = self.replacer(subject);
        let mut counts: BTreeMap<(Kind, &'static str, Decider), u32> = BTreeMap::new();
        let published = Published::new(body, &regions, |region, words| {
            let (replacement, policy) = replacer.replace(region.kind, words);
            *counts.entry((region.kind, policy, region.decider.clone())).or_default() += 1;
            replacement
        });
        let extraction = self.extraction(extraction, &published, &replacer, subject.identifiers);
        let redactions = counts.into_iter().map(|((kind, policy, decider), count)| Redaction {
            kind: kind.name(),
            policy,
            decider,
            count,
        });
        Redacted { extraction, redactions: redactions.collect(), text: published.into_text() }
    }

    /// Where `text` holds identifiers, in order and apart: what [`Self::redact`] replaces of a
    /// document of which nothing else is known.
    pub fn places(&self, text: &Text, findings: &[Finding]) -> Vec<Span> {
        let regions = self.all_regions(text.as_str(), findings, &Extraction::default(), &[]);
        regions.into_iter().map(|region| region.span).collect()
    }

    /// What is to be replaced, whoever found it.
    fn all_regions(
        &self,
        body: &str,
        findings: &[Finding],
        extraction: &Extraction,
        identifiers: &[Identifier],
    ) -> Vec<Detection> {
        let mut found = self.detections(body, identifiers);
        let (of_model, sure) = self.of_model(body, findings);
        found.extend(of_model);
        found.extend(Self::of_columns(body, extraction));
        found.extend(Self::repeats(body, &found, &sure));
        self.regions(found, body)
    }

    /// What the rules and the envelope find in any words.
    fn detections(&self, words: &str, identifiers: &[Identifier]) -> Vec<Detection> {
        let of_rule = rules::find(words, &self.rules);
        let mut found: Vec<Detection> =
            of_rule.into_iter().map(|hit| detection(&hit, Decider::Rule)).collect();
        let mut wanted = Wanted::default();
        let mut births = BTreeSet::new();
        for one in identifiers {
            let kind = Kind::of(one.kind);
            if kind == Kind::BirthDate {
                births.extend(dates::only(&one.value).and_then(|found| found.date()));
            }
            wanted.add(kind, &one.value);
        }
        found.extend(wanted.find(words).into_iter().map(|hit| detection(&hit, Decider::Envelope)));
        if !births.is_empty() {
            let dates = dates::find(words).into_iter();
            let is_birth = |one: &dates::Found| one.date().is_some_and(|day| births.contains(&day));
            found.extend(dates.filter(is_birth).map(|one| Detection {
                span: one.span,
                kind: Kind::BirthDate,
                decider: Decider::Envelope,
            }));
        }
        found
    }

    /// What the model marks, and the places that it is sure of.
    fn of_model(&self, body: &str, findings: &[Finding]) -> (Vec<Detection>, BTreeSet<Span>) {
        let (mut found, mut sure) = (Vec::new(), BTreeSet::new());
        for finding in findings {
            let Some((label, kind)) = self.labels.get(&finding.label) else { continue };
            let Some(span) = trimmed(body, finding.span) else { continue };
            if finding.confidence >= REPEAT_CONFIDENCE_MIN {
                sure.insert(span);
            }
            found.push(Detection { span, kind: *kind, decider: Decider::Model(label.clone()) });
        }
        (found, sure)
    }

    /// The places of typed dates: their dates where they can be told apart, else all of it.
    fn of_columns(body: &str, extraction: &Extraction) -> Vec<Detection> {
        let values = extraction.fields.iter().flat_map(|field| &field.values);
        let places = values.flat_map(|one| {
            let attributes = one.attributes.iter().filter_map(|attribute| {
                // One without a place of its own was read from the words of the whole.
                let own = attribute.evidence.as_ref().map(|evidence| evidence.span);
                Some((attribute.value.as_ref()?, own.unwrap_or(one.evidence.span)))
            });
            attributes.chain([(&one.value, one.evidence.span)])
        });
        let mut found = Vec::new();
        for (_, span) in places.filter(|(value, _)| is_dated(value)) {
            let words = body.get(span.range()).unwrap_or_default();
            let dates = dates::find(words);
            let inside = dates.iter().map(|one| Span {
                start: span.start + one.span.start,
                end: span.start + one.span.end,
            });
            let mut spans: Vec<Span> = inside.collect();
            if spans.is_empty() {
                spans.push(span);
            }
            found.extend(spans.into_iter().map(|span| Detection {
                span,
                kind: Kind::Date,
                decider: Decider::Column,
            }));
        }
        found
    }

    /// Where else in `body` something stands that was found in one place. Names repeat in the same
    /// case only, since "White" is a name and "white" is not.
    fn repeats(body: &str, found: &[Detection], sure: &BTreeSet<Span>) -> Vec<Detection> {
        let mut wanted = Wanted::default();
        let mut names = BTreeSet::new();
        for one in found {
            let words = body.get(one.span.range()).unwrap_or_default();
            if words.chars().filter(|letter| letter.is_alphanumeric()).count() < REPEAT_CHARS_MIN {
                continue;
            }
            match one.kind {
                Kind::Name => {
                    let is_sure = match one.decider {
                        Decider::Model(_) => sure.contains(&one.span),
                        Decider::Rule => true,
                        Decider::Envelope | Decider::Column | Decider::Repeat => false,
                    };
                    if is_sure {
                        wanted.add(Kind::Name, words);
                        names.insert(words);
                        names.extend(telling_words(words));
                    }
                }
                Kind::Email
                | Kind::Phone
                | Kind::Ssn
                | Kind::RecordNumber
                | Kind::PlanNumber
                | Kind::AccountNumber
                | Kind::Other => wanted.add(one.kind, words),
                Kind::Place
                | Kind::BirthDate
                | Kind::Date
                | Kind::Age
                | Kind::Url
                | Kind::IpAddress => {}
            }
        }
        let hits = wanted.find(body).into_iter().filter(|hit| {
            let words = body.get(hit.span.range()).unwrap_or_default();
            hit.kind != Kind::Name || names.contains(words)
        });
        hits.map(|hit| detection(&hit, Decider::Repeat)).collect()
    }

    /// What is to be replaced: the union of all, ages only above the limit, dates as the policy
    /// says.
    fn regions(&self, mut found: Vec<Detection>, body: &str) -> Vec<Detection> {
        if self.policies.date == DatePolicy::Keep {
            found.retain(|one| one.kind != Kind::Date);
        }
        for one in found.iter_mut().filter(|one| one.kind == Kind::Age) {
            one.span = age_above(body, one.span).unwrap_or(Span { start: 0, end: 0 });
        }
        unite(found, body)
    }

    /// `words` that stand in no place of the text, without what the rules and the envelope find.
    fn words(&self, words: &str, replacer: &Replacer<'_>, identifiers: &[Identifier]) -> String {
        let regions = self.regions(self.detections(words, identifiers), words);
        let replace = |region: &Detection, words: &str| replacer.replace(region.kind, words).0;
        Published::new(words, &regions, replace).text().as_str().to_owned()
    }

    fn replacer(&self, subject: Subject<'_>) -> Replacer<'_> {
        let of_kind = |kind: &str| {
            let mut same = subject.identifiers.iter().filter(|one| one.kind == kind);
            same.next().map(|one| one.value.to_lowercase().into_bytes())
        };
        let plain = subject.digest.to_string().into_bytes();
        let subject = of_kind("record_number").or_else(|| of_kind("name")).unwrap_or(plain);
        let days = u64::from(SHIFT_DAYS_MAX.unsigned_abs());
        let number = self.key.number("date shift", &subject);
        let size = i32::try_from(number / 2 % days).unwrap_or_default() + 1;
        let shift_days = if number.is_multiple_of(2) { size } else { -size };
        Replacer { key: &self.key, policies: &self.policies, shift_days }
    }

    /// What of `delivery` may leave beside its outcomes.
    pub fn cover(&self, delivery: &Delivery) -> Cover {
        let seal = |key: &Sensitive<Vec<u8>>| {
            Sensitive::new(self.key.digest(DOCUMENT, key).to_string().into_bytes())
        };
        let is_safe = |header: &&Header| {
            header.name.eq_ignore_ascii_case("traceparent")
                && header.value.as_ref().is_some_and(|value| is_traceparent(value))
        };
        Cover {
            key: delivery.key.as_ref().map(seal),
            headers: delivery.headers.iter().filter(is_safe).cloned().collect(),
            secret: self.key.clone(),
            shows_rejects: self.shows_rejects,
        }
    }

    /// The identifier of a document as it may leave: a name of sluice's own stays, a sender's is
    /// sealed.
    pub fn document_id(&self, id: &str, position: &Position) -> String {
        if id == position.to_string() {
            return id.to_owned();
        }
        self.key.digest(DOCUMENT, id.as_bytes()).to_string()
    }

    /// The keyed digest that stands for a plain one.
    pub fn seal(&self, digest: Digest) -> Digest {
        self.key.seal(digest)
    }

    /// Name of the key, for provenance.
    pub fn key_name(&self) -> String {
        self.key.name()
    }
}

const fn detection(hit: &rules::Hit, decider: Decider) -> Detection {
    Detection { span: hit.span, kind: hit.kind, decider }
}

/// Whether the value is, or holds, a day.
const fn is_dated(value: &Value) -> bool {
    match value {
        Value::Date(_) | Value::Timestamp(_) | Value::LocalTimestamp(_) => true,
        Value::Text(_)
        | Value::Duration(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Boolean(_) => false,
    }
}

/// `span` without white space at its ends; `None` where it is no place of `body` or nothing is
/// left.
fn trimmed(body: &str, span: Span) -> Option<Span> {
    let words = body.get(span.range())?;
    let start = span.start + (words.len() - words.trim_start().len());
    let span = Span { start, end: start + words.trim().len() };
    (!span.is_empty()).then_some(span)
}

/// The number in `span` where it is an age of more than [`AGE_MAX`] years.
fn age_above(body: &str, span: Span) -> Option<Span> {
    let words = body.get(span.range())?;
    let lower = words.to_lowercase();
    let start = words.find(|letter: char| letter.is_ascii_digit());
    let Some(start) = start else {
        let is_above = ["ninet", "hundred", "nonagenarian", "centenarian"]
            .iter()
            .any(|word| lower.contains(word));
        return is_above.then_some(span);
    };
    let rest = words.get(start..)?;
    let length = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let is_short = ["month", "week", "day", "hour"].iter().any(|unit| lower.contains(unit));
    let years: i64 = rest.get(..length)?.parse().ok()?;
    let end = start + length;
    let is_decade = rest.get(length..).is_some_and(|rest| rest.starts_with('s'));
    let end = if is_decade { end + 1 } else { end };
    let is_above = years > AGE_MAX && !is_short;
    is_above.then_some(Span { start: span.start + start, end: span.start + end })
}

/// Whether `value` is of the form of W3C Trace Context, level 1: two, 32, 16 and two hexadecimal
/// digits. Its random numbers tell nothing.
fn is_traceparent(value: &[u8]) -> bool {
    let pieces: Vec<_> = value.split(|byte| *byte == b'-').collect();
    let is_hex = |piece: &[u8]| piece.iter().all(u8::is_ascii_hexdigit);
    let lengths: Vec<_> = pieces.iter().map(|piece| piece.len()).collect();
    lengths == [2, 32, 16, 2] && pieces.iter().all(|piece| is_hex(piece))
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from the same text")]
mod tests;
