//! HL7 v2 messages, honest and hostile.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::Found;
use super::documents;
use crate::decode::tests::roomy_input;
use crate::types::{MediaType, RejectCode};

/// What is found: identifier, then text or code.
type Told = (Option<String>, Result<String, RejectCode>);

fn told(found: Vec<Found<'_>>) -> Vec<Told> {
    let text = |one: Found<'_>| {
        let text = one.content.map(|it| String::from_utf8(it.bytes.into_owned()).unwrap());
        (one.id, text.map_err(|reject| reject.code))
    };
    found.into_iter().map(text).collect()
}

fn read(segments: &[&str]) -> Result<Vec<Told>, RejectCode> {
    let body = segments.join("\r");
    documents(body.as_bytes(), None, &roomy_input()).map(told).map_err(|reject| reject.code)
}

fn texts(segments: &[&str]) -> Vec<Result<String, RejectCode>> {
    read(segments).unwrap().into_iter().map(|(_, text)| text).collect()
}

const ORU: &str = r"MSH|^~\&|LAB|ACME|EHR|CLINIC|20260101||ORU^R01^ORU_R01|C7|P|2.5";
const MDM: &str = r"MSH|^~\&|EHR|ACME|X|Y|20260101||MDM^T02^MDM_T02|C8|P|2.5";

#[test]
fn observations_and_notes_are_lines_in_order() {
    let text = texts(&[
        ORU,
        "PID|1",
        "NTE|1||about the patient",
        "OBR|1|P1|F1",
        "NTE|1||about the order",
        "OBX|1|TX|1^Note||The heart is normal.~Second \\T\\ last.||||||F",
        "OBX|2|NM|2^Count||7",
        "NTE|1|L|repeated~twice",
        "OBX|3|ST|3||short",
        "OBX|4|TX|3||\"\"",
        r"OBX|5|FT|4||one\.br\two",
        "OBX|6|TX|4||withdrawn||||||D",
    ]);
    let expected = "about the order\nThe heart is normal.\nSecond & last.\nCount: 7\nrepeated\ntwice\n\
                    short\none\ntwo";
    assert_eq!(text, [Ok(expected.to_owned())]);
}

#[test]
fn each_report_of_a_message_is_a_part_with_its_own_identifier() {
    let found = read(&[
        ORU,
        "PID|1||A",
        "ORC|RE",
        "OBR|1|P1|F1^LAB",
        "OBX|1|TX|||first",
        "OBR|2|P2",
        "OBX|1|TX|||second",
        "PID|2||B",
        "OBR|1",
        "OBX|1|TX|||third",
        "OBR|2",
        "OBX|1|TX|||fourth",
    ]);
    let expected = [("F1", "first"), ("P2", "second"), ("C7#0", "third"), ("C7#1", "fourth")];
    let expected = expected.map(|(id, text)| (Some(id.to_owned()), Ok(text.to_owned())));
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn a_document_message_has_its_text_behind_txa_or_only_a_title() {
    let txa = "TXA|1|CN|TX|||||||||D9^EHR|||||LA";
    let found = read(&[MDM, "EVN|T02", "PID|1", "PV1|1", txa, "OBX|1|TX|||Seen today."]).unwrap();
    assert_eq!(found, [(Some("D9".to_owned()), Ok("Seen today.".to_owned()))]);
    let txa = "TXA|1|CN|TX|||||||||D9||||||||||||| Fracture of the wrist ";
    assert_eq!(texts(&[MDM, txa]), [Ok("Fracture of the wrist".to_owned())]);
}

#[test]
fn what_was_taken_back_is_a_refused_part() {
    let txa = "TXA|1|CN|TX|||||||||D9|||||LA||CA";
    assert_eq!(texts(&[MDM, txa, "OBX|1|TX|||Seen today."]), [Err(RejectCode::DocumentRetracted)]);
    let found = texts(&[
        ORU,
        "OBR|1",
        "OBX|1|NM|^K||5.9||||||W",
        "OBX|2|TX|||x||||||D",
        "OBR|2",
        "OBX|1|NM|^K||5.9||||||W",
        "OBX|1|NM|^K||4.1||||||C",
    ]);
    assert_eq!(found, [Err(RejectCode::DocumentRetracted), Ok("K: 4.1".to_owned())]);
}

#[test]
fn an_encapsulated_document_is_a_part_of_its_type() {
    let body = [
        MDM,
        "TXA|1|||||||||||D9",
        "OBX|1|TX|||Cover text",
        "OBX|2|ED|||^application^pdf^Base64^JVBERi0xLjc=",
        "OBX|3|ED|||^TEXT^PLAIN^Hex^6869",
        "OBX|4|ED|||^text^html^A^<p>a\\T\\b",
        "OBX|5|RP|||file.pdf^host",
    ]
    .join("\r");
    let found = documents(body.as_bytes(), None, &roomy_input()).ok().unwrap();
    let types: Vec<_> =
        found.iter().map(|one| one.content.as_ref().map(|it| it.media_type)).collect();
    let plain = MediaType::Plain(encoding_rs::UTF_8);
    assert_eq!(
        types[..4].iter().map(|it| *it.as_ref().ok().unwrap()).collect::<Vec<_>>(),
        [plain, MediaType::Pdf, plain, MediaType::Html(encoding_rs::UTF_8),]
    );
    let told = told(found);
    assert_eq!(told[3], (Some("D9#3".to_owned()), Ok("<p>a&b".to_owned())));
    assert_eq!(told[4].1, Err(RejectCode::AttachmentRemote));
}

#[test]
fn each_bad_attachment_is_a_reject_of_its_own() {
    let large = format!("OBX|1|ED|||^application^pdf^Base64^{}", "A".repeat(2000));
    for (segment, code) in [
        ("OBX|1|ED|||^application^pdf^Base64^*", RejectCode::Hl7Invalid),
        ("OBX|1|ED|||^text^plain^Hex^6", RejectCode::Hl7Invalid),
        ("OBX|1|ED|||^text^plain^Morse^.-", RejectCode::Hl7Invalid),
        ("OBX|1|ED|||^text^plain^A^", RejectCode::DocumentEmpty),
        ("OBX|1|ED|||^image^jpeg^A^x", RejectCode::TypeUnsupported),
        ("OBX|1|ED|||^^^A^x", RejectCode::TypeUnsupported),
        ("OBX|1|ED|||^text^plain^Hex^255044462D312E37", RejectCode::TypeMismatch),
        (&large, RejectCode::DocumentTooLarge),
    ] {
        assert_eq!(texts(&[MDM, "OBX|9|TX|||good", segment])[1], Err(code), "{segment:.50}");
    }
}

#[test]
fn the_character_set_is_the_messages_own() {
    let head = r"MSH|^~\&|||||||ORU^R01|1||2.5||||||8859/1";
    let body = [head.as_bytes(), b"\rOBX|1|TX|||caf\xE9 \\XE9\\"].concat();
    let found = documents(&body, None, &roomy_input()).ok().unwrap();
    assert_eq!(told(found)[0].1, Ok("café é".to_owned()));
    let body = [ORU.as_bytes(), b"\rOBX|1|TX|||caf\xE9"].concat();
    let code = documents(&body, None, &roomy_input()).err().unwrap().code;
    assert_eq!(code, RejectCode::EncodingInvalid);
    let found = documents(&body, Some(encoding_rs::WINDOWS_1252), &roomy_input()).ok().unwrap();
    assert_eq!(told(found)[0].1, Ok("café".to_owned()));
}

#[test]
fn a_frame_and_line_feeds_are_tolerated() {
    let body = format!("\u{B}{ORU}\nPID|1\r\n\nOBX|1|TX|||x\r\u{1C}\r");
    let found = documents(body.as_bytes(), None, &roomy_input()).ok().unwrap();
    assert_eq!(told(found)[0].1, Ok("x".to_owned()));
}

#[test]
fn who_the_message_is_about_is_gathered() {
    let body = [
        ORU,
        "PID|1|OLD1|MRN7^^^ACME^MR~X2||Doe^Jane^Q~Roe^Jane||19700321083000|F|||1 Main St^Apt 2^Springfield^IL^12345||\
         (555)555-0100~^NET^Internet^j@x.org|||||ACC9|123-45-6789",
        "NK1|1|Doe^John|SPO||555-0101",
        r"PV1|1|I|||||77^Welby^Marcus|||||||||||||V5",
        "OBR|1||F1|||||||||||||88^House^G\\S\\regory||||||||||||||||99&Wilson&James",
        "OBX|1|TX|||x",
    ].join("\r");
    let found = documents(body.as_bytes(), None, &roomy_input()).ok().unwrap();
    let of: Vec<_> =
        found[0].identifiers.iter().map(|one| (one.kind, one.value.to_string())).collect();
    for (kind, value) in [
        ("record_number", "OLD1"),
        ("record_number", "MRN7"),
        ("record_number", "X2"),
        ("name", "Jane Q Doe"),
        ("name", "Doe"),
        ("name", "Jane Roe"),
        ("birth_date", "1970-03-21"),
        ("address", "1 Main St"),
        ("address", "Apt 2"),
        ("address", "Springfield"),
        ("address", "12345"),
        ("phone", "(555)555-0100"),
        ("email", "j@x.org"),
        ("record_number", "ACC9"),
        ("id", "123-45-6789"),
        ("name", "John Doe"),
        ("phone", "555-0101"),
        ("name", "Marcus Welby"),
        ("name", "G^regory House"),
        ("name", "James Wilson"),
    ] {
        assert!(of.contains(&(kind, value.to_owned())), "{kind} {value}: {of:?}");
    }
}

#[test]
fn the_people_of_one_patient_are_not_the_next_ones() {
    let body = [ORU, "PID|1||A", "OBX|1|TX|||x", "PID|2||B", "OBX|1|TX|||y"].join("\r");
    let found = documents(body.as_bytes(), None, &roomy_input()).ok().unwrap();
    let of = |number: usize| found[number].identifiers.iter().map(|one| one.value.to_string());
    assert_eq!([of(0).collect::<Vec<_>>(), of(1).collect()], [["A"], ["B"]]);
}

#[test]
fn parts_about_the_same_people_share_what_is_known_of_them() {
    let body = [
        ORU,
        "PID|1||MRN7||Doe^Jane",
        "OBR|1",
        "OBX|1|TX|||x",
        "OBX|2|ED|||^text^plain^A^y",
        "OBR|2",
        "OBX|1|TX|||z",
        "OBR|3||F20117",
        "OBX|1|TX|||x",
    ]
    .join("\r");
    let found = documents(body.as_bytes(), None, &roomy_input()).ok().unwrap();
    let of: Vec<_> = found.iter().map(|one| &one.identifiers).collect();
    let counts: Vec<_> = of.iter().map(|one| one.len()).collect();
    assert_eq!(counts, [4, 4, 4, 5]);
    assert!(Arc::ptr_eq(of[0], of[1]) && Arc::ptr_eq(of[0], of[2]));
    assert!(Arc::ptr_eq(&of[0][0].value, &of[3][0].value), "a value is held once");
}

#[test]
fn an_identifier_that_nobody_has_is_refused_and_not_left_out() {
    for (name, is_taken) in [("x".repeat(1024), true), ("x".repeat(1025), false)] {
        let body = format!("{ORU}\rPID|1||||{name}\rOBX|1|TX|||x");
        let found = documents(body.as_bytes(), None, &roomy_input());
        assert_eq!(found.is_ok(), is_taken);
        let Err(reject) = found else { continue };
        assert_eq!(reject.code, RejectCode::Hl7Invalid);
        let is_told = reject.detail.contains("1024 bytes") && !reject.detail.contains("xx");
        assert!(is_told, "{}", reject.detail);
    }
}

#[test]
fn a_number_that_no_document_may_have_is_copied_to_none() {
    let long = "7".repeat(300_000);
    let head = ORU.replace("C7", &long);
    let found = read(&[&head, "OBX|1|TX|||x", "OBX|2|ED|||^text^plain^A^y"]).unwrap();
    assert!(found.iter().all(|(id, _)| id.is_none()));
}

#[test]
fn what_is_no_such_message_is_refused_without_a_word_of_it() {
    let large = format!("{ORU}\rOBX|1|TX|||{}", "x".repeat(1001));
    let many: Vec<String> = (0..1001).map(|number| format!("NK1|1|SECRET{number}")).collect();
    let many = format!("{ORU}\r{}", many.join("\r"));
    let type_of = |kind: &str| format!(r"MSH|^~\&|||||||{kind}|1");
    let unsupported = [type_of("ADT^A01"), type_of("MDM^T01"), type_of(""), type_of("SECRET")];
    let cases = [
        ("", RejectCode::Hl7Invalid),
        ("SECRET", RejectCode::Hl7Invalid),
        ("MSH", RejectCode::Hl7Invalid),
        ("MSH|", RejectCode::Hl7Invalid),
        ("MSHS^~\\&SECRET", RejectCode::Hl7Invalid),
        ("MSH||||SECRET", RejectCode::Hl7Invalid),
        ("MSH|^^^^|SECRET", RejectCode::Hl7Invalid),
        (r"MSH|^~\&|||||||ORU^R01|||||||||SECRET", RejectCode::Hl7Invalid),
        (&format!("{ORU}\r{ORU}"), RejectCode::Hl7Invalid),
        (&format!("{ORU}\rOBX|1|TX|||a\nSECRET text that goes on"), RejectCode::Hl7Invalid),
        (ORU, RejectCode::DocumentEmpty),
        (&format!("{ORU}\rOBX|1|NM|||\rOBX|2|TX|||"), RejectCode::DocumentEmpty),
        (&format!("{ORU}\rPID|1\rNTE|1||SECRET"), RejectCode::DocumentEmpty),
        (&many, RejectCode::Hl7Invalid),
    ];
    let cases = cases.into_iter().map(|(body, code)| (body.to_owned(), code));
    let unsupported = unsupported.into_iter().map(|body| (body, RejectCode::Hl7Invalid));
    for (body, code) in cases.chain(unsupported) {
        let reject = documents(body.as_bytes(), None, &roomy_input()).err().unwrap();
        assert_eq!(reject.code, code, "{body:.60}");
        assert!(!reject.detail.contains("SECRET"), "{}", reject.detail);
    }
    let found = documents(large.as_bytes(), None, &roomy_input()).ok().unwrap();
    assert_eq!(told(found)[0].1, Err(RejectCode::DocumentTooLarge));
}

#[test]
fn a_message_of_separators_costs_no_more_than_its_size() {
    for mark in ["|", "^", "&", "~", "\\"] {
        let body = format!("{ORU}\rOBX|1|TX|||x\rOBX|2|XX|||{}", mark.repeat(1 << 20));
        assert!(documents(body.as_bytes(), None, &roomy_input()).is_ok());
    }
    let names: Vec<String> = (0..100_000).map(|number| format!("n{number}")).collect();
    let body = format!("{ORU}\rPID|1||{}", names.join("~"));
    let code = documents(body.as_bytes(), None, &roomy_input()).err().unwrap().code;
    assert_eq!(code, RejectCode::Hl7Invalid);
    let body = format!("{ORU}\rOBX|1|TX|||{}", "a~".repeat(1 << 20));
    let found = documents(body.as_bytes(), None, &roomy_input()).ok().unwrap();
    assert_eq!(told(found)[0].1, Err(RejectCode::DocumentTooLarge));
}

#[test]
fn reading_ends_at_the_limit_of_parts() {
    let name = "x".repeat(1000);
    for (head, segments) in [
        (ORU, "\rOBX|1|RP|||a"),
        (ORU, "\rOBR\rOBX||NM|||1"),
        (ORU, "\rOBR\rOBX|1|TX|||a"),
        (ORU, "\rOBR\rOBX|1|TX|||a||||||W"),
        (ORU, "\rPID\rOBX|1|TX|||a"),
        (ORU, &format!("\rOBX|1|ED|||{}", "^^^Morse~".repeat(100))),
        (MDM, "\rTXA||||||||||||||||||||||||| Title"),
        (MDM, "\rTXA|||||||||||||||||||CA"),
    ] {
        let body = format!("{head}\rPID|1||||{name}{}", segments.repeat(40_000));
        let code = documents(body.as_bytes(), None, &roomy_input()).err().unwrap().code;
        assert_eq!(code, RejectCode::PartsTooMany, "{segments:.40}");
    }
    let bare = format!("{ORU}\rPID|1||||{name}{}\rOBX|1|TX|||a", "\rOBR".repeat(40_000));
    assert_eq!(documents(bare.as_bytes(), None, &roomy_input()).ok().unwrap().len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        head in prop::sample::select(vec![ORU, MDM, "MSH", ""]),
        tail in prop::collection::vec(any::<u8>(), 0..100),
        segment in "[A-Z0-9|^~&\\\\\r\n]{0,100}",
    ) {
        let body = [head.as_bytes(), b"\r", segment.as_bytes(), &tail].concat();
        drop(documents(&body, None, &roomy_input()));
    }
}
