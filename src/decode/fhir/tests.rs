//! FHIR bodies, honest and hostile.

use std::sync::Arc;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{BASE64, Found};
use super::documents;
use crate::config::pipeline::Input;
use crate::decode::tests::roomy_input;
use crate::types::{MediaType, Reject, RejectCode};

/// What is found: identifier, then bytes or code.
type Told = (Option<String>, Result<Vec<u8>, RejectCode>);

fn told(found: Vec<Found<'_>>) -> Vec<Told> {
    let bytes = |one: Found<'_>| {
        (one.id, one.content.map(|it| it.bytes.into_owned()).map_err(|reject| reject.code))
    };
    found.into_iter().map(bytes).collect()
}

fn read(body: &Value) -> Result<Vec<Told>, Reject> {
    documents(body.to_string().as_bytes(), &roomy_input()).map(told)
}

fn identifiers(body: &Value) -> Vec<(&'static str, String)> {
    let body = body.to_string();
    let found = documents(body.as_bytes(), &roomy_input()).ok().unwrap();
    let of = found.into_iter().next().unwrap().identifiers;
    of.iter().map(|one| (one.kind, one.value.to_string())).collect()
}

fn attached(content_type: &str, bytes: &[u8]) -> Value {
    json!({"attachment": {"contentType": content_type, "data": BASE64.encode(bytes)}})
}

fn reference(content: &[Value]) -> Value {
    json!({"resourceType": "DocumentReference", "id": "d1", "status": "current", "content": content})
}

#[test]
fn each_attachment_is_a_document_of_its_declared_type() {
    let body = reference(&[
        titled("text/plain; charset=windows-1252", b"caf\xE9", &json!({"title": "Note"})),
        titled("application/pdf", b"%PDF-1.7", &json!({"title": "Consent"})),
    ]);
    let body = body.to_string();
    let found = documents(body.as_bytes(), &roomy_input()).ok().unwrap();
    let types: Vec<_> =
        found.iter().map(|one| one.content.as_ref().ok().unwrap().media_type).collect();
    assert_eq!(types, [MediaType::Plain(encoding_rs::WINDOWS_1252), MediaType::Pdf]);
    assert_eq!(found[1].id.as_deref(), Some("d1#1"));
}

#[test]
fn the_identifier_is_the_master_identifier_else_the_id() {
    let mut body = reference(&[attached("text/plain", b"x")]);
    assert_eq!(read(&body).unwrap()[0].0.as_deref(), Some("d1"));
    body["masterIdentifier"] = json!({"system": "urn:x", "value": "m1"});
    assert_eq!(read(&body).unwrap()[0].0.as_deref(), Some("m1"));
}

#[test]
fn each_bad_attachment_is_a_reject_of_its_own() {
    let good = attached("text/plain", b"good");
    for (bad, code) in [
        (json!({"attachment": {"url": "https://example.org/1.pdf"}}), RejectCode::AttachmentRemote),
        (json!({"attachment": {"contentType": "text/plain"}}), RejectCode::DocumentEmpty),
        (
            json!({"attachment": {"contentType": "text/plain", "data": "*"}}),
            RejectCode::FhirInvalid,
        ),
        (attached("image/png", b"x"), RejectCode::TypeUnsupported),
        (attached("text/plain", b"%PDF-1.7"), RejectCode::TypeMismatch),
        (attached("application/fhir+json", b"{}"), RejectCode::TypeUnsupported),
        (attached("text/plain", &[b'x'; 1001]), RejectCode::DocumentTooLarge),
    ] {
        let told = read(&reference(&[bad, good.clone()])).unwrap();
        assert_eq!(told[0].1, Err(code));
        assert_eq!(told[1].1, Ok(b"good".to_vec()));
    }
}

#[test]
fn base64_with_line_ends_and_without_padding_is_read() {
    let body =
        reference(&[json!({"attachment": {"contentType": "text/plain", "data": "eH\r\nh4 eA"}})]);
    assert_eq!(read(&body).unwrap()[0].1, Ok(b"xxxx".to_vec()));
}

#[test]
fn a_bundle_gives_the_documents_in_it_and_binaries_that_they_link() {
    let mut linked = reference(&[json!({"attachment": {"url": "urn:uuid:b"}})]);
    linked["id"] = json!("d2");
    let mut within = reference(&[json!({"attachment": {"url": "#b"}})]);
    within["contained"] =
        json!([{"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "eQ"}]);
    let body = json!({"resourceType": "Bundle", "identifier": {"value": "bundle"}, "entry": [
        {"resource": {"resourceType": "Observation", "id": "o", "name": "n", "content": "c"}},
        {"resource": reference(&[attached("text/plain", b"one")])},
        {"resource": linked},
        {"resource": within},
        {"fullUrl": "urn:uuid:b", "resource": {"resourceType": "Binary", "id": "b",
            "contentType": "text/plain", "data": "eA=="}},
    ]});
    let told = read(&body).unwrap();
    let bytes: Vec<_> = told.into_iter().map(|(_, bytes)| bytes.unwrap()).collect();
    assert_eq!(bytes, [b"one".to_vec(), b"x".to_vec(), b"y".to_vec()]);
}

#[test]
fn a_binary_that_many_documents_share_is_not_copied_without_end() {
    let data = BASE64.encode(vec![b'x'; 100_000]);
    let link = json!({"attachment": {"contentType": "text/plain", "url": "Binary/b"}});
    let mut entry = vec![json!({"resource": reference(&[link])}); 7];
    entry.push(json!({"resource": {"resourceType": "Binary", "id": "b", "data": data}}));
    let input = Input { document_bytes_max: 1 << 20, parts_max: 100, ..roomy_input() };
    let linking = |count: usize| {
        let body = json!({"resourceType": "Bundle", "entry": entry[7 - count..]}).to_string();
        documents(body.as_bytes(), &input).map(|found| found.len())
    };
    assert_eq!(linking(5).unwrap(), 5);
    assert!(linking(7).unwrap_err().detail.contains("share a Binary"));
}

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p1", "birthDate": "1970-03-21",
        "name": [{"family": "Doe", "given": ["Jane", "Q"]}],
        "identifier": [{"value": "MRN7", "type": {"coding": [{"code": "MR"}]}}, {"value": "123-45-6789"}],
        "telecom": [{"system": "phone", "value": "555-0100"}, {"system": "email", "value": "j@x.org"}],
        "address": [{"line": ["1 Main St"], "city": "Springfield", "postalCode": "12345"}],
        "contact": [{"name": {"text": "John Doe"}, "telecom": [{"system": "phone", "value": "555-0101"}]}]})
}

#[test]
fn who_the_document_is_about_is_gathered_from_subject_patient_and_author() {
    let mut body = reference(&[attached("text/plain", b"x")]);
    body["subject"] = json!({"reference": "Patient/p1", "display": "Jane Doe",
        "identifier": {"value": "MRN7"}});
    body["author"] = json!([{"display": "Dr. Roe"}]);
    let expected = [
        ("name", "Jane Doe"),
        ("id", "p1"),
        ("record_number", "MRN7"),
        ("name", "Dr. Roe"),
        ("birth_date", "1970-03-21"),
        ("id", "123-45-6789"),
        ("name", "Jane Q Doe"),
        ("name", "Jane"),
        ("name", "Doe"),
        ("phone", "555-0100"),
        ("email", "j@x.org"),
        ("address", "Springfield"),
        ("address", "12345"),
        ("address", "1 Main St"),
        ("name", "John Doe"),
        ("phone", "555-0101"),
    ];
    let expected: Vec<_> = expected.map(|(kind, value)| (kind, value.to_owned())).to_vec();
    let bundle = json!({"resourceType": "Bundle", "entry": [
        {"resource": body.clone()}, {"resource": patient()},
        {"resource": {"resourceType": "Patient", "id": "p2", "name": {"family": "Other"}}},
    ]});
    assert_eq!(identifiers(&bundle), expected);
    body["contained"] = json!([patient()]);
    body["subject"]["reference"] = json!("#p1");
    let contained = identifiers(&body);
    assert!(expected.iter().all(|one| contained.contains(one)), "{contained:?}");
}

#[test]
fn the_only_patient_of_a_bundle_is_meant_and_one_of_several_is_not() {
    let document = json!({"resource": reference(&[attached("text/plain", b"x")])});
    let other = json!({"resource": {"resourceType": "Patient", "name": {"family": "Other"}}});
    let one = json!({"resourceType": "Bundle", "entry": [document, {"resource": patient()}]});
    assert!(identifiers(&one).contains(&("name", "Doe".to_owned())));
    let two =
        json!({"resourceType": "Bundle", "entry": [document, {"resource": patient()}, other]});
    assert_eq!(identifiers(&two), []);
}

#[test]
fn an_identifier_that_nobody_has_is_refused_and_not_left_out() {
    for (length, is_taken) in [(1024, true), (1025, false)] {
        let mut body = reference(&[attached("text/plain", b"x")]);
        body["subject"] = json!({"display": "x".repeat(length)});
        let read = read(&body);
        assert_eq!(read.is_ok(), is_taken);
        let Err(reject) = read else { continue };
        assert_eq!(reject.code, RejectCode::FhirInvalid);
        let is_told = reject.detail.contains("1024 bytes") && !reject.detail.contains("xx");
        assert!(is_told, "{}", reject.detail);
    }
}

#[test]
fn documents_about_the_same_people_share_what_is_known_of_them() {
    let document = |id: &str| {
        let mut body = reference(&[
            titled("text/plain", b"x", &json!({"title": "Note"})),
            titled("text/plain", b"y", &json!({"title": "Consent"})),
        ]);
        body["id"] = json!(id);
        json!({"resource": body})
    };
    let long = "7".repeat(1025);
    let bundle = json!({"resourceType": "Bundle",
        "entry": [document("d1"), document(&long), {"resource": patient()}]});
    let body = bundle.to_string();
    let found = documents(body.as_bytes(), &roomy_input()).ok().unwrap();
    let of: Vec<_> = found.iter().map(|one| &one.identifiers).collect();
    assert!(Arc::ptr_eq(of[0], of[1]) && of[2].len() == of[0].len());
    assert!(Arc::ptr_eq(&of[0][0].value, &of[2][0].value), "a value is held once");
    let ids: Vec<_> = found.iter().map(|one| one.id.as_deref()).collect();
    assert_eq!(ids, [Some("d1#0"), Some("d1#1"), None, None], "no copies of what no part may have");
}

#[test]
fn what_is_no_document_reference_is_refused_without_a_word_of_it() {
    let deep = format!(r#"{{"resourceType":"Bundle","x":{}"#, "[".repeat(100_000));
    let nested =
        format!(r#"{{"resourceType":"Bundle","contained":{}"#, "[{\"contained\":".repeat(100_000));
    let many = (0..1001).map(|number| format!(r#"{{"text":"SECRET {number}"}}"#));
    let many = format!(
        r#"{{"resourceType":"DocumentReference","content":[{{"attachment":{{"data":"eA"}}}}],
        "contained":[{{"resourceType":"Patient","name":[{}]}}]}}"#,
        many.collect::<Vec<_>>().join(",")
    );
    for body in [
        "",
        "{",
        "SECRET",
        "[]",
        "{}",
        r#"{"resourceType":"SECRET"}"#,
        r#"{"resourceType":7}"#,
        r#"{"resourceType":"DocumentReference","content":"SECRET"}"#,
        r#"{"resourceType":"DocumentReference","id":"SECRET","id":"SECRET"}"#,
        r#"{"resourceType":"Bundle","entry":[{"resource":"SECRET"}]}"#,
        "{\"resourceType\":\"\u{0}SECRET\"}",
        &deep,
        &nested,
        &many,
    ] {
        let reject = documents(body.as_bytes(), &roomy_input()).err().unwrap();
        assert_eq!(reject.code, RejectCode::FhirInvalid, "{body:.60}");
        assert!(!reject.detail.contains("SECRET"), "{}", reject.detail);
    }
    let reject = documents(b"\xFF", &roomy_input()).err().unwrap();
    assert_eq!(reject.code, RejectCode::FhirInvalid);
}

#[test]
fn reading_ends_behind_the_limit_of_parts() {
    let body = reference(&vec![attached("text/plain", b"x"); 50]);
    assert_eq!(read(&body).err().unwrap().code, RejectCode::PartsTooMany);
}

/// An attachment with more elements.
fn titled(content_type: &str, bytes: &[u8], more: &Value) -> Value {
    let mut content = attached(content_type, bytes);
    let attachment = content["attachment"].as_object_mut().unwrap();
    attachment.extend(more.as_object().unwrap().clone());
    content
}

fn check_renditions(contents: &[Value], expected: &[&[u8]]) {
    let told = read(&reference(contents)).unwrap();
    let bytes: Vec<_> = told.into_iter().map(|(_, bytes)| bytes.unwrap()).collect();
    assert_eq!(bytes, expected, "{contents:?}");
}

#[test]
fn formats_of_one_document_are_one_part_in_the_best_of_them() {
    let plain = attached("text/plain", b"note");
    let html = attached("text/html", b"<p>note");
    let pdf = attached("application/pdf", b"%PDF-1.7");
    check_renditions(&[pdf.clone(), plain.clone()], &[b"note"]);
    check_renditions(&[html.clone(), pdf.clone()], &[b"<p>note"]);
    check_renditions(&[pdf.clone(), html.clone(), plain.clone()], &[b"note"]);
    check_renditions(&[attached("text/markdown", b"# note"), html.clone()], &[b"# note"]);
    check_renditions(&[plain.clone(), plain.clone(), pdf.clone()], &[b"note"]);
    let id = read(&reference(&[pdf, plain])).unwrap().remove(0).0;
    assert_eq!(id.as_deref(), Some("d1"));
}

#[test]
fn contents_that_differ_are_parts_each() {
    let note = titled("text/plain", b"note", &json!({"title": "Note"}));
    let same = titled("application/pdf", b"%PDF-1.7", &json!({"title": "note"}));
    let other = titled("application/pdf", b"%PDF-1.4", &json!({"title": "Consent"}));
    check_renditions(&[note.clone(), other.clone(), same], &[b"note", b"%PDF-1.4"]);
    let english = titled("text/plain", b"note", &json!({"language": "en"}));
    let spanish = titled("text/html", b"nota", &json!({"language": "es"}));
    check_renditions(&[english, spanish], &[b"note", b"nota"]);
    let two = attached("text/plain", b"another note");
    check_renditions(&[note.clone(), two], &[b"note", b"another note"]);
    let told = read(&reference(&[note, attached("image/png", b"x")])).unwrap();
    assert_eq!(told[1].1, Err(RejectCode::TypeUnsupported));
}

#[test]
fn what_was_entered_in_error_is_one_refused_part() {
    let contents = [attached("text/plain", b"one"), attached("text/plain", b"two")];
    for (element, status, is_refused) in [
        ("status", "entered-in-error", true),
        ("docStatus", "entered-in-error", true),
        ("status", "superseded", false),
        ("docStatus", "preliminary", false),
    ] {
        let mut body = reference(&contents);
        body[element] = json!(status);
        let told = read(&body).unwrap();
        let is_told = told == [(Some("d1".to_owned()), Err(RejectCode::DocumentRetracted))];
        assert_eq!(is_told, is_refused, "{element} {status}: {told:?}");
    }
}

#[test]
fn authors_given_by_reference_only_are_found_in_the_body() {
    let entry = |resource: Value| json!({"fullUrl": format!("urn:uuid:{}", resource["id"].as_str().unwrap()), "resource": resource});
    let mut body = reference(&[attached("text/plain", b"x")]);
    body["subject"] = json!({"reference": "urn:uuid:p1"});
    body["author"] = json!([
        {"reference": "#house"}, {"reference": "PractitionerRole/role"}, {"reference": "urn:uuid:dev"},
    ]);
    body["authenticator"] = json!({"reference": "Practitioner/welby/_history/3"});
    body["custodian"] = json!({"display": "Orla Family Clinic"});
    body["context"] = json!({"encounter": {"reference": "Encounter/e1"}});
    body["contained"] = json!([{"resourceType": "Practitioner", "id": "house",
        "name": {"family": "House", "given": "Gregory"}}]);
    let mut subject = patient();
    subject["generalPractitioner"] = json!([{"reference": "Practitioner/gp"}]);
    subject["managingOrganization"] = json!({"reference": "Organization/org"});
    let practitioner = |id: &str, family: &str| json!({"resourceType": "Practitioner", "id": id, "name": [{"family": family}]});
    let bundle = json!({"resourceType": "Bundle", "entry": [
        entry(body),
        entry(subject),
        entry(json!({"resourceType": "PractitionerRole", "id": "role",
            "practitioner": {"reference": "Practitioner/wilson", "display": "J. Wilson, MD"},
            "organization": {"reference": "Organization/org"},
            "telecom": [{"system": "phone", "value": "555-0177"}]})),
        entry(practitioner("wilson", "Wilson")),
        entry(practitioner("welby", "Welby")),
        entry(practitioner("gp", "Kildare")),
        entry(practitioner("nobody", "Unmet")),
        entry(json!({"resourceType": "Encounter", "id": "e1",
            "participant": [{"individual": {"display": "Nurse Jackie"}}]})),
        entry(json!({"resourceType": "Organization", "id": "org", "name": "Princeton Plainsboro"})),
        entry(json!({"resourceType": "RelatedPerson", "id": "r1", "name": {"text": "Ray Doe"},
            "patient": {"reference": "Patient/p1"}})),
        entry(json!({"resourceType": "RelatedPerson", "id": "r2", "name": {"text": "Someone Else"},
            "patient": {"reference": "Patient/p2"}})),
        entry(json!({"resourceType": "Device", "id": "dev"})),
    ]});
    let of = identifiers(&bundle);
    for (kind, value) in [
        ("name", "Jane Q Doe"),
        ("name", "Gregory House"),
        ("name", "J. Wilson, MD"),
        ("name", "Wilson"),
        ("phone", "555-0177"),
        ("name", "Welby"),
        ("name", "Kildare"),
        ("address", "Orla Family Clinic"),
        ("name", "Nurse Jackie"),
        ("address", "Princeton Plainsboro"),
        ("name", "Ray Doe"),
    ] {
        assert!(of.contains(&(kind, value.to_owned())), "{kind} {value}: {of:?}");
    }
    let is_stranger = |value: &str| ["Unmet", "Someone Else", "role"].contains(&value);
    assert!(!of.iter().any(|(_, value)| is_stranger(value)), "{of:?}");
}

/// A bundle of so many documents, each with `more` of its own, and of `others`.
fn many(documents: usize, more: &str, others: &[String]) -> String {
    let document = format!(r#"{{"resource":{{"resourceType":"DocumentReference"{more}}}}}"#);
    let all: Vec<_> = std::iter::repeat_n(&document, documents).chain(others).cloned().collect();
    format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, all.join(","))
}

const ATTACHED: &str = r#","content":{"attachment":{"contentType":"text/plain","data":"eA"}}"#;

#[test]
fn documents_and_what_stands_beside_them_are_not_each_held_against_each() {
    let input = Input { parts_max: 50_000, ..roomy_input() };
    let count = |body: &str, input: &Input| match documents(body.as_bytes(), input) {
        Ok(found) => Ok(found.len()),
        Err(reject) => Err(reject.code),
    };
    let relative = |number: usize| {
        let link = if number.is_multiple_of(2) { "Patient/p" } else { "#p" };
        format!(
            r#"{{"resource":{{"resourceType":"RelatedPerson","patient":{{"reference":"{link}"}}}}}}"#
        )
    };
    let patient = r#"{"resource":{"resourceType":"Patient","id":"p"}}"#.to_owned();
    let mut others: Vec<String> = (0..50_000).map(relative).collect();
    others.extend([patient.clone(), patient]);
    assert_eq!(count(&many(50_000, "", &others), &input), Err(RejectCode::FhirInvalid));
    assert_eq!(count(&many(50_000, ATTACHED, &others), &input), Ok(50_000));
    let body = many(50_000, ATTACHED, &others);
    assert_eq!(count(&body, &roomy_input()), Err(RejectCode::PartsTooMany));
    let retracted = many(50_000, r#","status":"entered-in-error""#, &others);
    assert_eq!(count(&retracted, &roomy_input()), Err(RejectCode::PartsTooMany));

    let own: Vec<_> =
        (0..50_000).map(|at| format!(r#"{{"resourceType":"Device","id":"c{at}"}}"#)).collect();
    let authors: Vec<_> = (0..50_000).map(|at| format!(r##"{{"reference":"#c{at}"}}"##)).collect();
    let (own, authors) = (own.join(","), authors.join(","));
    let more = format!(r#"{ATTACHED},"contained":[{own}],"author":[{authors}]"#);
    assert_eq!(count(&many(1, &more, &[]), &roomy_input()), Ok(1));
}

#[test]
fn many_documents_of_a_patient_without_end_are_refused() {
    let input = Input { parts_max: 10_000, ..roomy_input() };
    let refused = |patient: &str| {
        let patient = format!(r#"{{"resource":{{"resourceType":"Patient",{patient}}}}}"#);
        let body = many(10_000, ATTACHED, &[patient]);
        let reject = documents(body.as_bytes(), &input).err().unwrap();
        assert_eq!(reject.code, RejectCode::FhirInvalid);
        reject.detail
    };
    let list = |one: &str| vec![one; 50_000].join(",");
    for patient in [
        format!(r#""name":[{}]"#, list(r#"{"text":"Ann"}"#)),
        format!(r#""telecom":[{}]"#, list(r#"{"system":"phone"}"#)),
        format!(r#""contact":[{}]"#, list(r#"{"name":"Ann"}"#)),
        format!(r#""identifier":{{"type":{{"coding":[{}]}}}}"#, list(r#"{"code":"MC"}"#)),
        format!(r#""link":[{}]"#, list(r#"{"other":{"reference":"Patient/x"}}"#)),
        format!(r#""managingOrganization":{{"reference":"{}"}}"#, "x".repeat(1 << 20)),
    ] {
        let detail = refused(&patient);
        assert!(detail.ends_with("people more than 5000000 times"), "{patient:.30}: {detail}");
    }
    let detail =
        refused(&format!(r#""managingOrganization":{{"display":"{}"}}"#, "lab ".repeat(1000)));
    assert!(detail.ends_with("over 1024 bytes"), "{detail}");
}

#[test]
fn a_document_without_content_is_no_part_and_counts_for_none() {
    let attached = json!({"resource": reference(&[attached("text/plain", b"x")])});
    let mut entries = vec![json!({"resource": reference(&[])}); 10];
    entries.push(attached);
    let told = read(&json!({"resourceType": "Bundle", "entry": entries})).unwrap();
    assert_eq!(told, [(Some("d1".to_owned()), Ok(b"x".to_vec()))]);
}

proptest! {
    #[test]
    fn relatives_are_those_of_one_look_at_each_in_the_order_of_the_body(
        links in prop::collection::vec(prop::collection::vec(0_usize..10, 0..3), 0..8),
        contained in prop::collection::vec(0_usize..3, 0..3),
    ) {
        // Two patients of whom one is met, two contained, and the relatives by their numbers.
        let name = |target: usize| match target {
            0 => "Patient/p0".to_owned(),
            1 => "Patient/p1/_history/2".to_owned(),
            2..4 => format!("#c{target}"),
            _ => format!("RelatedPerson/r{}", target - 4),
        };
        let mut body = reference(&[attached("text/plain", b"x")]);
        body["subject"] = json!({"reference": "Patient/p0"});
        body["contained"] =
            contained.iter().map(|id| json!({"resourceType": "Device", "id": format!("c{id}")})).collect();
        let mut entries = vec![json!({"resource": body})];
        entries.extend(["p0", "p1"].map(|id| json!({"resource": {"resourceType": "Patient", "id": id}})));
        let mut met: Vec<String> = contained.iter().map(|id| format!("#c{id}")).collect();
        met.push(name(0));
        let mut expected = vec![("id", "p0".to_owned())];
        for (number, links) in links.iter().enumerate() {
            let patient: Value = links.iter().map(|to| json!({"reference": name(*to)})).collect();
            let (id, family) = (format!("r{number}"), format!("Family{number}"));
            entries.push(json!({"resource": {"resourceType": "RelatedPerson", "id": id,
                "name": {"family": family}, "patient": patient}}));
            if links.iter().any(|to| met.contains(&name(*to))) {
                met.push(format!("RelatedPerson/{id}"));
                expected.push(("name", family));
            }
        }
        let bundle = json!({"resourceType": "Bundle", "entry": entries});
        prop_assert_eq!(identifiers(&bundle), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(
        head in prop::sample::select(vec![
            r#"{"resourceType":"DocumentReference","content":["#, r#"{"resourceType":"Bundle","entry":"#, "",
        ]),
        tail in "[\\[\\]{}\",:a-z0-9 ]{0,80}",
    ) {
        drop(documents(format!("{head}{tail}").as_bytes(), &roomy_input()));
    }
}
