//! Tests of columns with attributes and of sources beside labels, through [`super::assemble`].

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::fixture::documents;
use super::{Plan, assemble};
use crate::config::pipeline::{AttributeSpec, FieldKind, FieldSpec};
use crate::config::{HeadKind, Labels};
use crate::types::{Attribute, Extraction, Finding, Sensitive, Span, Text, Value};

const ENTITIES: [&str; 6] = ["Sign", "Disease", "Severity", "Test", "Result", "Age"];
const CLASSES: [&str; 2] = ["outpatient", "inpatient"];

fn labels() -> Labels {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Labels::new([
        ("entities", HeadKind::Entities, owned(&ENTITIES)),
        ("kind", HeadKind::Classes, owned(&CLASSES)),
    ])
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn attached(name: &str, label: &str, kind: FieldKind) -> AttributeSpec {
    AttributeSpec { label: Some(label.to_owned()), ..AttributeSpec::new(name, kind) }
}

fn plan() -> Plan {
    let none = |name: &str, kind| FieldSpec { label: None, ..FieldSpec::new(name, "", kind) };
    let grades = BTreeMap::from([
        ("mild".to_owned(), owned(&["mild", "slight"])),
        ("severe".to_owned(), owned(&["severe"])),
    ]);
    let problems = FieldSpec {
        labels: owned(&["Sign", "Disease"]),
        many: true,
        attributes: vec![
            AttributeSpec {
                choices: grades,
                ..attached("severity", "Severity", FieldKind::Choice)
            },
            AttributeSpec::new("negated", FieldKind::Negated),
            AttributeSpec::new("section", FieldKind::Section),
            AttributeSpec::new("kind", FieldKind::Label),
        ],
        ..none("problems", FieldKind::Text)
    };
    let labs = FieldSpec {
        many: true,
        attributes: vec![
            AttributeSpec { required: true, ..attached("result", "Result", FieldKind::Text) },
            attached("number", "Result", FieldKind::Number),
            attached("unit", "Result", FieldKind::Unit),
            AttributeSpec { many: true, ..attached("all", "Result", FieldKind::Text) },
        ],
        ..FieldSpec::new("labs", "Test", FieldKind::Text)
    };
    let sections = FieldSpec { many: true, ..none("sections", FieldKind::Section) };
    let kind = FieldSpec { head: Some("kind".to_owned()), ..none("kind", FieldKind::Class) };
    let codes = FieldSpec {
        patterns: owned(&["[A-Z][0-9]{2}\\b", "(?i)code (?P<value>[a-z]+)"]),
        many: true,
        ..none("codes", FieldKind::Text)
    };
    let first = FieldSpec { many: false, ..codes.clone() };
    let first = FieldSpec { name: "code".to_owned(), ..first };
    let age = FieldSpec::new("age", "Age", FieldKind::Integer);
    let headings = BTreeMap::from([
        ("HPI".to_owned(), owned(&["History of Present Illness", "HPI"])),
        ("PLAN".to_owned(), owned(&["Plan"])),
    ]);
    Plan::new(&[problems, labs, sections, kind, codes, first, age], &headings, None, &labels())
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A finding of each label over the words that follow it in `marks`, at their first place.
fn findings(body: &str, marks: &[(&str, &str)]) -> Vec<Finding> {
    let finding = |(label, words): &(&str, &str)| {
        let start = body.find(words).expect("the words stand in the body");
        let span = Span { start, end: start + words.len() };
        Finding { label: labels().index(label).expect("a label"), span, confidence: 0.5 }
    };
    marks.iter().map(finding).collect()
}

fn assembled(body: &str, findings: &[Finding]) -> Extraction {
    let text = Text::from_pages([body.to_owned()]);
    assemble(findings, &[], &text, None, &plan()).expect("findings are sound")
}

/// Values of one column with their attributes, as words; what has no value is a dash.
fn shown(extraction: &Extraction, name: &str) -> Vec<String> {
    let fields = extraction.fields.iter().filter(|field| field.name == name);
    let written = |value: Option<&Value>| value.map_or("-".to_owned(), |v| v.written().into());
    let of =
        |attribute: &Attribute| format!("{}={}", attribute.name, written(attribute.value.as_ref()));
    fields
        .flat_map(|field| &field.values)
        .map(|one| {
            let attributes: Vec<_> = one.attributes.iter().map(of).collect();
            [vec![written(Some(&one.value))], attributes].concat().join(" ")
        })
        .collect()
}

const NOTE: &str = "HPI: A 36-year-old woman with severe headache, no fever. Code blue, I10.\n\
                    WBC 12,500 /mm3, glucose was not measured. Fever returned slight.\n\
                    Plan: rest.";

fn of_note() -> Vec<Finding> {
    findings(
        NOTE,
        &[
            ("Sign", "headache"),
            ("Disease", "fever"),
            ("Disease", "Fever"),
            ("Severity", "severe"),
            ("Severity", "slight"),
            ("Test", "WBC"),
            ("Test", "glucose"),
            ("Result", "12,500 /mm3"),
            ("Age", "36-year-old"),
            ("inpatient", NOTE),
        ],
    )
}

#[test]
fn a_column_is_empty_where_the_text_is_not_for_it_or_the_value_is_not_sure() {
    let age = |unless: Option<&str>, confidence_min| FieldSpec {
        unless: unless.map(str::to_owned),
        confidence_min,
        ..FieldSpec::new("age", "Age", FieldKind::Integer)
    };
    let text = Text::from_pages([NOTE.to_owned()]);
    let check = |age: FieldSpec, expected: &[&str]| {
        let plan = Plan::new(&[age], &BTreeMap::new(), None, &labels());
        let plan = plan.unwrap_or_else(|problems| panic!("{problems:?}"));
        let extraction = assemble(&of_note(), &[], &text, None, &plan).expect("sound");
        assert_eq!(shown(&extraction, "age"), expected);
        assert!(extraction.fields.iter().all(|field| field.unread.is_empty()));
    };
    check(age(None, None), &["36"]);
    check(age(Some(r"\A<\d+>"), Some(0.5)), &["36"]);
    check(age(Some("HPI"), None), &[]);
    check(age(None, Some(0.51)), &[]);
}

#[test]
fn a_value_is_left_out_where_the_words_around_say_so() {
    let age = FieldSpec {
        unless_around: Some(r"\bbrother\b[^.]*<>|<>-year-old brother".to_owned()),
        ..FieldSpec::new("age", "Age", FieldKind::Integer)
    };
    let check = |body: &str, ages: &[(&str, f32)], expected: &[&str]| {
        let plan = Plan::new(std::slice::from_ref(&age), &BTreeMap::new(), None, &labels());
        let plan = plan.unwrap_or_else(|problems| panic!("{problems:?}"));
        let label = labels().index("Age").expect("a label");
        let findings: Vec<_> = ages
            .iter()
            .map(|(words, confidence)| {
                let start = body.find(words).expect("the words stand there");
                let span = Span { start, end: start + words.len() };
                Finding { label, span, confidence: *confidence }
            })
            .collect();
        let text = Text::from_pages([body.to_owned()]);
        let extraction = assemble(&findings, &[], &text, None, &plan).expect("sound");
        assert_eq!(shown(&extraction, "age"), expected, "{body}");
    };
    check("He is 36. His brother died at 96.", &[("36", 0.5), ("96", 0.9)], &["36"]);
    check("His brother died at 96.", &[("96", 0.9)], &[]);
    check("His brother is well. He is 36 now.", &[("36", 0.9)], &["36"]);
    check("é 36, came with an 8-year-old brother", &[("8", 0.9), ("36", 0.5)], &["36"]);
}

#[test]
fn values_carry_what_belongs_to_them() {
    let extraction = assembled(NOTE, &of_note());
    let problems = [
        "headache severity=severe negated=false section=HPI kind=Sign",
        "fever negated=true section=HPI kind=Disease",
        "Fever severity=mild negated=false section=HPI kind=Disease",
    ];
    assert_eq!(shown(&extraction, "problems"), problems);
    let evidence = &extraction.fields[0].values[1].attributes[0].evidence;
    assert_eq!(evidence.as_ref().map(|cue| cue.raw.as_str()), Some("no"));
}

#[test]
fn what_lacks_a_required_attribute_is_not_listed() {
    let extraction = assembled(NOTE, &of_note());
    let labs = ["WBC result=12,500 /mm3 number=12500 unit=/mm3 all=12,500 /mm3"];
    assert_eq!(shown(&extraction, "labs"), labs);
    assert!(extraction.fields[1].unread.is_empty());
}

#[test]
fn headings_heads_and_patterns_are_sources() {
    let extraction = assembled(NOTE, &of_note());
    assert_eq!(shown(&extraction, "sections"), ["HPI", "PLAN"]);
    assert_eq!(shown(&extraction, "kind"), ["inpatient"]);
    assert_eq!(shown(&extraction, "codes"), ["blue", "I10"]);
    assert_eq!(shown(&extraction, "code"), ["I10"]);
    assert_eq!(shown(&extraction, "age"), ["36"]);
    assert_eq!(extraction.fields[5].values[0].evidence.confidence.to_string(), "1");
}

#[test]
fn the_same_words_with_other_attributes_are_two_values() {
    let body = "No fever. Then fever again. Still fever.";
    let at = |start| Finding { label: 0, span: Span { start, end: start + 5 }, confidence: 0.5 };
    let extraction = assembled(body, &[at(3), at(15), at(34)]);
    let expected =
        ["fever negated=true section=- kind=Sign", "fever negated=false section=- kind=Sign"];
    assert_eq!(shown(&extraction, "problems"), expected);
}

#[test]
fn of_two_classes_the_surer_is_the_documents() {
    let finding =
        |label, confidence| Finding { label, span: Span { start: 0, end: NOTE.len() }, confidence };
    let extraction = assembled(NOTE, &[finding(6, 0.6), finding(7, 0.4)]);
    assert_eq!(shown(&extraction, "kind"), ["outpatient"]);
}

/// Tampers with one extraction and looks whether it still passes the gate.
fn is_grounded(tamper: impl Fn(&mut Extraction)) -> bool {
    let text = Text::from_pages([NOTE.to_owned()]);
    let (plan, findings) = (plan(), of_note());
    let mut extraction = assembled(NOTE, &findings);
    tamper(&mut extraction);
    let frame = super::Frame::new(&text, None, plan.headings());
    super::ground::check(&extraction, &findings, &frame, &plan).is_ok()
}

#[test]
fn attributes_that_do_not_follow_from_the_text_are_refused() {
    assert!(is_grounded(|_| ()));
    let text = |words: &str| Some(Value::Text(Sensitive::new(words.to_owned())));
    assert!(!is_grounded(|all| all.fields[0].values[0].attributes[0].value = text("mild")));
    assert!(!is_grounded(|all| all.fields[0].values[0].attributes[0].evidence = None));
    assert!(!is_grounded(|all| {
        all.fields[0].values[0].attributes[1].value = Some(Value::Boolean(true));
    }));
    assert!(!is_grounded(|all| all.fields[0].values[0].attributes[2].value = text("PLAN")));
    assert!(!is_grounded(|all| all.fields[0].values[0].attributes[3].value = text("Disease")));
    assert!(!is_grounded(|all| all.fields[0].values[0].attributes[3].value = text("Age")));
    assert!(!is_grounded(|all| all.fields[0].values[0].attributes[1].name = "other".to_owned()));
    assert!(!is_grounded(|all| {
        all.fields[1].values[0].attributes[1].value = Some(Value::Number(12.5));
    }));
    assert!(!is_grounded(|all| {
        let far = all.fields[0].values[2].attributes[0].clone();
        all.fields[0].values[0].attributes[0] = far;
    }));
    assert!(!is_grounded(|all| all.fields[3].values[0].value = text("outpatient").expect("words")));
    assert!(!is_grounded(|all| all.fields[2].values[0].value = text("PLAN").expect("words")));
}

/// Text in which columns find something, and findings anywhere in it.
fn document() -> impl Strategy<Value = (String, Vec<Finding>)> {
    let piece = prop_oneof![
        Just("\nHPI: ".to_owned()),
        Just("no severe headache, mild fever ".to_owned()),
        Just("WBC <12,500 /mm3; ".to_owned()),
        Just("denies. ".to_owned()),
        Just("I10 É 36-year-old\n\nPlan\n".to_owned()),
        "\\PC{0,12}",
    ];
    documents(piece, ENTITIES.len() + CLASSES.len(), 15)
}

proptest! {
    #[test]
    fn the_order_of_findings_changes_nothing(
        (body, findings, shuffled) in document().prop_flat_map(|(body, findings)| {
            let shuffled = Just(findings.clone()).prop_shuffle();
            (Just(body), Just(findings), shuffled)
        })
    ) {
        prop_assert!(assembled(&body, &findings) == assembled(&body, &shuffled));
    }

    #[test]
    fn every_place_of_a_value_and_its_attributes_is_grounded((body, findings) in document()) {
        let extraction = assembled(&body, &findings);
        let values = extraction.fields.iter().flat_map(|field| &field.values);
        for one in values {
            let attached = one.attributes.iter().filter_map(|found| found.evidence.as_ref());
            for evidence in attached.chain([&one.evidence]) {
                prop_assert_eq!(body.get(evidence.span.range()), Some(evidence.raw.as_str()));
            }
        }
    }

    #[test]
    fn each_finding_belongs_to_one_value((body, findings) in document()) {
        let extraction = assembled(&body, &findings);
        let labs = extraction.fields.iter().filter(|field| field.name == "labs");
        let results = labs.flat_map(|field| &field.values).flat_map(|one| {
            let all = one.attributes.iter().filter(|found| found.name == "all");
            all.filter_map(|found| found.evidence.as_ref().map(|place| place.span))
        });
        let results: Vec<_> = results.collect();
        let mut distinct = results.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(results.len(), distinct.len());
    }
}
