//! The room as a whole: documents with identifiers in every place that can hold one.

use jiff::civil::date;
use proptest::prelude::*;

use super::{Redacted, Redactor, Subject};
use crate::config::pipeline::{FieldKind, FieldSpec};
use crate::config::redaction::{DatePolicy, IdentifierKind as Kind, Policies, Policy, Redact};
use crate::types::{
    Attribute, Decider, Delivery, Digest, Evidence, Extraction, Field, FieldValue, Finding, Flag,
    Header, Identifier, Key, Position, Sensitive, Span, Text, Value,
};

const NOTE: &str = "Ann Lee, MRN 982-12-34, a 93-year-old, was seen by Dr. Bob Stone on March 3, 2024. \
                    Stone called (212) 555-1234. Plan: aspirin 100 mg for two weeks.";

fn redactor(policy: Policy, date: DatePolicy) -> Redactor {
    let spec = Redact {
        policy: Policies { default: policy, date, ..Policies::default() },
        ..Redact::default()
    };
    let fields = [
        FieldSpec::new("who", "A", FieldKind::Text),
        FieldSpec::new("law", "B", FieldKind::Jurisdiction),
        FieldSpec::new("day", "C", FieldKind::Date),
        FieldSpec::new("age", "D", FieldKind::Integer),
        FieldSpec::new("term", "E", FieldKind::Duration),
        FieldSpec::new("hash", "F", FieldKind::TemplateHash),
    ];
    let labels = [(0, "phi_NAME".to_owned(), Kind::Name), (1, "phi_AGE".to_owned(), Kind::Age)];
    Redactor::new(&spec, labels, &fields, Key::new(b"a key of some length").unwrap())
}

fn evidence(body: &str, words: &str) -> Evidence {
    let text = Text::from_pages([body.to_owned()]);
    let start = body.find(words).unwrap();
    let span = Span { start, end: start + words.len() };
    let scalars =
        Span { start: text.scalars_before(span.start), end: text.scalars_before(span.end) };
    let raw = Sensitive::new(words.to_owned());
    Evidence { raw, span, scalars, page: 1, confidence: 0.5, original: None }
}

fn field(name: &str, value: Value, evidence: Evidence) -> Field {
    let values = vec![FieldValue { value, evidence, attributes: Vec::new() }];
    Field { name: name.to_owned(), values, unread: Vec::new() }
}

fn words(text: &str) -> Value {
    Value::Text(Sensitive::new(text.to_owned()))
}

fn finding(body: &str, label: usize, words: &str) -> Finding {
    Finding { label, span: evidence(body, words).span, confidence: 0.95 }
}

fn redacted(of: &Redactor, body: &str, findings: &[Finding], extraction: &Extraction) -> Redacted {
    let text = Text::from_pages([body.to_owned()]);
    let subject = Subject { identifiers: &[], digest: text.digest() };
    of.redact(&text, findings, extraction, subject)
}

/// The one value of a column, as it is written.
fn shown(redacted: &Redacted, name: &str) -> Option<String> {
    let field = redacted.extraction.fields.iter().find(|field| field.name == name)?;
    field.values.first().map(|one| one.value.written().into_owned())
}

#[test]
fn model_rules_and_repeats_are_united() {
    let findings = [finding(NOTE, 0, "Ann Lee"), finding(NOTE, 1, "93-year-old")];
    let redactor = redactor(Policy::Mask, DatePolicy::Year);
    let redacted = redacted(&redactor, NOTE, &findings, &Extraction::default());
    assert_eq!(
        redacted.text.as_str(),
        "[NAME], MRN [RECORD_NUMBER], a 90+-year-old, was seen by Dr. [NAME] on 2024. \
         [NAME] called [PHONE]. Plan: aspirin 100 mg for two weeks."
    );
    let told: Vec<_> = redacted
        .redactions
        .iter()
        .map(|one| format!("{} {} {} {}", one.kind, one.policy, one.decider.name(), one.count))
        .collect();
    assert_eq!(
        told,
        [
            "name mask rule 1",
            "name mask model:phi_NAME 1",
            "name mask repeat 1",
            "date year rule 1",
            "age cap rule 1",
            "phone mask rule 1",
            "record_number mask rule 1",
        ]
    );
}

#[test]
fn values_leave_as_their_text_does() {
    let extraction = Extraction {
        fields: vec![
            field("who", words("Ann Lee, MRN"), evidence(NOTE, "Ann Lee, MRN")),
            field("law", words("Delaware"), evidence(NOTE, "Ann Lee")),
            field("day", Value::Date(date(2024, 3, 3)), evidence(NOTE, "on March 3, 2024")),
            field("age", Value::Integer(93), evidence(NOTE, "93-year-old")),
            field("term", Value::Duration("P2W".to_owned()), evidence(NOTE, "two weeks")),
            field("hash", words("cafe"), evidence(NOTE, "Plan")),
        ],
        flags: vec![Flag {
            name: "seen".to_owned(),
            label: "Seen".to_owned(),
            is_present: true,
            confidence: 0.9,
            evidence: vec![evidence(NOTE, "seen by Dr. Bob")],
        }],
    };
    let findings = [finding(NOTE, 0, "Ann Lee")];
    let redactor = redactor(Policy::Mask, DatePolicy::Year);
    let redacted = redacted(&redactor, NOTE, &findings, &extraction);
    let check = |name, expected: &str| assert_eq!(shown(&redacted, name).unwrap(), expected);
    check("who", "[NAME], MRN");
    check("law", "Delaware");
    check("day", "2024-01-01");
    check("age", "90");
    check("term", "P2W");
    assert_ne!(shown(&redacted, "hash").unwrap(), "cafe");
    let places = redacted.extraction.fields.iter().flat_map(|field| &field.values);
    let places = places.map(|one| &one.evidence).chain(&redacted.extraction.flags[0].evidence);
    for place in places {
        assert_eq!(redacted.text.slice(place.span), Some(place.raw.as_str()));
        assert!(place.original.is_some());
    }
    assert_eq!(redacted.extraction.flags[0].evidence[0].raw.as_str(), "seen by Dr. [NAME]");
    let original = redacted.extraction.fields[0].values[0].evidence.original.unwrap();
    assert_eq!(original.span, Span { start: 0, end: 12 });
}

#[test]
fn a_typed_date_moves_with_its_text_and_hides_words_that_give_no_date() {
    let body = "Signed on the eve of the equinox, again on March 3, 2024.";
    let odd = evidence(body, "the eve of the equinox");
    let extraction = Extraction {
        fields: vec![field("day", Value::Date(date(2024, 3, 3)), odd)],
        flags: Vec::new(),
    };
    let shifting = redactor(Policy::Mask, DatePolicy::Shift);
    let shifted = redacted(&shifting, body, &[], &extraction);
    let day = shown(&shifted, "day").unwrap();
    assert_ne!(day, "2024-03-03");
    let moved: jiff::civil::Date = day.parse().unwrap();
    let written = jiff::fmt::strtime::format("%B %-d, %Y", moved).unwrap();
    assert_eq!(shifted.text.as_str(), format!("Signed on [DATE], again on {written}."));
    let masking = redactor(Policy::Mask, DatePolicy::Mask);
    let masked = redacted(&masking, body, &[], &extraction);
    assert_eq!(shown(&masked, "day"), None);
    assert_eq!(masked.extraction.fields[0].unread.len(), 1);
    let keeping = redactor(Policy::Mask, DatePolicy::Keep);
    let kept = redacted(&keeping, body, &[], &extraction);
    assert_eq!(kept.text.as_str(), body);
}

#[test]
fn the_envelope_names_who_is_looked_for_and_moves_all_their_dates_alike() {
    let one = |kind, value: &str| Identifier { kind, value: Sensitive::new(value.into()) };
    let identifiers = [
        one("name", "Zoltan Xu"),
        one("record_number", "0007788"),
        one("birth_date", "19560312"),
        one("address", "12 Elm St, Oz"),
    ];
    let body = "XU is well. Born 3/12/1956, chart says 7788-0 or 0007788; lives 12 elm st., oz.";
    let spec = Redact { rules: vec![Kind::Email], ..Redact::default() };
    let key = Key::new(b"a key of some length").unwrap();
    let redactor = Redactor::new(&spec, [], &[], key);
    let text = Text::from_pages([body.to_owned()]);
    let subject = Subject { identifiers: &identifiers, digest: text.digest() };
    let redacted = redactor.redact(&text, &[], &Extraction::default(), subject);
    assert_eq!(
        redacted.text.as_str(),
        "[NAME] is well. Born [BIRTH_DATE], chart says 7788-0 or [RECORD_NUMBER]; lives [PLACE]."
    );
    let deciders: Vec<_> = redacted.redactions.iter().map(|one| &one.decider).collect();
    assert_eq!(deciders, [&Decider::Envelope; 4]);
    let other = Subject { identifiers: &identifiers, digest: Digest::of(b"another note") };
    let days = redactor.replacer(subject).shift_days;
    assert_eq!(days, redactor.replacer(other).shift_days);
    assert!(days != 0 && days.abs() <= 365);
}

#[test]
fn what_was_read_from_the_words_of_a_value_leaves_as_they_do() {
    let body = "DOB: 03/12/1931. A 95-year-old, seen on March 3, 2024.";
    let of = |column: &str, at: &str, value| {
        let mut field = field(column, words(at), evidence(body, at));
        let attribute = Attribute { name: "own".to_owned(), value: Some(value), evidence: None };
        field.values[0].attributes.push(attribute);
        field
    };
    let extraction = Extraction {
        fields: vec![
            of("born", "03/12/1931", Value::Date(date(1931, 3, 12))),
            of("seen", "March 3, 2024", Value::Date(date(2024, 3, 3))),
            of("old", "95-year-old", Value::Integer(95)),
            of("kind", "95-year-old", words("Age")),
        ],
        flags: Vec::new(),
    };
    let shown = |policy| {
        let redacted = redacted(&redactor(Policy::Mask, policy), body, &[], &extraction);
        let value = |field: &Field| {
            let value = field.values[0].attributes[0].value.as_ref();
            value.map(|value| value.written().into_owned())
        };
        redacted.extraction.fields.iter().map(value).collect::<Vec<_>>()
    };
    let some = |words: &str| Some(words.to_owned());
    assert_eq!(shown(DatePolicy::Year), [None, some("2024-01-01"), some("90"), some("Age")]);
    assert_eq!(shown(DatePolicy::Keep), [None, some("2024-03-03"), some("90"), some("Age")]);
    assert_eq!(shown(DatePolicy::Shift)[0], None);
}

#[test]
fn keys_headers_and_names_are_sealed() {
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: Some(Sensitive::new(value.as_bytes().to_vec())),
    };
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let delivery = Delivery {
        position: Position { topic: "in".into(), partition: 0, offset: 7 },
        key: Some(Sensitive::new(b"Ann Lee".to_vec())),
        body: None,
        headers: vec![
            header("document-id", "ann-lee.pdf"),
            header("traceparent", trace),
            header("traceparent", "Ann Lee"),
            header("baggage", "patient=Ann"),
        ],
        sent: None,
    };
    let redactor = redactor(Policy::Mask, DatePolicy::Year);
    let cover = redactor.cover(&delivery);
    let key = cover.key.unwrap();
    assert_eq!(key.as_slice(), redactor.cover(&delivery).key.unwrap().as_slice());
    assert_eq!(key.len(), 64);
    // An erasure under the plain key meets what was published under the document id.
    let id = redactor.document_id("Ann Lee", &delivery.position);
    assert_eq!(key.as_slice(), id.as_bytes());
    assert_eq!(cover.headers.len(), 1);
    assert_eq!(redactor.document_id("in/0/7", &delivery.position), "in/0/7");
    assert_eq!(redactor.document_id("ann-lee.pdf", &delivery.position).len(), 64);
}

#[test]
fn only_ages_above_the_limit_are_hidden() {
    let check = |body: &str, words: &str, expected: &str| {
        let findings = [finding(body, 1, words)];
        let redactor = redactor(Policy::Mask, DatePolicy::Year);
        let redacted = redacted(&redactor, body, &findings, &Extraction::default());
        assert_eq!(redacted.text.as_str(), expected);
    };
    check("a 67-year-old", "67-year-old", "a 67-year-old");
    check("aged 90", "90", "aged 90+");
    check("a 100-month-old", "100-month-old", "a 100-month-old");
    check("in her nineties", "nineties", "in her 90+");
    check("an old man", "old", "an old man");
}

proptest! {
    /// Whatever is marked, no byte of a marked word is left where it stood, and every place of the
    /// extraction is grounded in the published text.
    #[test]
    fn nothing_marked_is_left_and_all_places_are_grounded(
        marks in prop::collection::vec((0_usize..24, 1_usize..4), 1..5),
        value in (0_usize..24, 1_usize..6), policy in 0_usize..3,
    ) {
        let names: Vec<String> = (0..28_u8).map(|n| {
            let letter = |n: u8| char::from(b'a' + n % 26);
            format!("Zq{}{}xé", letter(n), letter(n / 26 + 7))
        }).collect();
        let body = names.join(" ");
        let place = |from: usize, count: usize| {
            let start = body.find(&names[from]).unwrap();
            let end = body.find(&names[from + count - 1]).unwrap() + names[from].len();
            Span { start, end }
        };
        let policy = [Policy::Mask, Policy::Hash, Policy::Surrogate][policy];
        let findings: Vec<_> = marks.iter().map(|(from, count)| Finding {
            label: 0, span: place(*from, *count), confidence: 0.5,
        }).collect();
        let span = place(value.0, value.1.min(28 - value.0));
        let raw = &body[span.range()];
        let extraction = Extraction {
            fields: vec![field("who", words(raw), evidence(&body, raw))],
            flags: Vec::new(),
        };
        let redacted = redacted(&redactor(policy, DatePolicy::Year), &body, &findings, &extraction);
        let shown = shown(&redacted, "who").unwrap();
        for (from, count) in marks {
            for name in &names[from..from + count] {
                prop_assert!(!redacted.text.as_str().contains(name.as_str()));
                prop_assert!(!shown.contains(name.as_str()));
            }
        }
        let place = &redacted.extraction.fields[0].values[0].evidence;
        prop_assert_eq!(redacted.text.slice(place.span), Some(place.raw.as_str()));
        prop_assert_eq!(
            redacted.text.scalars_before(place.span.end) - place.scalars.start,
            place.raw.chars().count()
        );
    }
}
